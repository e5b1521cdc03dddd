"""A provider: machines of a rack, whose daemon speaks JSON."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from kubenode.providers import (
    Ambiguous,
    CreateRequest,
    Instance,
    InstanceState,
    NotFound,
    Page,
    TokenConflict,
)

STATE = {"on": InstanceState.RUNNING, "off": InstanceState.STOPPED, "boot": InstanceState.PENDING}


@attrs.frozen(kw_only=True)
class RackParams:
    row: str
    sku: str = "std-64"


@attrs.frozen
class RackProvider:
    send: Callable[[str, str, Mapping[str, Any]], tuple[int, Any]]  # method, path, body -> status, answer
    name = "rack"
    params = RackParams

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        body = {**attrs.asdict(request.params), "tags": dict(request.tags)}
        try:
            status, host = self.send("PUT", f"/hosts/{request.token}", body)
        except TimeoutError as error:
            raise Ambiguous(request.token) from error  # the answer is lost: the host may exist
        if status == 409:
            raise TokenConflict(request.token)
        return _instance(host)

    def get(self, instance_id: str) -> Instance:
        status, host = self.send("GET", f"/hosts/{instance_id}", {})
        if status == 404:
            raise NotFound(instance_id)
        return _instance(host)

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        _, answer = self.send("GET", "/hosts", {"tags": dict(tags), "after": cursor or ""})
        return Page(items=tuple(map(_instance, answer["hosts"])), cursor=answer["next"])

    def delete(self, instance_id: str) -> None:
        self.send("DELETE", f"/hosts/{instance_id}", {})


def _instance(host: Mapping[str, Any]) -> Instance:
    state = STATE.get(host["power"], InstanceState.UNKNOWN)
    return Instance(id=host["id"], zone=host["row"], state=state, tags=host["tags"])
