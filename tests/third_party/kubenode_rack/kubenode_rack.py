"""A provider for a rack of machines, whose daemon speaks JSON over HTTP."""

import json
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPConnection
from typing import Any, TypeAlias
from urllib.parse import quote

import attrs

from kubenode.providers import (
    Ambiguous,
    CreateRequest,
    Instance,
    InstanceState,
    NotFound,
    Page,
    Power,
    Provider,
    Settings,
    TokenConflict,
    hookimpl,
)  # fmt: skip

Send: TypeAlias = Callable[
    [str, str, Mapping[str, Any]], tuple[int, Any]
]  # method, path, body -> status, answer
STATE = {"on": InstanceState.RUNNING, "off": InstanceState.STOPPED, "boot": InstanceState.PENDING}
ERRORS: Mapping[int, type[Exception]] = {404: NotFound, 409: TokenConflict}


@attrs.frozen(kw_only=True)
class RackParams:
    """What `spec.infrastructure.parameters` says."""

    row: str
    sku: str = "std-64"


@attrs.frozen(kw_only=True)
class RackSettings:
    """What the operator writes for the plugin."""

    address: str = "localhost:8080"


@attrs.frozen
class RackProvider:
    """Machines of one rack daemon."""

    send: Send = attrs.field(repr=False)
    name = "rack"
    params = RackParams

    def create(self, request: CreateRequest[RackParams]) -> Instance:
        """PUT under the token: the daemon gives what the same token made before."""
        body = {**attrs.asdict(request.params), "tags": dict(request.tags), "data": request.user_data.hex()}
        try:
            return _instance(self._asked("PUT", f"/hosts/{quote(request.token)}", body))
        except OSError as error:
            raise Ambiguous(request.token) from error  # no answer, or a strange one: the machine may exist

    def get(self, instance_id: str) -> Instance:
        """Look at one machine."""
        return _instance(self._asked("GET", f"/hosts/{quote(instance_id)}", {}))

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give one page; the daemon filters."""
        answer = self._asked("GET", "/hosts", {"tags": dict(tags), "after": cursor or ""})
        return Page(items=tuple(map(_instance, answer["hosts"])), cursor=answer["next"])

    def delete(self, instance_id: str) -> None:
        """Give a machine back."""
        self._asked("DELETE", f"/hosts/{quote(instance_id)}", {})

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Act once for a token: the daemon remembers it."""
        self._asked("PUT", f"/hosts/{quote(instance_id)}/power/{quote(token)}", {"act": action.value})

    def _asked(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        status, answer = self.send(method, path, body)
        if status != 200:
            raise ERRORS.get(status, OSError)(f"{method} {path}: {status}")
        return answer


def _instance(host: Mapping[str, Any]) -> Instance:
    state = STATE.get(host["power"], InstanceState.UNKNOWN)
    return Instance(id=host["id"], zone=host["row"], state=state, tags=host["tags"])


def http(address: str) -> Send:
    """Give a `send` over HTTP; it raises OSError when the answer is lost."""

    def send(method: str, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        connection = HTTPConnection(address, timeout=20)
        try:
            connection.request(method, path, json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.load(answer)
        finally:
            connection.close()

    return send


@hookimpl
def register_providers(settings: Settings) -> Iterable[Provider[RackParams]]:
    """Register the rack of the settings."""
    return [RackProvider(http(settings.of("rack", RackSettings).address))]
