"""Alibaba ECS as a provider: every method is one call of the ECS API."""

import json
import re
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from kubenode.core.errors import Invalid, NotFound, TokenConflict
from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState, Page, Power
from kubenode.providers.aliyun.client import Client
from kubenode.providers.aliyun.codes import Call
from kubenode.providers.aliyun.params import AliyunParams, launch, tagged

Row: TypeAlias = Mapping[str, Any]
PAGE: Final = "100"
REMEMBERED: Final = 10_000
"""Power acts that are known to be done, by token; ECS takes no token for them."""
STATES: Final[Mapping[str, InstanceState]] = MappingProxyType({
    "Pending": InstanceState.PENDING, "Starting": InstanceState.PENDING, "Running": InstanceState.RUNNING,
    "Stopping": InstanceState.RUNNING, # it still runs: who fences must not believe it off
    "Stopped": InstanceState.STOPPED,
})  # fmt: skip
"""There is no word for a released one: it is not shown any more."""
POWERS: Final[Mapping[Power, tuple[str, Mapping[str, str]]]] = MappingProxyType({
    Power.ON: ("StartInstance", {}),
    # KeepCharging keeps the host: else a later start may find no stock. Force: a hung system does not shut down.
    Power.OFF: ("StopInstance", {"ForceStop": "true", "StoppedMode": "KeepCharging"}),
    Power.REBOOT: ("RebootInstance", {"ForceStop": "true"}),
})  # fmt: skip
_ID: Final = re.compile(r"(?:alicloud://)?(?:(?P<region>[a-z0-9-]+)\.)?(?P<id>i-[A-Za-z0-9]+)")


class AliyunProvider:
    """Instances of one account in one region. Safe to be called from several threads.

    An instance's id is `<region>.<i-...>`: what the cloud controller manager writes as `providerID`.
    """

    name = "aliyun"
    params = AliyunParams

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._acts: dict[str, tuple[str, Power]] = {}

    def __repr__(self) -> str:
        return f"AliyunProvider({self._client!r})"

    def create(self, request: CreateRequest[AliyunParams]) -> Instance:
        """RunInstances with the token: ECS gives the instance that it made for it before.

        The state is unknown: the answer has only the id, and the instance may be an old one.

        Raises:
            TokenConflict: the token was used with other parameters.
            Ambiguous: the answer was lost, or nobody knows what it means.
        """
        told, secret = launch(request, self._client.region)
        answer = self._client.call("RunInstances", told, Call.CREATE, secret=secret)
        return Instance(
            id=self._id(answer["InstanceIdSets"]["InstanceIdSet"][0]), state=InstanceState.UNKNOWN,
            zone=request.params.zone, tags={**request.params.tags, **request.tags},
        )  # fmt: skip

    def get(self, instance_id: str) -> Instance:
        """DescribeInstances of one id. ECS says nothing of one that is not there: an empty list is NotFound."""
        ids = json.dumps([self._own(instance_id)])
        answer = self._client.call("DescribeInstances", self._here(InstanceIds=ids), Call.READ)
        for row in _rows(answer, "Instances", "Instance"):
            return self._instance(row)
        raise NotFound(instance_id)

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """DescribeInstances by tags, a hundred a page."""
        told = self._here(MaxResults=PAGE, **tagged(tags), **({"NextToken": cursor} if cursor else {}))
        answer = self._client.call("DescribeInstances", told, Call.READ)
        items = tuple(self._instance(row) for row in _rows(answer, "Instances", "Instance"))
        return Page(items=items, cursor=answer.get("NextToken") or None)

    def delete(self, instance_id: str) -> None:
        """DeleteInstance, running or not.

        Raises:
            Protected: release protection is on.
            Busy: it is still being made.
        """
        told = self._here(InstanceId=self._own(instance_id), Force="true")
        try:
            self._client.call("DeleteInstance", told, Call.ACT)
        except NotFound:
            return

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Start, stop or reboot by force.

        ECS takes no token here. One that is known to be done is not done again by this process.

        Raises:
            TokenConflict: the token was used for another act.
            Ambiguous: the answer was lost: look, then decide.
        """
        own = self._own(instance_id)
        act = (own, action)
        with self._lock:
            known = self._acts.get(token)
        if known is not None:
            if known != act:
                raise TokenConflict(f"token {token} was used for another act")
            return
        name, told = POWERS[action]
        self._client.call(name, self._here(InstanceId=own, **told), Call.ACT)
        with self._lock:
            self._acts[token] = act
            if len(self._acts) > REMEMBERED:
                del self._acts[next(iter(self._acts))]

    def _here(self, **params: str) -> dict[str, str]:
        return {"RegionId": self._client.region, **params}

    def _id(self, own: str) -> str:
        return f"{self._client.region}.{own}"

    def _own(self, instance_id: str) -> str:
        """Give the id that ECS knows; those of another region are refused, lest they be taken for gone."""
        read = _ID.fullmatch(instance_id)
        if read is None:
            raise Invalid(f"{instance_id!r} is no id of an ECS instance, as cn-hangzhou.i-...")
        if read["region"] not in (None, self._client.region):
            raise Invalid(f"{instance_id} is in another region than {self._client.region}")
        return read["id"]

    def _instance(self, row: Row) -> Instance:
        return Instance(
            id=self._id(row["InstanceId"]), state=STATES.get(row.get("Status", ""), InstanceState.UNKNOWN),
            zone=row.get("ZoneId", ""), tags={tag["TagKey"]: tag.get("TagValue", "") for tag in _rows(row, "Tags", "Tag")},
            addresses=tuple(_addresses(row)),
        )  # fmt: skip


def _rows(answer: Row, plural: str, singular: str) -> Iterable[Row]:
    return (answer.get(plural) or {}).get(singular) or ()


def _addresses(row: Row) -> Iterable[str]:
    """Give the private addresses, then the public ones."""
    private = (row.get("VpcAttributes") or {}).get("PrivateIpAddress") or {}
    public = row.get("PublicIpAddress") or {}
    elastic = (row.get("EipAddress") or {}).get("IpAddress")
    return [*private.get("IpAddress", ()), *public.get("IpAddress", ()), *([elastic] if elastic else [])]
