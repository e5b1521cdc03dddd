"""What is said to those who ask for a remedy, and to the Node: one condition, one episode, one act."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Decision, PatchNodeConditions, SetFinalizers
from kubenode.core.external.decide import (
    ASKED_NO_MORE,
    DELETION,
    PROCESSING,
    RETRY,
    SUCCEEDED,
    TIMED_OUT,
    ExternalSnapshot,
    asks,
    decide,
    has_acted,
    is_over,
)
from kubenode.core.model.condition import Condition, find
from kubenode.core.model.meta import FINALIZER, ObjectMeta
from kubenode.core.model.now import Now
from kubenode.core.model.remediation import ASKED, ASKED_CONDITION
from kubenode.core.policy import Policy
from tests.core.machine.world import START, machine, node

REMEDIER = m.NodeRemedier(
    metadata=ObjectMeta(name="asked-for"),
    spec=m.NodeRemedierSpec(
        condition=m.ConditionMatch(type=ASKED_CONDITION), ladder=(m.Rung(action="reboot"),)
    ),
)
RULES = Policy(remediers=(REMEDIER,))
MACHINE = machine()
JOB = "m1-episode-0"


def request(
    name: str = "md-0-1", *, condition: str = ASKED_CONDITION, job: str = "", **meta: Any
) -> m.KubenodeRemediation:
    """A request that has our finalizer."""
    given = {
        "name": name,
        "namespace": "ns",
        "uid": f"u-{name}",
        "resource_version": "7",
        "finalizers": (FINALIZER,),
    } | meta
    return m.KubenodeRemediation(
        metadata=ObjectMeta(**given), spec=m.KubenodeRemediationSpec(condition=condition),
        status=m.KubenodeRemediationStatus(job=job),
    )  # fmt: skip


def episode(
    phase: m.JobPhase | str = m.JobPhase.WAITING, *states: m.AttemptState, name: str = JOB, type: str = ASKED_CONDITION, verdict: str = ""
) -> m.RemedyOperationJob:  # fmt: skip
    """An episode, and how far its attempts are."""
    attempts = tuple(
        m.Attempt(
            number=at,
            rung=0,
            action="reboot",
            op_id=f"o-{at}",
            state=state,
            since=START.wall,
            verdict=verdict,
        )
        for at, state in enumerate(states, 1)
    )
    return m.RemedyOperationJob(
        metadata=ObjectMeta(name=name),
        spec=m.RemedyOperationJobSpec(
            machine=m.MachineRef(name="m1", uid="uid-m1"), remedier="asked-for", episode=0,
            cause=m.EpisodeCause(type=type, reason=ASKED),
        ),
        status=m.RemedyOperationJobStatus(phase=phase if isinstance(phase, str) else phase.value, attempts=attempts),
    )  # fmt: skip


def asked(
    status: m.Switch | None = m.Switch.TRUE, ready: m.Switch = m.Switch.TRUE, type: str = ASKED_CONDITION
) -> m.Node:
    """A Node with the condition."""
    one = node(ready)
    told = () if status is None else (m.NodeCondition(type=type, status=status, reason="Said"),)
    return attrs.evolve(one, status=m.NodeStatus(conditions=(*one.status.conditions, *told)))


def seen(one: m.KubenodeRemediation | None = None, **given: Any) -> ExternalSnapshot:
    """A request about the machine."""
    known = {"request": one or request(), "machine": MACHINE, "node": asked(), "now": START} | given
    return ExternalSnapshot(**known)


def said(decision: Decision[m.KubenodeRemediationStatus]) -> dict[str, tuple[str, str]]:
    """What is said to whoever asked: processing and succeeded."""
    assert decision.status is not None
    assert find(decision.status.conditions, DELETION) is None or (
        find(decision.status.conditions, DELETION).status is m.Switch.FALSE  # type: ignore[union-attr]
    )
    return {
        one.type: (one.status.value, one.reason) for one in decision.status.conditions if one.type != DELETION
    }


def told(decision: Decision[m.KubenodeRemediationStatus]) -> m.NodeCondition | None:
    """What is said to the Node."""
    patches = [one for one in decision.effects if isinstance(one, PatchNodeConditions)]
    assert len(patches) <= 1
    return patches[0].conditions[-1] if patches else None


def over(one: m.KubenodeRemediation, status: m.Switch = m.Switch.TRUE) -> m.KubenodeRemediation:
    """The request, of which it was said what became of it."""
    condition = Condition(type=SUCCEEDED, status=status, reason="Said", last_transition_time=START.wall)
    return attrs.evolve(one, status=attrs.evolve(one.status, conditions=(condition,)))


# Beginning.


def test_the_finalizer_is_written_before_all_else() -> None:
    """Then deleting the request cannot go unheard."""
    one = request(finalizers=("other",))
    decision = decide(seen(one), RULES)
    assert decision == Decision(
        effects=(SetFinalizers(object=m.ref(one), finalizers=("other", FINALIZER), resource_version="7"),)
    )
    assert m.ref(one).name == "ns/md-0-1"


def test_a_request_becomes_a_condition_of_the_node() -> None:
    """What stands there besides stays; the asker hears that it goes on."""
    decision = decide(seen(node=asked(None)), RULES)
    (patch,) = decision.effects
    assert isinstance(patch, PatchNodeConditions)
    assert [one.type for one in patch.conditions] == ["Ready", ASKED_CONDITION]
    condition = patch.conditions[-1]
    assert (condition.status, condition.reason, condition.message) == (
        m.Switch.TRUE,
        ASKED,
        "asked for by ns/md-0-1 (u-md-0-1)",
    )
    assert (
        condition.last_transition_time == condition.last_heartbeat_time == START.wall.replace(microsecond=0)
    )
    assert said(decision) == {
        PROCESSING: ("True", "EpisodeAwaited"),
        SUCCEEDED: ("Unknown", "EpisodeAwaited"),
    }
    assert decision.status is not None
    assert (decision.status.machine, decision.status.job) == ("m1", "")
    assert decide(seen(), RULES).effects == ()


def test_a_request_that_nobody_remedies_says_so() -> None:
    """No rule for its condition selects the machine."""
    elsewhere = attrs.evolve(REMEDIER.spec, selector=m.Selector(match_labels={"pool": "b"}))
    for rules in (Policy(), Policy(remediers=(attrs.evolve(REMEDIER, spec=elsewhere),))):
        decision = decide(seen(), rules)
        assert said(decision) == {
            PROCESSING: ("False", "RemedierMissing"),
            SUCCEEDED: ("Unknown", "RemedierMissing"),
        }
    other = decide(seen(request(condition="Other"), node=asked(None)), RULES)
    assert said(other)[PROCESSING] == ("False", "RemedierMissing")
    assert told(other) is not None


def test_a_request_about_nobody_waits_and_is_not_held() -> None:
    """It is looked for again, and goes when it is deleted."""
    one = request(finalizers=())
    decision = decide(seen(one, machine=None, node=None), RULES)
    assert said(decision) == {
        PROCESSING: ("False", "MachineUnknown"),
        SUCCEEDED: ("Unknown", "MachineUnknown"),
    }
    assert (decision.effects, decision.wake_at, decision.deferred) == ((), START.elapsed + RETRY, True)
    assert decision.sightings == {"unknown": START.elapsed}
    for passed, turns in ((RETRY - 1, 1), (RETRY, 2), (RETRY + 1, 2)):
        later = Now(wall=START.wall, elapsed=START.elapsed + passed)
        again = decide(seen(one, machine=None, node=None, now=later, sightings=decision.sightings), RULES)
        assert again.wake_at == START.elapsed + turns * RETRY
    ahead = decide(seen(one, machine=None, node=None, sightings={"unknown": START.elapsed + 5}), RULES)
    assert ahead.sightings == {"unknown": START.elapsed}
    gone = request(deletion_timestamp=START.wall)
    (effect,) = decide(seen(gone, machine=None, node=None), RULES).effects
    assert effect == SetFinalizers(object=m.ref(gone), finalizers=(), resource_version="7")
    assert (
        decide(seen(request(finalizers=(), deletion_timestamp=START.wall), machine=None), RULES) == Decision()
    )


def test_it_is_looked_for_again_every_ten_seconds() -> None:
    """A look at a provider takes no longer."""
    assert timedelta(microseconds=RETRY // 1000) == timedelta(seconds=10)


def test_a_newer_versions_request_is_left_alone() -> None:
    """And says so in a note."""
    decision = decide(seen(request(unknown=("spec.more",))), RULES)
    assert (decision.status, decision.effects) == (None, ())
    assert "spec.more is not known here" in decision.notes[0].text


# One episode, one act.


def test_the_episode_that_opens_is_recorded() -> None:
    """Of several open ones, which there never are, the first by name; one about something else is not it."""
    others = (episode(name="z"), episode(name="a", type="Ready"), episode(m.JobPhase.SUCCEEDED, name="b"))
    decision = decide(seen(jobs=(episode(), *others)), RULES)
    assert decision.status is not None
    assert decision.status.job == JOB
    assert said(decision) == {PROCESSING: ("True", "EpisodeOpen"), SUCCEEDED: ("Unknown", "EpisodeOpen")}
    message = find(decision.status.conditions, PROCESSING).message  # type: ignore[union-attr]
    assert message == f"RemedyOperationJob {JOB} is Waiting"
    fresh = decide(seen(jobs=(episode(""),)), RULES).status
    assert fresh is not None
    assert find(fresh.conditions, PROCESSING).message.endswith("is new")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("state", "phase", "acted"),
    [
        (m.AttemptState.WAITING, m.JobPhase.WAITING, False),
        (m.AttemptState.ACTING, m.JobPhase.ACTING, False),
        (m.AttemptState.VERIFYING, m.JobPhase.VERIFYING, True),
        (m.AttemptState.FAILED, m.JobPhase.WAITING, True),
        (m.AttemptState.SUCCEEDED, m.JobPhase.VERIFYING, True),
        (m.AttemptState.WAITING, m.JobPhase.SUCCEEDED, True),
        (m.AttemptState.WAITING, m.JobPhase.HANDED_OVER, True),
        (m.AttemptState.WAITING, m.JobPhase.CANCELLED, True),
    ],
)
def test_once_its_act_is_done_a_request_asks_no_more(
    state: m.AttemptState, phase: m.JobPhase, acted: bool
) -> None:
    """So there is no second act for it, be the node well or not."""
    one, job = request(job=JOB), episode(phase, state)
    assert has_acted(job) is acted
    assert asks(one, (job,)) is not acted
    assert asks(one, (episode(phase, state, name="other"),))
    condition = told(decide(seen(one, jobs=(job,)), RULES))
    assert (condition is None) is not acted
    if condition is not None:
        assert (condition.status, condition.reason, condition.message) == (
            m.Switch.FALSE, ASKED_NO_MORE, "nobody asks for it any more"
        )  # fmt: skip


def test_what_was_withdrawn_was_no_act() -> None:
    """Nothing was done by it."""
    job = episode(m.JobPhase.WAITING, m.AttemptState.FAILED, verdict="withdrawn: a freeze")
    assert not has_acted(job)
    assert asks(request(job=JOB), (job,))


@pytest.mark.parametrize(
    ("phase", "ready", "end"),
    [
        (m.JobPhase.SUCCEEDED, False, True), (m.JobPhase.HANDED_OVER, True, False), (m.JobPhase.CANCELLED, True, True),
        (m.JobPhase.CANCELLED, False, False),
    ],
)  # fmt: skip
def test_what_became_of_it_is_told_when_the_episode_is_over(
    phase: m.JobPhase, ready: bool, end: bool
) -> None:
    """One that was cancelled was needless if the node is well."""
    switch = m.Switch.TRUE if ready else m.Switch.FALSE
    decision = decide(seen(request(job=JOB), node=asked(ready=switch), jobs=(episode(phase),)), RULES)
    reason = "EpisodeSucceeded" if end else "EpisodeFailed"
    assert said(decision) == {PROCESSING: ("False", reason), SUCCEEDED: (str(end), reason)}
    without = decide(seen(request(job=JOB), node=None, jobs=(episode(phase),)), RULES)
    assert said(without)[SUCCEEDED][0] == str(end and phase is m.JobPhase.SUCCEEDED)
    assert without.effects == ()


def test_a_request_that_is_over_stays_so() -> None:
    """A later episode of the machine says nothing of it, and it asks for nothing."""
    for status in (m.Switch.TRUE, m.Switch.FALSE):
        done = over(request(job=JOB), status)
        assert is_over(done)
        decision = decide(seen(done, jobs=(episode(m.JobPhase.ACTING, m.AttemptState.ACTING),)), RULES)
        assert decision.status is not None
        assert decision.status.conditions == done.status.conditions
        assert decision.status.observed_generation == 1
        assert told(decision) is not None
    assert not is_over(over(request(), m.Switch.UNKNOWN))
    assert not is_over(request())


def test_an_episode_that_is_pruned_is_not_guessed() -> None:
    """Its name stays, and no other is taken for it."""
    decision = decide(seen(request(job="gone"), jobs=(episode(),)), RULES)
    assert decision.status is not None
    assert decision.status.job == "gone"


# Whoever asks no more.


def test_an_asker_who_has_turned_away_is_told_and_asks_no_more() -> None:
    """By the annotation of a NodeHealthCheck; what became of an episode comes first."""
    late = request(job=JOB, annotations={TIMED_OUT: "2026-07-01T12:00:00Z"})
    decision = decide(seen(late, jobs=(episode(),)), RULES)
    assert said(decision) == {PROCESSING: ("False", "AskerTimedOut"), SUCCEEDED: ("False", "AskerTimedOut")}
    assert told(decision) is not None
    finished = decide(seen(late, jobs=(episode(m.JobPhase.SUCCEEDED),)), RULES)
    assert said(finished)[SUCCEEDED] == ("True", "EpisodeSucceeded")


def test_a_deleted_request_takes_its_condition_back_and_then_goes() -> None:
    """In two decisions, each with its one write."""
    gone = request(deletion_timestamp=START.wall + timedelta(minutes=1))
    first = decide(seen(gone), RULES)
    assert told(first) is not None
    assert (len(first.effects), first.status) == (1, None)
    second = decide(seen(gone, node=asked(m.Switch.FALSE)), RULES)
    assert second.effects == (SetFinalizers(object=m.ref(gone), finalizers=(), resource_version="7"),)
    assert (
        decide(seen(request(deletion_timestamp=START.wall, finalizers=("x",)), node=None), RULES).effects
        == ()
    )


def test_two_who_ask_make_one_condition() -> None:
    """It stands until the last of them asks no more; who asks for another condition does not count."""
    other = request("nhc-1")
    both = decide(seen(others=(other,), node=asked(None)), RULES)
    condition = told(both)
    assert condition is not None
    assert condition.message == "asked for by ns/md-0-1 (u-md-0-1), ns/nhc-1 (u-nhc-1)"
    gone = request(deletion_timestamp=START.wall)
    (effect,) = decide(seen(gone, others=(other,)), RULES).effects
    assert isinstance(effect, SetFinalizers)
    for quiet in (
        request("nhc-1", condition="Other"),
        over(other),
        request("nhc-1", deletion_timestamp=START.wall),
        request("nhc-1", unknown=("x",)),
        request("nhc-1", annotations={TIMED_OUT: "now"}),
    ):
        assert told(decide(seen(gone, others=(quiet,)), RULES)) is not None


def test_the_condition_of_a_node_is_as_asked_for_whatever_it_was() -> None:
    """Unknown is not True; doubled ones are made one."""
    assert told(decide(seen(node=asked(m.Switch.UNKNOWN)), RULES)) is not None
    doubled = asked()
    doubled = attrs.evolve(
        doubled,
        status=m.NodeStatus(conditions=(*doubled.status.conditions, m.NodeCondition(type=ASKED_CONDITION))),
    )
    patch = decide(seen(node=doubled), RULES).effects[0]
    assert isinstance(patch, PatchNodeConditions)
    assert [one.type for one in patch.conditions] == ["Ready", ASKED_CONDITION]
    assert decide(seen(over(request()), node=asked(None)), RULES).effects == ()
