"""Excused failures in a simulated cluster: agents, controllers and hosts together."""

from datetime import timedelta
from itertools import pairwise

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.condition import find
from kubenode.runtime.sim.host import HostSpec, SimHost
from kubenode.runtime.sim.story import Cast, Stage

LONG = timedelta(hours=6)
MINUTE = 60_000_000_000
BAD = "n002"


def component(version: str, disruption: m.Disruption) -> m.MachineComponent:
    """Give a version of a package and its unit."""
    parameters = {"package": "kubelet", "unit": "kubelet.service"}
    spec = m.MachineComponentSpec(
        version=version, driver="package", parameters=parameters, disruption=disruption
    )
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"kubelet-{version}"), spec=spec)


def excused(disruption: m.Disruption = m.Disruption.RESTART) -> Stage:
    """Give a cluster of three, rolled out to 2, which one machine refuses and a person excused."""
    rollout = m.Rollout(
        batches=(m.IntOrPercent.parse("100%"),), max_unavailable=m.IntOrPercent(3), min_ready_seconds=0
    )
    spec = m.MachineComponentSetSpec(
        name="kubelet", component="kubelet-1", selector=m.Selector(match_labels={"pool": "x"}), rollout=rollout,
    )  # fmt: skip
    owner = m.MachineComponentSet(metadata=m.ObjectMeta(name="kubelet"), spec=spec)
    free = m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(1)),))
    policy = m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=free)
    objects = (component("1", disruption), component("2", disruption), owner, policy)
    made = Stage("excused", Cast(objects=objects).with_machines(3, zones=("a",)), seed=5, tell=lambda _: None)

    def refusing(spec: HostSpec) -> HostSpec:
        return attrs.evolve(spec, refuses=frozenset({"kubelet=2"})) if spec.machine == BAD else spec

    made.open(refusing)
    assert made.until_running()
    made.simulation.change(m.MachineComponentSet, "kubelet", {"spec": {"component": "kubelet-2"}})
    assert made.simulation.run_until(lambda: status(made).phase == "Paused", limit=LONG)
    excuse = {"revision": str(status(made).update.number), "failures": 1}  # type: ignore[union-attr]
    made.simulation.change(m.MachineComponentSet, "kubelet", {"spec": {"rollout": {"excuse": excuse}}})
    assert made.simulation.run_until(lambda: status(made).phase == "Complete", limit=LONG)
    return made


def status(made: Stage) -> m.MachineComponentSetStatus:
    """Give the set's status."""
    found: m.MachineComponentSetStatus = made.read(m.MachineComponentSet, "kubelet").status
    return found


def tries(host: SimHost) -> list[int]:
    """Give the pauses between the tries of the new version, minutes."""
    begun = [span for span in host.spans if any(getattr(step, "version", "") == "2" for step in span.steps)]
    return [round((after.began - (before.ended or 0)) / MINUTE) for before, after in pairwise(begun)]


def test_resume_excuses_those_so_far_they_keep_last_good_and_retry_with_back_off() -> None:
    """Version 1 goes on running; tries after 10, 20, 40, then every 60 minutes; the rollout ends Complete, excused: 1."""
    made = excused()
    host = made.simulation.hosts[BAD]
    made.simulation.run_until(lambda: False, limit=timedelta(hours=5))
    assert tries(host) == [10, 20, 40, 60, 60, 60]
    assert (host.packages["kubelet"], host.units["kubelet.service"]) == ("1", "active")
    said = find(made.read(m.MachineComponentSet, "kubelet").status.conditions, "Progressing")
    assert said is not None
    assert (status(made).phase, said.message) == ("Complete", "2 of 3 updated, excused: 1")
    report = made.read(m.Machine, BAD).status.agent.components["kubelet"]
    assert (report.component, report.version, report.reason) == ("kubelet-1", "1", "InstallFailed")
    told = made.end((), "")
    assert told.passed, [check for check in told.checks if not check.passed]


def test_a_try_that_succeeds_ends_the_retries_and_the_machine_counts_as_updated() -> None:
    """Somebody mends the host; nobody else has to do anything."""
    made = excused()
    host = made.simulation.hosts[BAD]
    made.simulation.run_until(lambda: len(tries(host)) == 2, limit=LONG)
    host.spec = attrs.evolve(host.spec, refuses=frozenset())
    assert made.simulation.rest(limit=LONG)
    assert host.packages["kubelet"] == "2"
    assert tries(host) == [10, 20]  # the third was under way when the host was mended
    assert (status(made).phase, status(made).updated, status(made).failures) == ("Complete", 3, 1)
    report = made.read(m.Machine, BAD).status.agent.components["kubelet"]
    assert (report.component, report.version, report.reason) == ("kubelet-2", "2", "")
    assert made.phases() == {"Running": 3}


def test_an_agent_that_starts_anew_never_tries_sooner() -> None:
    """The pause begins anew (decision 0023): later, and no more often in any hour."""
    made = excused()
    host = made.simulation.hosts[BAD]
    for minute in range(3, 300, 7):
        made.simulation.at(timedelta(minutes=minute), made.simulation.processes["agents"].start)
    made.simulation.run_until(lambda: False, limit=timedelta(hours=5))
    assert tries(host) == []
    made.simulation.run_until(lambda: False, limit=timedelta(hours=4))
    assert tries(host)[1:] == [20, 40, 60, 60]
    assert tries(host)[0] > 10


@pytest.mark.parametrize("disruption", [m.Disruption.DRAIN, m.Disruption.REBOOT])
def test_what_drains_or_reboots_is_not_tried_again_without_a_permit(disruption: m.Disruption) -> None:
    """It keeps last-good, and waits for a person or another revision."""
    made = excused(disruption)
    host = made.simulation.hosts[BAD]
    assert made.simulation.rest(limit=timedelta(days=2))
    assert (tries(host), host.packages["kubelet"]) == ([], "1")
    assert (status(made).phase, status(made).excused) == ("Complete", 1)
