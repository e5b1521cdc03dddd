"""Drift in a simulated cluster: agents, controllers and hosts together."""

from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.core.host.inspection import INSPECT_EVERY
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.process import Process
from kubenode.runtime.sim.run import AGENTS, Simulation
from kubenode.runtime.sim.story import Cast, Stage

PATH, UNIT = "/etc/kubernetes/kubelet.conf", "kubelet.service"
GOOD, EVIL = b"good\n", b"evil\n"
LONG = timedelta(hours=3)


def component(version: str, content: bytes = GOOD) -> m.MachineComponent:
    """Give a version of a file that the kubelet reads."""
    spec = m.MachineComponentSpec(
        version=version, driver="file", parameters={"path": PATH, "content": content.decode(), "unit": UNIT}
    )
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"conf-{version}"), spec=spec)


def stage(machines: int) -> Stage:
    """Give a cluster in which all machines run, with a set that keeps the file."""
    spec = m.MachineComponentSetSpec(
        name="conf", component="conf-1", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(min_ready_seconds=0, max_unavailable=m.IntOrPercent.parse("100%")),
    )  # fmt: skip
    owner = m.MachineComponentSet(metadata=m.ObjectMeta(name="conf"), spec=spec)
    cast = Cast(objects=(component("1"), component("2", b"new\n"), owner)).with_machines(machines)
    made = Stage("drift", cast, seed=7, tell=lambda _: None)
    made.open()
    assert made.until_running()
    assert made.simulation.rest(limit=LONG)
    return made


def spoil(host: SimHost) -> None:
    """Change the file behind everybody's back, as a person or an attacker would."""
    host.files[PATH] = EVIL
    host.changed(host)


def evil(simulation: Simulation) -> int:
    """Count the hosts whose file is not as it should be."""
    return sum(host.files[PATH] == EVIL for host in simulation.hosts.values())


def attacked(machines: int, victims: int) -> Stage:
    """Give a cluster on which a bad actor changes the file on one machine after another, fifteen seconds apart."""
    made = stage(machines)
    for number, name in enumerate(sorted(made.simulation.hosts)[:victims]):
        host = made.simulation.hosts[name]
        made.simulation.at(timedelta(seconds=15 * number), lambda host=host: spoil(host))  # type: ignore[misc]
    assert made.simulation.rest(limit=LONG)
    return made


def restarts(made: Stage) -> int:
    """Count what was really done to hosts."""
    return sum(len(host.spans) for host in made.simulation.hosts.values())


def held(made: Stage) -> tuple[m.Machine, ...]:
    """Give the machines whose repair is held."""
    return tuple(one for one in made.all(m.Machine) if one.spec.components["conf"].held)


def test_a_bad_actor_changes_a_file_on_20_of_100_machines_and_most_are_held_until_a_person_speaks() -> None:
    """At most five are repaired, the rest held, the reason stands on each Machine; then a person releases them."""
    made = attacked(100, 20)
    simulation = made.simulation
    assert 15 <= evil(simulation) < 20
    assert len(held(made)) == evil(simulation)
    for one in held(made):
        ready = next(said for said in one.status.conditions if said.type == "ComponentsReady")
        assert ready.reason == "ComponentDrifted"
        assert "of 100 machines of set conf report that conf-1 drifted, and at most 5" in ready.message
        assert "spec.repair" in ready.message
    before = restarts(made)
    assert simulation.rest(limit=timedelta(days=2))
    assert (restarts(made), len(held(made))) == (before, evil(simulation))
    waiting = evil(simulation)
    simulation.change(
        m.MachineComponentSet, "conf", {"spec": {"repair": {"component": "conf-1", "machines": 20}}}
    )
    assert simulation.rest(limit=LONG)
    assert (evil(simulation), held(made), restarts(made)) == (0, (), before + waiting)
    assert made.phases() == {"Running": 100}


def test_five_of_100_are_repaired_without_anybody() -> None:
    """What is borne is repaired, and nobody is held."""
    made = attacked(100, 5)
    assert (evil(made.simulation), held(made)) == (0, ())


def test_controllers_that_start_anew_hold_what_was_held() -> None:
    """The record is in the entries and in the agents' reports, not in memory; a crash in between changes nothing."""
    made = attacked(100, 20)
    before = (evil(made.simulation), len(held(made)), restarts(made))
    for process in made.simulation.processes.values():
        process.start()
    assert made.simulation.rest(limit=LONG)
    assert (evil(made.simulation), len(held(made)), restarts(made)) == before


def test_a_new_revision_ends_a_hold() -> None:
    """Its entry is written whole, and brings what it brings."""
    made = attacked(20, 10)
    assert len(held(made)) > 3
    made.simulation.change(m.MachineComponentSet, "conf", {"spec": {"component": "conf-2"}})
    assert made.simulation.rest(limit=timedelta(days=2))
    assert held(made) == ()
    assert {host.files[PATH] for host in made.simulation.hosts.values()} == {b"new\n"}


@pytest.mark.parametrize("what", ["file", "unit"])
def test_a_changed_file_or_unit_is_seen_at_once(what: str) -> None:
    """The report is stored in the same moment, and the repair follows within a minute."""
    made = stage(3)
    host = made.simulation.hosts["n002"]
    if what == "file":
        host.files[PATH] = EVIL
    else:
        host.units[UNIT] = "inactive"
    host.changed(host)
    at = made.simulation.time.elapsed
    drifting = made.simulation.run_until(
        lambda: made.read(m.Machine, "n002").status.agent.components["conf"].drifting, limit=LONG
    )
    assert drifting
    assert made.simulation.time.elapsed == at
    assert made.simulation.rest(limit=timedelta(seconds=90))
    assert (host.files[PATH], host.units[UNIT]) == (GOOD, "active")


def test_an_agent_that_is_told_of_nothing_looks_again_by_itself() -> None:
    """Its period over, it finds what nobody told it of; one without a period does not."""
    for inspect, found in ((None, EVIL), (INSPECT_EVERY, GOOD)):
        made = stage(2)
        simulation = made.simulation
        simulation.processes[AGENTS] = Process(
            lambda inspect=inspect, simulation=simulation: agents(simulation, simulation.plugins, inspect=inspect),  # type: ignore[misc]
            simulation.store, simulation, (),
        )  # fmt: skip
        simulation.run_until(lambda: False, limit=timedelta(seconds=30))
        simulation.hosts["n001"].files[PATH] = EVIL
        simulation.run_until(lambda: False, limit=INSPECT_EVERY + timedelta(seconds=90))
        assert simulation.hosts["n001"].files[PATH] == found


def test_what_people_change_by_intent_is_left_alone_by_label_and_counts_for_no_hold() -> None:
    """Of 20 machines ten are changed and labelled: nothing is done to them, and the eleventh, which is not, is repaired."""
    made = stage(20)
    simulation = made.simulation
    label = {"metadata": {"labels": {"allow-drift.kubenode.dev/conf": "incident-7"}}}
    chosen = sorted(simulation.hosts)[:10]
    for name in chosen:
        simulation.change(m.Machine, name, label)
        spoil(simulation.hosts[name])
    assert simulation.rest(limit=LONG)
    before = restarts(made)
    spoil(simulation.hosts["n015"])
    assert simulation.rest(limit=LONG)
    assert (evil(simulation), held(made), restarts(made)) == (10, (), before + 1)
    for name in chosen:
        report = made.read(m.Machine, name).status.agent.components["conf"]
        assert report.drifting
    simulation.change(m.Machine, chosen[0], {"metadata": {"labels": {"allow-drift.kubenode.dev/conf": None}}})
    assert simulation.rest(limit=LONG)
    assert (evil(simulation), restarts(made)) == (9, before + 2)
