"""A rung that the provider does: asked when permitted and drained, again while that may help, and proven like any other."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import errors
from kubenode.core import model as m
from kubenode.core.decision import Note, RebootInstance
from kubenode.core.errors import Problem, ProviderError
from kubenode.core.instance.seen import ProviderAnswer
from kubenode.core.instance.turn import due
from kubenode.core.remedy.by_provider import ASKED_AGAIN
from kubenode.core.remedy.case import Answer, Case
from kubenode.core.remedy.episode import advance
from kubenode.core.step import RestartInstance
from tests.core.remedy.test_moves import ACTING, AT, FAILED, NOW, STOP, VERIFYING, case, job
from tests.core.remedy.world import SECOND, START, STEPS, machine, remedier

OP = "op-1"
RULE = remedier(
    ladder=(
        m.Rung(action="reboot-instance", timeout=timedelta(seconds=40)),
        m.Rung(action="reboot", timeout=timedelta(minutes=5)),
    )
)
LATE = AT - 40 * SECOND


def made(step: m.InstanceStep = m.InstanceStep.MADE) -> m.InstanceStatus:
    """The machine's instance."""
    return m.InstanceStatus(step=step, provider="cloud", attempt=1, token="t-1", id="i-1")


MADE = made()


def acting(
    instance: m.InstanceStatus | None = MADE, *, mine: bool = True, boot: str = "", **changes: Any
) -> Case:
    """The first rung is permitted, and it is written that the provider is asked; the Node need not be drained.

    Args:
        instance: of the machine.
        mine: whether it was this process that wrote so.
        boot: of the Node, when that was written.
        changes: of the case.
    """
    attempt = m.Attempt(
        number=1, rung=0, action="reboot-instance", op_id=OP, state=ACTING, since=START, verdict="permitted",
        asked_at=START, boot_id=boot,
    )  # fmt: skip
    attempt = attrs.evolve(attempt, **changes.pop("attempt", {}))
    if mine:
        changes["sightings"] = {f"asking:{OP}": AT, **changes.get("sightings", {})}
    one = machine()
    status = attrs.evolve(one.status, instance=instance, drain=changes.pop("drain", None))
    given = {
        "machine": attrs.evolve(one, status=status), "remedier": RULE, "holds": frozenset({OP}),
        "planned": {0: RestartInstance(), 1: STEPS["reboot"]}, **changes,
    }  # fmt: skip
    return case(job(attempt, phase="Acting"), **given)


def said(error: str = "", at: int = AT, op_id: str = OP, **given: Any) -> ProviderAnswer:
    """What the provider answered."""
    return ProviderAnswer(op_id=op_id, at=at, error=error, text="as told", **given)


def last(answer: Answer) -> tuple[m.AttemptState, str]:
    """How far the attempt is, and why."""
    assert answer.status is not None
    attempt = answer.status.attempts[-1]
    return attempt.state, attempt.verdict


def test_the_provider_is_asked_once_the_permit_is_there() -> None:
    """Under the op-id of the attempt, which stands as Acting; the machine's agent is asked for nothing."""
    answer = advance(acting())
    assert answer.effects == (
        RebootInstance(
            machine=m.Ref(kind="Machine", name="n7", uid="uid-n7"), provider="cloud", op_id=OP, instance="i-1"
        ),
    )
    assert (answer.status, answer.deferred) == (acting().job.status, False)
    assert answer.sightings == {f"acting:{OP}": AT, f"asking:{OP}": AT}
    assert answer.deadlines == (AT + 40 * SECOND,)


UNASKED: dict[str, Any] = {"mine": False, "attempt": {"asked_at": None}}


def test_that_it_is_asked_is_written_first_with_the_boot_of_the_node() -> None:
    """Nothing is asked in the same decision; and who wrote it remembers that, so that it asks at once."""
    before = acting(boot_id="boot-1", sightings={f"acting:{OP}": AT - SECOND}, **UNASKED)
    answer = advance(before)
    assert answer.effects == ()
    assert answer.status is not None
    [attempt] = answer.status.attempts
    assert (attempt.asked_at, attempt.boot_id, attempt.state) == (NOW.wall, "boot-1", ACTING)
    assert answer.status.phase == "Acting"
    assert answer.sightings == {f"acting:{OP}": AT - SECOND, f"asking:{OP}": AT}
    assert [note.code for note in answer.notes] == ["Asking"]
    then = attrs.evolve(
        before, job=attrs.evolve(before.job, status=answer.status), sightings=answer.sightings
    )
    assert [type(one) for one in advance(then).effects] == [RebootInstance]


@pytest.mark.parametrize("told", [None, "Ambiguous"])
def test_another_boot_proves_that_it_was_done(told: str | None) -> None:
    """Whoever has asked, and whatever became of the answer: it is not asked for again."""
    answer = said(told, at=AT - 3600 * SECOND) if told else None
    for mine in (True, False):
        proven = advance(acting(boot="boot-1", boot_id="boot-2", mine=mine, answer=answer))
        assert (last(proven), proven.effects) == (
            (VERIFYING, "done, as another boot says; being verified"),
            (),
        )
        for before, now in (("boot-1", "boot-1"), ("", "boot-2"), ("boot-1", "")):
            unproven = advance(acting(boot=before, boot_id=now, mine=mine, answer=answer))
            assert last(unproven)[0] is ACTING
    assert last(advance(acting(boot="boot-1", boot_id="boot-2", answer=said("Invalid"))))[0] is VERIFYING


@pytest.mark.parametrize(("limit", "pause"), [(40, 20), (240, 120), (600, 120)])
def test_who_has_not_asked_itself_waits_for_another_boot_first(limit: int, pause: int) -> None:
    """Two minutes, or half of the rung's time; then it asks, under the same op-id, if it still may."""
    rule = remedier(ladder=(m.Rung(action="reboot-instance", timeout=timedelta(seconds=limit)),))
    given: dict[str, Any] = {"mine": False, "remedier": rule, "boot": "boot-1", "boot_id": "boot-1"}
    first = advance(acting(clear=True, **given))
    assert (first.effects, first.status, first.deferred) == ((), acting(**given).job.status, True)
    assert first.deadlines == (AT + limit * SECOND, AT + pause * SECOND)
    assert first.sightings == {f"acting:{OP}": AT, f"settling:{OP}": AT}
    [note] = first.notes
    assert (note.code, note.frees_at) == ("Settling", AT + pause * SECOND)
    began = AT - pause * SECOND
    seen = {f"acting:{OP}": began, f"settling:{OP}": began}
    assert advance(acting(sightings={**seen, f"settling:{OP}": began + 1}, **given)).effects == ()
    over = advance(acting(sightings=seen, **given))
    assert [type(one) for one in over.effects] == [RebootInstance]
    assert over.sightings == {f"acting:{OP}": began, f"asking:{OP}": AT}
    stopped = advance(acting(sightings=seen, stop=STOP, **given))
    assert last(stopped) == (FAILED, "cluster: frozen"), "perhaps it was done, so it counts as tried"


def test_what_was_perhaps_asked_fails_in_time() -> None:
    """Though nobody knows."""
    sightings = {f"acting:{OP}": LATE, f"settling:{OP}": LATE}
    over = advance(acting(mine=False, sightings=sightings))
    assert last(over) == (
        FAILED,
        "not done within 40 s: the provider was perhaps asked by an earlier controller",
    )


def test_what_was_done_is_verified() -> None:
    """A restart that was accepted is no proof of anything."""
    answer = advance(acting(answer=said()))
    assert last(answer) == (VERIFYING, "done; being verified")
    assert answer.effects == ()


def test_the_answer_to_another_act_is_none() -> None:
    """As to the create of its instance."""
    assert len(advance(acting(answer=said(op_id="create-1"))).effects) == 1
    assert len(advance(acting(answer=said("Invalid", op_id="create-1"))).effects) == 1


def test_what_is_asked_again_is_what_a_repeat_may_mend() -> None:
    """All other meanings are somebody else's turn."""
    meanings = {
        name for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, ProviderError) and one is not ProviderError
    }  # fmt: skip
    assert meanings >= ASKED_AGAIN == {"Throttled", "Unavailable", "Ambiguous", "Busy"}


@pytest.mark.parametrize("error", ["Invalid", "Unsupported", "AuthFailed", "NotFound", "Protected"])
def test_a_refusal_ends_the_rung(error: str) -> None:
    """It was tried; the next one is begun."""
    assert last(advance(acting(answer=said(error)))) == (FAILED, f"the provider says {error}: as told")


@pytest.mark.parametrize("error", sorted(ASKED_AGAIN))
def test_it_is_asked_again_after_a_pause(error: str) -> None:
    """Exactly when the pause is over, and told how often it was asked before."""
    answer = said(error, at=AT - 5 * SECOND, retry_after=8 * SECOND, tries=3)
    again = due(answer)
    sightings = {f"acting:{OP}": AT - 5 * SECOND}
    early = advance(acting(answer=answer, sightings=sightings, now=attrs.evolve(NOW, elapsed=again - 1)))
    assert (early.effects, early.deferred) == ((), True)
    assert early.deadlines == (AT + 35 * SECOND, again)
    [note] = early.notes
    assert (note.code, note.frees_at) == ("AskedAgain", again)
    assert note.text == f"reboot-instance is asked for again: the provider says {error}"
    then = advance(acting(answer=answer, sightings=sightings, now=attrs.evolve(NOW, elapsed=again)))
    [effect] = then.effects
    assert isinstance(effect, RebootInstance)
    assert effect.tries == 3


@pytest.mark.parametrize(
    ("answer", "text"),
    [(None, "was not asked"), (said("Busy", at=LATE), "said Busy last: as told")],
)
def test_the_rung_has_its_time_limit(answer: ProviderAnswer | None, text: str) -> None:
    """Exactly; then it counts as tried, since nobody knows what was done."""
    sightings, given = {f"acting:{OP}": LATE}, UNASKED if answer is None else {}
    over = advance(acting(answer=answer, sightings=sightings, **given))
    assert last(over) == (FAILED, f"not done within 40 s: the provider {text}")
    before = advance(acting(answer=answer, sightings={f"acting:{OP}": LATE + 1}, **given))
    assert last(before)[0] is ACTING


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"stop": STOP}, "withdrawn: cluster: frozen"),
        ({"clear": True}, "withdrawn: cleared by itself"),
        ({"halted": "a dry run now"}, "withdrawn: a dry run now"),
        ({"remedier": None}, "withdrawn: its remedier is gone or does not select this machine any more"),
    ],
)
def test_it_is_thought_over_once_more_before_it_is_asked(change: dict[str, Any], verdict: str) -> None:
    """And not after: what was asked for may be done."""
    before = advance(acting(**change, **UNASKED))
    assert (last(before), before.effects) == ((FAILED, verdict), ())
    after = advance(
        acting(answer=said("Busy", at=AT - 3600 * SECOND), sightings={f"acting:{OP}": AT}, **change)
    )
    assert [type(one) for one in after.effects] == [RebootInstance]
    assert last(after)[0] is ACTING


@pytest.mark.parametrize(
    ("state", "asked"),
    [(m.DrainState.DRAINING, False), (m.DrainState.DRAINED, True), (m.DrainState.FORCED, True)],
)
def test_the_node_is_drained_first(state: m.DrainState, asked: bool) -> None:
    """As for a reboot by the agent; the time limit begins after it."""
    drain = m.DrainRecord(op_id=OP, state=state)
    answer = advance(acting(drains=frozenset({"reboot-instance"}), drain=drain))
    assert bool(answer.effects) is asked
    assert (f"acting:{OP}" in answer.sightings) is asked


def test_a_drain_that_was_given_up_ends_the_rung() -> None:
    """What runs there goes on."""
    drain = m.DrainRecord(op_id=OP, state=m.DrainState.GIVEN_UP)
    answer = advance(acting(drains=frozenset({"reboot-instance"}), drain=drain))
    assert last(answer)[0] is FAILED
    assert last(answer)[1].startswith("its Node could not be drained")
    assert answer.effects == ()


def test_without_its_permit_nothing_is_asked() -> None:
    """Somebody took it out of the ledger."""
    answer = advance(acting(holds=frozenset()))
    assert (answer.effects, answer.deferred) == ((), True)
    [note] = answer.notes
    assert (note.code, note.text) == ("NoPermit", "the permit of reboot-instance is not in the ledger")


@pytest.mark.parametrize(
    "instance",
    [None, made(m.InstanceStep.GONE), made(m.InstanceStep.TERMINATING), made(m.InstanceStep.CREATING)],
)
def test_an_instance_that_is_no_more_is_not_restarted(instance: m.InstanceStatus | None) -> None:
    """Nor one that is ending."""
    assert last(advance(acting(instance))) == (
        FAILED,
        "the machine has no instance that a provider could restart",
    )


def test_what_the_provider_did_counts_though_the_ladder_was_edited_meanwhile() -> None:
    """It was done; the agent is not asked to do what stands there now."""
    edited = {0: STEPS["restart-unit"], 1: STEPS["reboot"]}
    answer = advance(acting(planned=edited, remedier=remedier(), answer=said()))
    assert last(answer)[0] is VERIFYING
    untold = advance(acting(planned=edited, remedier=remedier(), **UNASKED))
    assert last(untold) == (FAILED, "withdrawn: the ladder was edited")


def test_a_rung_that_cannot_be_planned_is_not_asked_for() -> None:
    """As any other."""
    problem = Problem(where="rung", what="Unsupported: provider cloud cannot restart an instance")
    answer = advance(acting(planned={0: problem}, **UNASKED))
    assert last(answer) == (
        FAILED, "withdrawn: Unsupported: rung: provider cloud cannot restart an instance",
    )  # fmt: skip
    assert not any(isinstance(one, Note) and one.code == "AskedAgain" for one in answer.notes)
