"""Machines on a cloud that is simulated: made, lost, replaced and terminated, by the controllers as they are.

The cloud keeps the truth: what was ever made, whose end was asked for, and how often it was called.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import TerminateInstance
from kubenode.core.errors import (
    AuthFailed,
    Invalid,
    NotFound,
    Protected,
    ProviderError,
    QuotaExceeded,
    Unsupported,
)
from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState
from kubenode.core.instance.seen import MACHINE_UID_TAG
from kubenode.providers.memory import MemoryParams, MemoryProvider
from kubenode.providers.pace import Budget, Pace
from kubenode.runtime.observe.calls import Failure, Look, answered
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.observe.launches import Launches
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.cloud import CloudFault, SimCloud, SimClouds
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import now_or_never

LONG = timedelta(hours=3)


def lax(most: int = 100) -> m.RiskPolicy:
    """Limits that hold nobody up."""
    limit = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(most))
    return m.RiskPolicy(metadata=m.ObjectMeta(name="lax"), spec=m.RiskPolicySpec(limits=(limit,)))


def machine(name: str = "c1", **spec: Any) -> m.Machine:
    """A machine that the provider `memory` is to make."""
    wanted = m.Infrastructure(provider="memory", parameters={"zone": "b"})
    return m.Machine(
        metadata=m.ObjectMeta(name=name), spec=m.MachineSpec(**{"infrastructure": wanted, **spec})
    )


def cluster(*objects: m.Object) -> Simulation:
    """A simulation with some objects, at rest."""
    sim = Simulation()
    for one in (lax(), *objects):
        sim.create(one)
    assert sim.rest(limit=LONG)
    return sim


def read(sim: Simulation, name: str = "c1") -> m.Machine:
    """A machine as it stands in the store."""
    return wire.read(now_or_never(sim.store.get(m.Machine.KIND, name)), m.Machine)


def delete(sim: Simulation, name: str = "c1", kind: type[m.Object] = m.Machine) -> None:
    """Ask for the deletion of an object, as a user would."""
    now_or_never(sim.store.delete(kind.KIND, name))


def condition(one: m.Machine, type: str) -> tuple[str, str]:
    """The status and reason of a condition."""
    return next(((c.status.value, c.reason) for c in one.status.conditions if c.type == type), ("", ""))


def test_a_machine_is_made_and_runs_and_is_terminated() -> None:
    """One create, one delete; then no instance, no Node and no Machine is left."""
    sim = cluster(machine())
    one = read(sim)
    assert one.status.phase == "Running"
    assert condition(one, "InstanceReady") == ("True", "InstanceRunning")
    assert one.status.instance is not None
    assert [i.id for i in sim.cloud.alive] == [one.status.instance.id]
    assert (sim.cloud.calls["create"], len(sim.cloud.created)) == (1, 1)
    delete(sim)
    assert sim.rest(limit=LONG)
    assert sim.objects(m.Machine) == ()
    assert sim.objects(m.Node) == ()
    assert sim.cloud.alive == ()
    assert (sim.cloud.calls["create"], sim.cloud.calls["delete"]) == (1, 1)


def terminated_behind_our_back(sim: Simulation, name: str = "c1") -> str:
    """Let an instance end by somebody else's hand; give its id."""
    instance = read(sim, name).status.instance
    assert instance is not None
    sim.cloud.end(instance.id)
    return instance.id


def agree(sim: Simulation, names: set[str]) -> None:
    """Instances, Nodes and Machines are the same, each once, and all run."""
    machines = [wire.read(raw, m.Machine) for raw in sim.objects(m.Machine)]
    assert {one.metadata.name for one in machines} == names
    assert {one.status.phase for one in machines} <= {"Running"}
    ids = {one.status.instance.id for one in machines if one.status.instance is not None}
    assert ids == {one.id for one in sim.cloud.alive}
    nodes = {raw["metadata"]["name"] for raw in sim.objects(m.Node)}
    assert nodes == {one.status.node_ref.name for one in machines if one.status.node_ref is not None}
    assert len(ids) == len(nodes) == len(names)


class TestLost:
    """What is no more, or seems to be."""

    def test_one_that_was_terminated_behind_our_back_is_made_anew(self) -> None:
        """On evidence; its Node goes first, and a second attempt has a token of its own."""
        sim = cluster(machine())
        before = terminated_behind_our_back(sim)
        assert sim.rest(limit=LONG)
        agree(sim, {"c1"})
        after = read(sim).status.instance
        assert after is not None
        assert (after.attempt, after.id != before) == (2, True)
        assert len(set(sim.cloud.created)) == 2
        assert read(sim).status.node_ref == m.NodeRef(
            name="node-c1-2", uid=sim.objects(m.Node)[0]["metadata"]["uid"]
        )

    def test_one_that_was_lost_before_a_look_showed_it_is_made_anew(self) -> None:
        """What its create gave is not taken for the next attempt's instance."""
        sim = Simulation()
        sim.create(lax())
        sim.create(machine())
        sim.watch(lambda: sim.cloud.hidden.update([*sim.cloud.created.values()][:1]))
        assert sim.run_until(lambda: read(sim).status.phase == "Running", limit=LONG)
        terminated_behind_our_back(sim)
        assert sim.rest(limit=LONG)
        agree(sim, {"c1"})
        after = read(sim).status.instance
        assert after is not None
        assert after.attempt == 2

    def test_a_cloud_that_shows_it_late_is_not_believed_too_soon(self) -> None:
        """Four minutes without showing what it made: no second instance (F26)."""
        sim = Simulation()
        sim.boots_in = timedelta(minutes=4)
        sim.create(lax())
        sim.create(machine())
        sim.watch(lambda: sim.cloud.hidden.update(sim.cloud.created.values()))
        sim.run_until(lambda: False, limit=timedelta(minutes=4) - timedelta(seconds=1))
        assert sim.cloud.calls["find"] > 0
        assert condition(read(sim), "InstanceReady") == ("True", "InstanceRunning")
        sim.run_until(lambda: False, limit=timedelta(minutes=1))
        assert (len(sim.cloud.created), read(sim).status.phase) == (1, "Running")

    def test_an_empty_list_is_no_evidence_that_all_are_gone(self) -> None:
        """F22: nothing is made, terminated or removed; it is said, and when they are shown again all is well."""
        names = [f"c{number}" for number in range(6)]
        sim = cluster(*(machine(name) for name in names))
        sim.cloud.hidden = {one.id for one in sim.cloud.alive}
        for host in list(sim.hosts.values()):
            host.link(up=False)
        assert sim.rest(limit=LONG)
        for name in names:
            assert condition(read(sim, name), "InstanceReady") == ("Unknown", "LookDoubted")
        assert (len(sim.cloud.created), sim.cloud.calls["delete"], len(sim.objects(m.Node))) == (6, 0, 6)
        sim.cloud.hidden.clear()
        for host in list(sim.hosts.values()):
            host.link(up=True)
        look(sim)
        assert sim.rest(limit=LONG)
        agree(sim, set(names))

    def test_one_of_many_that_is_not_shown_is_gone_after_two_looks_and_two_questions(self) -> None:
        """Where a cloud forgets what was terminated at once; the first look came too soon after the create to count."""
        sim = cluster(*(machine(f"c{number}") for number in range(4)))
        sim.run_until(lambda: False, limit=timedelta(minutes=10))
        sim.cloud.hidden.add(terminated_behind_our_back(sim, "c2"))
        gets = sim.cloud.calls["get"]
        assert sim.rest(limit=LONG)
        agree(sim, {f"c{number}" for number in range(4)})
        assert sim.cloud.calls["get"] - gets == 3


def look(sim: Simulation) -> None:
    """Let the controller look once more, as it does every few minutes in production."""
    view = view_of(sim)
    for name in list(view._bonds):
        view.want(name, sim.time.elapsed)
    process = sim.processes["controller"].clouds
    assert isinstance(process, SimClouds)
    process.plan()


def view_of(sim: Simulation) -> Instances:
    """What the controller remembers of instances."""
    clouds = sim.processes["controller"].clouds
    assert isinstance(clouds, SimClouds)
    return clouds.view


class TestRefused:
    """What a provider says no to: a condition, and no loop."""

    def test_bad_credentials_freeze_the_provider_and_not_each_machine(self) -> None:
        """Forty machines, and a handful of calls in an hour; then all come up."""
        sim = Simulation()
        sim.cloud.raises = AuthFailed("InvalidAccessKeyId")
        sim.create(lax())
        names = {f"c{number}" for number in range(40)}
        for name in sorted(names):
            sim.create(machine(name))
        sim.run_until(lambda: False, limit=timedelta(hours=1))
        assert {condition(read(sim, name), "InstanceReady") for name in names} == {
            ("False", "ProviderFrozen")
        }
        assert sim.cloud.calls.total() < 60
        first = sim.cloud.calls.total()
        sim.run_until(lambda: False, limit=timedelta(hours=1))
        assert sim.cloud.calls.total() - first <= 12
        sim.cloud.raises = None
        sim.run_until(
            lambda: all(read(sim, name).status.phase == "Running" for name in names), limit=timedelta(hours=1)
        )
        assert sim.rest(limit=LONG)
        agree(sim, names)
        assert len(sim.cloud.created) == 40

    def test_credentials_that_end_are_not_taken_for_instances_that_are_gone(self) -> None:
        """F35: nothing is made, nothing is removed; looks go on, rarely."""
        sim = cluster(machine(), machine("c2"))
        sim.cloud.raises = AuthFailed("ExpiredToken")
        for host in list(sim.hosts.values()):
            host.link(up=False)
        sim.run_until(lambda: False, limit=timedelta(hours=2))
        assert sim.cloud.calls["find"] < 30
        assert (len(sim.cloud.alive), len(sim.objects(m.Node)), len(sim.cloud.created)) == (2, 2, 2)

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (QuotaExceeded("20 of 20"), "QuotaExceeded"),
            (Invalid("InvalidAMIID.NotFound"), "RequestInvalid"),
            (Unsupported("gpu"), "Unsupported"),
        ],
    )
    def test_what_a_person_has_to_mend_is_asked_once_an_hour(self, error: ProviderError, reason: str) -> None:
        """And at once when the spec changes; the first attempt is settled, so the second has a token of its own."""
        sim = Simulation()
        sim.cloud.raises = error
        sim.create(lax())
        sim.create(machine())
        sim.run_until(lambda: False, limit=timedelta(minutes=29))
        assert condition(read(sim), "InstanceReady") == ("False", reason)
        assert sim.cloud.calls["create"] == 1
        sim.cloud.raises = None
        sim.change(m.Machine, "c1", {"spec": {"infrastructure": {"parameters": {"zone": "c"}}}})
        assert sim.rest(limit=LONG)
        agree(sim, {"c1"})
        assert (sim.cloud.calls["create"], sim.cloud.alive[0].zone) == (2, "c")

    def test_without_capacity_the_next_placement_is_tried(self) -> None:
        """In order; when all are full they are tried again, and the one that has room is taken."""
        sim = Simulation()
        sim.cloud.full = {"a", "b"}
        wanted = m.Infrastructure(provider="memory", parameters={"zone": "a", "fallback": ["b"]})
        sim.create(lax())
        sim.create(machine(infrastructure=wanted))
        sim.run_until(lambda: False, limit=timedelta(minutes=4))
        assert condition(read(sim), "InstanceReady") == ("False", "CapacityExhausted")
        assert sim.cloud.calls["create"] == 2
        sim.cloud.full = {"a"}
        assert sim.rest(limit=LONG)
        agree(sim, {"c1"})
        assert (sim.cloud.alive[0].zone, len(sim.cloud.created)) == ("b", 1)

    def test_what_nobody_can_read_is_never_asked_for(self) -> None:
        """No plugin, wrong parameters: a condition with the fix."""
        strange = m.Infrastructure(provider="memroy", parameters={})
        wrong = m.Infrastructure(provider="memory", parameters={"zones": "a"})
        secret = m.Infrastructure(provider="memory", secret_ref=m.SecretRef(namespace="a", name="b"))
        sim = cluster(
            machine("c1", infrastructure=strange),
            machine("c2", infrastructure=wrong),
            machine("c3", infrastructure=secret),
        )
        said = [condition(read(sim, name), "InstanceReady")[1] for name in ("c1", "c2", "c3")]
        assert said == ["PluginMissing", "ParametersInvalid", "SecretUnsupported"]
        assert sim.cloud.calls.total() == 0
        text = next(one.message for one in read(sim).status.conditions if one.type == "InstanceReady")
        assert "memory" in text
        for name in ("c1", "c2", "c3"):
            delete(sim, name)
        assert sim.rest(limit=LONG)
        assert sim.objects(m.Machine) == ()

    def test_a_budget_of_calls_is_kept_and_none_is_wasted(self) -> None:
        """200 machines at 20 calls a second: 200 creates, never more than the budget in any second."""
        sim = Simulation()
        made: list[int] = []
        sim.cloud.pace = Pace(Budget.full(rate=20, burst=20), lambda: sim.time.elapsed / 1e9)
        born = sim.cloud.born

        def note(one: Instance) -> None:
            made.append(sim.time.elapsed)
            born(one)

        sim.cloud.born = note
        sim.create(lax())
        names = {f"c{number}" for number in range(200)}
        for name in sorted(names):
            sim.create(machine(name))
        assert sim.run_until(lambda: len(made) == 200, limit=timedelta(minutes=20))
        assert sim.rest(limit=LONG)
        agree(sim, names)
        assert (sim.cloud.calls["create"], len(sim.cloud.created)) == (200, 200)
        most = max(sum(begin <= at < begin + 1_000_000_000 for at in made) for begin in made)
        assert most <= 40  # the burst, and what a second brings


class TestTooLate:
    """Time limits."""

    def test_one_that_never_joins_is_given_up_and_another_is_asked_for(self) -> None:
        """F30: at growing pauses, never two at a time."""
        sim = Simulation()
        sim.boots_in = timedelta(days=9)
        sim.create(lax())
        sim.create(machine())
        alive: list[int] = []
        sim.watch(lambda: alive.append(len(sim.cloud.alive)))
        sim.run_until(lambda: False, limit=timedelta(hours=3))
        instance = read(sim).status.instance
        assert instance is not None
        assert 5 <= instance.attempt <= 9
        assert (max(alive), len(sim.cloud.created) - len(sim.cloud.alive)) == (1, sim.cloud.calls["delete"])
        assert set(sim.cloud.terminated.values()) == {1}

    def test_one_that_cannot_be_terminated_counts_until_it_is_gone(self) -> None:
        """F31: the set makes none in its place beyond its bound, and it is said that it is stuck."""
        sim = cluster(machine())
        sim.cloud.stuck = {one.id for one in sim.cloud.alive}
        delete(sim)
        sim.run_until(lambda: False, limit=timedelta(hours=1))
        assert condition(read(sim), "InstanceReady") == ("False", "TerminationStuck")
        assert sim.cloud.calls["delete"] == 1
        for one in sim.cloud.alive:
            sim.cloud.end(one.id)
        sim.run_until(lambda: not sim.objects(m.Machine), limit=timedelta(hours=1))
        assert (sim.objects(m.Machine), sim.objects(m.Node)) == ((), ())


class TestStrangers:
    """What is not certainly the machine's: a condition with cause and fix, no second instance, nothing deleted."""

    @pytest.mark.parametrize(
        ("tags", "reason"),
        [({"kubenode.dev/managed": "true"}, "InstanceUntagged"), ({}, "InstanceUntagged"),
         ({"kubenode.dev/managed": "true", "kubenode.dev/machine-uid": "another's"}, "InstanceForeign"),
         ({"kubenode.dev/machine-uid": "of another cluster"}, "InstanceForeign")],
    )  # fmt: skip
    @pytest.mark.parametrize("deleted", [False, True])
    def test_a_tag_that_somebody_changed(self, tags: dict[str, str], reason: str, deleted: bool) -> None:
        """Also when the Machine is deleted: Release is the way out."""
        sim = cluster(machine())
        before = sim.cloud.alive[0]
        sim.cloud.change(before.id, tags=tags)
        if deleted:
            sim.processes["controller"].start()
            delete(sim)
        look(sim)
        sim.run_until(lambda: False, limit=timedelta(hours=2))
        assert condition(read(sim), "InstanceReady") == ("False", reason)
        assert (len(sim.cloud.created), sim.cloud.calls["delete"], len(sim.objects(m.Node))) == (1, 0, 1)
        if deleted:
            sim.change(m.Machine, "c1", {"spec": {"deletionPolicy": "Release"}})
            assert sim.rest(limit=LONG)
            assert (sim.objects(m.Machine), [one.id for one in sim.cloud.alive]) == ((), [before.id])
        else:
            sim.cloud.change(before.id, tags=before.tags)
            look(sim)
            assert sim.rest(limit=LONG)
            agree(sim, {"c1"})

    def test_two_machines_with_one_instance(self) -> None:
        """F34: neither acts on it; when the wrong one is let go, the other is well."""
        sim = cluster(machine())
        status = now_or_never(sim.store.get(m.Machine.KIND, "c1"))["status"]
        sim.create(machine("copy"))
        sim.change(m.Machine, "copy", {"metadata": {"finalizers": ["kubenode.dev/machine"]}})
        sim.processes["controller"].deaf_until = sim.time.elapsed + 1
        sim.at(timedelta(seconds=1), lambda: None)
        now_or_never(
            sim.store.patch(
                m.Machine.KIND,
                "copy",
                MergePatch({"status": {"instance": status["instance"]}}),
                subresource="status",
            )
        )
        sim.run_until(lambda: False, limit=timedelta(hours=1))
        look(sim)
        sim.run_until(lambda: False, limit=timedelta(hours=1))
        assert {condition(read(sim, name), "InstanceReady") for name in ("c1", "copy")} == {
            ("False", "InstanceConflict")
        }
        delete(sim, "copy")
        sim.run_until(lambda: False, limit=timedelta(hours=1))
        assert sim.cloud.calls["delete"] == 0
        sim.change(m.Machine, "copy", {"spec": {"deletionPolicy": "Release"}})
        assert sim.rest(limit=LONG)
        look(sim)
        assert sim.rest(limit=LONG)
        assert read(sim).status.phase == "Running"
        assert condition(read(sim), "InstanceReady")[0] == "True"
        assert len(sim.cloud.alive) == 1


def test_a_node_without_an_agent_is_known_by_its_providerid() -> None:
    """The kubelet registers before anything of ours is heard; with two Nodes of one providerID it is nobody's."""
    sim = Simulation()
    sim.boots_agents = False
    sim.create(lax())
    sim.create(machine())
    sim.run_until(lambda: False, limit=timedelta(minutes=2))
    one = read(sim)
    assert one.status.instance is not None
    assert one.status.instance.provider_id == f"sim:///b/{one.status.instance.id}"
    assert one.status.node_ref is not None
    assert (one.status.node_ref.name, one.status.phase) == ("node-c1", "Initializing")
    assert condition(one, "NodeReady") == ("True", "NodeReady")
    sim.hosts["c1"].enrol()
    assert sim.rest(limit=LONG)
    agree(sim, {"c1"})


def test_of_two_nodes_with_one_providerid_neither_is_taken() -> None:
    """S12; when one of them is gone, the other is."""
    sim = Simulation()
    sim.boots_in = timedelta(days=1)
    sim.create(lax())
    sim.create(machine())
    sim.run_until(lambda: bool(sim.cloud.created), limit=timedelta(minutes=1))
    provider_id = sim.cloud.alive[0].provider_id
    for name in ("n1", "n2"):
        sim.create(m.Node(metadata=m.ObjectMeta(name=name), spec=m.NodeSpec(provider_id=provider_id)))
    sim.run_until(lambda: False, limit=timedelta(minutes=1))
    assert read(sim).status.node_ref is None
    delete(sim, "n2", m.Node)
    sim.run_until(lambda: False, limit=timedelta(minutes=1))
    known = read(sim).status.node_ref
    assert known is not None
    assert known.name == "n1"


class TestDeleted:
    """What a deletion meets."""

    def test_while_its_creation_is_not_settled(self) -> None:
        """F32: it is found by its tag and terminated; nothing is asked for again to find out."""
        sim = Simulation()
        sim.create(lax())
        faults = iter([CloudFault.TIMEOUT])
        sim.cloud.choose = lambda what: next(faults, CloudFault.NONE) if what == "create" else CloudFault.NONE
        sim.create(machine())
        sim.run_until(lambda: sim.cloud.calls["create"] == 1, limit=timedelta(minutes=1))
        delete(sim)
        assert sim.rest(limit=LONG)
        assert (
            sim.objects(m.Machine),
            sim.cloud.alive,
            sim.cloud.calls["create"],
            sim.cloud.calls["delete"],
        ) == ((), (), 1, 1)

    def test_while_a_new_attempt_is_not_settled_and_the_dead_one_is_still_shown(self) -> None:
        """A cloud may show what is terminated for an hour; it is not what may have been made since, and keeps nobody waiting."""
        sim = cluster(machine())
        terminated_behind_our_back(sim)
        sim.cloud.choose = lambda what: CloudFault.UNHEARD if what == "create" else CloudFault.NONE
        assert sim.run_until(lambda: sim.cloud.calls["create"] == 2, limit=LONG)
        delete(sim)
        sim.run_until(lambda: not sim.objects(m.Machine), limit=timedelta(minutes=10))
        assert (sim.objects(m.Machine), sim.objects(m.Node), len(sim.cloud.created)) == ((), (), 1)

    def test_not_found_is_looked_into(self) -> None:
        """The cloud did not know yet what it had made, and it runs on: its end is asked for again, and comes."""
        sim = cluster(machine())
        sim.cloud.raises = NotFound("InvalidInstanceID.NotFound")
        delete(sim)
        assert sim.run_until(lambda: sim.cloud.calls["delete"] == 1, limit=timedelta(minutes=1))
        sim.cloud.raises = None
        assert sim.rest(limit=LONG)
        assert (sim.objects(m.Machine), sim.cloud.alive, sim.cloud.calls["delete"]) == ((), (), 2)

    def test_what_is_protected_stays(self) -> None:
        """Until the protection is taken away; one call an hour."""
        sim = cluster(machine())
        sim.cloud.raises = Protected("termination protection is on")
        delete(sim)
        sim.run_until(lambda: False, limit=timedelta(minutes=29))
        assert condition(read(sim), "InstanceReady") == ("False", "InstanceProtected")
        assert sim.cloud.calls["delete"] == 1
        sim.cloud.raises = None
        assert sim.rest(limit=LONG)
        assert (sim.objects(m.Machine), sim.cloud.alive) == ((), ())

    def test_a_permit_is_waited_for_where_limits_are_met(self) -> None:
        """One at a time, as the policy says."""
        sim = Simulation()
        sim.create(lax(1))
        for name in ("c1", "c2", "c3"):
            sim.create(machine(name))
        assert sim.rest(limit=LONG)
        ending: list[int] = []

        def count() -> None:
            machines = [wire.read(raw, m.Machine) for raw in sim.objects(m.Machine)]
            steps = [one.status.instance.step for one in machines if one.status.instance is not None]
            ending.append(steps.count(m.InstanceStep.TERMINATING))

        sim.watch(count)
        for name in ("c1", "c2", "c3"):
            delete(sim, name)
        assert sim.rest(limit=LONG)
        assert (max(ending), sim.objects(m.Machine), sim.cloud.alive) == (1, (), ())


def pool(replicas: int, **spec: Any) -> m.MachineSet:
    """A set whose machines the provider makes, over two zones."""
    template = m.MachineTemplate(
        labels={"pool": "x"}, spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
    )
    return m.MachineSet(
        metadata=m.ObjectMeta(name="pool"),
        spec=m.MachineSetSpec(replicas=replicas, selector=m.Selector(match_labels={"pool": "x"}), template=template, failure_domains=("a", "b"), **spec),
    )  # fmt: skip


def names_of(sim: Simulation) -> set[str]:
    """The names of all Machines."""
    return {raw["metadata"]["name"] for raw in sim.objects(m.Machine)}


class TestSets:
    """Sets of machines on a cloud."""

    def test_scaled_up_and_down_with_spread(self) -> None:
        """Each instance once; the zones stay even."""
        sim = cluster(pool(4))
        for replicas in (8, 2, 5, 0):
            sim.change(m.MachineSet, "pool", {"spec": {"replicas": replicas}})
            assert sim.rest(limit=LONG)
            assert len(names_of(sim)) == replicas
            agree(sim, names_of(sim))
            zones = Counter(one.zone for one in sim.cloud.alive)
            assert max(zones.values(), default=0) - min((zones[zone] for zone in "ab"), default=0) <= 1
        assert len(sim.cloud.created) == sim.cloud.calls["create"] == 8 + 3
        assert set(sim.cloud.terminated.values()) == {1}
        assert sim.cloud.calls["delete"] == 11

    def test_dying_instances_count_against_the_surge(self) -> None:
        """F31, S3: one that cannot be terminated leaves no room for another one."""
        strategy = m.Strategy(type=m.StrategyType.REPLACE, max_surge=1, max_unavailable=0)
        sim = cluster(pool(3, strategy=strategy))
        sim.cloud.stuck = {one.id for one in sim.cloud.alive}
        most: list[int] = []
        sim.watch(lambda: most.append(len(sim.cloud.alive)))
        sim.change(
            m.MachineSet,
            "pool",
            {"spec": {"template": {"spec": {"infrastructure": {"parameters": {"zone": "a"}}}}}},
        )
        sim.run_until(lambda: False, limit=timedelta(hours=2))
        assert max(most) == 4

    def test_after_a_mass_delete_no_instance_is_terminated_before_a_person_has_spoken(self) -> None:
        """Also of the machines whose deletion was seen before the set has counted it."""
        sim = cluster(pool(12))
        for name in names_of(sim):
            delete(sim, name)
        sim.run_until(lambda: False, limit=timedelta(hours=2))
        assert (len(sim.cloud.alive), sim.cloud.calls["delete"]) == (12, 0)
        assert {condition(read(sim, name), "InstanceReady")[1] for name in names_of(sim)} == {
            "TerminateWaits"
        }
        lost = wire.read(sim.objects(m.MachineSet)[0], m.MachineSet).status.lost
        sim.change(m.MachineSet, "pool", {"spec": {"acknowledgedLosses": lost}})
        assert sim.rest(limit=LONG)
        assert (len(sim.cloud.created), sim.cloud.calls["delete"]) == (24, 12)
        agree(sim, names_of(sim))

    def test_the_deletion_of_a_set_terminates_its_machines(self) -> None:
        """And nothing else: no instance, no Node, no Machine and no set is left."""
        sim = cluster(pool(6))
        delete(sim, "pool", m.MachineSet)
        assert sim.rest(limit=LONG)
        assert (sim.objects(m.MachineSet), sim.objects(m.Machine), sim.objects(m.Node), sim.cloud.alive) == (
            (),
            (),
            (),
            (),
        )
        assert sim.cloud.calls["delete"] == 6

    def test_where_the_ended_are_not_shown_any_more_each_is_asked_for_once_a_minute(self) -> None:
        """Not once a look, of which there are four a minute: of twenty that go at once that would be hundreds of calls."""
        sim = cluster(pool(12))
        died = sim.cloud.died

        def forgotten(one: Instance) -> None:
            sim.cloud.hidden.add(one.id)
            died(one)

        sim.cloud.died = forgotten
        begun = sim.time.elapsed
        sim.change(m.MachineSet, "pool", {"spec": {"replicas": 1}})
        assert sim.rest(limit=LONG)
        agree(sim, names_of(sim))
        assert (sim.cloud.calls["delete"], len(names_of(sim))) == (11, 1)
        minutes = (sim.time.elapsed - begun) // 60_000_000_000
        assert 11 * 2 <= sim.cloud.calls["get"] <= 11 * (minutes + 1)
        assert sim.cloud.calls["get"] < 11 * sim.cloud.calls["find"] // 3

    def test_an_orphan_is_told_of_and_left_alone(self) -> None:
        """Its Machine's finalizer was taken away by hand; the set makes another one, and says what was left."""
        sim = cluster(pool(3))
        name = sorted(names_of(sim))[0]
        orphan = read(sim, name).status.instance
        assert orphan is not None
        sim.processes["controller"].deaf_until = sim.time.elapsed + 1
        sim.at(timedelta(seconds=1), lambda: None)
        delete(sim, name)
        sim.change(m.Machine, name, {"metadata": {"finalizers": []}})
        delete(sim, sim.hosts.pop(name).spec.node, m.Node)  # its agent and kubelet are down
        for _ in range(3):
            sim.run_until(lambda: False, limit=timedelta(minutes=10))
            look(sim)
        assert sim.rest(limit=LONG)
        said = wire.read(sim.objects(m.MachineSet)[0], m.MachineSet).status.conditions
        assert [one.message.partition(";")[0] for one in said if one.type == "Orphans"] == [
            f"1 instances were made for machines of this set that are no more: {orphan.id}"
        ]
        assert (len(sim.cloud.alive), sim.cloud.calls["delete"], len(names_of(sim))) == (4, 0, 3)
        sim.cloud.end(orphan.id)
        look(sim)
        assert sim.rest(limit=LONG)
        said = wire.read(sim.objects(m.MachineSet)[0], m.MachineSet).status.conditions
        assert not any(one.type == "Orphans" for one in said)


class TestTwice:
    """Two instances of one machine, of which nobody here asked for the second."""

    def test_it_is_told_and_once_one_is_no_more_all_is_well(self) -> None:
        """A person may take away either: no restart is needed, nor anything else that wakes the machine."""
        sim = cluster(machine())
        known = read(sim).status.instance
        assert known is not None
        (own,) = sim.cloud.alive
        sim.cloud._memory.put(attrs.evolve(own, id="i-copy"))
        for _ in range(2):
            look(sim)
            assert sim.rest(limit=LONG)
            assert condition(read(sim), "InstanceReady") == ("False", "InstanceTwice")
        sim.cloud.change("i-copy", state=InstanceState.TERMINATED)
        look(sim)
        assert sim.rest(limit=LONG)
        assert condition(read(sim), "InstanceReady") == ("True", "InstanceRunning")
        assert (len(sim.cloud.created), sim.cloud.calls["delete"]) == (1, 0)

    def test_the_second_one_is_told_by_the_look_that_shows_it(self) -> None:
        """Though nothing else of the machine has changed, and nobody wanted the look."""
        sim = cluster(machine())
        (own,) = sim.cloud.alive
        sim.cloud._memory.put(attrs.evolve(own, id="i-copy"))
        clouds = sim.processes["controller"].clouds
        assert isinstance(clouds, SimClouds)
        clouds.resync()
        assert sim.rest(limit=LONG)
        assert condition(read(sim), "InstanceReady") == ("False", "InstanceTwice")


@attrs.define
class Tokenless(SimCloud):
    """A cloud that takes no tokens: two creates make two, and what was made is shown two minutes later at most."""

    shown_within: timedelta = timedelta(minutes=2)

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Create an instance, whatever the token."""
        return super().create(attrs.evolve(request, token=f"{request.token}-{self.calls['create']}"))


class TestWithoutTokens:
    """A provider that says how late it shows what it made."""

    def played(self, fault: CloudFault, *, crash: bool = False) -> Simulation:
        """Let the first create meet a fault, and perhaps the controller die of it."""
        sim = Simulation(cloud=Tokenless)
        met: list[int] = []

        def choose(what: str) -> CloudFault:
            if what != "create" or met:
                return CloudFault.NONE
            met.append(sim.time.elapsed)
            if crash:
                sim.at(timedelta(0), sim.processes["controller"].start)
            return fault

        sim.cloud.choose = choose
        sim.create(lax())
        sim.create(machine())
        assert sim.rest(limit=LONG)
        assert met
        agree(sim, {"c1"})
        return sim

    @pytest.mark.parametrize("crash", [False, True])
    def test_what_was_made_is_found_and_not_made_again(self, crash: bool) -> None:
        """Whether the answer was lost, or who asked for it is no more."""
        for fault in (CloudFault.TIMEOUT, CloudFault.NONE) if crash else (CloudFault.TIMEOUT,):
            sim = self.played(fault, crash=crash)
            assert (len(sim.cloud.made), sim.cloud.calls["create"]) == (1, 1)

    @pytest.mark.parametrize("crash", [False, True])
    def test_what_was_not_made_is_asked_for_again_when_it_would_be_shown(self, crash: bool) -> None:
        """Two looks that show nothing, and the first of them late enough."""
        sim = self.played(CloudFault.UNHEARD, crash=crash)
        assert (len(sim.cloud.made), sim.cloud.calls["create"]) == (1, 2)
        assert sim.time.elapsed > (2 + 1) * 60_000_000_000

    def test_without_that_word_it_would_be_made_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The fault is real: where nobody reads the word, the repeat makes a second instance."""
        monkeypatch.setattr(Launches, "blind", lambda *_: None)
        with pytest.raises(AssertionError):
            self.played(CloudFault.TIMEOUT)


class TestAskedFor:
    """Which instances are asked for by their id, if a look does not show them."""

    def bound(self, step: m.InstanceStep) -> tuple[Instances, m.Machine]:
        """A view that knows one machine with an instance."""
        status = m.InstanceStatus(step=step, provider="memory", attempt=1, token="t", id="i1")
        one = machine()
        one = attrs.evolve(
            one, metadata=attrs.evolve(one.metadata, uid="u1"), status=m.MachineStatus(instance=status)
        )
        view = Instances(Plugins.given(providers=[MemoryProvider()]))
        assert view.sight(one) is not None
        return view, one

    def looks(
        self, view: Instances, one: m.Machine, at: int, *shown: Instance
    ) -> tuple[tuple[str, ...], bool]:
        """Look, with the answer that those that are asked for are not known; give who was asked for, and whether it is missing."""
        asked = view.begin("memory", at * 1_000_000_000)
        absent = frozenset(asked) - {instance.id for instance in shown}
        view.looked(
            "memory", Look(began=at * 1_000_000_000, instances=shown, absent=absent), at * 1_000_000_000
        )
        sight = view.sight(one)
        assert sight is not None
        return asked, sight.missing

    def test_one_that_is_to_end_is_asked_for_again_after_a_minute(self) -> None:
        """It counts as missing all the while, until it is shown again; then nothing of before counts."""
        view, one = self.bound(m.InstanceStep.TERMINATING)
        known = Instance(id="i1", state=InstanceState.RUNNING, zone="a", tags={MACHINE_UID_TAG: "u1"})
        assert self.looks(view, one, 0) == (("i1",), True)
        assert self.looks(view, one, 59) == ((), True)
        assert self.looks(view, one, 60) == (("i1",), True)
        assert self.looks(view, one, 75, known) == ((), False)
        assert self.looks(view, one, 90) == (("i1",), True)

    def test_one_that_is_to_stay_is_asked_for_in_each_look_and_one_that_is_gone_in_none(self) -> None:
        """What nobody has ended may be wrongly missing; of what is proven to be gone nothing is to be learned."""
        view, one = self.bound(m.InstanceStep.MADE)
        assert [self.looks(view, one, at) for at in (0, 15)] == [(("i1",), True)] * 2
        view, one = self.bound(m.InstanceStep.GONE)
        assert self.looks(view, one, 0)[0] == ()

    def test_what_a_machine_has_no_more_is_not_taken_for_what_it_is_to_have(self) -> None:
        """Another controller has proven that it is gone, and has begun another attempt: what was seen before is old."""
        view, one = self.bound(m.InstanceStep.MADE)
        known = Instance(id="i1", state=InstanceState.RUNNING, zone="a", tags={MACHINE_UID_TAG: "u1"})
        self.looks(view, one, 0, known)
        begun = m.InstanceStatus(step=m.InstanceStep.CREATING, provider="memory", attempt=2, token="t2")
        later = attrs.evolve(one, status=m.MachineStatus(instance=begun))
        sight = view.sight(later)
        assert sight is not None
        assert (sight.mine, sight.known) == ((), None)
        view.begin("memory", 0)
        view.looked("memory", Look(began=1, instances=(known,)), 1)
        sight = view.sight(later)
        assert sight is not None
        assert sight.mine == (known,), "a look that shows it again is believed"

    def test_our_own_refusals_do_not_freeze_a_provider_again(self) -> None:
        """One call tries; what is refused meanwhile, here, does not keep it from going, nor grow the pause."""
        view, one = self.bound(m.InstanceStep.MADE)

        def end(number: int) -> TerminateInstance:
            return TerminateInstance(
                machine=m.ref(one), provider="memory", op_id=f"o{number}", instance="i1", tries=0
            )

        assert view.gate(end(0), 0) is None
        view.answered(end(0), answered(end(0), Failure(error="AuthFailed", text="who?"), 0))
        assert view.frozen_since("memory", 0) == Failure(error="AuthFailed", text="memory: who?")
        later = 60 * 1_000_000_000
        assert view.gate(end(1), later) is None
        mark = view.freezes("memory")
        refused = view.gate(end(2), later + 1)
        assert refused is not None
        assert refused.text == "memory: who?"
        view.answered(end(2), refused)
        assert view.frozen_since("memory", mark) is None
        view.answered(end(1), answered(end(1), None, later + 2))
        assert view.gate(end(3), later + 3) is None
