"""Engines that share a lease: one acts, the other is ready, and a term that is over ends what was decided in it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import Forbidden, InvalidObjectError, KubenodeError, NotInstalled, Problem
from kubenode.core.lease import LeaseTimes
from kubenode.core.model import Json, Kind
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.embed import EmbeddedStore, Engine, NotSettled
from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.store.contract import Patch
from kubenode.runtime.store.embedded import now_or_never
from kubenode.runtime.store.lease import LEASE, Lease
from tests.runtime.embed.world import (
    LEDGER,
    OURS,
    REBOOT,
    Counting,
    granted,
    hung_cluster,
    nothing_left,
    sick,
    until,
    well,
)

ROOT = Path(__file__).resolve().parents[3]
QUICK = LeaseTimes(
    duration=timedelta(seconds=1), renew_within=timedelta(milliseconds=600), every=timedelta(milliseconds=100)
)  # fmt: skip


def holder(store: EmbeddedStore) -> str:
    """Name who holds the lease."""
    try:
        raw = store.find(LEASE).send(None)
    except StopIteration as told:
        return "".join(item["spec"].get("holderIdentity") or "" for item in told.value.items)
    raise AssertionError(raw)


def engine(store: EmbeddedStore, name: str, **more: Any) -> Engine:
    """Make an engine with a lease."""
    return Engine(store, plugins=OURS, identity=name, lease=Lease(holder=name, times=QUICK), **more)


def test_one_of_two_acts_and_the_other_takes_over_at_its_end() -> None:
    """The second writes nothing while the first leads, says whom it waits for, and goes on where that one ended."""

    async def main() -> None:
        store = hung_cluster(REBOOT)
        second = engine(store, "second")
        async with engine(store, "first") as first:
            await first.settled()
            assert granted(store) == ["n1"]
            async with second:
                with pytest.raises(NotSettled, match="the lease is held by first"):
                    await second.settled(within=timedelta(seconds=1))
                assert holder(store) == "first"
                await first.__aexit__(None, None, None)
                await second.settled()
                assert holder(store) == "second"
                assert granted(store) == ["n1"]
        assert holder(store) == ""

    with nothing_left():
        asyncio.run(main())


def test_who_crashes_is_succeeded_after_the_duration() -> None:
    """Nothing is released; the successor waits until the record has stood unchanged for so long on its own clock."""

    async def main() -> None:
        store = EmbeddedStore([LEDGER, *well("n1")], cel=False)
        first = engine(store, "first")
        await first.__aenter__()
        await first.settled()
        assert first._leading._task is not None
        first._leading._task.cancel()  # as a power cut would
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with engine(store, "second") as second:
            await until(lambda: holder(store) == "second")
            assert loop.time() - began >= 0.9
            await second.settled()
        await first.__aexit__(None, None, None)

    asyncio.run(main())


def test_an_observer_writes_nothing_but_its_lease() -> None:
    """Every write that the store counts is one of the Lease."""

    class Told(Counting):
        kinds: list[str]

        async def create(self, kind: Kind, obj: Json) -> Json:
            self.kinds.append(kind.name)
            return await super().create(kind, obj)

        async def patch(self, kind: Kind, name: str, patch: Patch, **more: Any) -> Json:
            self.kinds.append(kind.name)
            return await super().patch(kind, name, patch, **more)

    Told.kinds = []
    store = Told([LEDGER, REBOOT, *sick(), *well("n2")], cel=False)
    Told.kinds = []
    engine(store, "observer", observe_only=True).run_until_settled()
    assert set(Told.kinds) == {"Lease"}
    assert holder(store) == ""


class Slow(EmbeddedStore):
    """A server whose writes wait until they are let go."""

    begun: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    gate: asyncio.Event | None = None

    async def patch(self, kind: Kind, name: str, patch: Patch, **more: Any) -> Json:
        """Wait."""
        self.begun += (name,)
        if self.gate is not None:
            await self.gate.wait()
        answer = await super().patch(kind, name, patch, **more)
        self.made += (name,)
        return answer


def test_a_term_that_is_over_ends_what_was_decided_in_it() -> None:
    """Calls under way are dropped, those that wait for their place and later acts are not begun; then all goes on."""

    async def main() -> None:
        store = Slow([LEDGER, *(one for number in range(30) for one in _fresh(number))], cel=False)
        store.begun, store.made, store.gate = (), (), asyncio.Event()
        term: list[int | None] = [1]
        driver = Driver(
            controllers(OURS), store, SystemClock(), first=(FIRST,), calls_in_flight=4, term=lambda: term[0]
        )
        task = asyncio.create_task(driver.run())
        await until(lambda: len(store.begun) == 4)
        term[0] = None
        driver.led()
        await until(lambda: not driver._calls)
        store.gate.set()
        store.begun = ()
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert (store.begun, store.made) == ((), ())
        term[0] = 2
        driver.led()
        await asyncio.wait_for(driver.rest(), 30)
        assert len(set(store.made)) == 30
        driver.stop()
        await task

    asyncio.run(main())


def test_an_act_is_not_begun_in_another_term_than_its_decision() -> None:
    """Even when nobody has told the driver yet: a process that was stopped wakes up between two acts."""

    class Creating(EmbeddedStore):
        made: tuple[str, ...] = ()

        async def create(self, kind: Kind, obj: Json, *, dry_run: bool = False) -> Json:
            self.made += (kind.name,)
            return await super().create(kind, obj, dry_run=dry_run)

    async def main() -> None:
        owner = wire.load(yaml.safe_load((ROOT / "tests/cluster/machineset.yaml").read_text()))
        store = Creating([LEDGER, owner], cel=False)
        store.made = ()
        later: list[int] = []

        def term() -> int | None:
            """End unnoticed with the first of the two creates of one decision."""
            return later[0] if later else None if "Machine" in store.made else 1

        sets = controllers(OURS, only=("machineset",))
        driver = Driver(sets, store, SystemClock(), term=term)
        task = asyncio.create_task(driver.run())
        await until(lambda: "Machine" in store.made)
        await until(lambda: not driver._calls)
        assert store.made.count("Machine") == 1
        later.append(2)
        driver.led()
        await until(lambda: store.made.count("Machine") == 2)
        driver.stop()
        await task

    asyncio.run(main())


def _fresh(number: int) -> tuple[m.Object, ...]:
    """Make a machine that nobody has looked at: a finalizer and a status are to be written."""
    spec = m.MachineSpec(host=m.Host(address="10.0.0.1"))
    return (m.Machine(metadata=m.ObjectMeta(name=f"m{number}"), spec=spec),)


def test_a_server_that_lacks_something_is_not_run_on() -> None:
    """A store that can be checked is checked, for the rights of just the controllers that run."""
    asked: list[tuple[int, set[str]]] = []

    class Unfit(EmbeddedStore):
        async def check(self, kinds: Any, rights: Any) -> None:
            asked.append((len(kinds), {str(right) for right in rights}))
            raise NotInstalled(
                (Problem(where="crd", what="not installed: machines", fix="kubenode manifests"),)
            )

    with nothing_left(), pytest.raises(NotInstalled, match="not installed: machines"):
        Engine(Unfit(cel=False), plugins=OURS, controllers={"accept"}).run()
    with pytest.raises(NotInstalled):
        Engine(Unfit(cel=False), plugins=OURS, observe_only=True).run()
    (count, accept), (_, observe) = asked
    assert count == len(m.KINDS)
    assert {text for text in accept if "patch" in text} == {
        "patch events in default",
        "patch noderemediers/status",
        "patch riskpolicies/status",
    }
    assert not [text for text in observe if text.split()[0] not in ("get", "list", "watch")]


def test_a_lease_that_cannot_be_had_is_no_failure_of_the_engine() -> None:
    """It waits, and says why."""

    class Forbidding(EmbeddedStore):
        async def get(self, kind: Kind, name: str) -> Json:
            if kind.name == "Lease":
                raise Forbidden("leases is forbidden")
            return await super().get(kind, name)

    async def main() -> None:
        async with engine(Forbidding([LEDGER], cel=False), "first") as first:
            await until(lambda: first._leading.trouble)
            with pytest.raises(NotSettled, match="the lease is held by nobody yet"):
                await first.settled(within=timedelta(milliseconds=200))
            assert "grant the rights" in first._leading.trouble

    asyncio.run(main())


def test_a_bug_in_the_keeper_ends_the_engine() -> None:
    """An engine that cannot know whether it leads must not go on."""

    class Mad(EmbeddedStore):
        async def get(self, kind: Kind, name: str) -> Json:
            if kind.name == "Lease":
                raise ZeroDivisionError("the store is broken")
            return await super().get(kind, name)

    with pytest.raises(KubenodeError, match="the store is broken"):
        engine(Mad([LEDGER], cel=False), "first").run()


@pytest.mark.parametrize("lease", [7, "", "Not A Name", True, ("a",)])
def test_a_lease_that_is_none_is_refused(lease: Any) -> None:
    """At once, with what to write."""
    with pytest.raises(InvalidObjectError, match="lease"):
        Engine(EmbeddedStore(cel=False), plugins=OURS, lease=lease)


def test_the_name_of_a_lease_is_enough() -> None:
    """No other word has to be imported for it."""
    store = EmbeddedStore([LEDGER], cel=False)
    Engine(store, plugins=OURS, lease="platform").run_until_settled()
    (raw,) = now_or_never(store.find(LEASE)).items
    assert (raw["metadata"]["name"], raw["spec"].get("holderIdentity")) == ("platform", None)
