"""What some providers can do besides create, get, find and delete: a Protocol each, and the messages they speak.

A provider has a capability when it has the method; it need not say so otherwise, and `isinstance` narrows.
As with the four methods, one call is one wire call in a plain function, its errors are the meanings of
`kubenode.core.errors`, and an exception of another kind counts as Unavailable.
"""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, runtime_checkable

import attrs

from kubenode.core.hookspecs import Guard, Page

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


class Impact(enum.Enum):
    """What a cloud event does to an instance, whatever the cloud calls it."""

    REBOOT = "reboot"
    """It is restarted where it is; its disks stay."""
    REDEPLOY = "redeploy"
    """It moves to another host: a restart, and local disks are lost."""
    STOP = "stop"
    """It is stopped, and nobody starts it."""
    RETIRE = "retire"
    """It is taken away for good."""
    RECLAIM = "reclaim"
    """A spot instance is taken back. For providers whose events tell it in time; those of aws and aliyun do not."""
    DISK = "disk"
    """One of its disks fails or is replaced."""
    BRIEF = "brief"
    """Network or power pause for a moment; it keeps running."""
    FAILURE = "failure"
    """Its host fails already: this is news, not a plan."""
    BILLING = "billing"
    """Somebody has to pay; replacing it mends nothing."""
    OTHER = "other"
    """A word that this version does not know: shown, and not acted upon."""


class EventState(enum.Enum):
    """How far a cloud event has come."""

    INQUIRING = "inquiring"
    """It waits for consent, without a time limit."""
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    EXECUTED = "executed"
    AVOIDED = "avoided"
    """What was done before it made it needless."""
    CANCELED = "canceled"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """A word that nobody knows; it counts as not over."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self in _OVER


_OVER = frozenset({EventState.EXECUTED, EventState.AVOIDED, EventState.CANCELED, EventState.FAILED})


def _aware(event: "CloudEvent", field: "attrs.Attribute[datetime | None]", value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise ValueError(f"{field.name} has no time zone")


@attrs.frozen(kw_only=True)
class CloudEvent:
    """Maintenance that a cloud has planned for an instance, or a failure that it has seen.

    Attributes:
        id: one event, the same in every poll and in every state.
        instance: the id of the instance.
        type: the cloud's own word, for people and for rules that name it.
        impact: what it does; OTHER for a word that is not known.
        state: how far it has come; UNKNOWN for a word that is not known.
        not_before: when it begins at the earliest, or has begun; aware; None when the cloud does not say.
        not_after: when it is over at the latest, or was over; aware; None when the cloud does not say.
        text: what the cloud says of it, for people.
    """

    id: str
    instance: str
    type: str
    impact: Impact = Impact.OTHER
    state: EventState = EventState.UNKNOWN
    not_before: datetime | None = attrs.field(default=None, validator=_aware)
    not_after: datetime | None = attrs.field(default=None, validator=_aware)
    text: str = ""


class CommandState(enum.Enum):
    """How a command on an instance stands."""

    PENDING = "pending"
    """It was accepted; it may be running."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It ran, and its exit code is not 0; or it could not be run."""
    TIMED_OUT = "timed-out"
    """It was given up; it may have done a part of its work."""
    UNKNOWN = "unknown"
    """A word that nobody knows."""


@attrs.frozen(kw_only=True)
class CommandResult:
    """What became of a command.

    Attributes:
        state: how it stands.
        exit_code: of the script; None when it has none (yet), or the cloud does not say.
        output: the last of what it printed, as much as the cloud keeps; not in repr, since it may hold keys.
    """

    state: CommandState
    exit_code: int | None = None
    output: bytes = attrs.field(default=b"", repr=False)


@runtime_checkable
class SupportsEvents(Protocol):
    """A provider that tells planned maintenance and failures: one poll of all its instances."""

    def events(self, cursor: str | None, /) -> Page[CloudEvent]:
        """Give a page of the events that are not over; over ones too, while the cloud still shows them.

        A poll is all pages. What an earlier poll gave and this one does not is not known to be over: the core
        waits for a second complete poll, or asks `SupportsEndedEvents`.
        """


@runtime_checkable
class SupportsEndedEvents(Protocol):
    """A provider that can say what became of events that no poll shows any more."""

    def ended_events(self, event_ids: tuple[str, ...], /) -> tuple[CloudEvent, ...]:
        """Give those of these events, at most 100, that are over; one that is not known is left out."""


@runtime_checkable
class SupportsConfirmEvent(Protocol):
    """A provider that waits for consent before some maintenance (`EventState.INQUIRING`)."""

    def confirm_event(self, event_id: str, /) -> None:
        """Let the event begin; NotFound when none of that id waits for consent, or none does any more: a repeat is harmless."""


@runtime_checkable
class SupportsRedeploy(Protocol):
    """A provider that can move an instance to another host under its id. What is on local disks is lost."""

    def redeploy(self, instance_id: str, token: str, /) -> None:
        """Begin to move it; the same token twice is one move."""


@runtime_checkable
class SupportsReimage(Protocol):
    """A provider that can replace the system disk of an instance under its id."""

    def reimage(self, instance_id: str, image: str, token: str, /) -> None:
        """Begin to put a new disk made of `image` in place; the same token twice is one replacement.

        Raises:
            Busy: the instance is not in the state of power that this cloud wants for it; some want it off, some on.
        """


@runtime_checkable
class SupportsRunCommand(Protocol):
    """A provider with an agent of its own on the instance, by which a script is run as root."""

    def run_command(self, instance_id: str, script: bytes, token: str, limit: timedelta, /) -> str:
        """Begin to run a shell script; give the id of the command. The script is in no error, repr or log.

        A cloud without tokens here may run it twice when an answer is lost: write scripts that may be repeated.

        Raises:
            Busy: the cloud's agent does not answer there (yet).
        """

    def command(self, instance_id: str, command_id: str, /) -> CommandResult:
        """Say what became of it; NotFound when the cloud knows no such command."""


@runtime_checkable
class SupportsTags(Protocol):
    """A provider whose tags can be set on an instance that exists."""

    def set_tags(self, instance_id: str, tags: Mapping[str, str], /) -> None:
        """Set these tags, and leave the others; a repeat is no error."""


@runtime_checkable
class SupportsGuard(Protocol):
    """A provider whose infrastructure heals and deletes instances by itself; `Instance.guard` shows what it leaves to kubenode."""

    def guard(self, instance_id: str, guard: Guard, /) -> None:
        """Say what it is to leave to kubenode from now on; a repeat is no error. What people have said to it stays.

        Raises:
            NotFound: there is no such instance, or not yet.
        """


@runtime_checkable
class SupportsConsoleLog(Protocol):
    """A provider that keeps what an instance wrote on its console."""

    def console_log(self, instance_id: str, /) -> bytes:
        """Give the last of it, as much as the cloud keeps; empty when there is none (yet)."""


@runtime_checkable
class SupportsProviderId(Protocol):
    """A provider whose instances are named by `Node.spec.providerID`. Pure: no wire call."""

    def instance_of(self, provider_id: str, /) -> str | None:
        """Give the instance id in any form of providerID that programs for this cloud write; None when it is not of this cloud."""


@runtime_checkable
class SupportsFallback(Protocol[P]):
    """A provider whose parameters may list further zones or types for when there is no capacity. Pure."""

    def choices(self, params: P, /) -> tuple[P, ...]:
        """Give the parameters of each try in order, each without a list of its own; at least one.

        A choice is tried only after the one before it has been answered with CapacityExhausted: an ambiguous
        create is settled first, and each choice has a token of its own.
        """


@attrs.frozen(kw_only=True)
class Finding:
    """What was found of one thing that has to be so for a machine to be made.

    Attributes:
        about: the thing: credentials, or a right: look, delete, tag, reboot, stop, start; create, image, zone, quota.
        holds: whether it is so; None when that is not to be had.
        text: what was found, for people.
        fix: what to do where it does not hold.
    """

    about: str
    holds: bool | None
    text: str
    fix: str = ""


@runtime_checkable
class SupportsChecks(Protocol[P_contra]):
    """A provider that can say beforehand what would be in the way of a machine. For people who ask; no controller does."""

    def checks(self, params: P_contra | None, /) -> tuple[str, ...]:
        """Name what can be checked, in the order that helps; without parameters, of the account. Pure: no wire call."""

    def check(self, about: str, params: P_contra | None, /) -> Finding:
        """Check one of them by one wire call that changes nothing. Raises nothing that a cloud says."""


@runtime_checkable
class WithoutTokens(Protocol):
    """A provider whose cloud takes no idempotency token: a create that is repeated makes another instance.

    Before each repeat it is looked for by its owner's tag, and given time to show.
    """

    @property
    def shown_within(self) -> timedelta:
        """How long after a create, at most, `find` does not show what was made."""
