"""Decide a recording again: under the policy it was recorded with, or under another."""

import os
from collections.abc import Mapping
from datetime import datetime
from types import ModuleType
from typing import Any, Final

import attrs

from kubenode.core.accept import decide as accept
from kubenode.core.accept.decide import AcceptSnapshot, accepted
from kubenode.core.deciding import judged, standing
from kubenode.core.decision import Decision
from kubenode.core.doctor import decide as doctor
from kubenode.core.doctor.decide import DoctorSnapshot
from kubenode.core.drift import decide as drift
from kubenode.core.drift.decide import DriftSnapshot
from kubenode.core.enrol import decide as enrol
from kubenode.core.enrol.decide import EnrolSnapshot
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.external import decide as external
from kubenode.core.external.decide import ExternalSnapshot
from kubenode.core.host import decide as host
from kubenode.core.machine import decide as machine
from kubenode.core.machineset import decide as machineset
from kubenode.core.policy import Policy
from kubenode.core.remedy import abandoned, rehearse, repair
from kubenode.core.remedy import decide as remedy
from kubenode.core.remedy.abandoned import AbandonedSnapshot
from kubenode.core.remedy.rehearse import RehearsalSnapshot
from kubenode.core.risk import decide as risk
from kubenode.core.rollout import decide as rollout
from kubenode.runtime.record import codec
from kubenode.runtime.record.file import Recording
from kubenode.runtime.record.record import Record

_DECIDERS: Final[Mapping[str, ModuleType]] = {
    "machine": machine, "machineset": machineset, "rollout": rollout, "drift": drift, "remedy": remedy,
    "rehearsal": rehearse, "repair": repair, "abandoned": abandoned, "accept": accept, "risk": risk, "agent": host,
    "enrol": enrol, "doctor": doctor, "external": external,
}  # fmt: skip
"""Who decides on which kind of snapshot, by the words of the codec."""


@attrs.frozen(kw_only=True)
class Change:
    """One decision that is another now.

    Attributes:
        at: when it was decided, by the wall clock of the run.
        controller: whose decision it is.
        key: of what.
        before: as it was recorded.
        after: as it is decided now, from the same snapshot.
        record: the record itself.
    """

    at: datetime
    controller: str
    key: str
    before: Decision[Any]
    after: Decision[Any]
    record: Record = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Replay:
    """What came of deciding a recording again.

    Attributes:
        changes: the decisions that are others now, in their order.
        decisions: how many were decided.
        recording: what was replayed.
    """

    changes: tuple[Change, ...]
    decisions: int
    recording: Recording = attrs.field(repr=False)

    @property
    def open_loop_after(self) -> datetime | None:
        """The time of the first change; None when there is none.

        From there on all is conjecture: what was recorded after it is the world as the other decision made it.
        """
        return self.changes[0].at if self.changes else None


def replay(path: str | os.PathLike[str], policy: Policy | None = None) -> Replay:
    """Decide every decision of a recording again, each from its own snapshot.

    Decisions are compared byte for byte, as canonical JSON: status, effects, notes, deadline and sightings. Steps of
    remedies stand in the snapshots, as the plugins planned them for the rules of then: a rule of a name that was
    not there has none.

    Args:
        path: the recording.
        policy: to decide by; None for that of each record, under which this version has to decide the same.

    Raises:
        InvalidObjectError: the recording cannot be read (with the line, and what to do), or `policy` is no Policy.
    """
    _check(policy)
    recording = Recording.load(path)
    found = (_changed(record, record.policy if policy is None else policy) for record in recording.records)
    changes = tuple(change for change in found if change is not None)
    return Replay(changes=changes, decisions=len(recording.records), recording=recording)


def _check(policy: object) -> None:
    if policy is not None and not isinstance(policy, Policy):
        what = f"a value of type {type(policy).__name__} is not a Policy"
        raise InvalidObjectError((Problem(where="policy", what=what, fix='Policy.of(load("policies/"))'),))


def _changed(record: Record, policy: Policy) -> Change | None:
    """Decide one record again; None when it is the same."""
    word = codec.word_of(record.snapshot)
    after: Decision[Any] = _DECIDERS[word].decide(record.snapshot, policy)
    if codec.canonical(after, word) == codec.canonical(record.decision, word):
        return None
    stored = _standing(record.snapshot)
    return Change(
        at=record.now.wall, controller=record.controller, key=record.key, before=judged(record.decision, stored),
        after=judged(after, stored), record=record,
    )  # fmt: skip


def _standing(seen: Any) -> Any:
    """Give the status that stood when it was decided; of the deciders that are not public, here."""
    match seen:
        case DriftSnapshot():
            return seen.set.status
        case AbandonedSnapshot():
            return seen.job.status
        case AcceptSnapshot():
            return accepted(seen.ruling)
        case RehearsalSnapshot():
            return seen.remedier.status.dry_run
        case EnrolSnapshot():
            return None if seen.machine is None else seen.machine.status.enrolment
        case DoctorSnapshot():
            return seen.machine.status.cloud_events
        case ExternalSnapshot():
            return seen.request.status
        case _:
            return standing(seen)
