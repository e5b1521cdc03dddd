"""What the answers of ECS say, in our words. A word that nobody knows is UNKNOWN or OTHER, and never an error."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from kubenode.core.capability import CloudEvent, CommandResult, CommandState, EventState, Impact
from kubenode.core.hookspecs import Instance, InstanceState

Row: TypeAlias = Mapping[str, Any]
STATES: Final[Mapping[str, InstanceState]] = MappingProxyType({
    "Pending": InstanceState.PENDING, "Starting": InstanceState.PENDING, "Running": InstanceState.RUNNING,
    "Stopping": InstanceState.RUNNING, # it still runs: who fences must not believe it off
    "Stopped": InstanceState.STOPPED,
})  # fmt: skip
"""There is no word for a released one: it is not shown any more."""
ACTIVE: Final[Mapping[str, EventState]] = MappingProxyType({
    "Inquiring": EventState.INQUIRING, "Scheduled": EventState.SCHEDULED, "Executing": EventState.EXECUTING,
})  # fmt: skip
FINAL: Final[Mapping[str, EventState]] = MappingProxyType({
    "Executed": EventState.EXECUTED, "Avoided": EventState.AVOIDED, "Canceled": EventState.CANCELED,
    "Failed": EventState.FAILED,
})  # fmt: skip
IMPACTS: Final[Mapping[str, Impact]] = MappingProxyType({
    "SystemMaintenance.Reboot": Impact.REBOOT, "SystemMaintenance.Redeploy": Impact.REDEPLOY,
    "SystemMaintenance.Stop": Impact.STOP,
    "SystemMaintenance.RebootAndIsolateErrorDisk": Impact.DISK, "SystemMaintenance.RebootAndReInitErrorDisk": Impact.DISK,
    "SystemMaintenance.IsolateErrorDisk": Impact.DISK, "SystemMaintenance.ReInitErrorDisk": Impact.DISK,
    "SystemMaintenance.CleanInactiveDisks": Impact.DISK,
    "SystemFailure": Impact.FAILURE, "SystemFailure.Delete": Impact.RETIRE, "InstanceFailure": Impact.FAILURE,
    "InstanceExpiration": Impact.BILLING, "AccountUnbalanced": Impact.BILLING,
})  # fmt: skip
"""By the whole type, else by its first word."""
COMMANDS: Final[Mapping[str, CommandState]] = MappingProxyType({
    "Pending": CommandState.PENDING, "Scheduled": CommandState.PENDING, "Running": CommandState.PENDING,
    "Stopping": CommandState.PENDING, "Success": CommandState.SUCCEEDED, "Timeout": CommandState.TIMED_OUT,
    "Failed": CommandState.FAILED, "Error": CommandState.FAILED, "Aborted": CommandState.FAILED,
    "Cancelled": CommandState.FAILED, "Invalid": CommandState.FAILED, "Terminated": CommandState.FAILED,
})  # fmt: skip
RAN: Final = frozenset({CommandState.SUCCEEDED, CommandState.FAILED})


def rows(answer: Row, plural: str, singular: str) -> Iterable[Row]:
    """Give the rows of a list, which ECS wraps twice."""
    return (answer.get(plural) or {}).get(singular) or ()


def instance(row: Row, region: str) -> Instance:
    """Read a row of DescribeInstances."""
    return named(
        row["InstanceId"], region, state=STATES.get(row.get("Status", ""), InstanceState.UNKNOWN), zone=row.get("ZoneId", ""),
        tags={tag["TagKey"]: tag.get("TagValue", "") for tag in rows(row, "Tags", "Tag")},
        addresses=tuple(_addresses(row)), created_at=when(row.get("CreationTime")),
    )  # fmt: skip


def named(own: str, region: str, **known: Any) -> Instance:
    """Give an instance under the name that the cloud controller manager writes as `providerID`."""
    name = f"{region}.{own}"
    return Instance(id=name, provider_id=name, **known)


def event(row: Row, region: str) -> CloudEvent:
    """Read a row of DescribeInstanceHistoryEvents."""
    kind = (row.get("EventType") or {}).get("Name") or "unknown"
    state = (row.get("EventCycleStatus") or {}).get("Name") or ""
    return CloudEvent(
        id=row["EventId"], instance=f"{region}.{row['InstanceId']}", type=kind,
        impact=IMPACTS.get(kind) or IMPACTS.get(kind.partition(".")[0]) or Impact.OTHER,
        state=ACTIVE.get(state) or FINAL.get(state) or EventState.UNKNOWN,
        not_before=when(row.get("NotBefore")), not_after=when(row.get("EventFinishTime")), text=row.get("Reason") or "",
    )  # fmt: skip


def command(row: Row) -> CommandResult:
    """Read a row of DescribeInvocationResults."""
    state = COMMANDS.get(row.get("InvocationStatus", ""), CommandState.UNKNOWN)
    code = row.get("ExitCode") if state in RAN else None
    return CommandResult(
        state=state, exit_code=code if isinstance(code, int) else None, output=decoded(row.get("Output"))
    )


def decoded(text: str | None) -> bytes:
    """Read base64; what is none is given as it is."""
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        return (text or "").encode()


def when(text: str | None) -> datetime | None:
    """Read a time, with or without seconds; None for what is none."""
    try:
        read = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def _addresses(row: Row) -> Iterable[str]:
    """Give the private addresses, then the public ones."""
    private = (row.get("VpcAttributes") or {}).get("PrivateIpAddress") or {}
    public = row.get("PublicIpAddress") or {}
    elastic = (row.get("EipAddress") or {}).get("IpAddress")
    return [*private.get("IpAddress", ()), *public.get("IpAddress", ()), *([elastic] if elastic else [])]
