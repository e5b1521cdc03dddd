"""What the stamps of a hand-made snapshot stand for, one by one."""

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.now import Now
from kubenode.core.remedy.match import sighting_key
from kubenode.core.remedy.stamps import stamps
from tests.core.remedy.test_moves import ACTING, FAILED, VERIFYING, WAITING, attempt, job
from tests.core.remedy.world import HUNG, START, node, remedier

T, F = m.Switch.TRUE, m.Switch.FALSE


def at(minutes: int) -> int:
    """Give what a stamp of so many minutes later is counted as."""
    return Now.at(START + timedelta(minutes=minutes)).elapsed


def stamped(hung: m.Switch | None, *, ready: int | None = None, cause: int | None = None) -> m.Node:
    """Give a Node whose conditions have these stamps, in minutes."""
    times = {"Ready": ready, HUNG: cause}
    one = node(hung)
    conditions = tuple(
        attrs.evolve(each, last_transition_time=_stamp(times[each.type])) for each in one.status.conditions
    )
    other = m.NodeCondition(type="Other", status=T, last_transition_time=START + timedelta(days=9))
    return attrs.evolve(one, status=m.NodeStatus(conditions=(*conditions, other)))


def _stamp(minutes: int | None) -> datetime | None:
    return None if minutes is None else START + timedelta(minutes=minutes)


KEY = sighting_key(remedier(), node(T))


@pytest.mark.parametrize(
    ("there", "open_job", "expected"),
    [
        (None, None, {}),
        (stamped(T, cause=3), None, {KEY: at(3)}),
        (stamped(T), None, {}),
        (stamped(F, cause=3), None, {}),
        (None, job(attempt(ACTING)), {"acting:op-1": at(0)}),
        (None, job(attempt(VERIFYING)), {"verifying:op-1": at(0)}),
        (None, job(attempt(WAITING)), {}),
        (None, job(attempt(FAILED)), {}),
        (None, job(), {}),
        (None, job(attempt(FAILED), attempt(ACTING, 2)), {"acting:op-2": at(0)}),
        (stamped(F, ready=1, cause=3), job(), {"clear:uid-job": at(3)}),
        (stamped(F, ready=5, cause=3), job(attempt(WAITING)), {"clear:uid-job": at(5)}),
        (stamped(F, ready=5, cause=3), job(attempt(ACTING)), {"acting:op-1": at(0), "clear:uid-job": at(5)}),
        (stamped(F, ready=5, cause=3), job(attempt(FAILED), attempt(VERIFYING, 2)), {"verifying:op-2": at(0), "clear:op-2": at(5)}),
        (stamped(None, ready=5), job(), {"clear:uid-job": at(5)}),
        (stamped(F, ready=5), job(), {}),
        (stamped(F, cause=5), job(), {}),
        (stamped(F), job(), {}),
        (attrs.evolve(node(T), status=m.NodeStatus()), job(), {}),
        (stamped(T, ready=1, cause=3), job(), {KEY: at(3), "clear:uid-job": at(3)}),
    ],
)  # fmt: skip
def test_what_a_stamp_stands_for(
    there: m.Node | None, open_job: m.RemedyOperationJob | None, expected: dict[str, Any]
) -> None:
    """A rule's evidence, the last attempt under way, and since when all that must be well says what it says."""
    assert stamps((remedier(),), there, open_job) == expected
