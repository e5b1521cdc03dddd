"""The Pods of a Node that is drained: listed in tasks, again when the look is old, and until then nothing is evicted."""

import asyncio
from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.errors import ApiError, Forbidden, ServerFailed
from kubenode.core.identity import deletion_op_id
from kubenode.core.model.meta import FINALIZER
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.embed.workloads import Workloads
from kubenode.runtime.store.contract import Listing, MergePatch
from kubenode.runtime.store.installed import INSTALL
from tests.runtime.embed.world import LEDGER, OURS, nothing_left, until, well

PODS = m.Pod.KIND.within("default")


class Counting(EmbeddedStore):
    """A store that counts how often Pods are listed, and fails as often as the test says."""

    fails = 0
    looks = 0
    error: ApiError = ServerFailed("try again")

    async def find(self, kind: m.Kind, **more: Any) -> Listing:
        """Count."""
        if kind.plural == "pods":
            self.looks += 1
            assert more["fields"], "all Pods of the cluster were asked for"
            if self.looks <= self.fails:
                raise self.error
        return await super().find(kind, **more)


def ending() -> Counting:
    """Make a cluster one machine of which is to end, with its permit."""
    node, machine = well("n1")
    machine = attrs.evolve(
        machine, spec=attrs.evolve(machine.spec, deletion_policy=m.DeletionPolicy.TERMINATE),
        metadata=attrs.evolve(machine.metadata, finalizers=(FINALIZER,)),
    )  # fmt: skip
    others = [one for name in ("n2", "n3") for one in well(name)]
    return Counting([LEDGER, node, machine, *others], cel=False)


async def pod(store: EmbeddedStore, name: str, node: str = "n1", grace: int = 0) -> None:
    """Start a Pod."""
    body = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": grace},
    }  # fmt: skip
    await store.create(PODS, body)
    await store.patch(PODS, name, MergePatch({"status": {"phase": "Running"}}), subresource="status")


def state(store: EmbeddedStore) -> m.DrainRecord | None:
    """Give what is stored of the drain."""
    return next(one.status.drain for one in store.objects(m.Machine) if one.metadata.name == "n1")


def test_an_engine_drains() -> None:
    """In a real loop: the Node is cordoned, its Pod evicted, another Node's left, and no task is."""

    async def run() -> None:
        store = ending()
        await pod(store, "web")
        await pod(store, "other", node="n2")
        with nothing_left():
            async with Engine(store, plugins=OURS):
                await store.delete(m.Machine.KIND, "n1")
                op_id = deletion_op_id(next(one.metadata.uid for one in store.objects(m.Machine)))
                wanted = m.DrainRecord(op_id=op_id, state=m.DrainState.DRAINED)
                async with asyncio.timeout(25):
                    while state(store) != wanted:
                        await asyncio.sleep(0.05)
        left = (await store.find(m.Pod.KIND, fields={"spec.nodeName": "n1"})).items
        assert left == ()
        assert "deletionTimestamp" not in (await store.get(PODS, "other"))["metadata"]

    asyncio.run(run())


def workloads(store: EmbeddedStore, stirred: list[str], clock: SystemClock) -> Workloads:
    """Make what is tested, without an engine."""
    return Workloads(
        store, clock=clock, stir=stirred.append, ended=lambda task: None, name="test", again=0.01
    )


def test_a_look_is_made_once_and_again_when_it_is_old() -> None:
    """Who asks meanwhile gets what is known; the answer stirs."""

    async def run() -> None:
        store, stirred, clock = ending(), list[str](), SystemClock()
        await pod(store, "web")
        looking = workloads(store, stirred, clock)
        now = clock.now()
        assert looking("n1", "n1", now) is None
        assert looking.busy
        assert looking("n1", "n1", now) is None
        await until(lambda: stirred)
        found = looking("n1", "n1", clock.now())
        assert found is not None
        assert [one.name for one in found.pods] == ["web"]
        assert (stirred, store.looks, looking.busy) == (["n1"], 1, False)
        assert looking("n1", "n1", clock.now().plus(timedelta(seconds=6))) is found
        await until(lambda: len(stirred) == 2)
        assert store.looks == 2
        await looking.end()

    asyncio.run(run())


def test_what_cannot_be_listed_is_asked_for_again() -> None:
    """Until it answers nobody is told anything."""

    async def run() -> None:
        store, stirred, clock = ending(), list[str](), SystemClock()
        store.fails = 3
        looking = workloads(store, stirred, clock)
        looking("n1", "n1", clock.now())
        await until(lambda: stirred)
        assert (store.looks, stirred) == (4, ["n1"])
        await looking.end()

    asyncio.run(run())


def test_who_may_not_look_says_so_once_until_it_may(caplog: pytest.LogCaptureFixture) -> None:
    """The engine is stirred by the loss and by its end; of one that is forgotten nothing is said."""
    lost = (f"forbidden: x cannot list pods; fix: grant the rights: {INSTALL}",)

    async def run() -> None:
        store, stirred, clock = ending(), list[str](), SystemClock()
        store.error, store.fails = Forbidden("pods is forbidden: x cannot list pods"), 5
        looking = workloads(store, stirred, clock)
        looking("n1", "n1", clock.now())
        await until(lambda: stirred)
        assert looking.lost() == lost
        await until(lambda: len(stirred) == 2)
        assert (looking.lost(), store.looks, stirred) == ((), 6, ["n1", "n1"])
        assert len([one for one in caplog.records if "pods-unknown" in one.getMessage()]) == 1
        store.fails = 1000
        looking("n2", "n2", clock.now())
        await until(lambda: looking.lost() == lost)
        looking("n2", "", clock.now())
        assert looking.lost() == ()
        await looking.end()

    asyncio.run(run())


def test_an_engine_that_may_not_look_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its drain stands still, and readiness says why; when it may look again the drain goes on."""
    monkeypatch.setitem(Workloads.__init__.__kwdefaults__, "again", 0.05)

    async def run() -> None:
        store = ending()
        await pod(store, "web")
        store.error, store.fails = Forbidden("pods is forbidden: x cannot list pods"), 1_000_000
        async with Engine(store, plugins=OURS) as engine:
            await store.delete(m.Machine.KIND, "n1")
            await until(lambda: store.looks > 3)
            assert engine.unready() == (f"forbidden: x cannot list pods; fix: grant the rights: {INSTALL}",)
            assert "deletionTimestamp" not in (await store.get(PODS, "web"))["metadata"]
            store.fails = 0
            await until(lambda: (found := state(store)) and found.state is m.DrainState.DRAINED)
            assert engine.unready() == ()

    asyncio.run(run())


def test_a_look_that_nobody_wants_any_more_is_dropped() -> None:
    """Another Node is looked at anew; without one, all is forgotten."""

    async def run() -> None:
        store, stirred, clock = ending(), list[str](), SystemClock()
        store.fails = 1000
        looking = workloads(store, stirred, clock)
        with nothing_left():
            looking("n1", "n1", clock.now())
            assert looking("n1", "n2", clock.now()) is None
            assert looking("n1", "", clock.now()) is None
            assert not looking.busy
            looking("n2", "n2", clock.now())
            await looking.end()
            await asyncio.sleep(0)
        assert stirred == []

    asyncio.run(run())
