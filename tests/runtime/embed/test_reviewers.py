"""Reviewers of an engine: a permit asked is reviewed before it is granted, and nobody waits for them."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.review import Allow, Deny, Narrow, PermitRequest, Review, Reviewer
from kubenode.runtime.embed import EmbeddedStore, Engine, NotSettled, Record
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Recorder, Recording, replay
from kubenode.runtime.sim.run import Simulation
from tests.runtime.embed.world import (
    LEDGER,
    PATIENCE,
    REBOOT,
    granted,
    hung_cluster,
    nothing_left,
    sick,
    until,
    well,
)


def settled(
    store: EmbeddedStore, *, within: timedelta = timedelta(seconds=5), **reviewers: Reviewer
) -> list[Record]:
    """Run to the end under some reviewers; give the decisions about permits."""
    records: list[Record] = []
    engine = Engine(
        store, plugins=Plugins.discover(reviewers=reviewers), sinks={"seen": records.append}, review_within=within
    )  # fmt: skip
    with nothing_left():
        engine.run_until_settled()
    return [record for record in records if record.controller == "risk"]


def refusal(records: list[Record]) -> str:
    """Give the note of the last decision about permits."""
    return records[-1].decision.notes[0].text


def test_what_is_asked_says_who_where_and_why() -> None:
    """Once: the answer is remembered while the permit is not granted."""
    asked: list[PermitRequest] = []

    def allow(request: PermitRequest) -> Review:
        asked.append(request)
        return Allow()

    store = hung_cluster(REBOOT)
    settled(store, freeze=allow)
    assert granted(store) == ["n1"]
    (request,) = asked
    (job,) = store.objects(m.RemedyOperationJob)
    assert request.op_id == job.status.attempts[-1].op_id
    assert (request.machine, request.zone, request.cause, request.remedier, request.sets) == (
        "n1", "a", m.Cause.REMEDY, "hung-task", (),
    )  # fmt: skip
    assert abs(request.now - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_veto_is_a_decision_with_its_reason() -> None:
    """No permit, no operation; and the last word names the reviewer."""
    store = hung_cluster(REBOOT)
    until_then = datetime.now(UTC) + timedelta(hours=1)
    records = settled(store, freeze=lambda _: Deny(reason="change freeze", until=until_then))
    assert granted(store) == []
    assert refusal(records) == f"n1: reviewer freeze: change freeze, until {until_then.isoformat()}"
    assert not any(one.spec.operation for one in store.objects(m.Machine))


def test_a_veto_gives_the_time_at_which_to_come_again() -> None:
    """For cron."""
    store = hung_cluster(REBOOT)
    then = datetime.now(UTC) + timedelta(seconds=42)
    plugins = Plugins.discover(reviewers={"freeze": lambda _: Deny(reason="later", until=then)})
    again = Engine(store, plugins=plugins, controllers={"risk", "remedy", "machine"}).run_until_settled()
    assert again is not None
    assert abs(again - then) < timedelta(milliseconds=2)


def test_at_its_end_a_veto_is_asked_again() -> None:
    """Nothing else has happened; the permit is granted when the reviewer allows it."""
    answers: list[Review] = []

    def freeze(request: PermitRequest) -> Review:
        answers.append(Allow() if answers else Deny(reason="later", until=request.now + timedelta(seconds=0.3)))  # fmt: skip
        return answers[-1]

    async def host() -> None:
        store = hung_cluster(REBOOT)
        async with Engine(store, plugins=Plugins.discover(reviewers={"freeze": freeze})):
            await until(lambda: granted(store) == ["n1"])
        assert [type(one) for one in answers] == [Deny, Allow]

    asyncio.run(host())


def raising(_: PermitRequest) -> Review:
    """Fail."""
    raise LookupError("no calendar")


@pytest.mark.parametrize(
    ("reviewer", "said"),
    [
        (raising, "n1: reviewer freeze: raised LookupError: no calendar"),
        (lambda _: None, "n1: reviewer freeze: answered with NoneType, which is no Allow(), Narrow(...) or Deny(...)"),
        (lambda _: True, "n1: reviewer freeze: answered with bool, which is no Allow(), Narrow(...) or Deny(...)"),
        (lambda _: Allow, "n1: reviewer freeze: answered with Allow, which is no Allow(), Narrow(...) or Deny(...)"),
        (lambda _: Deny(reason="x", until=datetime(2026, 3, 2)), "n1: reviewer freeze: raised InvalidObjectError: until: 2026-03-02T00:00:00 has no time zone"),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_deny_in_its_name(reviewer: Any, said: str) -> None:
    """Silence must be safe: a typo allows nothing."""
    store = hung_cluster(REBOOT)
    assert refusal(settled(store, freeze=reviewer)).startswith(said)
    assert granted(store) == []


def test_a_reviewer_that_is_late_has_denied_and_its_call_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The engine goes on meanwhile, and the others are heard."""
    free = threading.Event()

    def hangs(_: PermitRequest) -> Review:
        free.wait(PATIENCE)
        return Allow()

    records: list[Record] = []

    async def host() -> None:
        store = hung_cluster(REBOOT)
        plugins = Plugins.discover(reviewers={"hangs": hangs, "quick": lambda _: Allow()})
        engine = Engine(
            store, plugins=plugins, sinks={"seen": records.append}, review_within=timedelta(seconds=0.1)
        )
        with nothing_left():
            async with engine:
                await engine.settled()
                assert granted(store) == []
                free.set()

    asyncio.run(host())
    risk = [record for record in records if record.controller == "risk"]
    assert refusal(risk) == "n1: reviewer hangs: gave no answer within 0.1 s"
    said = {
        one.reviewer: one.review for record in risk[-1:] for one in next(iter(record.snapshot.reviews.values()))
    }  # fmt: skip
    assert said == {"hangs": Deny(reason="gave no answer within 0.1 s"), "quick": Allow()}
    assert caplog.text == ""


def test_no_reviewer_is_waited_for_in_the_loop_of_the_host() -> None:
    """While one thinks, the host works, and the permit is refused as not answered yet."""
    free = threading.Event()

    def slow(_: PermitRequest) -> Review:
        free.wait(PATIENCE)
        return Allow()

    async def host() -> None:
        store = hung_cluster(REBOOT)
        records: list[Record] = []
        engine = Engine(
            store, plugins=Plugins.discover(reviewers={"slow": slow}), sinks={"seen": records.append}
        )
        async with engine:
            await until(
                lambda: any("has not answered yet" in note.text for one in records for note in one.decision.notes)
            )  # fmt: skip
            with pytest.raises(NotSettled, match="reviewers have not answered yet"):
                await engine.settled(timedelta(seconds=0.05))
            assert granted(store) == []
            free.set()
            await engine.settled()
            assert granted(store) == ["n1"]

    asyncio.run(host())


def test_a_reviewer_narrows_what_is_in_flight() -> None:
    """Two machines hang, and one at a time is healed."""
    many = [one for name in ("n1", "n2") for one in sick(name)]
    calm = [one for number in range(3, 60) for one in well(f"n{number}")]
    free = [LEDGER, REBOOT, *many, *calm]
    store = EmbeddedStore(free, cel=False)
    settled(store)
    assert len(granted(store)) == 1  # repairs of a remedier begin one at a time
    wide = m.RiskPolicy(
        metadata=m.ObjectMeta(name="wide"),
        spec=m.RiskPolicySpec(
            limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(9)),), repair_width=m.RepairWidth(first=9)
        ),
    )  # fmt: skip
    both = EmbeddedStore([*free, wide], cel=False)
    settled(both)
    assert sorted(granted(both)) == ["n1", "n2"]
    store = EmbeddedStore([*free, wide], cel=False)
    records = settled(store, exams=lambda _: Narrow(in_flight=1, reason="exam week"))
    assert len(granted(store)) == 1
    assert refusal(records).endswith("reviewer exams: exam week: 1 in flight, limit 1")


def test_the_answers_are_recorded_and_replayed_without_asking(tmp_path: Path) -> None:
    """They are inputs: nobody is called, and all is decided as then."""
    asked = 0

    def freeze(_: PermitRequest) -> Review:
        nonlocal asked
        asked += 1
        return Deny(reason="change freeze")

    path = tmp_path / "monday.knrec"
    with Recorder(path) as recorder:
        plugins = Plugins.discover(reviewers={"freeze": freeze}, sinks={"recording": recorder})
        Engine(hung_cluster(REBOOT), plugins=plugins).run_until_settled()
    before = asked
    assert before > 0
    assert replay(path).changes == ()
    assert asked == before
    answers = [
        one.review
        for record in Recording.load(path).records
        for found in getattr(record.snapshot, "reviews", {}).values()
        for one in found
    ]
    assert Deny(reason="change freeze") in answers


def test_in_the_simulator_reviewers_are_asked_in_place() -> None:
    """On virtual time, so that a story comes out the same every time."""
    asked: list[datetime] = []

    def freeze(request: PermitRequest) -> Review:
        asked.append(request.now)
        end = simulation.time.wall().replace(hour=2)
        return Deny(reason="night", until=end) if request.now < end else Allow()

    simulation = Simulation(seed=0, plugins=Plugins.discover(reviewers={"night": freeze}))
    from kubenode.runtime.sim.host import HostSpec

    for number in range(5):
        simulation.add_host(HostSpec(machine=f"n{number}", node=f"node-{number}", zone="a"))
        host = m.MachineSpec(host=m.Host(address="10.0.0.1"))
        simulation.create(m.Machine(metadata=m.ObjectMeta(name=f"n{number}"), spec=host))
    simulation.create(REBOOT)
    simulation.rest(limit=timedelta(minutes=10))
    from kubenode.runtime.sim.stories.hung import kernel_lines

    simulation.hosts["n0"].hang(kernel_lines())
    simulation.run_until(lambda: not simulation.hosts["n0"].hung, limit=timedelta(hours=12))
    assert not simulation.hosts["n0"].hung
    assert min(asked) < asked[-1]
    assert asked[-1].hour == 2


def test_without_reviewers_nothing_is_reviewed() -> None:
    """No thread, and no word of it in what is recorded."""
    store = hung_cluster(REBOOT)
    assert all(record.snapshot.reviews == {} for record in settled(store))
    assert granted(store) == ["n1"]
