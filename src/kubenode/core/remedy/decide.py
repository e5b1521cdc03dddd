"""One decision per machine: open an episode, or bring the open one a step further.

`decide` looks for the open job. Without one it watches the Node's conditions; with one it hands over to
`episode.py`. Either way an operation whose attempt has ended is cleared from the Machine, of episodes of drift
(`repair.py`) too: one place, one janitor.
Called by runtime/controller/remedy.py, the simulator and replay.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from kubenode.core.decision import NOTHING_SEEN, Create, Decision, Note, SetOperation
from kubenode.core.health.freeze import thaws
from kubenode.core.health.zones import ZoneTally, open_breaker
from kubenode.core.instance.seen import ProviderAnswer
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import FORCED, Switch, ref
from kubenode.core.model.now import Now, moment
from kubenode.core.model.remediation import ASKED
from kubenode.core.model.remedy import (
    AttemptState,
    Cause,
    ConditionMatch,
    JobPhase,
    MachineRef,
    NodeRemedier,
    RemedyOperationJob,
    RemedyOperationJobSpec,
    RemedyOperationJobStatus,
)
from kubenode.core.model.world import Node
from kubenode.core.policy import Policy
from kubenode.core.remedy.case import Answer, Case, Planned, ended
from kubenode.core.remedy.episode import advance, leftover
from kubenode.core.remedy.grounds import claimed, contest, left_alone, newer, newer_note, stopped_by_people
from kubenode.core.remedy.ladder import (
    cleared,
    first_rung,
    is_humans_turn,
    job_of,
    last_closed,
    next_episode,
    open_job,
)
from kubenode.core.remedy.match import Match, is_clear, matches, selecting, sighting_key
from kubenode.core.remedy.rehearse import Rehearsed, dry
from kubenode.core.remedy.replace import is_replacing
from kubenode.core.remedy.worn import worn_out

DRY = "its remedier is a dry run now"
ASKED_NO_MORE = "whoever had asked for it asks no more"
ACT_DONE = "the one act that was asked for is done"
_TRIED = frozenset({AttemptState.FAILED, AttemptState.SUCCEEDED})


@attrs.frozen(kw_only=True)
class RemedySnapshot:
    """One machine, its Node and its episodes.

    Attributes:
        node: the Node by the name this machine is known by; None when there is none.
        jobs: all episodes of this machine's uid, open and closed, in any order.
        holds: op-ids that are open in the ledger.
        zones: the tally of every zone.
        sets: names of all MachineComponentSets that select the machine; a freeze may name one.
        steps: by (remedier, index of the rung): what the action's plugin planned for the agent or the provider, or why it could not.
            A Problem's `what` begins with its reason, as in `PluginMissing: no such action`.
        drains: the actions for which the Node is drained first: those whose class drains or reboots.
        stand_in: the restart by the machine's provider, where it can stand in for an agent that is silent; None or a Problem
            where nobody can.
        answer: of the machine's provider to what it was asked last, whatever that was.
    """

    machine: Machine
    node: Node | None = None
    jobs: tuple[RemedyOperationJob, ...] = ()
    holds: frozenset[str] = frozenset()
    zones: Mapping[str, ZoneTally] = attrs.field(factory=dict)
    sets: tuple[str, ...] = ()
    steps: Mapping[tuple[str, int], Planned] = attrs.field(factory=dict)
    drains: frozenset[str] = frozenset()
    stand_in: Planned | None = None
    answer: ProviderAnswer | None = None
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN

    @property
    def claimed(self) -> Node | None:
        """The Node, if it is the incarnation that this machine was Running with."""
        return claimed(self.machine, self.node)


def decide(seen: RemedySnapshot, policy: Policy) -> Decision[RemedyOperationJobStatus]:
    """Decide what is to be done about the conditions of one machine's Node.

    Returns:
        `status` is that of `open_job(seen.jobs)`; None when there is none. At most one effect: the next
        job, or the Machine's operation written or cleared.

    Invariants: an operation is written only when its attempt stands as Acting in the job as read, and its
    op-id among the holds; no job is opened while a breaker of the zone is open, its scope is frozen or the
    machine is held.
    Source: api.md section 4, "Hung node" and "Zone outage".
    """
    job = open_job(seen.jobs)
    newer = _newer(seen, job, policy)
    if newer is not None:
        return left_alone(job, newer, seen.now.wall)
    answer = _watched(seen, policy) if job is None else _advanced(seen, policy, job)
    if not answer.effects and (old := leftover(seen.machine, seen.jobs, seen.holds)) is not None:
        cleared_away = SetOperation(machine=ref(seen.machine), expect=old, operation=None)
        answer = attrs.evolve(answer, effects=(cleared_away,))
    return answer.decision


def _newer(seen: RemedySnapshot, job: RemedyOperationJob | None, policy: Policy) -> Note | None:
    """Say which object a newer version wrote, or None."""
    named = [] if job is None else [one for one in policy.remediers if one.metadata.name == job.spec.remedier]
    return newer(seen.machine, seen.jobs, *named)


# Without an open job.


def _watched(seen: RemedySnapshot, policy: Policy) -> Answer:
    """Look whether an episode begins."""
    node, doubt = seen.claimed, contest(seen.machine)
    if node is None or seen.machine.metadata.deletion_timestamp is not None:
        return Answer()
    if doubt is not None:
        return Answer(notes=(doubt,))
    chosen = selecting(policy.remediers, seen.machine)
    known = tuple(one for one in chosen if not one.metadata.unknown)
    notes = [newer_note(one) for one in chosen if one.metadata.unknown]
    clear = _cleared(seen, known, node)
    found = matches(known, node, now=seen.now, sightings=seen.sightings)
    breaker = open_breaker(node.zone, seen.zones, policy.limits)
    if breaker is not None:
        # The sightings are dropped: when the zone is back, every condition must hold anew for its time.
        return Answer(
            notes=(*notes, breaker) if found else tuple(notes), sightings=clear, deferred=bool(found)
        )
    fresh = [match for match in found if not _was_asked(seen, match)]
    waiting = [match for match in fresh if not _humans_turn(seen, match, clear)]
    notes += [_handed_over(match) for match in fresh if match not in waiting]
    frosts = thaws(policy.limits, seen.now, seen.sightings) if waiting else NOTHING_SEEN
    sightings = {**clear, **_sighted(found, node), **frosts}
    early = [match for match in waiting if match.due > seen.now.elapsed]
    due = next((match for match in waiting if match not in early and not _is_dry(match)), None)
    stop = None if len(early) == len(waiting) else _stopped_by_people(seen, policy, node)
    if due is not None and stop is None:
        return Answer(effects=(Create(object=_opened(seen, due)),), notes=tuple(notes), sightings=sightings)
    if stop is None:
        notes += [_rehearsed(seen, match).note for match in waiting if match not in early]
    notes += [_not_yet(match) for match in early] + ([stop] if stop is not None else [])
    return Answer(
        notes=tuple(notes), sightings=sightings, deferred=bool(waiting),
        deadlines=(*(match.due for match in early), *frosts.values()),
    )  # fmt: skip


def _stopped_by_people(seen: RemedySnapshot, policy: Policy, node: Node) -> Note | None:
    return stopped_by_people(seen.machine, node, seen.sets, policy, seen.now, seen.sightings)


def _sighted(found: Iterable[Match], node: Node) -> dict[str, int]:
    return {sighting_key(match.remedier, node): match.since for match in found}


def _cleared(seen: RemedySnapshot, remediers: Iterable[NodeRemedier], node: Node) -> dict[str, int]:
    """Remember of each remedier's episode that was handed over since when its condition was seen clear."""
    found: dict[str, int] = {}
    for remedier in remediers:
        last, clear = last_closed(seen.jobs, remedier.metadata.name), is_clear(remedier.spec.condition, node)
        found |= cleared(last, remedier.spec.verification.dwell, seen.now, seen.sightings, clear=clear)
    return found


def _humans_turn(seen: RemedySnapshot, match: Match, cleared: Mapping[str, int]) -> bool:
    """Tell whether the last episode was handed over and its condition was not clear since."""
    return is_humans_turn(last_closed(seen.jobs, match.remedier.metadata.name), cleared)


def _was_asked(seen: RemedySnapshot, match: Match) -> bool:
    """Tell whether an episode was opened for these very requests of others: each asks for one act."""
    condition = match.condition
    return condition.reason == ASKED and any(
        (job.spec.cause.type, job.spec.cause.reason, job.spec.cause.message)
        == (condition.type, ASKED, condition.message[:2048])
        for job in seen.jobs
    )


def _handed_over(match: Match) -> Note:
    rule = match.remedier.spec.condition
    text = f"remedier {match.remedier.metadata.name} tried its ladder; {rule.type} is a human's turn until it was clear"
    return Note(code=JobPhase.HANDED_OVER.value, text=text)


def _not_yet(match: Match) -> Note:
    rule = match.remedier.spec.condition
    text = f"{rule.type} is {rule.status.value}; remedier {match.remedier.metadata.name} acts when it lasts"
    return Note(code="NotYet", text=text, frees_at=match.due)


def _opened(seen: RemedySnapshot, match: Match) -> RemedyOperationJob:
    """Make the job of the episode that begins."""
    machine, remedier, condition = seen.machine.metadata, match.remedier.metadata.name, match.condition
    last = last_closed(seen.jobs, remedier)
    spec = RemedyOperationJobSpec(
        machine=MachineRef(name=machine.name, uid=machine.uid), remedier=remedier, episode=next_episode(last),
        first_rung=first_rung(last, match.remedier, seen.now.wall),
        cause=Cause(type=condition.type, reason=condition.reason[:128], message=condition.message[:2048]),
    )  # fmt: skip
    return job_of(spec)


# Dry runs.


def _is_dry(match: Match) -> bool:
    return match.remedier.spec.dry_run


def _rehearsed(seen: RemedySnapshot, match: Match) -> Rehearsed:
    return Rehearsed.of(match.remedier, _opened(seen, match))


def rehearsed(seen: RemedySnapshot, policy: Policy) -> tuple[Rehearsed, ...]:
    """Give the remediers that are a dry run and whose condition the Node of this machine meets, by name.

    `opens` is told by the very decision: it has a note of the same words.
    """
    trials = dry(selecting(policy.remediers, seen.machine))
    node = seen.claimed
    if node is None or seen.machine.metadata.deletion_timestamp is not None:
        return ()
    found = matches(trials, node, now=seen.now, sightings=seen.sightings)
    notes = decide(seen, policy).notes if found else ()
    told = (_rehearsed(seen, match) for match in found)
    return tuple(one if one.note in notes else attrs.evolve(one, opens=False) for one in told)


# With an open job.


def _leaving(job: RemedyOperationJob, wall: datetime) -> Answer:
    """Wait for the end of a machine that the episode itself replaces; of any other, end with it."""
    if not is_replacing(job):
        return ended(job, JobPhase.CANCELLED, "the machine is being deleted", wall)
    note = Note(code="Replacing", text="the machine is being deleted, and its MachineSet makes another one")
    return Answer(status=job.status, notes=(note,), deferred=True)


def _advanced(seen: RemedySnapshot, policy: Policy, job: RemedyOperationJob) -> Answer:
    """Bring the open episode a step further, and keep what is seen of the other remediers."""
    doubt = contest(seen.machine)
    if seen.machine.metadata.deletion_timestamp is not None:
        return _leaving(job, seen.now.wall)
    if doubt is not None:
        return Answer(status=job.status, notes=(doubt,))
    node = seen.claimed
    if node is None:
        return ended(job, JobPhase.CANCELLED, "the Node that this episode was about is gone", seen.now.wall)
    chosen = selecting(policy.remediers, seen.machine)
    known = tuple(one for one in chosen if not one.metadata.unknown)
    breaker = open_breaker(node.zone, seen.zones, policy.limits)
    forced = FORCED in job.metadata.annotations
    frosts = thaws(policy.limits, seen.now, seen.sightings)
    found = () if breaker is not None else matches(known, node, now=seen.now, sightings=seen.sightings)
    remedier = next((one for one in chosen if one.metadata.name == job.spec.remedier), None)
    rule = ConditionMatch(type=job.spec.cause.type) if remedier is None else remedier.spec.condition
    halted = remedier is not None and remedier.spec.dry_run and not forced
    case = Case(
        machine=seen.machine, job=job, halted=DRY if halted else _asked_no_more(job, node),
        stop=None if forced else breaker or _stopped_by_people(seen, policy, node),
        worn=None if forced else worn_out(seen.machine.metadata.name, seen.jobs, policy.attempt_limits, seen.now),
        remedier=remedier, clear=is_clear(rule, node),
        planned={rung: steps for (name, rung), steps in seen.steps.items() if name == job.spec.remedier},
        holds=seen.holds, drains=seen.drains, answer=seen.answer, stand_in=seen.stand_in,
        boot_id=node.status.node_info.boot_id, jobs=seen.jobs, now=seen.now, sightings=seen.sightings,
    )  # fmt: skip
    answer = advance(case)
    kept = {**_cleared(seen, known, node), **_sighted(found, node), **answer.sightings, **frosts}
    return attrs.evolve(answer, sightings=kept, deadlines=(*answer.deadlines, *frosts.values()))


def _asked_no_more(job: RemedyOperationJob, node: Node) -> str:
    """Say that what somebody else had asked for is done, or that they ask no more; empty otherwise.

    Who asks asks for one act, whatever the ladder has: more of them come with the next request.
    """
    if job.spec.cause.reason != ASKED:
        return ""
    if any(one.state in _TRIED and not one.withdrawn for one in job.status.attempts):
        return ACT_DONE
    asked = any(
        one.type == job.spec.cause.type and one.status is Switch.TRUE for one in node.status.conditions
    )
    return "" if asked else ASKED_NO_MORE


__all__ = ["RemedySnapshot", "decide", "open_job", "rehearsed"]
