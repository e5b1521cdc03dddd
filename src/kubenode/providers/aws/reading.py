"""What EC2 answers, as kubenode's messages. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from kubenode.core.capability import CloudEvent, EventState, Impact
from kubenode.core.hookspecs import Instance, InstanceState

STATES: Mapping[str, InstanceState] = MappingProxyType({
    "pending": InstanceState.PENDING, "running": InstanceState.RUNNING, "stopping": InstanceState.STOPPING,
    "stopped": InstanceState.STOPPED, "shutting-down": InstanceState.DELETING, "terminated": InstanceState.TERMINATED,
})  # fmt: skip
IMPACTS: Mapping[str, Impact] = MappingProxyType({
    "instance-reboot": Impact.REBOOT, "system-reboot": Impact.REBOOT, "system-maintenance": Impact.BRIEF,
    "instance-retirement": Impact.RETIRE, "instance-stop": Impact.STOP,
})  # fmt: skip
ENDS: Mapping[str, EventState] = MappingProxyType({
    "[Completed]": EventState.EXECUTED, "[Canceled]": EventState.CANCELED,
})  # fmt: skip
"""EC2 says that an event is over only by how its description begins."""
IMPAIRED: Mapping[str, tuple[str, Impact]] = MappingProxyType({
    "SystemStatus": ("system-status", Impact.FAILURE), "AttachedEbsStatus": ("attached-ebs-status", Impact.DISK),
})  # fmt: skip
_ID = re.compile("i-([0-9a-f]{8}|[0-9a-f]{17})")


def instance(seen: Mapping[str, Any]) -> Instance:
    """Read an instance; a state that is not known is UNKNOWN."""
    zone = str(seen.get("Placement", {}).get("AvailabilityZone", ""))
    launched = seen.get("LaunchTime")
    return Instance(
        id=seen["InstanceId"],
        state=STATES.get(seen.get("State", {}).get("Name", ""), InstanceState.UNKNOWN),
        zone=zone,
        tags={tag["Key"]: tag.get("Value", "") for tag in seen.get("Tags", ())},
        addresses=tuple(seen[name] for name in ("PrivateIpAddress", "PublicIpAddress") if seen.get(name)),
        provider_id=f"aws:///{zone}/{seen['InstanceId']}",
        created_at=_utc(launched) if launched else None,
    )


def instance_id(provider_id: str, region: str) -> str | None:
    """Read a providerID; None when it is not of EC2 in this region.

    The cloud controller manager writes `aws:///zone/i-...`; read are also those without zone, with the region in
    its place, and a bare id.
    """
    scheme, found, path = provider_id.rpartition("://")
    parts = path.strip("/").split("/")
    if (found and scheme != "aws") or len(parts) > 2 or not _ID.fullmatch(parts[-1]):
        return None
    # An instance of another region would not be found here, and so be taken for gone.
    return parts[-1] if len(parts) == 1 or parts[0].startswith(region) else None


def scheduled(statuses: Sequence[Mapping[str, Any]]) -> Iterator[CloudEvent]:
    """Read the scheduled events of instances."""
    for status in statuses:
        for event in status.get("Events", ()):
            code, text = str(event.get("Code", "")), str(event.get("Description", ""))
            begins, ends = event.get("NotBefore"), event.get("NotAfter")
            over = [state for mark, state in ENDS.items() if text.startswith(mark)]
            yield CloudEvent(
                id=event.get("InstanceEventId") or f"{status['InstanceId']}:{code}:{_stamp(begins)}",
                instance=status["InstanceId"],
                type=code,
                impact=IMPACTS.get(code, Impact.OTHER),
                state=over[0] if over else EventState.SCHEDULED,
                not_before=_utc(begins) if begins else None,
                not_after=_utc(ends) if ends else None,
                text=text,
            )


def impaired(statuses: Sequence[Mapping[str, Any]], check: str) -> Iterator[CloudEvent]:
    """Read the failures of one status check, which have no id: one is named by when it began."""
    kind, impact = IMPAIRED[check]
    for status in statuses:
        found = status.get(check, {})
        if found.get("Status") == "impaired":
            since = min(
                (one["ImpairedSince"] for one in found.get("Details", ()) if one.get("ImpairedSince")),
                default=None,
            )
            yield CloudEvent(
                id=f"{status['InstanceId']}:{kind}:{_stamp(since)}",
                instance=status["InstanceId"],
                type=kind,
                impact=impact,
                state=EventState.EXECUTING,
                not_before=_utc(since) if since else None,
            )


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


def _stamp(time: datetime | None) -> str:
    return "" if time is None else f"{_utc(time):%Y%m%dT%H%M%SZ}"
