"""Machines with instances, and what polls told of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.capability import CloudEvent, EventState, Impact
from kubenode.core.decision import Decision
from kubenode.core.doctor.decide import DoctorSnapshot, EventSight, decide
from kubenode.core.policy import Policy

WALL = datetime(2026, 7, 1, 12, tzinfo=UTC)
TOMORROW = WALL + timedelta(days=1)
SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def machine(
    told: m.CloudEvents | None = None, step: m.InstanceStep | None = m.InstanceStep.MADE, **metadata: Any
) -> m.Machine:
    """A machine, perhaps with an instance, of which some events are recorded."""
    instance = (
        None
        if step is None
        else m.InstanceStatus(step=step, provider="cloud", attempt=1, token="t-1", id="i-1")
    )
    return m.Machine(
        metadata=m.ObjectMeta(name="c1", uid="uid-c1", generation=7, **metadata),
        spec=m.MachineSpec(infrastructure=m.Infrastructure(provider="cloud")),
        status=m.MachineStatus(instance=instance, cloud_events=told),
    )


def event(id: str = "e-1", state: EventState = EventState.SCHEDULED, **given: Any) -> CloudEvent:
    """A reboot that is planned for tomorrow."""
    return CloudEvent(**{
        "id": id, "instance": "i-1", "type": "instance-reboot", "impact": Impact.REBOOT, "state": state,
        "not_before": TOMORROW, **given,
    })  # fmt: skip


def sight(
    *events: CloudEvent, polled: int | None = 0, told: int | None = None, instance: str = "i-1"
) -> EventSight:
    """What the last poll told; `told`: when one began that was not complete, after that."""
    return EventSight(instance=instance, events=events, polled=polled, told=polled if told is None else told)


def seen(
    sight: EventSight | None, told: m.CloudEvents | None = None, at: int = 0, *, one: m.Machine | None = None,
    sightings: Mapping[str, int] | None = None,
) -> DoctorSnapshot:  # fmt: skip
    """A snapshot, `at` nanoseconds after this process began."""
    now = m.Now(wall=WALL + timedelta(microseconds=at // 1000), elapsed=at)
    return DoctorSnapshot(
        machine=machine(told) if one is None else one, sight=sight, now=now, sightings=sightings or {}
    )


def decided(snapshot: DoctorSnapshot) -> Decision[m.CloudEvents]:
    """The decision."""
    return decide(snapshot, Policy())


def told(*events: CloudEvent, at: int = 0) -> m.CloudEvents:
    """What stands after a poll that told of these."""
    status = decided(seen(sight(*events, polled=at), at=at)).status
    assert status is not None
    return status


def conditions(status: m.CloudEvents | None) -> dict[str, tuple[str, str]]:
    """Status and reason, by type."""
    assert status is not None
    return {one.type: (one.status.value, one.reason) for one in status.conditions}


def message(status: m.CloudEvents | None, type: str = "CloudMaintenance") -> str:
    """What a condition says to people."""
    assert status is not None
    return next(one.message for one in status.conditions if one.type == type)


class Days:
    """One machine over a while: what was decided is what stands, and sightings are remembered."""

    def __init__(self) -> None:
        self.stored: m.CloudEvents | None = None
        self.sightings: Mapping[str, int] = {}
        self.at = 0
        self.last: int | None = None
        self.shown: dict[str, CloudEvent] = {}

    def poll(self, *events: CloudEvent, after: int = MINUTE, polled: bool = True) -> m.CloudEvents | None:
        """Let a poll tell of these, so long after the one before; one that is not complete shows and proves nothing more."""
        self.at += after
        shown = {one.id: one for one in events}
        if polled:
            self.last, self.shown = self.at, shown
        else:
            self.shown = {**self.shown, **shown}
        return self.decide(sight(*self.shown.values(), polled=self.last, told=self.at))

    def decide(self, told: EventSight | None) -> m.CloudEvents | None:
        """Decide, and let what is wanted stand."""
        decision = decided(seen(told, self.stored, self.at, sightings=self.sightings))
        self.sightings = decision.sightings
        self.stored = decision.status
        return self.stored

    def restart(self) -> None:
        """Forget what the process had seen."""
        self.sightings, self.last, self.shown = {}, None, {}


def counted(sightings: Mapping[str, int]) -> dict[str, int]:
    """What a decision counts from, without whose word stands."""
    return {what: at for what, at in sightings.items() if not what.startswith(("said:", "heard:"))}


def evolved(status: m.CloudEvents, **change: Any) -> m.CloudEvents:
    """A record with parts changed."""
    return attrs.evolve(status, **change)
