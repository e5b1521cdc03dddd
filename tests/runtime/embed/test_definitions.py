"""A set that leaves: the server is asked about its CRD, and until it has answered nothing is deleted."""

import asyncio
from datetime import UTC, datetime

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.errors import ServerFailed
from kubenode.core.machineset.decide import MachineSetSnapshot, decide
from kubenode.core.model.condition import find
from kubenode.core.model.machine import SetRef
from kubenode.core.model.meta import FINALIZER
from kubenode.core.wire import dump
from kubenode.runtime.controller.wiring import controllers
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.embed.definitions import Definitions
from kubenode.runtime.engine.loop import Decided, Synced
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Record
from kubenode.runtime.record.codec import read, write
from kubenode.runtime.survey import survey
from tests.core.machineset.world import machine, owner
from tests.runtime.embed.world import nothing_left, until

NOW = m.Now(wall=datetime(2026, 3, 2, tzinfo=UTC), elapsed=0)


class Defining(EmbeddedStore):
    """A store whose kinds are defined by objects, with a set of two machines; the test gives the answers."""

    def __init__(self) -> None:
        made = owner(2)
        ours = SetRef(name=made.metadata.name, uid=made.metadata.uid)
        machines = [
            attrs.evolve(one, metadata=attrs.evolve(one.metadata, finalizers=("test/keeps",)),
                         spec=attrs.evolve(one.spec, set_ref=ours))
            for one in (machine("a"), machine("b"))
        ]  # fmt: skip
        super().__init__([made, *machines], cel=False)
        self.answers: asyncio.Queue[bool | Exception] = asyncio.Queue()
        self.asked = 0

    async def leaves(self, kind: type[m.Object]) -> bool:
        """Answer as the test says."""
        if kind is m.Machine:
            return False
        self.asked += 1
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def go(self) -> None:
        """Delete the set."""
        await self.delete(m.MachineSet.KIND, "pool")

    @property
    def going(self) -> int:
        """How many machines are being deleted."""
        return sum(one.metadata.deletion_timestamp is not None for one in self.objects(m.Machine))

    def said(self, type: str) -> str:
        """Give the reason of a condition of the set."""
        found = find(self.objects(m.MachineSet)[0].status.conditions, type)
        return found.reason if found is not None else ""


def test_nothing_is_deleted_before_the_server_has_said_no() -> None:
    """It is asked once a set; who stays is not asked about."""

    async def run() -> None:
        store = Defining()
        with nothing_left():
            async with Engine(store, plugins=Plugins(), controllers={"machineset"}) as engine:
                await engine.settled()
                assert store.asked == 0
                await store.go()
                await until(lambda: store.said("Scaled") == "Deleting")
                assert (store.asked, store.going) == (1, 0)
                store.answers.put_nowait(False)
                await until(lambda: store.going == 2)
                assert store.asked == 1

    asyncio.run(run())


def test_a_set_of_a_crd_that_leaves_is_held_and_the_answer_is_recorded() -> None:
    """The recording alone gives the same decisions again."""

    async def run() -> None:
        store = Defining()
        kept: list[Record] = []
        async with Engine(
            store, plugins=Plugins(), controllers={"machineset"}, sinks={"kept": kept.append}
        ) as engine:
            await store.go()
            store.answers.put_nowait(True)
            await until(lambda: store.said("MassDelete") == "MachinesLost")
            await engine.settled()
            assert store.going == 0
            (one,) = store.objects(m.MachineSet)
            assert one.status.lost == 2
        assert {record.snapshot.crd_leaving for record in kept} >= {None, True}
        for record in kept:
            raw = write(record.snapshot, MachineSetSnapshot)
            assert decide(read(raw, MachineSetSnapshot), record.policy) == record.decision
            del raw["crd_leaving"]  # as in a recording from before it was asked
            assert read(raw, MachineSetSnapshot).crd_leaving is False

    asyncio.run(run())


def test_an_engine_that_ends_waits_for_no_answer() -> None:
    """Neither a task nor a deletion is left."""

    async def run() -> None:
        store = Defining()
        with nothing_left():
            async with Engine(store, plugins=Plugins(), controllers={"machineset"}):
                await store.go()
                await until(lambda: store.asked == 1)
        assert store.going == 0

    asyncio.run(run())


def test_a_question_that_failed_is_asked_again_and_another_set_is_another_question() -> None:
    """No answer is no no; nor does the answer about a set of that name that is gone count."""

    async def run() -> None:
        store = Defining()
        stirred: list[str] = []
        failed: list[object] = []
        asks = Definitions(
            store,
            kind=m.MachineSet,
            stir=stirred.append,
            ended=lambda task: failed.append(task.cancelled() or task.exception()),
            name="t",
            again=0.001,
        )
        first = owner()
        assert asks("pool", first) is None
        assert asks.busy
        store.answers.put_nowait(ServerFailed("away"))
        await until(lambda: store.asked == 2)
        assert asks("pool", first) is None
        store.answers.put_nowait(False)
        await until(lambda: stirred)
        assert (stirred, asks("pool", first), asks.busy) == (["pool"], False, False)
        second = attrs.evolve(first, metadata=attrs.evolve(first.metadata, uid="uid-second"))
        assert asks("pool", second) is None
        await until(lambda: store.asked == 3)
        assert asks("pool", None) is None
        assert not asks.busy
        await until(lambda: len(failed) == 2)
        assert failed == [None, True]
        await asks.end()

    asyncio.run(run())


@pytest.mark.parametrize(("answer", "deferred"), [(False, False), (True, True), (ServerFailed("no"), True)])
def test_a_survey_asks_too(answer: bool | Exception, deferred: bool) -> None:
    """Who explains a live cluster sees what the controller would decide."""

    async def run() -> None:
        store = Defining()
        await store.go()
        store.answers.put_nowait(answer)
        records = await survey(store, Plugins(), NOW)
        (decision,) = [one.decision for one in records if one.controller == "machineset"]
        assert decision.deferred is deferred

    asyncio.run(run())


def test_a_store_without_crds_is_not_asked() -> None:
    """Its sets leave at once."""
    asks = Definitions(EmbeddedStore(cel=False), kind=m.MachineSet, stir=print, ended=print, name="t")
    assert asks("pool", owner()) is False


@pytest.mark.parametrize(
    ("answer", "said"),
    [(False, ""), (None, "whether the CRD of Machines is being deleted"), (True, "the CRD of Machines is being deleted")],
)  # fmt: skip
@pytest.mark.parametrize("policy", m.DeletionPolicy)
def test_a_machine_that_goes_with_its_crd_is_not_terminated(
    answer: bool | None, said: str, policy: m.DeletionPolicy
) -> None:
    """Nobody who deletes a definition means the hosts; and what is not known is not begun."""
    asked: list[str] = []

    def leaving(key: str, leaver: m.Object | None) -> bool | None:
        asked.append(key)
        return answer

    stamp = datetime(2026, 3, 1, tzinfo=UTC)
    one = m.Machine(
        metadata=m.ObjectMeta(name="m1", uid="u", resource_version="5", finalizers=(FINALIZER,), deletion_timestamp=stamp),
        spec=m.MachineSpec(infrastructure=m.Infrastructure(provider="memory"), deletion_policy=policy),
        status=m.MachineStatus(instance=m.InstanceStatus(
            step=m.InstanceStep.MADE, provider="memory", attempt=1, token="t", id="i-1",
        )),
    )  # fmt: skip
    decided: list[Decided] = []
    engine = controllers(Plugins(), decided.append, machines_leaving=leaving)
    listed = {m.Machine: (dump(one),)}
    engine.step(tuple(Synced(kind=kind, items=listed.get(kind, ()), version=9) for kind in m.WATCHED), NOW)
    (seen,) = [
        each.question.snapshot
        for each in decided
        if str(each.key) == "machine/m1" and each.question is not None
    ]
    terminates = policy is m.DeletionPolicy.TERMINATE
    assert seen.barred.startswith(said) if terminates else seen.barred == ""
    assert (seen.barred != "") == (terminates and answer is not False)
    assert bool(asked) == terminates
