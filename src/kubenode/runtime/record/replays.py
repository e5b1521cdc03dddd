"""A replay: all decisions of a recording made again, by the code that is installed."""

from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs

from kubenode.core.decision import Decision
from kubenode.core.model import Now
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import RemedySnapshot
from kubenode.runtime.controller.remedy import planned
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record.coding import canonical
from kubenode.runtime.record.deciders import decided, worded
from kubenode.runtime.record.file import Recording
from kubenode.runtime.record.record import Record


@attrs.frozen(kw_only=True)
class Change:
    """A decision that is another one now.

    Attributes:
        now: the moment of the decision.
        controller: who decided, as in `risk`.
        key: about which object.
        before: what was decided then.
        after: what is decided now, from the same snapshot.
    """

    now: Now
    controller: str
    key: str
    before: Decision[Any] = attrs.field(repr=False)
    after: Decision[Any] = attrs.field(repr=False)

    @property
    def at(self) -> datetime:
        """The moment, for people."""
        return self.now.wall


@attrs.frozen(kw_only=True)
class Replay:
    """What came of a replay.

    Attributes:
        recording: what was replayed.
        changes: the decisions that are others now, in order; empty when all are the same, byte for byte.
        decided_by: the version of kubenode that decided now.
    """

    recording: Recording
    changes: tuple[Change, ...]
    decided_by: str

    @property
    def other_version(self) -> bool:
        """Whether another version of kubenode made the recording."""
        return self.decided_by != self.recording.kubenode

    @property
    def open_loop_after(self) -> datetime | None:
        """When the first change was: what follows is conjecture, for the world would have gone on otherwise.

        None when nothing changed.
        """
        return self.changes[0].at if self.changes else None


def replay(
    recording: Recording | Path | str, policy: Policy | None = None, *, plugins: Plugins | None = None
) -> Replay:
    """Decide every record of a recording again, and tell which decisions are others now.

    Every decision is made from its own snapshot, as recorded: nothing that an earlier change would have
    led to is in it. So the first change is certain, and what follows shows where a policy would differ.

    Args:
        recording: or the path of its file.
        policy: stands in for all that stood then; None takes what stood at each decision.
        plugins: plan the rungs of other remediers than those that stood then; None takes those installed.

    Raises:
        RecordingError: the file cannot be read.
    """
    found = recording if isinstance(recording, Recording) else Recording.load(recording)
    changes = _changes(found, policy, plugins)
    return Replay(recording=found, changes=changes, decided_by=version("kubenode"))


def _changes(found: Recording, policy: Policy | None, plugins: Plugins | None) -> tuple[Change, ...]:
    changes = []
    for record in found.records:
        snapshot = record.snapshot
        if (
            policy is not None
            and isinstance(snapshot, RemedySnapshot)
            and policy.remediers != record.policy.remediers
        ):
            plugins = plugins if plugins is not None else Plugins.discover()
            snapshot = _planned_anew(snapshot, policy, plugins)
        after = decided(snapshot, record.policy if policy is None else policy)
        if after != record.decision or canonical(after) != canonical(record.decision):
            changes.append(_change(record, snapshot, after))
    return tuple(changes)


def _planned_anew(seen: RemedySnapshot, policy: Policy, plugins: Plugins) -> RemedySnapshot:
    return attrs.evolve(seen, steps=planned(plugins, policy, seen.machine, seen.node, seen.jobs))


def _change(record: Record, snapshot: Any, after: Decision[Any]) -> Change:
    return Change(
        now=record.now, controller=record.controller, key=record.key,
        before=worded(record.snapshot, record.decision), after=worded(snapshot, after),
    )  # fmt: skip
