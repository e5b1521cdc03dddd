"""What becomes of an eviction: what the next look shows anyway is no failure; what says nothing of the Pod is one."""

import asyncio
from typing import Any, cast

import pytest

from kubenode.core import model as m
from kubenode.core.decision import Evict
from kubenode.core.errors import (
    ApiError,
    Conflict,
    ObjectNotFound,
    ServerFailed,
    TooManyRequests,
    Unreachable,
)
from kubenode.runtime.engine.apply import NoHands, apply
from kubenode.runtime.store.contract import Store, is_budget
from kubenode.runtime.store.transport import Request, _may_repeat

BUDGET = TooManyRequests(
    "Cannot evict pod as it would violate the pod's disruption budget.",
    status={"code": 429, "details": {"causes": [{"reason": "DisruptionBudget", "message": "b needs 1"}]}},
)
BUSY = TooManyRequests("storage is (re)initializing", status={"code": 429})
WEB = Evict(pod=m.Ref(kind="Pod", name="web", uid="u1"), namespace="shop", grace=7)
DB = Evict(pod=m.Ref(kind="Pod", name="db", uid="u2"), namespace="shop")


class Answering:
    """A store that answers the first eviction so, and every other with success."""

    def __init__(self, first: ApiError) -> None:
        self._first: ApiError | None = first
        self.asked: list[Any] = []

    async def evict(
        self, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> m.Json:
        """Answer."""
        self.asked.append((namespace, name, uid, grace))
        first, self._first = self._first, None
        if first is not None:
            raise first
        return {}


@pytest.mark.parametrize("error", [BUDGET, Conflict("another uid"), ObjectNotFound("gone")])
def test_what_the_next_look_shows_keeps_nobody_else_from_going(error: ApiError) -> None:
    """The other Pods of the decision are asked to go; nothing is waited for."""
    store = Answering(error)
    outcome = asyncio.run(apply((WEB, DB), cast(Store, store), NoHands()))
    assert (outcome.error, outcome.written) == (None, ())
    assert store.asked == [("shop", "web", "u1", 7), ("shop", "db", "u2", None)]


@pytest.mark.parametrize("error", [BUSY, ServerFailed("two budgets"), Unreachable("reset")])
def test_what_says_nothing_of_the_pod_is_a_failure(error: ApiError) -> None:
    """The key is tried again."""
    store = Answering(error)
    assert asyncio.run(apply((WEB, DB), cast(Store, store), NoHands())).error is error
    assert len(store.asked) == 1


def test_a_budget_is_told_from_a_busy_server() -> None:
    """By the cause: the client waits for a busy server and asks again, and tells of a budget at once."""
    assert (is_budget(BUDGET), is_budget(BUSY), is_budget(TooManyRequests("bare"))) == (True, False, False)
    request = Request(method="POST", path="/")
    assert (_may_repeat(request, BUDGET), _may_repeat(request, BUSY)) == (False, True)
