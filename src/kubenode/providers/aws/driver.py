"""Instances of EC2, in one region of one account. Each method is one wire call, and none is repeated here."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import attrs

from kubenode.core.capability import CloudEvent, Finding
from kubenode.core.errors import Ambiguous, Invalid, NotFound, TokenConflict, Unavailable
from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState, Page, Power
from kubenode.providers.aws import checks, reading
from kubenode.providers.aws.client import Ec2
from kubenode.providers.aws.launch import launch
from kubenode.providers.aws.params import AwsParams, AwsSettings
from kubenode.providers.once import Once
from kubenode.providers.pace import Budget, Pace

PAGE = 1000
VISIBLE = timedelta(minutes=5)
"""For so long after a create, "no such instance" means "not shown yet"."""
OPERATIONS: Mapping[Power, str] = {
    Power.REBOOT: "RebootInstances", Power.OFF: "StopInstances", Power.ON: "StartInstances",
}  # fmt: skip
SCHEDULED = "Events"
POLL: Mapping[str, Mapping[str, Any]] = {
    SCHEDULED: {"Name": "event.code", "Values": sorted(reading.IMPACTS)},
    "SystemStatus": {"Name": "system-status.status", "Values": ["impaired"]},
    "AttachedEbsStatus": {"Name": "attached-ebs-status.status", "Values": ["impaired"]},
}
"""A poll asks these one after the other; EC2 filters, so it costs by what happens and not by how many there are."""


class AwsProvider:
    """EC2. Safe to be called from several threads."""

    params: ClassVar[type[AwsParams]] = AwsParams

    def __init__(self, settings: AwsSettings, *, name: str = "aws", pace: Pace | None = None) -> None:
        """Make a provider; nothing is imported, read or sent before its first call.

        Args:
            settings: of one region; every other region has a provider of its own, with another name.
            name: what `spec.infrastructure.provider` says.
            pace: shared with other providers of the same account and region; None makes one of the settings.
        """
        self.name = name
        budget = Budget.full(rate=settings.calls_per_second, burst=settings.burst)
        self._pace = pace if pace is not None else Pace(budget)
        self.ec2 = Ec2(settings, self._pace)
        self._lock = threading.Lock()
        self._young: dict[str, float] = {}
        self._once = Once()

    def __repr__(self) -> str:
        return f"AwsProvider({self.ec2!r}, name={self.name!r})"

    def create(self, request: CreateRequest[AwsParams]) -> Instance:
        """Create an instance, or give the one that this token made before.

        The token is AWS's idempotency key, which holds within a zone: it has to be another one for another zone.

        Raises:
            TokenConflict: the token was used with other parameters, or what it made is dead.
            Ambiguous: the answer is lost, or cannot be understood: the instance may exist.
            ProviderError: another meaning of AWS's answer.
        """
        answer = self.ec2.call("RunInstances", launch(request), creates=True, user_data=request.user_data)
        if not answer.get("Instances"):
            raise Ambiguous("RunInstances: an answer without an instance")
        made = reading.instance(answer["Instances"][0])
        if made.state in (InstanceState.DELETING, InstanceState.TERMINATED):
            raise TokenConflict(
                f"{made.id}, which this token made, is {made.state.value}; a new attempt needs a new token"
            )
        with self._lock:
            now = self._pace.elapsed()
            self._young = {known: until for known, until in self._young.items() if until > now}
            self._young[made.id] = now + VISIBLE.total_seconds()
        return made

    def get(self, instance_id: str) -> Instance:
        """Look at one instance; a terminated one stays visible for about an hour.

        Raises:
            NotFound: there is none, and it was not made here a moment ago.
            Unavailable: it was made a moment ago, and AWS does not show it yet.
            ProviderError: another meaning of AWS's answer.
        """
        answer = self._seen(
            instance_id, lambda: self.ec2.call("DescribeInstances", {"InstanceIds": [instance_id]})
        )
        found = _instances(answer)
        if not found:
            raise self._missing(instance_id)
        return found[0]

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give the instances that carry all these tags, a page at a time; what is terminated too, while AWS shows it."""
        filters = [{"Name": f"tag:{key}", "Values": [_literal(value)]} for key, value in sorted(tags.items())]
        answer = self.ec2.call("DescribeInstances", _page(filters, cursor))
        carry = tuple(one for one in _instances(answer) if tags.items() <= one.tags.items())
        return Page(items=carry, cursor=answer.get("NextToken") or None)

    def delete(self, instance_id: str) -> None:
        """Terminate an instance; one that AWS still shows as terminated is no error.

        Raises:
            NotFound: AWS knows none of this id; by its own words it may be running all the same.
            Protected: termination protection is on.
            Ambiguous: the answer is lost; a repeat does no harm.
            Unavailable: it was made a moment ago, and AWS does not show it yet.
            ProviderError: another meaning of AWS's answer.
        """
        self._seen(instance_id, lambda: self._write("TerminateInstances", instance_id))
        with self._lock:
            self._young.pop(instance_id, None)

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Reboot, stop or start an instance; accepted, and not finished.

        EC2 knows no token here. One that was answered is remembered in this process and is not sent again; one whose
        answer was lost is sent again when it is repeated.

        Raises:
            TokenConflict: the token was used for another act.
            Busy: another thread sends this token now.
            Ambiguous: the answer is lost: look at the instance before you repeat.
            ProviderError: another meaning of AWS's answer.
        """
        self._once.do(
            token,
            (instance_id, action),
            lambda: self._seen(instance_id, lambda: self._write(OPERATIONS[action], instance_id)),
        )

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Give a page of the scheduled events, the failed hosts and the failed disks of the region.

        Finished events stay for up to a week, and say that they are over.
        """
        what, _, token = (cursor or f"{SCHEDULED}:").partition(":")
        if what not in POLL:
            raise Invalid(f"{cursor!r} is no cursor of this provider")
        answer = self.ec2.call(
            "DescribeInstanceStatus", {"IncludeAllInstances": True, **_page([POLL[what]], token)}
        )
        statuses = answer.get("InstanceStatuses", ())
        found = reading.scheduled(statuses) if what == SCHEDULED else reading.impaired(statuses, what)
        order = list(POLL)
        later = order[order.index(what) + 1 :]
        more = answer.get("NextToken")
        return Page(
            items=tuple(found), cursor=f"{what}:{more}" if more else f"{later[0]}:" if later else None
        )

    def reimage(self, instance_id: str, image: str, token: str) -> None:
        """CreateReplaceRootVolumeTask with the token: a new root volume made of the image, and a reboot; the old one is deleted.

        Raises:
            Busy: it is not running.
            TokenConflict: the token was used for another volume.
            Ambiguous: the answer is lost; a repeat with the token does no harm.
        """
        asked = {
            "InstanceId": instance_id,
            "ImageId": image,
            "ClientToken": token,
            "DeleteReplacedRootVolume": True,
        }
        self._seen(instance_id, lambda: self.ec2.call("CreateReplaceRootVolumeTask", asked, writes=True))

    def set_tags(self, instance_id: str, tags: Mapping[str, str]) -> None:
        """Set these tags, and leave the others."""
        listed = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        arguments = {"Resources": [instance_id], "Tags": listed}
        self._seen(instance_id, lambda: self.ec2.call("CreateTags", arguments, writes=True))

    def console_log(self, instance_id: str) -> bytes:
        """Give the last 64 KiB of it, as of the last change of state or about so; empty when there is none yet."""
        answer = self._seen(
            instance_id, lambda: self.ec2.call("GetConsoleOutput", {"InstanceId": instance_id})
        )
        return str(answer.get("Output") or "").encode()

    def instance_of(self, provider_id: str) -> str | None:
        """Give the instance id of a providerID; None when it is not of EC2 in this region. No wire call."""
        return reading.instance_id(provider_id, self.ec2.region)

    def choices(self, params: AwsParams) -> tuple[AwsParams, ...]:
        """Give the parameters of each try: as they are, then each fall-back. No wire call."""
        plain = attrs.evolve(params, fallback=())
        placed = (_placed(plain, place.instance_type, place.zone, place.subnet) for place in params.fallback)
        tried = (plain, *placed)
        return tuple(one for at, one in enumerate(tried) if one not in tried[:at])

    def checks(self, params: AwsParams | None) -> tuple[str, ...]:
        """Name what can be checked before a machine is made."""
        return checks.named(params)

    def check(self, about: str, params: AwsParams | None) -> Finding:
        """Check one of them, by one call that changes nothing."""
        return checks.asked(self.ec2, about, params)

    def _write(self, operation: str, instance_id: str) -> Mapping[str, Any]:
        return self.ec2.call(operation, {"InstanceIds": [instance_id]}, writes=True)

    def _seen(self, instance_id: str, call: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        try:
            return call()
        except NotFound as error:
            missing = self._missing(instance_id, error)
        raise missing

    def _missing(self, instance_id: str, error: NotFound | None = None) -> NotFound | Unavailable:
        with self._lock:
            young = self._young.get(instance_id, 0.0) > self._pace.elapsed()
        if young:
            return Unavailable(f"{instance_id} was made a moment ago, and AWS does not show it yet")
        return error or NotFound(instance_id)


def _instances(answer: Mapping[str, Any]) -> tuple[Instance, ...]:
    return tuple(
        reading.instance(one)
        for group in answer.get("Reservations", ())
        for one in group.get("Instances", ())
    )


def _page(filters: Sequence[Mapping[str, Any]], cursor: str | None) -> Mapping[str, Any]:
    asked: dict[str, Any] = {"MaxResults": PAGE}
    return asked | ({"Filters": filters} if filters else {}) | ({"NextToken": cursor} if cursor else {})


def _literal(value: str) -> str:
    """Write a value so that a filter matches it and nothing else: EC2 takes * and ? for patterns."""
    return "".join("\\" + letter if letter in "\\*?" else letter for letter in value)


def _placed(params: AwsParams, instance_type: str, zone: str, subnet: str) -> AwsParams:
    moved = bool(
        zone or subnet
    )  # a subnet is in one zone: whoever names another zone, does not mean the old subnet
    return attrs.evolve(
        params,
        instance_type=instance_type or params.instance_type,
        zone=zone if moved else params.zone,
        subnet=subnet if moved else params.subnet,
    )
