"""The host doctor on a simulated cloud: what it tells becomes a condition of the Node, and the workload goes before the event."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.capability import CloudEvent, EventState, Impact, SupportsEvents
from kubenode.core.decision import ConfirmEvent, RebootInstance
from kubenode.core.errors import AuthFailed, Problem, Throttled
from kubenode.core.hookspecs import Page
from kubenode.core.policy import Policy
from kubenode.core.remedy.case import Planned
from kubenode.core.step import RestartInstance
from kubenode.runtime.controller.remedy import planned
from kubenode.runtime.engine.apply import CrashPoint
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.observe.calls import PAGES, Failure, made
from kubenode.runtime.observe.events import INTERVAL, Events, Poll, poll
from kubenode.runtime.observe.launches import Launches
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.cloud import CloudFault, EventfulCloud
from kubenode.runtime.sim.process import SimulatedCrash
from kubenode.runtime.sim.run import CONTROLLER, Simulation
from kubenode.runtime.sim.workload import App, Apps
from kubenode.runtime.store.embedded import now_or_never
from tests.runtime.test_clouds import delete, lax, machine, read

LONG = timedelta(hours=3)
SOON = timedelta(minutes=2)
MINUTE = 60 * 10**9


class World:
    """Machines that run on a cloud that tells events."""

    def __init__(self, machines: int = 2, *objects: m.Object, **spec: Any) -> None:
        self.sim = Simulation(cloud=EventfulCloud)
        assert isinstance(self.sim.cloud, EventfulCloud)
        self.cloud = self.sim.cloud
        self.names = [f"c{number}" for number in range(1, machines + 1)]
        self.decided: Counter[str] = Counter()
        self.acted: Counter[str] = Counter()
        self.apps = Apps(self.sim)
        self.sim.listen(self._note)
        for obj in (lax(), *objects, *(machine(name, **spec) for name in self.names)):
            self.sim.create(obj)
        phases = ("Running",) * machines
        assert self.sim.run_until(
            lambda: tuple(read(self.sim, name).status.phase for name in self.names) == phases, limit=LONG
        )
        self.go(SOON)

    def _note(self, decided: Decided) -> None:
        if decided.key.controller == "doctor":
            self.decided[decided.key.name] += 1
            self.acted[decided.key.name] += bool(decided.acts)

    def go(self, length: timedelta) -> None:
        """Let time pass."""
        self.sim.run_until(lambda: False, limit=length)

    def until(self, done: Callable[[], bool], limit: timedelta = LONG) -> None:
        """Let time pass until something is so."""
        assert self.sim.run_until(done, limit=limit)

    def instance(self, name: str = "c1") -> str:
        """The id of a machine's instance."""
        found = read(self.sim, name).status.instance
        assert found is not None
        return found.id

    def plan(self, name: str = "c1", id: str = "e-1", hours: int = 24, **given: Any) -> CloudEvent:
        """Let the cloud plan something for a machine's instance; give the event."""
        event = CloudEvent(**{
            "id": id, "instance": self.instance(name), "type": "instance-reboot", "impact": Impact.REBOOT,
            "state": EventState.SCHEDULED, "not_before": self.wall + timedelta(hours=hours), **given,
        })  # fmt: skip
        self.cloud.tell(event)
        return event

    @property
    def wall(self) -> datetime:
        """The time, in whole seconds."""
        return self.sim.time.wall().replace(microsecond=0)

    def node(self, name: str = "c1") -> m.Node:
        """A machine's Node."""
        return wire.read(now_or_never(self.sim.store.get(m.Node.KIND, f"node-{name}")), m.Node)

    def said(self, name: str = "c1", type: str = "CloudMaintenance") -> tuple[str, str]:
        """Status and reason of a condition of the Node; empty when there is none."""
        found = (one for one in self.node(name).status.conditions if one.type == type)
        return next(((one.status.value, one.reason) for one in found), ("", ""))


def test_an_event_is_a_condition_of_its_node_and_of_no_other() -> None:
    """With the event's id and time for people, and in the record for programs; the other Node is not written."""
    world = World()
    other = world.node("c2")
    event = world.plan()
    world.go(SOON)
    assert world.said() == ("True", "RebootPlanned")
    found = next(one for one in world.node().status.conditions if one.type == "CloudMaintenance")
    assert event.not_before is not None
    assert found.message == (
        f"{event.instance}: instance-reboot, event e-1, scheduled, not before {event.not_before:%Y-%m-%dT%H:%M:%SZ}"
    )
    told = read(world.sim).status.cloud_events
    assert told is not None
    [record] = told.open
    assert (record.id, record.not_before, told.instance) == ("e-1", event.not_before, event.instance)
    assert world.node("c2") == other
    assert read(world.sim, "c2").status.cloud_events is None


@pytest.mark.parametrize("state", [EventState.AVOIDED, EventState.EXECUTED, EventState.CANCELED])
def test_it_closes_when_the_cloud_says_so(state: EventState) -> None:
    """The poll shows it no longer, and the question what became of it is answered: one poll is enough."""
    world = World()
    world.plan()
    world.go(SOON)
    world.cloud.finish("e-1", state)
    world.go(SOON)
    assert world.said() == ("False", "EventOver")


def test_a_list_that_is_empty_once_changes_nothing() -> None:
    """Nor does the same event, when it is shown again."""
    world = World()
    world.plan()
    world.go(SOON)
    before, polls = world.node(), world.cloud.calls["events"]
    [event] = world.cloud.shown.values()
    world.cloud.shown.clear()
    world.until(lambda: world.cloud.calls["events"] == polls + 1)
    world.cloud.tell(event)
    world.go(LONG)
    assert world.node() == before


def test_what_nobody_knows_any_more_is_over_after_ten_minutes_of_polls() -> None:
    """And says that it is only not told any more."""
    world = World()
    world.plan()
    world.go(SOON)
    world.cloud.shown.clear()
    world.go(timedelta(minutes=9))
    assert world.said() == ("True", "RebootPlanned")
    world.go(timedelta(minutes=4))
    assert world.said() == ("False", "EventUnlisted")


@pytest.mark.parametrize("fails", [{"events"}, {"ended_events"}, {"events", "ended_events"}])
def test_a_poll_that_fails_changes_nothing_however_long(fails: set[str]) -> None:
    """Neither the question that is not answered: what is not shown is then not known to be over (F28, F35)."""
    world = World()
    world.plan()
    world.go(SOON)
    before = world.said(), read(world.sim).status.cloud_events
    world.cloud.choose = lambda what: CloudFault.UNHEARD if what in fails else CloudFault.NONE
    world.cloud.shown.clear()
    world.go(timedelta(minutes=50))
    assert (world.said(), read(world.sim).status.cloud_events) == before
    world.go(LONG)
    assert world.said() == ("True", "RebootPlanned")
    found = next(one for one in world.node().status.conditions if one.type == "CloudMaintenance")
    assert found.message.startswith("as of more than an hour ago")
    world.cloud.choose = lambda _: CloudFault.NONE
    world.go(timedelta(minutes=20))
    assert world.said() == ("False", "EventUnlisted")


def test_a_new_event_is_told_although_what_became_of_another_is_not() -> None:
    """What was shown counts."""
    world = World()
    world.plan()
    world.go(SOON)
    world.cloud.choose = lambda what: CloudFault.UNHEARD if what == "ended_events" else CloudFault.NONE
    world.cloud.shown.clear()
    world.plan("c2", "e-2")
    world.go(SOON)
    assert world.said("c1") == ("True", "RebootPlanned")
    assert world.said("c2") == ("True", "RebootPlanned")


def test_a_controller_that_begins_anew_knows_what_was_open() -> None:
    """From the status: it closes it when the cloud says so, also when that came while nobody looked."""
    world = World()
    world.plan()
    world.go(SOON)
    before = world.said()
    world.cloud.finish("e-1", EventState.AVOIDED)
    world.cloud.choose = lambda what: CloudFault.UNHEARD if what == "events" else CloudFault.NONE
    world.sim.processes[CONTROLLER].start()
    world.go(timedelta(minutes=30))
    assert world.said() == before
    world.cloud.choose = lambda _: CloudFault.NONE
    world.go(timedelta(minutes=10))
    assert world.said() == ("False", "EventOver")


def test_what_was_told_goes_with_the_machine() -> None:
    """One that is released leaves no condition of ours on its Node."""
    world = World(2, deletion_policy=m.DeletionPolicy.RELEASE)
    world.plan()
    world.go(SOON)
    assert world.said() == ("True", "RebootPlanned")
    delete(world.sim)
    world.go(SOON)
    assert world.said() == ("", "")
    assert world.said("c2") == ("", "")


def test_another_instance_begins_with_nothing() -> None:
    """The event was of the one before, which was terminated behind our back."""
    world = World()
    world.plan()
    world.go(SOON)
    before = world.instance()
    world.cloud.end(before)
    world.cloud.finish("e-1", EventState.EXECUTED)
    world.until(lambda: read(world.sim).status.phase == "Running" and world.instance() != before)
    world.go(SOON)
    told = read(world.sim).status.cloud_events
    assert told in (None, m.CloudEvents())
    nodes = [wire.read(raw, m.Node) for raw in world.sim.objects(m.Node)]
    assert {one.type for node in nodes for one in node.status.conditions} == {"Ready"}


class TestCost:
    """Calls and writes follow the number of events."""

    def polls(self, machines: int, events: int) -> tuple[int, int, int]:
        """The calls, decisions and writes of an hour."""
        world = World(machines)
        for number in range(events):
            world.plan(f"c{number + 1}", f"e-{number}")
        world.go(SOON)
        world.cloud.calls.clear()
        world.decided.clear()
        world.acted.clear()
        world.go(timedelta(hours=1))
        assert set(world.decided) == set(world.names[:events])
        return world.cloud.calls["events"], world.decided.total(), world.acted.total()

    def test_a_quiet_hour_costs_sixty_calls_however_many_machines_there_are(self) -> None:
        """And nobody is decided about."""
        assert self.polls(2, 0) == self.polls(40, 0) == (60, 0, 0)

    def test_events_cost_pages_and_nothing_is_written_twice(self) -> None:
        """Two a page here: five events are three calls a poll, and five decisions."""
        assert self.polls(2, 2) == self.polls(20, 2) == (60, 120, 0)
        assert self.polls(20, 5) == (180, 300, 0)

    def test_a_provider_without_events_is_not_asked(self) -> None:
        """The plain one of the simulator; its machines are at rest."""
        sim = Simulation()
        for one in (lax(), machine()):
            sim.create(one)
        assert sim.rest(limit=LONG)
        assert not isinstance(sim.cloud, SupportsEvents)
        assert "events" not in sim.cloud.calls

    def test_a_provider_that_has_no_instance_any_more_is_not_asked(self) -> None:
        """The last machine is gone: nothing is to be known."""
        world = World(1)
        delete(world.sim)
        world.until(lambda: world.sim.objects(m.Machine) == ())
        world.go(SOON)
        world.cloud.calls.clear()
        world.go(LONG)
        assert world.cloud.calls["events"] == 0


RULE = m.NodeRemedier(
    metadata=m.ObjectMeta(name="maintenance"),
    spec=m.NodeRemedierSpec(
        condition=m.ConditionMatch(type="CloudMaintenance", reason="RebootPlanned"),
        ladder=(m.Rung(action="reboot", timeout=timedelta(minutes=10)),),
    ),
)
"""What the documentation shows."""


class Provider:
    """What `poll` is given, as a plugin could make it."""

    def __init__(self, *pages: object) -> None:
        self.pages = list(pages)

    def events(self, cursor: str | None) -> Any:
        """Give the next page, or raise it; the last for ever."""
        page = self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]
        if isinstance(page, Exception):
            raise page
        return page


def shown(id: str, **given: Any) -> CloudEvent:
    """An event."""
    return CloudEvent(id=id, instance="i-1", type="x", **given)


class TestPoll:
    """One poll of a plugin, however wrong it is."""

    def test_all_pages_are_one_poll(self) -> None:
        """An event that is on two pages is one."""
        pages = (Page(items=(shown("a"), shown("b")), cursor="2"), Page(items=(shown("b"),)))
        told = poll(Provider(*pages), (), 5)
        assert told == Poll(began=5, events=(shown("a"), shown("b")))

    @pytest.mark.parametrize(
        ("page", "error"),
        [
            (Throttled("slow down", retry_after=timedelta(seconds=7)), "Throttled"),
            (AuthFailed("who?"), "AuthFailed"),
            (ZeroDivisionError(), "Unavailable"),
            ([shown("a")], "Unavailable"),
            (Page(items=("a",)), "Unavailable"),
            (None, "Unavailable"),
        ],
    )
    def test_what_is_no_poll_is_a_failure(self, page: object, error: str) -> None:
        """Also on its second page: half of a list proves nothing."""
        for pages in ((page,), (Page(items=(shown("a"),), cursor="2"), page)):
            told = poll(Provider(*pages), ("a",), 0)
            assert isinstance(told, Failure)
            assert told.error == error

    def test_pages_without_end_are_a_failure(self) -> None:
        """So many, and not one more."""
        told = poll(Provider(Page(items=(), cursor="again")), (), 0)
        assert told == Failure(error="Unavailable", text=f"events() gave more than {PAGES} pages")
        assert isinstance(
            poll(Provider(*[Page(items=(), cursor="x")] * (PAGES - 1), Page(items=())), (), 0), Poll
        )

    def test_what_became_of_events_is_asked_a_hundred_at_a_time(self) -> None:
        """Only of recorded ones that were not shown."""
        asked: list[tuple[str, ...]] = []

        class Ended(Provider):
            def ended_events(self, ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
                asked.append(ids)
                return (shown(ids[0], state=EventState.AVOIDED),)

        ids = [f"e-{number:03}" for number in range(201)]
        told = poll(Ended(Page(items=(shown(ids[0]),))), ids, 0)
        assert asked == [tuple(ids[1:101]), tuple(ids[101:201])]
        assert isinstance(told, Poll)
        assert [one.id for one in told.events] == ["e-000", "e-001", "e-101"]
        assert told.proves


def test_of_two_leaders_who_polled_last_is_heard() -> None:
    """The second polls half a minute after the first: what is over for one, and open still for the other, is written once."""
    world = World(1)
    world.go(timedelta(seconds=30))
    written = Counter[str]()

    def note(process: str, point: CrashPoint) -> None:
        if not point.after and "cloudEvents" in str(point.act):
            written[process] += 1

    sim = world.sim
    sim.processes["second"] = sim.controller()
    for name in (CONTROLLER, "second"):
        sim.processes[name].watchman = lambda point, name=name: note(name, point)
    for state in (EventState.EXECUTED, EventState.CANCELED, EventState.AVOIDED):
        world.plan(id=f"e-{state.value}")
        world.until(lambda: world.said() == ("True", "RebootPlanned"), limit=SOON)
        world.go(2 * SOON)
        assert sum(written.values()) == 1, "the other one had nothing to add"
        world.cloud.finish(f"e-{state.value}", state)
        world.until(lambda: world.said() == ("False", "EventOver"), limit=SOON)
        world.go(2 * SOON)
        assert sum(written.values()) == 2
        written.clear()


class TestMemory:
    """When the next poll is, and who is decided about after one."""

    def world(self) -> tuple[Events, m.Machine]:
        """A machine whose instance was made."""
        events = Events(Plugins(providers={"cloud": Provider(Page(items=()))}))  # type: ignore[dict-item]
        instance = m.InstanceStatus(
            step=m.InstanceStep.MADE, provider="cloud", attempt=1, token="t", id="i-1"
        )
        one = attrs.evolve(machine(), status=m.MachineStatus(instance=instance))
        return events, one

    def test_a_provider_is_polled_once_a_minute_from_when_somebody_is_there(self) -> None:
        """One at a time; who notices is told once."""
        events, one = self.world()
        told: list[int] = []
        events.noticed = lambda: told.append(1)
        assert (events.providers, events.next_poll("cloud")) == ((), None)
        for _ in range(2):
            sight = events.sight(one)
        assert sight is not None
        assert (sight.polled, sight.events, len(told)) == (None, (), 1)
        assert (events.providers, events.next_poll("cloud")) == (("cloud",), 0)
        events.begin("cloud", 7)
        assert events.next_poll("cloud") is None
        assert events.polled("cloud", Poll(began=7, events=()), 9) == ()
        assert events.next_poll("cloud") == 7 + INTERVAL

    def test_after_failures_it_waits_longer_and_what_the_provider_asks(self) -> None:
        """Five minutes or so at most, by its own; and a success ends it."""
        events, one = self.world()
        events.sight(one)
        waits = []
        for _ in range(12):
            events.begin("cloud", 0)
            assert events.polled("cloud", Failure(error="Unavailable", text=""), 0) == ()
            waits.append(events.next_poll("cloud"))
        assert waits[0] == INTERVAL
        assert INTERVAL < max(wait or 0 for wait in waits) <= 8 * MINUTE
        events.begin("cloud", 0)
        events.polled("cloud", Failure(error="Throttled", text="", retry_after=60 * MINUTE), 1)
        assert events.next_poll("cloud") == 60 * MINUTE + 1
        events.begin("cloud", 0)
        events.polled("cloud", Poll(began=0, events=()), 0)
        events.begin("cloud", 0)
        events.polled("cloud", Failure(error="Unavailable", text=""), 0)
        assert events.next_poll("cloud") == INTERVAL

    def test_who_is_decided_about(self) -> None:
        """Whose events changed, and whoever has some recorded; a poll that is not complete moves no time."""
        events, one = self.world()
        events.sight(one)
        event = shown("a")
        events.begin("cloud", 0)
        assert events.polled("cloud", Poll(began=3, events=(event,)), 0) == ("c1",)
        assert events.polled("cloud", Poll(began=4, events=(event,)), 0) == ()
        record = m.OpenEvent(id="a", condition="CloudNotice", reason="EventUnknown")
        noted = attrs.evolve(
            one, status=attrs.evolve(one.status, cloud_events=m.CloudEvents(instance="i-1", open=(record,)))
        )
        sight = events.sight(noted)
        assert sight is not None
        assert (sight.polled, sight.events) == (4, (event,))
        assert events.polled("cloud", Poll(began=5, events=(event,), proves=False), 0) == ("c1",)
        sight = events.sight(noted)
        assert sight is not None
        assert sight.polled == 4
        assert events.polled("cloud", Poll(began=6, events=()), 0) == ("c1",)
        events.forget("c1")
        assert events.polled("cloud", Poll(began=7, events=(event,)), 0) == ()
        assert (events.providers, events.next_poll("cloud")) == ((), None)

    def test_who_waits_for_the_next_poll_is_decided_about_whatever_it_tells(self) -> None:
        """Until it waits no longer; a poll that failed tells nothing, and who is gone waits for nothing."""
        events, one = self.world()
        events.await_poll("c1", waits=True)  # of a machine that nobody knows
        events.sight(one)
        assert events.polled("cloud", Poll(began=1, events=()), 0) == ()
        events.await_poll("c1", waits=True)
        assert events.polled("cloud", Failure(error="Unavailable", text=""), 0) == ()
        assert events.polled("cloud", Poll(began=2, events=()), 0) == ("c1",)
        assert events.polled("cloud", Poll(began=3, events=()), 0) == ("c1",)
        events.await_poll("c1", waits=False)
        assert events.polled("cloud", Poll(began=4, events=()), 0) == ()
        events.await_poll("c1", waits=True)
        events.forget("c1")
        events.sight(one)
        assert events.polled("cloud", Poll(began=5, events=()), 0) == ()

    def test_when_it_was_told_last_is_known_of_incomplete_polls_too(self) -> None:
        """Apart from what a complete one proves."""
        events, one = self.world()
        told = []
        for poll_ in (None, Poll(began=3, events=()), Poll(began=4, events=(), proves=False)):
            if poll_ is not None:
                events.polled("cloud", poll_, 9)
            sight = events.sight(one)
            assert sight is not None
            told.append((sight.polled, sight.told))
        assert told == [(None, None), (3, 3), (3, 4)]

    @pytest.mark.parametrize(
        ("change", "seen"),
        [
            ({}, True), ({"step": m.InstanceStep.TERMINATING}, True), ({"step": m.InstanceStep.GONE}, False),
            ({"step": m.InstanceStep.CREATING}, False), ({"id": ""}, False), ({"provider": "other"}, False),
        ],
    )  # fmt: skip
    def test_whose_events_are_known(self, change: dict[str, Any], seen: bool) -> None:
        """Of instances that are there, of providers that tell any."""
        events, one = self.world()
        assert one.status.instance is not None
        instance = attrs.evolve(one.status.instance, **change)
        other = attrs.evolve(one, status=attrs.evolve(one.status, instance=instance))
        assert (events.sight(other) is not None) is seen
        assert bool(events.providers) is seen


def by_provider() -> m.NodeRemedier:
    """The rule with the provider's rung, as the documentation shows it."""
    ladder = (m.Rung(action="reboot-instance", timeout=timedelta(minutes=10)),)
    return attrs.evolve(RULE, spec=attrs.evolve(RULE.spec, ladder=ladder))


def planned_for_one(world: World) -> CloudEvent:
    """Pods on both Nodes, and a reboot of one planned for tomorrow, which a reboot before makes needless; give the event."""
    world.apps.add(App(name="web", replicas=2, spare=1), ["node-c1", "node-c2"])
    event = world.plan()
    host = world.sim.hosts["c1"]
    boots = host.boots

    def avoided() -> None:
        if host.boots > boots and "e-1" in world.cloud.shown:
            world.cloud.finish("e-1", EventState.AVOIDED)

    world.sim.watch(avoided)
    world.cloud.rebooted = lambda id: world.sim.instances[id].reboot()
    return event


def states(world: World) -> list[str]:
    """What the Node and its host go through from now on, each once."""
    seen: list[str] = []

    def note() -> None:
        cordoned, pods = world.node().spec.unschedulable, len(world.apps.on("node-c1"))
        host = next(one for one in world.sim.instances.values() if one.spec.node == "node-c1")
        state = f"{'cordoned' if cordoned else 'open'}, {pods} pods, {'up' if host.powered else 'down'}"
        if not seen or seen[-1] != state:
            seen.append(state)

    world.sim.watch(note)
    return seen


def job(world: World) -> m.RemedyOperationJob | None:
    """The one episode, once there is one."""
    found = [wire.read(raw, m.RemedyOperationJob) for raw in world.sim.objects(m.RemedyOperationJob)]
    assert len(found) < 2
    return found[0] if found else None


def ended(world: World) -> bool:
    """Whether it is over."""
    found = job(world)
    return found is not None and found.status.closed_at is not None


MOVED = [
    "open, 1 pods, up", "cordoned, 1 pods, up", "cordoned, 0 pods, up", "cordoned, 0 pods, down",
    "cordoned, 0 pods, up", "open, 0 pods, up",
]  # fmt: skip


@pytest.mark.parametrize(("rule", "silent"), [(RULE, False), (by_provider(), False), (by_provider(), True)])
def test_a_rule_moves_the_workload_before_the_event(rule: m.NodeRemedier, silent: bool) -> None:
    """Cordon, drain, reboot, proof by the cloud's word, un-cordon: a day before the cloud would have done it.

    By the agent, or by the provider, which an agent that is silent cannot hold up.
    """
    world = World(2, rule)
    event = planned_for_one(world)
    seen = states(world)
    world.sim.hosts["c1"].agent_up = not silent
    world.until(lambda: ended(world))
    world.go(SOON)
    found = job(world)
    assert found is not None
    assert found.status.phase == "Succeeded"
    assert event.not_before is not None
    assert world.wall < event.not_before - timedelta(hours=23)
    assert seen == MOVED
    assert (found.spec.cause.type, found.spec.cause.reason) == ("CloudMaintenance", "RebootPlanned")
    assert "event e-1" in found.spec.cause.message
    assert world.said() == ("False", "EventOver")
    assert len(world.apps.on("node-c2")) == 2
    assert [world.sim.hosts[name].boots for name in ("c1", "c2")] == [2, 1]
    assert world.cloud.calls["power"] == (rule != RULE)
    assert all(wire.read(raw, m.Machine).spec.operation is None for raw in world.sim.objects(m.Machine))
    world.go(LONG)
    assert job(world) == found


def consenting(*more: str) -> m.NodeRemedier:
    """A rule that consents first, as the documentation shows it for local disks."""
    ladder = tuple(
        m.Rung(action=action, timeout=timedelta(minutes=10)) for action in ("confirm-event", *more)
    )
    return attrs.evolve(RULE, spec=attrs.evolve(RULE.spec, ladder=ladder))


def test_what_waits_for_consent_begins_when_the_workload_is_gone() -> None:
    """Not before, however long; then the cloud does it, says so, and the Node is un-cordoned. One consent, no restart by us."""
    world = World(2, consenting())
    event = planned_for_one(world)
    world.cloud.tell(attrs.evolve(event, state=EventState.INQUIRING))
    seen = states(world)
    world.until(lambda: ended(world))
    world.go(SOON)
    found = job(world)
    assert found is not None
    assert (found.status.phase, [one.action for one in found.status.attempts]) == (
        "Succeeded",
        ["confirm-event"],
    )
    assert seen == MOVED
    assert (world.cloud.consents, world.cloud.calls["confirm_event"], world.cloud.calls["power"]) == (
        ["e-1"],
        1,
        0,
    )
    assert world.said() == ("False", "EventOver")
    assert [world.sim.hosts[name].boots for name in ("c1", "c2")] == [2, 1]
    world.go(LONG)
    assert (job(world), world.cloud.calls["confirm_event"]) == (found, 1)


def test_what_waits_for_nobody_is_the_next_rungs() -> None:
    """The cloud is not asked for what it does not offer; the Node is drained once for both."""
    world = World(2, consenting("reboot-instance"))
    planned_for_one(world)
    seen = states(world)
    world.until(lambda: ended(world))
    world.go(SOON)
    found = job(world)
    assert found is not None
    assert [one.action for one in found.status.attempts] == ["confirm-event", "reboot-instance"]
    assert (found.status.phase, world.cloud.calls["confirm_event"], world.cloud.calls["power"]) == (
        "Succeeded",
        0,
        1,
    )
    assert seen[-1] == "open, 0 pods, up"


@pytest.mark.parametrize("fault", [CloudFault.THROTTLED, CloudFault.UNHEARD, CloudFault.TIMEOUT])
def test_a_consent_that_was_lost_or_refused_for_now_is_asked_for_again(fault: CloudFault) -> None:
    """And had it been heard, it waits no more: that is no failure."""
    world = World(2, consenting())
    event = planned_for_one(world)
    world.cloud.tell(attrs.evolve(event, state=EventState.INQUIRING))
    left = [fault]
    world.cloud.choose = lambda what: left.pop() if what == "confirm_event" and left else CloudFault.NONE
    world.until(lambda: ended(world))
    found = job(world)
    assert found is not None
    assert (found.status.phase, world.cloud.consents) == ("Succeeded", ["e-1"])
    assert world.cloud.calls["confirm_event"] == 2
    assert world.sim.hosts["c1"].boots == 2


def failing(world: World, *faults: CloudFault) -> None:
    """Let the next restarts by the provider go like this."""
    left = list(faults)
    world.cloud.choose = lambda what: left.pop(0) if what == "power" and left else CloudFault.NONE


@pytest.mark.parametrize("fault", [CloudFault.THROTTLED, CloudFault.BUSY, CloudFault.UNHEARD])
def test_a_provider_that_does_not_do_it_is_asked_again(fault: CloudFault) -> None:
    """Under the same op-id, after pauses: it is done in the end, once."""
    world = World(2, by_provider())
    planned_for_one(world)
    failing(world, fault, fault)
    seen = states(world)
    world.until(lambda: ended(world))
    world.go(SOON)
    assert (seen, world.cloud.calls["power"]) == (MOVED, 3)
    assert world.sim.hosts["c1"].boots == 2


def test_a_restart_whose_answer_was_lost_is_one_restart() -> None:
    """Where the provider's plugin knows the op-id again."""
    world = World(2, by_provider())
    planned_for_one(world)
    failing(world, CloudFault.TIMEOUT)
    world.until(lambda: ended(world))
    assert (world.cloud.calls["power"], world.sim.hosts["c1"].boots) == (2, 2)


def test_a_controller_that_begins_anew_goes_on() -> None:
    """It asks again at most once more, and the episode ends as it would have."""
    world = World(2, by_provider())
    planned_for_one(world)
    controller = world.sim.processes[CONTROLLER]
    crashes: list[CrashPoint] = []

    def watch(point: CrashPoint) -> None:
        if isinstance(point.act, RebootInstance) and point.after and not crashes:
            crashes.append(point)
            raise SimulatedCrash

    controller.watchman = watch
    world.until(lambda: ended(world))
    world.go(SOON)
    found = job(world)
    assert found is not None
    assert (len(crashes), found.status.phase) in {(1, "Succeeded"), (1, "Cancelled")}
    assert world.cloud.calls["power"] <= 2
    assert world.said() == ("False", "EventOver")
    assert not world.node().spec.unschedulable


def rung(provider: str) -> Planned:
    """What is planned for the provider's rung on a machine whose instance is that provider's; empty: it has none."""
    instance = m.InstanceStatus(step=m.InstanceStep.MADE, provider=provider, attempt=1, token="t", id="i-1")
    one = attrs.evolve(machine(), status=m.MachineStatus(instance=instance if provider else None))
    node = m.Node(
        metadata=m.ObjectMeta(name="n"),
        status=m.NodeStatus(conditions=(m.NodeCondition(type="CloudMaintenance", status=m.Switch.TRUE),)),
    )
    return planned(Plugins.discover(), Policy(remediers=(by_provider(),)), one, node, ())["maintenance", 0]


def test_a_provider_that_waits_for_nobody_says_unsupported() -> None:
    """The rung fails, and the next one is begun: of a fleet in two clouds one rule speaks to both."""
    plugins = Plugins.discover()
    effect = ConfirmEvent(
        machine=m.Ref(kind="Machine", name="c1", uid="u"), provider="memory", op_id="o", event="e-1"
    )
    told = made(Launches(plugins), effect)
    assert isinstance(told, Failure)
    assert told.error == "Unsupported"


@pytest.mark.parametrize(("provider", "reason"), [("plain", "Unsupported"), ("", "InstanceWanted")])
def test_a_rung_that_no_provider_can_do_says_so(provider: str, reason: str) -> None:
    """On the job; nothing is asked, and no permit is taken."""
    problem = rung(provider)
    assert isinstance(problem, Problem)
    assert problem.what.startswith(f"{reason}: ")


def test_the_memory_provider_can_do_it() -> None:
    """It has power, as EC2 and ECS have."""
    assert rung("memory") == RestartInstance()
