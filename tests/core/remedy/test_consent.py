"""A rung that consents to what a cloud has planned: asked when permitted and drained, for what waits for it, and proven by the event's end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import ConfirmEvent
from kubenode.core.instance.turn import due
from kubenode.core.model.cloudevents import CloudEvents, OpenEvent
from kubenode.core.remedy.case import Case
from kubenode.core.remedy.episode import advance
from kubenode.core.step import ConfirmMaintenance
from tests.core.remedy.test_by_provider import MADE, OP, last, said
from tests.core.remedy.test_moves import ACTING, AT, FAILED, NOW, STOP, VERIFYING, case, job
from tests.core.remedy.world import SECOND, START, STEPS, machine, remedier

RULE = remedier(
    ladder=(
        m.Rung(action="confirm-event", timeout=timedelta(seconds=40)),
        m.Rung(action="reboot", timeout=timedelta(minutes=5)),
    )
)
NONE_WAITS = "no event of its cloud waits for consent"


def event(id: str, state: str, hour: int = 9) -> OpenEvent:
    """An event that is open."""
    begins = datetime(2026, 3, 2, hour, tzinfo=UTC)
    return OpenEvent(
        id=id, type="t", state=state, not_before=begins, condition="CloudMaintenance", reason="RebootPlanned"
    )


WAITS = (event("e-now", "scheduled", 8), event("e-1", "inquiring"), event("e-2", "inquiring", 10))


def acting(
    open_: tuple[OpenEvent, ...] = WAITS,
    *,
    instance: m.InstanceStatus | None = MADE,
    of: str = "i-1",
    **changes: Any,
) -> Case:
    """The first rung is permitted."""
    attempt = m.Attempt(
        number=1, rung=0, action="confirm-event", op_id=OP, state=ACTING, since=START, verdict="permitted"
    )
    one = machine()
    told = CloudEvents(instance=of, open=open_) if of else None
    status = attrs.evolve(one.status, instance=instance, cloud_events=told, drain=changes.pop("drain", None))
    given = {
        "machine": attrs.evolve(one, status=status), "remedier": RULE, "holds": frozenset({OP}),
        "planned": {0: ConfirmMaintenance(), 1: STEPS["reboot"]}, **changes,
    }  # fmt: skip
    return case(job(attempt, phase="Acting"), **given)


def test_the_most_urgent_event_that_waits_is_consented_to() -> None:
    """At once: what waits no more is told apart, so a repeat needs no intent of its own."""
    answer = advance(acting())
    assert answer.effects == (
        ConfirmEvent(
            machine=m.Ref(kind="Machine", name="n7", uid="uid-n7"), provider="cloud", op_id=OP, event="e-1"
        ),
    )
    assert (answer.status, answer.deferred) == (acting().job.status, False)
    assert answer.sightings == {f"acting:{OP}": AT}
    assert answer.deadlines == (AT + 40 * SECOND,)


def test_after_a_restart_of_the_controller_it_is_asked_again_at_once() -> None:
    """Nobody waits for another boot: the event says what became of it."""
    before = acting(boot_id="b-2")
    attempts = (attrs.evolve(before.job.status.attempts[0], asked_at=START, boot_id="b-1"),)
    known = attrs.evolve(before.job, status=attrs.evolve(before.job.status, attempts=attempts))
    (effect,) = advance(attrs.evolve(before, job=known)).effects
    assert isinstance(effect, ConfirmEvent)


@pytest.mark.parametrize("answer", [said(), said("NotFound")])
def test_what_was_consented_to_or_waits_no_more_is_verified(answer: Any) -> None:
    """The end of the event is the proof, and its cloud's to say."""
    state, verdict = last(advance(acting(answer=answer)))
    assert state is VERIFYING
    assert verdict == (f"{NONE_WAITS}; being verified" if answer.error else "done; being verified")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"open_": (event("e-1", "scheduled"),)}, NONE_WAITS),
        ({"open_": ()}, NONE_WAITS),
        ({"of": "i-0"}, "its cloud has told of no event of its instance"),
        ({"of": ""}, "its cloud has told of no event of its instance"),
        ({"instance": None}, "its cloud has told of no event of its instance"),
    ],
)
def test_where_nothing_waits_the_next_rung_is_begun(change: dict[str, Any], verdict: str) -> None:
    """One that the cloud does at its own time, or that was of another instance."""
    answer = advance(acting(**change))
    assert (last(answer), answer.effects) == ((FAILED, verdict), ())


@pytest.mark.parametrize("error", ["Unsupported", "Invalid", "AuthFailed"])
def test_a_refusal_ends_the_rung(error: str) -> None:
    """AWS waits for nobody's consent."""
    assert last(advance(acting(answer=said(error)))) == (FAILED, f"the provider says {error}: as told")


def test_it_is_asked_again_after_a_pause() -> None:
    """As a restart is."""
    answer = said("Busy", at=AT - 5 * SECOND, tries=3)
    early = advance(acting(answer=answer, now=attrs.evolve(NOW, elapsed=due(answer) - 1)))
    assert early.effects == ()
    (effect,) = advance(acting(answer=answer, now=attrs.evolve(NOW, elapsed=due(answer)))).effects
    assert isinstance(effect, ConfirmEvent)
    assert effect.tries == 3


@pytest.mark.parametrize(("state", "asked"), [(m.DrainState.DRAINING, False), (m.DrainState.DRAINED, True)])
def test_the_node_is_drained_before_the_cloud_may(state: m.DrainState, asked: bool) -> None:
    """The workload is gone before the event, and not by it."""
    drain = m.DrainRecord(op_id=OP, state=state)
    answer = advance(acting(drains=frozenset({"confirm-event"}), drain=drain))
    assert bool(answer.effects) is asked


def test_nothing_is_consented_to_in_a_freeze_or_without_a_permit() -> None:
    """A freeze gives the permit back; one that somebody took away is missed."""
    assert last(advance(acting(stop=STOP))) == (FAILED, "withdrawn: cluster: frozen")
    answer = advance(acting(holds=frozenset()))
    assert (answer.effects, answer.deferred, [note.code for note in answer.notes]) == ((), True, ["NoPermit"])
