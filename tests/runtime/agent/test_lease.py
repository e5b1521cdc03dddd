"""The Lease of an agent: made, renewed every few minutes, and no trouble of it is the agent's end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubenode.core.errors import Forbidden, ObjectNotFound, Unreachable
from kubenode.core.model import Json
from kubenode.runtime.agent.lease import EVERY, LASTS, keep_lease
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.lease import LEASE

KIND = LEASE.within("kubenode-agents")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Store(EmbeddedStore):
    """A server with a namespace for Leases, that fails as it is told."""

    def __init__(self) -> None:
        super().__init__([(LEASE, None)], clock=lambda: NOON, namespaces=["kubenode-agents"])
        self.fails: list[Exception] = []
        self.calls = 0

    async def patch(self, *args: Any, **more: Any) -> Json:
        """Change an object, or fail."""
        self.calls += 1
        if self.fails:
            raise self.fails.pop(0)
        return await super().patch(*args, **more)

    async def create(self, *args: Any, **more: Any) -> Json:
        """Make an object."""
        self.calls += 1
        return await super().create(*args, **more)


def kept(
    store: Store, times: int, jitter: float = 0.0, seen: Callable[[], Awaitable[None]] | None = None
) -> list[float]:
    """Keep a Lease for so many turns; give the pauses."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if seen is not None:
            await seen()
        if len(pauses) == times:
            raise asyncio.CancelledError

    async def main() -> None:
        def now() -> datetime:
            return NOON + timedelta(seconds=sum(pauses))

        with pytest.raises(asyncio.CancelledError):
            await keep_lease(store, "m1", now, sleep=sleep, jitter=lambda: jitter)

    asyncio.run(main())
    return pauses


def stored(store: Store) -> Json:
    """Give the Lease."""
    return asyncio.run(store.get(KIND, "m1"))


def test_it_is_made_and_renewed() -> None:
    """Under the agent's own name; at rest one write every few minutes, and no read."""
    store = Store()
    assert kept(store, 3) == [EVERY.total_seconds()] * 3
    spec = stored(store)["spec"]
    assert spec["holderIdentity"] == "kubenode:agent:m1"
    assert spec["renewTime"] == "2026-07-01T12:06:00.000000Z"
    assert spec["leaseDurationSeconds"] == LASTS.total_seconds()
    assert store.calls == 4, "a patch that finds nothing, what makes it, and two renewals"


def test_agents_spread_out() -> None:
    """From three minutes to six, and a Lease that is late by one renewal is none that is over."""
    assert kept(Store(), 1, jitter=1.0) == [2 * EVERY.total_seconds()]
    assert timedelta(minutes=3) <= EVERY < LASTS / 2 / 1.5


def test_trouble_is_told_once_and_ended_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it is; also that Leases are not for this agent at all."""
    store = Store()
    store.fails = [Forbidden("not yours"), Forbidden("not yours"), Unreachable("away")]
    caplog.set_level("INFO")
    kept(store, 5)
    told = [line.split("event=")[1] for line in caplog.text.splitlines() if "event=lease" in line]
    assert [one.split()[0] for one in told] == ["lease-not-renewed", "lease-not-renewed", "lease-renewed"]
    assert "not yours" in told[0]
    assert "away" in told[1]
    assert stored(store)["spec"]["holderIdentity"] == "kubenode:agent:m1"


def test_a_namespace_that_is_not_there_is_trouble() -> None:
    """As where kubenode was installed without enrolment."""
    store = Store()

    async def gone(*_: Any, **__: Any) -> Json:
        raise ObjectNotFound("namespaces kubenode-agents not found")

    store.create = gone  # type: ignore[method-assign]
    assert len(kept(store, 2)) == 2
