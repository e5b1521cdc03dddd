"""Conditions from claims: a stamp moves with the status alone, and what says the same is the same."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from kubenode.core.model import Condition, Switch
from kubenode.core.model.condition import Claim, stated

THEN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = THEN + timedelta(hours=1, microseconds=7)
READY = Condition(
    type="Ready", status=Switch.TRUE, reason="Up", message="it is", observed_generation=3, last_transition_time=THEN
)  # fmt: skip


def test_what_says_the_same_is_the_very_same_object() -> None:
    """Whoever compares it, or has written it, need not look into it."""
    (same,) = stated((READY,), (Claim.again(READY),), wall=LATER, generation=3)
    assert same is READY


@pytest.mark.parametrize("change", [{"reason": "Other"}, {"message": "it still is"}, {"message": ""}])
def test_another_word_keeps_the_stamp(change: dict[str, str]) -> None:
    """It has been so since then, whatever is said of it."""
    found = stated((READY,), (attrs.evolve(Claim.again(READY), **change),), wall=LATER, generation=3)
    assert found == (attrs.evolve(READY, **change),)


def test_another_generation_keeps_the_stamp() -> None:
    """It is about another spec, and so still."""
    (found,) = stated((READY,), (Claim.again(READY),), wall=LATER, generation=4)
    assert found == attrs.evolve(READY, observed_generation=4)


def test_another_status_moves_the_stamp() -> None:
    """To the second; and what is new is stamped alike, and what nobody claims is gone."""
    claims = (Claim.of("Ready", False, "Up", "it is"), Claim.of("Fresh", True, "New"))
    old = (READY, attrs.evolve(READY, type="Old"))
    ready, fresh = stated(old, claims, wall=LATER, generation=3)
    assert ready == attrs.evolve(
        READY, status=Switch.FALSE, last_transition_time=LATER.replace(microsecond=0)
    )
    assert (fresh.type, fresh.last_transition_time) == ("Fresh", LATER.replace(microsecond=0))


def test_a_message_that_is_too_long_is_cut_and_is_the_same_then() -> None:
    """Or a status would be written for ever."""
    claim = Claim.of("Ready", True, "Up", 3000 * "x")
    found = stated((), (claim,), wall=THEN, generation=3)
    assert len(found[0].message) == 2048
    assert stated(found, (claim,), wall=LATER, generation=3)[0] is found[0]
