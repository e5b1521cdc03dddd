"""A bad version on simulated hosts: the control group, and a hook, stop it after its first machine."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.inspection import Answer, Fail, Inconclusive, InspectionRequest, Pass
from kubenode.core.model.condition import find
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.remedies import NoParams
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.host import HostSpec, SimHost
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Cast, Stage, examples

MACHINES = 40
DAY = timedelta(days=1)
SET, OLD, NEW = "node-exporter", "1.8.2", "1.9.0"
Strikes = Callable[[list[SimHost], list[SimHost]], list[SimHost]]


def updated(hosts: dict[str, SimHost]) -> list[SimHost]:
    """Give the hosts that have the new version."""
    return [host for host in hosts.values() if host.packages.get("node-exporter") == NEW]


def only_updated(new: list[SimHost], _: list[SimHost]) -> list[SimHost]:
    """The version does it."""
    return new


def all_at_once(new: list[SimHost], all_: list[SimHost]) -> list[SimHost]:
    """Something else came when the first was updated."""
    return all_ if new else []


def nobody(_: list[SimHost], __: list[SimHost]) -> list[SimHost]:
    """All is well."""
    return []


def roll(strikes: Strikes, **inspection: Any) -> tuple[Stage, m.MachineComponentSet]:
    """Roll a version out over 40 machines; those that are struck have a condition from then on."""
    stage = Stage(
        "test", Cast.read([examples() / "upgrade.yaml"]).with_machines(MACHINES), seed=0, tell=lambda _: None
    )
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=DAY)
    struck = set[str]()

    def strike() -> None:
        hosts = stage.simulation.hosts
        for host in strikes(updated(hosts), [*hosts.values()]):
            if host.spec.machine not in struck:
                struck.add(host.spec.machine)
                host.log(kernel_lines())

    stage.simulation.watch(strike)
    stage.change()
    stage.simulation.change(
        m.MachineComponentSet, SET, {"spec": {"rollout": {"observation": "10m", "inspection": inspection}}}
    )
    stage.simulation.rest(limit=3 * DAY)
    owner = stage.read(m.MachineComponentSet, SET)
    assert isinstance(owner, m.MachineComponentSet)
    return stage, owner


def told(owner: m.MachineComponentSet, type: str = "Progressing") -> tuple[str, str]:
    """Give reason and message."""
    condition = find(owner.status.conditions, type)
    assert condition is not None
    return condition.reason, condition.message


GROUP = {"conditions": ["KernelDeadlock"], "inconclusive": "Continue"}


def test_a_version_that_raises_a_condition_stops_after_its_first_machine() -> None:
    """One of one updated has it and none of 39 others: that is no chance."""
    stage, owner = roll(only_updated, controlGroup=GROUP)
    text = "KernelDeadlock: 1 of 1 updated machines, 0 of 39 not yet updated; more than by chance (95 %)"
    assert (owner.status.phase, told(owner)) == ("Paused", ("ControlGroupWorse", text))
    assert len(updated(stage.simulation.hosts)) == 1


def test_the_same_version_rolls_back_where_the_set_says_so() -> None:
    """Every host has what ran before, and nobody tries it again."""
    stage, owner = roll(only_updated, controlGroup=GROUP, onFailure="RollBack")
    assert updated(stage.simulation.hosts) == []
    assert (owner.status.phase, told(owner)[0]) == ("Complete", "Complete")
    assert told(owner, "RolledBack")[0] == "InspectionFailed"
    assert f"node-exporter-{NEW} is not rolled out: KernelDeadlock: 1 of 1" in told(owner, "RolledBack")[1]


@pytest.mark.parametrize("pause", [True, False])
def test_a_fault_that_comes_over_all_is_not_the_version_s(pause: bool) -> None:
    """The control group has it too, so nothing can be told: the set says whether that pauses."""
    group = {**GROUP, "inconclusive": "Pause"} if pause else GROUP
    stage, owner = roll(all_at_once, controlGroup=group)
    if pause:
        text = "KernelDeadlock: 1 of 1 updated machines, 39 of 39 not yet updated; too few without it to tell at 95 %"
        assert told(owner) == ("ControlGroupTooSmall", text)
        assert len(updated(stage.simulation.hosts)) == 1
    else:
        assert (told(owner)[0], len(updated(stage.simulation.hosts))) == ("Complete", MACHINES)


def test_a_good_version_passes_the_control_group() -> None:
    """The same inspection lets it through."""
    stage, owner = roll(nobody, controlGroup=GROUP)
    assert (told(owner)[0], len(updated(stage.simulation.hosts))) == ("Complete", MACHINES)


class Probe:
    """Looks at the simulated hosts, as a smoke test would at real ones; blind for as long as it is told."""

    name = "probe"
    params = NoParams

    def __init__(self, bad: Callable[[str], bool]) -> None:
        self.bad = bad
        self.asked: list[InspectionRequest[NoParams]] = []
        self.blind = 0

    def inspect(self, request: InspectionRequest[NoParams], /) -> Answer:
        """Probe the machines of the batch."""
        self.asked.append(request)
        if len(self.asked) <= self.blind:
            return Inconclusive(text="the prober is down")
        bad = [name for name in request.machines if self.bad(name)]
        return Fail(text=f"{bad[0]} answers 503") if bad else Pass(text=f"{len(request.machines)} answer")


def probed(probe: Probe) -> tuple[Simulation, m.MachineComponentSet]:
    """Roll a version out over 12 machines in batches 1, 5, 6, asked by a hook."""
    cast = Cast.read([examples() / "upgrade.yaml"]).with_machines(12)
    simulation = Simulation(seed=0, plugins=Plugins.discover(inspections=[probe]))
    for machine in cast.of(m.Machine):
        name, zone = machine.metadata.name, machine.metadata.labels[ZONE_LABEL]
        simulation.add_host(HostSpec(machine=name, node=f"node-{name}", zone=zone))
    for obj in cast.objects:
        simulation.create(obj)
    simulation.rest(limit=DAY)
    inspection = {"hooks": [{"name": "smoke", "inspector": "probe"}]}
    rollout = {"observation": "10m", "inspection": inspection}
    body = {"spec": {"component": f"node-exporter-{NEW}", "rollout": rollout}}
    simulation.change(m.MachineComponentSet, SET, body)
    simulation.rest(limit=3 * DAY)
    return simulation, read(simulation)


def read(simulation: Simulation) -> m.MachineComponentSet:
    """Read the set from the store."""
    (raw,) = simulation.objects(m.MachineComponentSet)
    return wire.read(raw, m.MachineComponentSet)


def test_a_hook_stops_a_bad_version_after_its_first_batch_and_a_person_lets_it_go_on() -> None:
    """It is asked about that batch once; after the word once more, and at the end of the observation."""
    healed = False
    probe = Probe(lambda name: not healed)
    simulation, owner = probed(probe)
    assert owner.status.phase == "Paused"
    reason, text = told(owner)
    assert reason == "InspectionFailed"
    assert text.startswith(f"smoke failed: {probe.asked[0].machines[0]} answers 503; to ask again set ")
    assert (len(probe.asked), len(updated(simulation.hosts))) == (1, 1)
    healed = True
    word = {"revision": "2", "batch": 1, "count": 1}
    simulation.change(m.MachineComponentSet, SET, {"spec": {"rollout": {"inspectAgain": word}}})
    simulation.rest(limit=DAY)
    assert told(read(simulation))[0] == "Complete"
    assert [(one.batch, one.observed) for one in probe.asked] == [
        (1, False), (1, False), (1, True), (2, False), (2, True), (3, False), (3, True),
    ]  # fmt: skip
    assert [len(one.machines) for one in probe.asked[2::2]] == [1, 5, 6]
    assert probe.asked[-1].nodes == tuple(f"node-{name}" for name in probe.asked[-1].machines)


def test_a_hook_that_is_blind_for_a_while_pauses_for_that_while() -> None:
    """It is asked every minute, and the rollout goes on by itself."""
    probe = Probe(lambda name: False)
    probe.blind = 4
    simulation, owner = probed(probe)
    assert told(owner)[0] == "Complete"
    assert len(updated(simulation.hosts)) == 12
    times = [one.now for one in probe.asked[:5]]
    assert [later - now for now, later in itertools.pairwise(times)] == [timedelta(minutes=1)] * 4
