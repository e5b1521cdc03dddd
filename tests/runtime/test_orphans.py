"""A set that may terminate its orphans, in a simulation: what is done at the cloud, and how often, also by who crashes."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import TerminateInstance
from kubenode.core.errors import AuthFailed, Protected, ProviderError
from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState
from kubenode.core.instance.seen import (
    MACHINE_TAG,
    MACHINE_UID_TAG,
    MANAGED_TAG,
    SET_UID_TAG,
)
from kubenode.providers.memory import MemoryProvider
from kubenode.runtime.engine.apply import CrashPoint, WriteStatus
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.events.notice import Listener
from kubenode.runtime.observe.calls import Failure, Look
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.cloud import CloudFault, SimClouds, SimParams
from kubenode.runtime.sim.process import SimulatedCrash
from kubenode.runtime.sim.run import CONTROLLER, Simulation
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import now_or_never
from tests.runtime.followed import RAN
from tests.runtime.test_clouds import cluster, delete, look, names_of, pool, read

SOON, NEVER = timedelta(minutes=5), timedelta(days=9)
TERMINATE = m.OrphanPolicy.TERMINATE


def stored(sim: Simulation) -> m.MachineSet:
    """The set as it stands."""
    return wire.read(sim.objects(m.MachineSet)[0], m.MachineSet)


def said(sim: Simulation) -> tuple[str, str]:
    """Reason and message of its condition Orphans."""
    found = [one for one in stored(sim).status.conditions if one.type == "Orphans"]
    return (found[0].reason, found[0].message) if found else ("", "")


def abandoned(sim: Simulation, count: int, *, boots_in: timedelta = NEVER) -> list[str]:
    """Make instances of the set whose Machine nobody knows; they become Nodes after `boots_in`."""
    before, sim.boots_in = sim.boots_in, boots_in
    made = []
    for number in range(count):
        tags = {
            MANAGED_TAG: "true", SET_UID_TAG: stored(sim).metadata.uid, MACHINE_UID_TAG: f"uid-{number}",
            MACHINE_TAG: f"gone-{number}",
        }  # fmt: skip
        request = CreateRequest(
            token=f"t{number}", machine=f"gone-{number}", params=SimParams(zone="a"), tags=tags
        )
        made.append(sim.cloud.create(request).id)
    sim.boots_in = before
    return made


def looks(sim: Simulation, times: int, every: timedelta = SOON) -> None:
    """Let the controller look as often, as it does every five minutes in production."""
    for _ in range(times):
        look(sim)
        sim.at(every, lambda: None)  # or no time would pass where nothing else is due
        sim.run_until(lambda: False, limit=every)


def left(sim: Simulation, ids: list[str]) -> list[str]:
    """Which of these are not terminated."""
    alive = {one.id for one in sim.cloud.alive}
    return [one for one in ids if one in alive]


def test_one_that_nothing_speaks_for_is_terminated_and_forgotten() -> None:
    """One call, an Event, no permit; the Machines of the set keep theirs."""
    sim = cluster(pool(2, orphans=TERMINATE))
    listener, events = Listener(), list[tuple[str, str, str]]()

    def hear(decided: Decided) -> None:
        events.extend((one.about.kind, one.type, one.reason) for one in listener.hear(decided))

    sim.listen(hear)
    (orphan,) = abandoned(sim, 1)
    looks(sim, 1)
    assert (said(sim), sim.cloud.calls["delete"]) == (("", ""), 0), "one look proves nothing"
    looks(sim, 3)
    assert (left(sim, [orphan]), sim.cloud.calls["delete"], said(sim)) == ([], 1, ("", ""))
    assert [one.id for one in stored(sim).status.orphans_ended] == [orphan]
    assert [one for one in events if one[0] == "MachineSet"] == [("MachineSet", "Normal", "OrphansEnding")]
    assert (len(sim.cloud.alive), len(names_of(sim))) == (2, 2)
    sim.run_until(lambda: False, limit=timedelta(hours=2))
    assert stored(sim).status.orphans_ended == ()


def test_a_set_that_reports_touches_none() -> None:
    """The default."""
    sim = cluster(pool(2))
    orphans = abandoned(sim, 1)
    looks(sim, 10)
    assert (left(sim, orphans), sim.cloud.calls["delete"], said(sim)[0]) == (orphans, 0, "OrphansFound")


def test_one_that_a_node_runs_on_is_left_to_a_person() -> None:
    """Whoever deletes the Node says that nothing runs there."""
    sim = cluster(pool(1, orphans=TERMINATE))
    orphans = abandoned(sim, 1, boots_in=timedelta(seconds=30))
    looks(sim, 10)
    assert (left(sim, orphans), sim.cloud.calls["delete"], said(sim)[0]) == (orphans, 0, "OrphansHeld")
    assert "Node node-gone-0 runs on it" in said(sim)[1]
    delete(sim, sim.hosts.pop("gone-0").spec.node, m.Node)
    looks(sim, 2)
    assert (left(sim, orphans), sim.cloud.calls["delete"]) == ([], 1)


def test_a_node_that_may_be_it_keeps_it() -> None:
    """One without providerID that no Machine says it is; one of another instance does not."""
    sim = cluster(pool(1, orphans=TERMINATE))
    orphans = abandoned(sim, 1)

    def node(name: str, **spec: str) -> None:
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}
        now_or_never(sim.store.create(m.Node.KIND, body))

    node("bare")
    node("other", providerID="sim:///a/i-other")
    looks(sim, 4)
    assert (left(sim, orphans), "Node bare runs on it, or may" in said(sim)[1]) == (orphans, True)
    delete(sim, "bare", m.Node)
    node("short", providerID=f"aws:///other-form/{orphans[0]}")
    looks(sim, 2)
    assert (left(sim, orphans), "Node short runs on it, or may" in said(sim)[1]) == (orphans, True)
    delete(sim, "short", m.Node)
    looks(sim, 2)
    assert left(sim, orphans) == []


def test_one_that_a_machine_says_it_has_is_left_alone() -> None:
    """Also one of no set, and one that is being deleted."""
    sim = cluster(pool(1, orphans=TERMINATE))
    orphans = abandoned(sim, 1)
    other = m.Machine(
        metadata=m.ObjectMeta(name="other", finalizers=("somebody.example/holds",)),
        spec=m.MachineSpec(deletion_policy=m.DeletionPolicy.RELEASE),
    )
    sim.create(other)
    status = {
        "instance": {"step": "Made", "provider": "memory", "attempt": 1, "token": "t", "id": orphans[0]}
    }
    body: Any = {"status": status}
    now_or_never(sim.store.patch(m.Machine.KIND, "other", MergePatch(body), subresource="status"))
    delete(sim, "other")
    looks(sim, 4)
    assert read(sim, "other").metadata.deletion_timestamp is not None
    assert (left(sim, orphans), sim.cloud.calls["delete"]) == (orphans, 0)
    assert "Machine other says that it has it" in said(sim)[1]


def test_a_freeze_holds_them_and_its_end_lets_them_go() -> None:
    """Without a look in between: what two looks have shown stands."""
    sim = cluster(pool(1, orphans=TERMINATE))
    limit = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(100))
    spec = m.RiskPolicySpec(limits=(limit,), freeze=(m.Freeze(scope=m.Scope.CLUSTER, reason="a fair"),))
    sim.create(m.RiskPolicy(metadata=m.ObjectMeta(name="fair"), spec=spec))
    orphans = abandoned(sim, 1)
    looks(sim, 4)
    assert (left(sim, orphans), said(sim)[0]) == (orphans, "OrphansHeld")
    delete(sim, "fair", m.RiskPolicy)
    sim.run_until(lambda: False, limit=SOON)
    assert left(sim, orphans) == []


def test_six_of_a_small_set_are_a_persons() -> None:
    """As after a backup was restored."""
    sim = cluster(pool(3, orphans=TERMINATE))
    orphans = abandoned(sim, 6)
    looks(sim, 6)
    assert (left(sim, orphans), sim.cloud.calls["delete"], said(sim)[0]) == (orphans, 0, "OrphansHeld")
    sim.cloud.end(orphans[0])
    looks(sim, 2)
    assert left(sim, orphans) == orphans[3:], "one a look, since five are borne"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("where", ["record", "call"])
def test_a_crash_exceeds_nothing(where: str, *, after: bool) -> None:
    """Each time before, or after, the record or the call: three in the hour, and one call for each."""
    sim = cluster(pool(1, orphans=TERMINATE))
    orphans = abandoned(sim, 5)
    crashed: set[str] = set()

    def which(point: CrashPoint) -> str:
        act = point.act
        if where == "call":
            return act.instance if isinstance(act, TerminateInstance) else ""
        ended = act.body.get("orphansEnded") if isinstance(act, WriteStatus) else None
        return ended[-1]["id"] if ended else ""

    def watch(point: CrashPoint) -> None:
        one = which(point)
        if one and point.after is after and one not in crashed:
            crashed.add(one)
            raise SimulatedCrash

    sim.processes[CONTROLLER].watchman = watch
    begun = sim.time.elapsed
    while sim.time.elapsed - begun < 60 * 60_000_000_000:
        looks(sim, 1)
    assert (len(left(sim, orphans)), len(crashed)) == (2, 3)
    assert (sim.cloud.calls["delete"], set(sim.cloud.terminated.values())) == (3, {1})
    looks(sim, 20)
    assert left(sim, orphans) == []
    assert (sim.cloud.calls["delete"], set(sim.cloud.terminated.values()), len(crashed)) == (5, {1}, 5)
    at = [one.at for one in sim.cloud.terminations]
    assert all(later - first > 60 * 60_000_000_000 for first, later in zip(at, at[3:], strict=False))


@pytest.mark.parametrize(("fault", "calls"), [(CloudFault.TIMEOUT, 1), (CloudFault.UNHEARD, 2)])
def test_a_lost_answer_asks_again_for_the_same_one_if_a_look_shows_it(fault: CloudFault, calls: int) -> None:
    """And for no other meanwhile."""
    sim = cluster(pool(1, orphans=TERMINATE))
    orphans = abandoned(sim, 2)
    looks(sim, 1)
    faults = [fault]
    sim.cloud.choose = lambda what: faults.pop() if what == "delete" and faults else CloudFault.NONE
    sim.run_until(lambda: sim.cloud.calls["delete"] == 1, limit=SOON)
    look(sim)
    sim.run_until(lambda: sim.cloud.calls["delete"] == 1, limit=SOON)
    assert [one.id for one in stored(sim).status.orphans_ended] == orphans[:1]
    looks(sim, 4)
    assert left(sim, orphans) == []
    assert sim.cloud.calls["delete"] == calls + 1
    assert [one.instance for one in sim.cloud.terminations] == orphans


@pytest.mark.parametrize("error", [AuthFailed("no right to terminate"), Protected("deletion protection")])
def test_what_a_person_has_to_mend_is_asked_for_once_an_hour(error: ProviderError) -> None:
    """It is said, it keeps the others waiting, and it goes when it is mended."""
    sim = cluster(pool(1, orphans=TERMINATE))
    orphans = abandoned(sim, 2)
    looks(sim, 1)
    refuses = [True]

    def choose(what: str) -> CloudFault:
        if what == "delete" and refuses[0]:
            raise error
        return CloudFault.NONE

    sim.cloud.choose = choose
    looks(sim, 11)
    assert (left(sim, orphans), sim.cloud.calls["delete"], said(sim)[0]) == (orphans, 1, "OrphansHeld")
    assert str(error) in said(sim)[1]
    looks(sim, 24)
    assert (left(sim, orphans), sim.cloud.calls["delete"]) == (orphans, 3)
    refuses[0] = False
    looks(sim, 16)
    assert left(sim, orphans) == []


def test_one_whose_end_hangs_keeps_the_others_waiting() -> None:
    """One at a time: it is not asked for again, and no other is, as long as looks show it."""
    sim = cluster(pool(1, orphans=TERMINATE))
    orphans = abandoned(sim, 2)
    sim.cloud.stuck = {orphans[0]}
    looks(sim, 30)
    assert (left(sim, orphans), sim.cloud.calls["delete"]) == (orphans, 1)
    assert said(sim)[1].endswith(f"{orphans[0]} is being terminated")
    assert [one.id for one in stored(sim).status.orphans_ended] == orphans[:1]
    sim.cloud.end(orphans[0])
    looks(sim, 2)
    assert left(sim, orphans) == []


def test_who_sees_the_past_terminates_nothing() -> None:
    """A second controller whose watches hang takes the instance of a new Machine for an orphan; the set has moved on since."""
    sim = cluster(pool(1, orphans=TERMINATE))
    late = sim.processes["late"] = sim.controller()
    looks(sim, 1)
    late.deaf_until = sim.time.elapsed + 10**15
    sim.change(m.MachineSet, "pool", {"spec": {"replicas": 2}})
    tried: list[CrashPoint] = []
    late.watchman = tried.append
    for _ in range(6):
        clouds = late.clouds
        assert isinstance(clouds, SimClouds)
        for name in list(clouds.view._bonds):
            clouds.view.want(name, sim.time.elapsed)
        clouds.plan()
        sim.at(SOON, lambda: None)
        sim.run_until(lambda: False, limit=SOON)
    writes = [one.act for one in tried if isinstance(one.act, WriteStatus) and "orphansEnded" in one.act.body]
    assert writes, "it would have"
    assert (len(names_of(sim)), len(sim.cloud.alive), sim.cloud.calls["delete"]) == (2, 2, 0)
    assert stored(sim).status.orphans_ended == ()


def test_what_a_failed_or_doubted_look_left_is_no_ground_to_act() -> None:
    """The instance is remembered, and so is why nothing is done to it; a whole look clears it."""
    view = Instances(Plugins())
    owner = pool(1)
    tags = {SET_UID_TAG: owner.metadata.uid, MACHINE_UID_TAG: "nobody"}
    one = Instance(id="i-1", state=InstanceState.RUNNING, zone="a", tags=tags)

    def doubt() -> str:
        (sight,) = view.orphan_sights(owner).values()
        assert (sight.instance, sight.provider, sight.answer) == (one, "memory", None)
        return sight.doubt

    view.looked("memory", Look(began=1, instances=(one,)), 2)
    assert (doubt(), view.orphans(owner)) == ("", {"i-1": 1})
    view.looked("memory", Failure(error="Unavailable", text="no"), 3)
    assert (doubt(), view.orphans(owner)) == ("the last look at provider memory failed", {"i-1": 1})
    view.looked("memory", Look(began=4, instances=(one,)), 5)
    assert doubt() == ""
    view.looked("memory", Failure(error="AuthFailed", text="expired"), 6)
    assert doubt() == "the last look at provider memory failed"
    (sight,) = view.orphan_sights(owner).values()
    assert sight.frozen is not None
    assert sight.frozen.text == "memory: expired"
    view.looked("memory", Look(began=7, instances=(one,)), 8)
    status = [
        m.InstanceStatus(step=m.InstanceStep.MADE, provider="memory", attempt=1, token="t", id=f"i-x{number}")
        for number in range(2)
    ]
    for each in status:
        known = m.ObjectMeta(name=each.id, uid=each.id)
        view.sight(m.Machine(metadata=known, spec=m.MachineSpec(), status=m.MachineStatus(instance=each)))
    view.looked("memory", Look(began=9, instances=(one,), absent=frozenset({"i-x0", "i-x1"})), 10)
    assert doubt().startswith("2 of 2 instances are missing from one look")


def _looks(sim: Simulation, who: str) -> None:
    """Let one controller look, five minutes later."""
    clouds = sim.processes[who].clouds
    assert isinstance(clouds, SimClouds)
    sim.at(SOON, clouds.resync)
    sim.run_until(lambda: False, limit=SOON)


def test_two_that_believe_to_lead_and_saw_different_things_come_to_rest() -> None:
    """What one has proven stands until the other has looked since; then who looked last is heard."""
    sim = cluster(pool(1))
    sim.processes["second"] = sim.controller()
    sim.run_until(lambda: False, limit=SOON)
    _looks(sim, "second")
    (orphan,) = abandoned(sim, 1)
    for who, shown in ((CONTROLLER, ""), (CONTROLLER, "OrphansFound"), ("second", "OrphansFound")):
        _looks(sim, who)
        assert said(sim)[0] == shown
    sim.cloud.end(orphan)
    _looks(sim, "second")
    assert said(sim) == ("", ""), "the first still believes in it"
    _looks(sim, CONTROLLER)
    assert said(sim) == ("", "")


def test_what_stands_outlives_a_restart_until_a_look_says_otherwise() -> None:
    """It was taken back at each start before, and said anew after two looks."""
    sim = cluster(pool(1))
    (orphan,) = abandoned(sim, 1)
    looks(sim, 2)
    before = [one for one in stored(sim).status.conditions if one.type == "Orphans"]
    for _ in range(3):
        sim.processes[CONTROLLER].start()
        sim.run_until(lambda: False, limit=SOON)
        assert [one for one in stored(sim).status.conditions if one.type == "Orphans"] == before != []
        _looks(sim, CONTROLLER)
    assert [one for one in stored(sim).status.conditions if one.type == "Orphans"] == before
    sim.cloud.end(orphan)
    sim.processes[CONTROLLER].start()
    _looks(sim, CONTROLLER)
    assert said(sim) == ("", "")


def test_a_set_that_says_so_is_looked_at_though_it_has_no_machine_left() -> None:
    """Every five minutes, and it is told of each look; one that says nothing costs none."""
    view = Instances(Plugins.given(providers=[MemoryProvider()]), resync=10)
    quiet = pool(0)
    noticed: list[int] = []
    view.noticed = lambda: noticed.append(1)
    assert (view.orphans(quiet), view.looked_for(quiet), view.next_look("memory")) == ({}, 0, None)
    condition = m.Condition(
        type="Orphans", status=m.Switch.TRUE, reason="OrphansFound", last_transition_time=RAN
    )
    saying = attrs.evolve(quiet, status=m.MachineSetStatus(conditions=(condition,)))
    for _ in range(2):
        view.orphans(saying)
    assert (view.next_look("memory"), view.sets_to_tell("memory"), len(noticed)) == (0, ("pool",), 1)
    view.looked("memory", Look(began=7, instances=()), 8)
    assert (view.looked_for(saying), view.next_look("memory")) == (7, 17)
    assert (view.sets_to_tell("memory"), view.sets_to_tell("other")) == (("pool",), ())
    view.orphans(quiet)
    assert (view.next_look("memory"), view.sets_to_tell("memory")) == (None, ())
    view.orphans(saying)
    view.forget_set("pool")
    assert (view.next_look("memory"), view.sets_to_tell("memory")) == (None, ())


def test_how_old_the_oldest_look_is_that_matters() -> None:
    """At the provider of the template, and at each that showed something of the set; none where no plugin brings it."""
    other = MemoryProvider()
    other.name = "other"
    view = Instances(Plugins.given(providers=[MemoryProvider(), other]))
    owner = pool(1)
    tags = {SET_UID_TAG: owner.metadata.uid, MACHINE_UID_TAG: "nobody"}
    one = Instance(id="i-1", state=InstanceState.RUNNING, zone="a", tags=tags)
    view.looked("memory", Look(began=9, instances=()), 9)
    view.looked("other", Look(began=4, instances=()), 5)
    assert view.looked_for(owner) == 9
    view.looked("other", Look(began=6, instances=(one,)), 7)
    assert view.looked_for(owner) == 6
    assert Instances(Plugins()).looked_for(owner) is None
