"""An open episode as one decision sees it, what comes out of that, and how it ends; `episode.py` and `by_provider.py` move it on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Effect, Note, soonest
from kubenode.core.errors import Problem
from kubenode.core.instance.seen import ProviderAnswer
from kubenode.core.model.machine import Machine
from kubenode.core.model.now import Now
from kubenode.core.model.operation import OperationStep
from kubenode.core.model.remedy import (
    WITHDRAWN,
    Attempt,
    AttemptState,
    JobPhase,
    NodeRemedier,
    RemedyOperationJob,
    RemedyOperationJobStatus,
    Rung,
    Verification,
)
from kubenode.core.remedy.ladder import closed, moved
from kubenode.core.step import ProviderStep, RestartInstance

REMEDIER_GONE = "its remedier is gone or does not select this machine any more"
BY_ITSELF = "cleared by itself"
STAND_IN: Final = "reboot-instance"
"""The action of an attempt by which the provider acts in the place of an agent that is silent."""
Planned: TypeAlias = tuple[OperationStep, ...] | ProviderStep | Problem
"""What is done on a rung: by the agent; by the provider, or by nobody but the API; or why nothing can be."""


@attrs.frozen(kw_only=True)
class Answer:
    """What came out, before it is a Decision."""

    status: RemedyOperationJobStatus | None = None
    effects: tuple[Effect, ...] = ()
    notes: tuple[Note, ...] = ()
    deadlines: tuple[int, ...] = ()
    sightings: Mapping[str, int] = NOTHING_SEEN
    deferred: bool = False

    @property
    def decision(self) -> Decision[RemedyOperationJobStatus]:
        """The Decision."""
        return Decision(
            status=self.status, effects=self.effects, notes=self.notes, wake_at=soonest(self.deadlines),
            sightings=self.sightings, deferred=self.deferred,
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class Case:
    """An open episode on a Node that is certain.

    Attributes:
        remedier: None when it is gone or selects this machine no more; then what is under way ends as
            Cancelled and nothing new begins.
        gone: what that is called.
        halted: why its remedier, which is there, begins nothing new; what is under way ends by its own terms.
        clear: whether the Node is Ready and what the episode is about clear now.
        stop: what lets nothing begin here: an open breaker of the Node's zone, a freeze, a hold. None for a
            job that a person forces.
        worn: that too many remedies were tried on this machine lately.
        planned: by index of the rung.
        drains: actions for which the Node is drained first.
        answer: of the provider to what it was asked last.
        stand_in: the provider's restart, in the place of an agent that is silent; None or a Problem where there is none.
        boot_id: in which boot the Node says it is; empty when it does not say.
    """

    machine: Machine
    job: RemedyOperationJob
    remedier: NodeRemedier | None
    gone: str = REMEDIER_GONE
    halted: str = ""
    clear: bool
    stop: Note | None
    worn: Note | None
    planned: Mapping[int, Planned]
    holds: frozenset[str]
    drains: frozenset[str] = frozenset()
    answer: ProviderAnswer | None = None
    stand_in: Planned | None = None
    boot_id: str = ""
    jobs: tuple[RemedyOperationJob, ...]
    now: Now
    sightings: Mapping[str, int]

    @property
    def ladder(self) -> tuple[Rung, ...]:
        """The rungs; none when the remedier is gone."""
        return () if self.remedier is None else self.remedier.spec.ladder

    @property
    def verification(self) -> Verification:
        """When the remedy counts as proven; the built-in terms when the remedier is gone."""
        return Verification() if self.remedier is None else self.remedier.spec.verification

    @property
    def over(self) -> str:
        """Why nothing new begins and the episode ends as Cancelled; empty while it goes on."""
        return self.gone if self.remedier is None else self.halted

    def since(self, key: str) -> int:
        """Give `Now.elapsed` of a first sighting: the remembered one, else now."""
        return min(self.sightings.get(key, self.now.elapsed), self.now.elapsed)

    def rung(self, attempt: Attempt) -> Rung | None:
        """Give the rung of an attempt, if it still stands on the ladder; whose agent was silent does not matter to it."""
        rung = self.ladder[attempt.rung] if attempt.rung < len(self.ladder) else None
        stands = rung is not None and (rung.action == attempt.action or self._stands_in(attempt))
        return rung if stands else None

    def steps(self, index: int) -> Planned:
        """Give the planned steps of a rung, or why there are none."""
        none = Problem(where=f"ladder[{index}]", what="PluginFailed: its action planned no steps")
        return self.planned.get(index) or none

    def planned_for(self, attempt: Attempt) -> Planned:
        """Give what is done in an attempt, or why nothing can be."""
        if not self._stands_in(attempt):
            return self.steps(attempt.rung)
        return self.stand_in or Problem(
            where=attempt.action, what="Unsupported: nobody can restart the instance"
        )

    def _stands_in(self, attempt: Attempt) -> bool:
        """Tell whether the provider acts in an attempt in the place of a silent agent."""
        tried = (one for one in self.job.status.attempts if one.number < attempt.number)
        return attempt.action == STAND_IN and any(one.is_silent and one.rung == attempt.rung for one in tried)

    @property
    def unanswered(self) -> Attempt | None:
        """The last attempt that was tried, if its agent was silent and the provider can act in its place; else None."""
        tried = [one for one in self.job.status.attempts if not one.withdrawn]
        silent = bool(tried) and tried[-1].is_silent
        return tried[-1] if silent and isinstance(self.stand_in, RestartInstance) else None

    def told(self, attempt: Attempt) -> ProviderAnswer | None:
        """Give the provider's answer to this very attempt, in the life of this process."""
        return self.answer if self.answer is not None and self.answer.op_id == attempt.op_id else None


def ended(
    job: RemedyOperationJob, phase: JobPhase, verdict: str, wall: datetime, *, tried: bool = True
) -> Answer:
    """Close the episode; an attempt that had not begun to act is withdrawn."""
    last = job.status.attempts[-1] if job.status.attempts else None
    untried = last is not None and (last.state is AttemptState.WAITING or not tried)
    status = closed(
        job, phase, verdict, wall, AttemptState.FAILED, f"{WITHDRAWN}{verdict}" if untried else verdict
    )
    return Answer(status=status, notes=(Note(code=phase.value, text=verdict),))


def failed(case: Case, verdict: str) -> Answer:
    """End an attempt that was really tried; without its remedier the episode ends with it."""
    if case.remedier is None:
        status = closed(case.job, JobPhase.CANCELLED, case.gone, case.now.wall, AttemptState.FAILED, verdict)
        return Answer(status=status, notes=(Note(code=JobPhase.CANCELLED.value, text=case.gone),))
    return move(case, AttemptState.FAILED, verdict)


def move(case: Case, state: AttemptState, verdict: str, note: Note | None = None) -> Answer:
    """Bring the last attempt to a state."""
    status = moved(case.job, state, verdict, case.now.wall)
    return Answer(status=status, notes=(note or Note(code=state.value, text=verdict),))
