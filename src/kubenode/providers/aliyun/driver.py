"""Alibaba ECS as a provider: every method that is not pure is one call of the ECS API."""

import base64
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from kubenode.core.capability import CloudEvent, CommandResult, Finding
from kubenode.core.errors import Invalid, NotFound
from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState, Page, Power
from kubenode.providers.aliyun import answers, checks
from kubenode.providers.aliyun.client import Client
from kubenode.providers.aliyun.codes import Call
from kubenode.providers.aliyun.params import AliyunParams, Placement, launch, numbered, tagged
from kubenode.providers.once import Once

PAGE: Final = "100"
EVENTS_MAX: Final = 100
SCRIPT_MAX: Final = 18 * 1024
"""Bytes of a script: ECS takes 24 KiB of base64."""
POWERS: Final[Mapping[Power, tuple[str, Mapping[str, str]]]] = MappingProxyType({
    Power.ON: ("StartInstance", {}),
    # KeepCharging keeps the host: else a later start may find no stock. Force: a hung system does not shut down.
    Power.OFF: ("StopInstance", {"ForceStop": "true", "StoppedMode": "KeepCharging"}),
    Power.REBOOT: ("RebootInstance", {"ForceStop": "true"}),
})  # fmt: skip
_ID: Final = re.compile(r"(?:alicloud://)?(?P<region>[a-z0-9]+(?:-[a-z0-9]+)+)\.(?P<own>i-[A-Za-z0-9]+)")


class AliyunProvider:
    """Instances of one account in one region. Safe to be called from several threads.

    An instance's id is `<region>.<i-...>`: what the cloud controller manager writes as `providerID`.
    """

    name = "aliyun"
    params = AliyunParams

    def __init__(self, client: Client) -> None:
        self._client = client
        self._once = Once()

    def __repr__(self) -> str:
        return f"AliyunProvider({self._client!r})"

    def create(self, request: CreateRequest[AliyunParams]) -> Instance:
        """RunInstances with the token: ECS gives the instance that it made for it before.

        The state is unknown: the answer has only the id, and the instance may be an old one.

        Raises:
            Invalid: ECS takes no such token, tags or user data.
            TokenConflict: the token was used with other parameters.
            Ambiguous: the answer was lost, or nobody knows what it means.
        """
        told, secret = launch(request, self._client.region)
        answer = self._client.call("RunInstances", told, Call.CREATE, secret=secret)
        return answers.named(
            answer["InstanceIdSets"]["InstanceIdSet"][0], self._client.region, state=InstanceState.UNKNOWN,
            zone=request.params.zone, tags={**request.params.tags, **request.tags},
        )  # fmt: skip

    def get(self, instance_id: str) -> Instance:
        """DescribeInstances of one id. ECS says nothing of one that is not there: an empty list is NotFound."""
        ids = json.dumps([self._own(instance_id)])
        answer = self._client.call("DescribeInstances", self._here(InstanceIds=ids), Call.READ)
        for row in answers.rows(answer, "Instances", "Instance"):
            return answers.instance(row, self._client.region)
        raise NotFound(instance_id)

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """DescribeInstances by tags, a hundred a page."""
        told = self._page(cursor, **tagged(tags))
        answer = self._client.call("DescribeInstances", told, Call.READ)
        found = answers.rows(answer, "Instances", "Instance")
        items = tuple(answers.instance(row, self._client.region) for row in found)
        return Page(items=items, cursor=answer.get("NextToken") or None)

    def delete(self, instance_id: str) -> None:
        """DeleteInstance, running or not.

        Raises:
            NotFound: ECS knows none of this id, which is no proof that there is none.
            Protected: release protection is on.
            Busy: it is still being made.
        """
        told = self._here(InstanceId=self._own(instance_id), Force="true")
        self._client.call("DeleteInstance", told, Call.ACT)

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Start, stop or reboot by force.

        ECS takes no token here. One that is known to be done is not done again by this process.

        Raises:
            TokenConflict: the token was used for another act.
            Ambiguous: the answer was lost: look, then decide.
        """
        own, (name, told) = self._own(instance_id), POWERS[action]
        self._once.do(
            token,
            (own, name),
            lambda: self._client.call(name, self._here(InstanceId=own, **told), Call.ACT),
        )

    def redeploy(self, instance_id: str, token: str) -> None:
        """RedeployInstance by force: to another host, without what was on local disks. The token is as for `power`."""
        own = self._own(instance_id)
        told = self._here(InstanceId=own, ForceStop="true")
        self._once.do(
            token,
            (own, "RedeployInstance"),
            lambda: self._client.call("RedeployInstance", told, Call.ACT),
        )

    def reimage(self, instance_id: str, image: str, token: str) -> None:
        """ReplaceSystemDisk with the token: a new disk made of the image. Its user data and tags stay.

        Raises:
            Busy: it is not stopped.
            TokenConflict: the token was used for another disk.
            Ambiguous: the answer was lost; a repeat with the token does no harm.
        """
        told = self._here(InstanceId=self._own(instance_id), ImageId=image, ClientToken=token)
        self._client.call("ReplaceSystemDisk", told, Call.ACT)

    def set_tags(self, instance_id: str, tags: Mapping[str, str]) -> None:
        """TagResources: these are set, and the others stay."""
        own = {"ResourceType": "instance", "ResourceId.1": self._own(instance_id)}
        self._client.call("TagResources", self._here(**own, **tagged(tags)), Call.ACT)

    def console_log(self, instance_id: str) -> bytes:
        """GetInstanceConsoleOutput: the last of what the system wrote on its console."""
        told = self._here(InstanceId=self._own(instance_id))
        answer = self._client.call("GetInstanceConsoleOutput", told, Call.READ)
        return answers.decoded(answer.get("ConsoleOutput"))

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """DescribeInstanceHistoryEvents of the whole region, in every state that is not over: its cost follows the events."""
        told = self._page(cursor, **numbered("InstanceEventCycleStatus", [*answers.ACTIVE]))
        answer = self._client.call("DescribeInstanceHistoryEvents", told, Call.READ)
        return Page(items=self._events(answer), cursor=answer.get("NextToken") or None)

    def ended_events(self, event_ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
        """DescribeInstanceHistoryEvents of these ids, in every state that is over; ECS keeps them for 30 days.

        Raises:
            Invalid: more than 100 ids, or none.
        """
        if not 1 <= len(event_ids) <= EVENTS_MAX:
            raise Invalid(f"{len(event_ids)} events; fix: ask for 1 to {EVENTS_MAX} at once")
        told = self._page(
            None,
            **numbered("EventId", event_ids),
            **numbered("InstanceEventCycleStatus", [*answers.FINAL]),
        )
        return self._events(self._client.call("DescribeInstanceHistoryEvents", told, Call.READ))

    def confirm_event(self, event_id: str) -> None:
        """AcceptInquiredSystemEvent: what waits for consent (local disks, mostly) begins.

        Raises:
            NotFound: none of this id waits for consent, or none does any more: ECS makes no difference.
            Busy: something else is done to the instance.
        """
        self._client.call("AcceptInquiredSystemEvent", self._here(EventId=event_id), Call.ACT)

    def run_command(self, instance_id: str, script: bytes, token: str, limit: timedelta) -> str:
        """RunCommand with the token: Cloud Assistant runs the script as root. One that is not there shows in `command`.

        Raises:
            Invalid: the script is larger than 18 KiB.
        """
        if len(script) > SCRIPT_MAX:
            raise Invalid(f"the script has {len(script)} bytes; fix: ECS takes {SCRIPT_MAX}")
        told = self._here(
            **numbered("InstanceId", [self._own(instance_id)]), ClientToken=token, Type="RunShellScript",
            ContentEncoding="Base64", Timeout=str(max(10, round(limit.total_seconds()))),
        )  # fmt: skip
        secret = {"CommandContent": base64.b64encode(script).decode()}
        return str(self._client.call("RunCommand", told, Call.ACT, secret=secret)["InvokeId"])

    def command(self, instance_id: str, command_id: str) -> CommandResult:
        """DescribeInvocationResults: what became of a command on an instance."""
        told = self._here(InvokeId=command_id, InstanceId=self._own(instance_id), ContentEncoding="Base64")
        answer = self._client.call("DescribeInvocationResults", told, Call.READ)
        for row in answers.rows(answer.get("Invocation") or {}, "InvocationResults", "InvocationResult"):
            return answers.command(row)
        raise NotFound(f"{command_id} on {instance_id}")

    def instance_of(self, provider_id: str) -> str | None:
        """Read a providerID: `<region>.<i-...>`, with or without `alicloud://`."""
        read = _ID.fullmatch(provider_id)
        return f"{read['region']}.{read['own']}" if read is not None else None

    def choices(self, params: AliyunParams) -> tuple[AliyunParams, ...]:
        """Give the parameters of each placement, the first one first."""
        return (params.at(Placement()), *(params.at(place) for place in params.fallback))

    def checks(self, params: AliyunParams | None) -> tuple[str, ...]:
        """Name what can be checked before a machine is made."""
        return checks.named(params)

    def check(self, about: str, params: AliyunParams | None) -> Finding:
        """Check one of them, by one call that changes nothing."""
        return checks.asked(self._client, about, params)

    def _here(self, **params: str) -> dict[str, str]:
        return {"RegionId": self._client.region, **params}

    def _page(self, cursor: str | None, **params: str) -> dict[str, str]:
        return self._here(MaxResults=PAGE, **params, **({"NextToken": cursor} if cursor else {}))

    def _events(self, answer: answers.Row) -> tuple[CloudEvent, ...]:
        found = answers.rows(answer, "InstanceSystemEventSet", "InstanceSystemEventType")
        return tuple(answers.event(row, self._client.region) for row in found)

    def _own(self, instance_id: str) -> str:
        """Give the id that ECS knows; those of another region are refused, lest they be taken for gone."""
        read = _ID.fullmatch(instance_id)
        if read is None:
            raise Invalid(f"{instance_id!r} is no id of an ECS instance, as cn-hangzhou.i-...")
        if read["region"] != self._client.region:
            raise Invalid(f"{instance_id} is in another region than {self._client.region}")
        return read["own"]
