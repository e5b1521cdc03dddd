"""Inspections of an engine: hooks are asked about a closed batch, and nobody waits for them in the loop."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.byhand import make_machine, make_node
from kubenode.core.errors import PluginError
from kubenode.core.inspection import Answer, Awaited, Fail, Inconclusive, InspectionRequest, Pass
from kubenode.runtime.embed import EmbeddedStore, Engine, NotSettled
from kubenode.runtime.embed.asking import THREADS
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Record, Recorder, Recording, replay
from tests.runtime.embed.world import PATIENCE, SINCE, nothing_left, until

OPENED, CLOSED = datetime(2026, 3, 2, 10, tzinfo=UTC), datetime(2026, 3, 2, 10, 5, tzinfo=UTC)
ROLLOUT = {"rollout"}


@attrs.frozen(kw_only=True)
class Params:
    """What a hook says."""

    word: str = "x"
    most: int = 1


@attrs.frozen
class Asks:
    """An inspector that hands the question on."""

    ask: Callable[[InspectionRequest[Params]], Any]
    name: str = "asks"
    params: type[Params] = Params

    def inspect(self, request: InspectionRequest[Params], /) -> Answer:
        """Ask."""
        answer: Answer = self.ask(request)
        return answer


def hook(name: str = "errors", inspector: str = "asks", **more: Any) -> m.InspectionHook:
    """Give a hook."""
    return m.InspectionHook(name=name, inspector=inspector, **more)


def machine(name: str, revision: int) -> tuple[m.Node, m.Machine]:
    """Make a machine that is at a revision of the set."""
    node = make_node(name, zone="a")
    made = make_machine(node, since=SINCE)
    entry = m.ComponentEntry(set="kubelets", component=f"kubelet-{revision}", revision=str(revision))
    report = m.ComponentReport(
        component=entry.component, revision=entry.revision, config=m.ConfigState.CURRENT, state=entry.state
    )
    return node, attrs.evolve(
        made,
        spec=attrs.evolve(made.spec, components={"kubelet": entry}),
        status=attrs.evolve(made.status, agent=m.AgentStatus(components={"kubelet": report})),
    )


def closed(*hooks: m.InspectionHook, name: str = "kubelets", **batch: Any) -> m.MachineComponentSet:
    """Make a set whose first batch has closed: n1 is updated, n2 and n3 are not."""
    member = m.Member(name="n1", uid="uid-machine-n1", op_id="rollout-x", state=m.MemberState.UPDATED)
    return m.MachineComponentSet(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}", resource_version="1"),
        spec=m.MachineComponentSetSpec(
            name="kubelet", component="kubelet-2", rollout=m.Rollout(inspection=m.Inspection(hooks=hooks))
        ),
        status=m.MachineComponentSetStatus(
            current=m.Revision(number=1, component="kubelet-1"), update=m.Revision(number=2, component="kubelet-2"),
            total=3, batch=m.Batch(number=1, opened_at=OPENED, closed_at=CLOSED, members=(member,), **batch),
        ),
    )  # fmt: skip


def cluster(*sets: m.MachineComponentSet) -> EmbeddedStore:
    """Make a cluster of three machines."""
    spec = m.MachineComponentSpec(version="2", driver="package")
    components = (
        m.MachineComponent(metadata=m.ObjectMeta(name=f"kubelet-{n}", uid=f"c{n}"), spec=spec) for n in (1, 2)
    )
    machines = (*machine("n1", 2), *machine("n2", 1), *machine("n3", 1))
    return EmbeddedStore([*machines, *components, *sets], cel=False)


def of(store: EmbeddedStore, name: str = "kubelets") -> m.MachineComponentSet:
    """Give the set as it stands."""
    return next(one for one in store.objects(m.MachineComponentSet) if one.metadata.name == name)


def said(store: EmbeddedStore) -> tuple[str, str]:
    """Give reason and message."""
    (condition,) = (one for one in of(store).status.conditions if one.type == "Progressing")
    return condition.reason, condition.message


def settled(store: EmbeddedStore, *inspectors: Asks, **more: Any) -> list[Record]:
    """Run to the end; give the decisions."""
    records: list[Record] = []
    engine = Engine(
        store, plugins=Plugins.discover(inspections=inspectors), sinks={"seen": records.append}, controllers=ROLLOUT, **more
    )  # fmt: skip
    with nothing_left():
        engine.run_until_settled()
    return records


def test_what_is_asked_says_which_batch_and_which_machines() -> None:
    """Once; a pass opens the next batch."""
    asked: list[InspectionRequest[Params]] = []

    def ask(request: InspectionRequest[Params]) -> Answer:
        asked.append(request)
        return Pass(text="well")

    store = cluster(closed(hook(parameters={"word": "rate", "most": 3})))
    settled(store, Asks(ask))
    (one,) = asked
    assert (one.name, one.set, one.component, one.revision, one.batch) == (
        "errors",
        "kubelets",
        "kubelet-2",
        2,
        1,
    )
    assert (one.machines, one.nodes, one.params) == (("n1",), ("n1",), Params(word="rate", most=3))
    assert (one.opened_at, one.since, one.observed) == (OPENED, CLOSED, True)
    assert abs(one.now - datetime.now(UTC)) < timedelta(minutes=1)
    status = of(store).status
    assert [record.number for record in status.batches] == [1]
    assert status.batch is not None
    assert status.batch.number == 2


def test_a_failure_stands_in_the_status_and_the_next_engine_asks_nothing() -> None:
    """With its words, its time and what was asked."""
    asked = 0

    def ask(_: Any) -> Answer:
        nonlocal asked
        asked += 1
        return Fail(text="9 > 1")

    store = cluster(closed(hook()))
    settled(store, Asks(ask))
    reason, message = said(store)
    assert (reason, message.partition(";")[0], asked) == ("InspectionFailed", "errors failed: 9 > 1", 1)
    batch = of(store).status.batch
    assert batch is not None
    (result,) = batch.inspections
    assert (result.name, result.state, result.text, result.observed) == ("errors", m.InspectionState.FAILED, "9 > 1", True)  # fmt: skip
    assert abs(result.since - datetime.now(UTC)) < timedelta(minutes=1)
    settled(store, Asks(ask))
    assert asked == 1
    assert said(store) == (reason, message)


def raising(_: Any) -> Answer:
    """Fail."""
    raise LookupError("no such metric")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (raising, "asks raised LookupError: no such metric"),
        (lambda _: None, "asks answered with NoneType, which is no Pass(), Fail(...) or Inconclusive(...)"),
        (lambda _: True, "asks answered with bool, which is no Pass()"),
        (lambda _: Pass, "asks answered with Pass, which is no Pass()"),
        (lambda _: Fail(text=7), "asks raised InvalidObjectError: text: 7 is no text"),
        (lambda _: Inconclusive(text="no data \ud800 \x00"), "no data ? \x00"),
        (lambda _: Inconclusive(text="y" * 10_000), "y" * 200 + "; is asked again"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_inconclusive_in_its_name(ask: Any, words: str) -> None:
    """Silence must be safe: a typo lets nothing through."""
    store = cluster(closed(hook()))
    settled(store, Asks(ask))
    reason, message = said(store)
    assert reason == "HookInconclusive"
    assert message.startswith(f"errors cannot tell: {words}")
    assert of(store).status.batches == ()


def test_an_inspection_that_is_late_is_inconclusive_and_its_call_is_named(caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """The engine goes on meanwhile, and the others are heard; what it says later counts no more."""
    free = threading.Event()

    def hangs(_: Any) -> Answer:
        free.wait(PATIENCE)
        return Pass()

    store = cluster(closed(hook("slow", "hangs", timeout=timedelta(seconds=1)), hook("quick", "asks")))

    async def host() -> None:
        plugins = Plugins.discover(inspections=[Asks(hangs, name="hangs"), Asks(lambda _: Pass())])
        with nothing_left():
            async with Engine(store, plugins=plugins, controllers=ROLLOUT) as engine:
                await engine.settled()
                batch = of(store).status.batch
                assert batch is not None
                assert [(one.name, one.state.value) for one in batch.inspections] == [("slow", "Inconclusive"), ("quick", "Passed")]  # fmt: skip
                free.set()
                await asyncio.sleep(0.05)
                await engine.settled()

    asyncio.run(host())
    assert said(store)[0] == "HookInconclusive"
    assert said(store)[1].startswith(
        "slow cannot tell: hangs gave no answer within 1 s; is asked again after 1m"
    )
    assert caplog.text == ""


def test_a_call_that_never_returns_is_left_behind_by_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing waits for it no longer than it has to."""
    monkeypatch.setattr("kubenode.runtime.embed.engine.GRACE", timedelta(seconds=0.05))
    free = threading.Event()

    def hangs(_: Any) -> Answer:
        free.wait(PATIENCE)
        return Pass()

    store = cluster(closed(hook("slow", timeout=timedelta(seconds=1))))
    Engine(
        store, plugins=Plugins.discover(inspections=[Asks(hangs)]), controllers=ROLLOUT
    ).run_until_settled()
    assert (
        "event=call-never-returned engine=kubenode call='inspection slow (asks) of kubelets'" in caplog.text
    )
    free.set()


def test_no_inspection_is_waited_for_in_the_loop_of_the_host() -> None:
    """While one thinks, the host works, and the set says whom it waits for."""
    free = threading.Event()

    def slow(_: Any) -> Answer:
        free.wait(PATIENCE)
        return Pass()

    async def host() -> None:
        store = cluster(closed(hook()))
        records: list[Record] = []
        engine = Engine(
            store, plugins=Plugins.discover(inspections=[Asks(slow)]), sinks={"seen": records.append}, controllers=ROLLOUT
        )  # fmt: skip
        async with engine:
            await until(lambda: of(store).status.conditions and said(store)[0] == "Inspecting")
            with pytest.raises(NotSettled, match="inspections have not answered yet"):
                await engine.settled(timedelta(seconds=0.05))
            free.set()
            await engine.settled()
            assert [record.number for record in of(store).status.batches] == [1]
        given = [record.snapshot.inspections.get("errors") for record in records]
        assert any(isinstance(one, Awaited) for one in given)

    asyncio.run(host())


def test_more_questions_than_threads_wait_for_their_turn_and_then_say_so() -> None:
    """One that hangs does so in four threads and no more; a fifth set hears that it could not be asked."""
    free, asked = threading.Event(), list[str]()

    def hangs(request: InspectionRequest[Params]) -> Answer:
        asked.append(request.set)
        free.wait(PATIENCE)
        return Pass()

    names = [f"set-{number}" for number in range(THREADS + 1)]
    store = cluster(*(closed(hook(timeout=timedelta(seconds=1)), name=name) for name in names))

    async def host() -> None:
        plugins = Plugins.discover(inspections=[Asks(hangs)])
        with nothing_left():
            async with Engine(store, plugins=plugins, controllers=ROLLOUT) as engine:
                await engine.settled()
                assert len(asked) == THREADS
                free.set()

    asyncio.run(host())
    texts = sorted(
        one.text.partition(":")[0] for name in names
        for one in (of(store, name).status.batch or pytest.fail("no batch")).inspections
    )  # fmt: skip
    assert texts == ["asks could not be asked within 1 s", *["asks gave no answer within 1 s"] * THREADS]


def test_a_set_that_goes_is_waited_for_no_longer() -> None:
    """Its answer is nobody's."""
    free = threading.Event()

    def slow(_: Any) -> Answer:
        free.wait(PATIENCE)
        return Fail(text="x")

    async def host() -> None:
        store = cluster(closed(hook()))
        async with Engine(
            store, plugins=Plugins.discover(inspections=[Asks(slow)]), controllers=ROLLOUT
        ) as engine:
            await until(lambda: of(store).status.conditions)
            await store.delete(m.MachineComponentSet.KIND, "kubelets")
            await engine.settled()
            free.set()

    asyncio.run(host())


@pytest.mark.parametrize(
    ("asked", "reason", "message"),
    [
        (hook(inspector="promteheus"), "PluginMissing", "inspection errors: inspector promteheus: no plugin brings the inspection 'promteheus'; known: asks, prometheus"),
        (hook(parameters={"most": "many"}), "ParametersInvalid", "inspection errors: inspector asks: parameters: must be a whole number, not text @ $.most"),
        (hook(parameters={"mots": 1, "word": "x"}), "ParametersInvalid", "inspection errors: inspector asks: parameters: extra fields found (mots) @ $"),
    ],
)  # fmt: skip
def test_a_hook_that_cannot_be_asked_pauses_the_rollout(asked: m.InspectionHook, reason: str, message: str) -> None:  # fmt: skip
    """Named, with the fix; the others are not asked in vain, and nothing is opened."""
    store = cluster(closed(asked))
    settled(store, Asks(lambda _: Pass()))
    assert said(store) == (reason, message)
    assert of(store).status.phase == "Paused"
    assert of(store).status.batches == ()


def test_the_answers_are_recorded_and_replayed_without_asking(tmp_path: Path) -> None:
    """They are inputs: nobody is called, and all is decided as then."""
    answers: list[Answer] = [Inconclusive(text="no data"), Fail(text="9 > 1"), Pass(text="1 <= 1")]
    asked = 0

    def ask(request: InspectionRequest[Params]) -> Answer:
        nonlocal asked
        asked += 1
        return answers[int(request.params.word)]

    path = tmp_path / "monday.knrec"
    hooks = [hook(f"h{number}", parameters={"word": str(number)}) for number in range(3)]
    with Recorder(path) as recorder:
        plugins = Plugins.discover(inspections=[Asks(ask)], sinks={"recording": recorder})
        Engine(cluster(closed(*hooks, hook("gone", "gone"))), plugins=plugins, controllers=ROLLOUT).run_until_settled()  # fmt: skip
    assert asked == 3
    assert replay(path).changes == ()
    assert asked == 3
    given = [one for record in Recording.load(path).records for one in record.snapshot.inspections.values()]
    assert [answer in given for answer in answers] == [True] * 3
    assert any(type(one).__name__ == "Problem" for one in given)


def test_without_hooks_no_thread_is_made_and_nothing_recorded() -> None:
    """A set that asks nobody goes on at once."""
    store = cluster(closed())
    records = settled(store, Asks(raising))
    assert all(record.snapshot.inspections == {} for record in records)
    assert [record.number for record in of(store).status.batches] == [1]


@attrs.frozen
class Other(Asks):
    """Stands in for what is installed."""

    name: str = "prometheus"


def test_an_inspection_that_is_given_stands_in_for_the_installed_one_of_its_name() -> None:
    """As with every other driver; what is none is told at once."""
    mine = Other(lambda _: Pass())
    found = Plugins.discover(inspections=[mine])
    assert found.inspections == {"prometheus": mine}
    assert found.origins["inspections/prometheus"] == "arguments"
    with pytest.raises(PluginError, match=r"inspections\[0\]: Asks is a class, not a driver"):
        Plugins.given(inspections=[Asks])  # type: ignore[list-item]
