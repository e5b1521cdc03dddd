"""The remedy `reinstall-component` in a simulated cluster: controllers, agents with their drivers, and hosts together."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.step import InstallPackage
from kubenode.runtime.sim.host import Heals, SimHost
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Cast, Stage
from kubenode.runtime.store.embedded import now_or_never

NAME, UNIT = "kubelet", "kubelet.service"
LONG = timedelta(hours=6)


def component(version: str, driver: str = "package") -> m.MachineComponent:
    """A version of the kubelet."""
    spec = m.MachineComponentSpec(version=version, driver=driver, parameters={"package": NAME, "unit": UNIT})
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"{NAME}-{version}"), spec=spec)


def stage(*, entry: str = NAME) -> Stage:
    """A cluster in which all run the first version, with a rule that puts an entry down again where a task hangs."""
    spec = m.MachineComponentSetSpec(
        name=NAME, component=f"{NAME}-1.0", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(min_ready_seconds=0, max_unavailable=m.IntOrPercent.parse("100%")),
    )  # fmt: skip
    rule = m.NodeRemedierSpec(
        condition=m.ConditionMatch(type="KernelDeadlock"),
        ladder=(
            m.Rung(action="reinstall-component", parameters={"component": entry}),
            m.Rung(action="reboot", timeout=timedelta(minutes=10)),
        ),
        verification=m.Verification(dwell=timedelta(seconds=30), timeout=timedelta(minutes=2)),
    )
    limits = (m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(2)),)  # and no rate: a rollout goes before
    objects = (
        m.RiskPolicy(metadata=m.ObjectMeta(name="default"), spec=m.RiskPolicySpec(limits=limits)),
        component("1.0"), component("2.0"), m.MachineComponentSet(metadata=m.ObjectMeta(name=NAME), spec=spec),
        m.NodeRemedier(metadata=m.ObjectMeta(name="hung"), spec=rule),
    )  # fmt: skip
    made = Stage("reinstall", Cast(objects=objects).with_machines(4), seed=3, tell=lambda _: None)
    made.open()
    assert made.until_running()
    assert made.simulation.rest(limit=LONG)
    return made


def hang(made: Stage, name: str = "n002") -> SimHost:
    """Let a host hang, until it is rebooted; and let its episode come to its end."""
    host = made.simulation.hosts[name]
    made.simulation.at(timedelta(minutes=1), lambda: host.hang(kernel_lines(), Heals.REBOOT))
    assert made.simulation.run_until(lambda: _closed(made), limit=LONG)
    return host


def _closed(made: Stage) -> bool:
    jobs: tuple[m.RemedyOperationJob, ...] = made.all(m.RemedyOperationJob)
    return bool(jobs) and all(job.status.closed_at is not None for job in jobs)


def attempts(made: Stage) -> list[tuple[str, str, str]]:
    """What was tried, and how it ended."""
    jobs: tuple[Any, ...] = made.all(m.RemedyOperationJob)
    return [(one.action, one.state.value, one.verdict) for job in jobs for one in job.status.attempts]


def test_what_a_component_brings_is_put_down_again_though_it_looks_right() -> None:
    """By the driver's steps, which say `anew`; the next rung follows where that did not help."""
    made = stage()
    host = hang(made)
    put = [
        step for span in host.spans for step in span.steps if isinstance(step, InstallPackage) and step.anew
    ]
    assert [(step.package, step.version, step.then is not None) for step in put] == [(NAME, "1.0", True)]
    assert [one[:2] for one in attempts(made)] == [("reinstall-component", "Failed"), ("reboot", "Succeeded")]
    assert attempts(made)[0][2] == "not clear and Ready within 120 s"
    assert made.simulation.rest(limit=LONG)
    assert made.phases() == {"Running": 4}


@pytest.mark.parametrize("there", [True, False])
def test_where_the_wanted_version_failed_the_one_before_is_put_down(there: bool) -> None:
    """While somebody still knows what it is; else the rung fails at once."""
    made = stage()
    host = made.simulation.hosts["n002"]
    host.spec = attrs.evolve(host.spec, refuses=frozenset({f"{NAME}=2.0"}))
    made.simulation.change(m.MachineComponentSet, NAME, {"spec": {"component": f"{NAME}-2.0"}})
    reported = made.simulation.run_until(
        lambda: made.read(m.Machine, "n002").status.agent.components[NAME].reason == "InstallFailed",
        limit=LONG,
    )
    assert reported
    if not there:
        now_or_never(made.simulation.store.delete(m.MachineComponent.KIND, f"{NAME}-1.0"))
    hang(made)
    put = [
        step for span in host.spans for step in span.steps if isinstance(step, InstallPackage) and step.anew
    ]
    assert [step.version for step in put] == (["1.0"] if there else [])
    first = attempts(made)[0]
    assert first[1] == "Failed"
    gone = f"{NAME}: ComponentMissing: {NAME}: there is no MachineComponent {NAME}-1.0"
    assert (first[2] == gone) is not there


def test_a_machine_without_that_component_goes_on_with_the_next_rung() -> None:
    """At once: the agent says that nothing tells how it should be."""
    made = stage(entry="containerd")
    hang(made)
    assert attempts(made)[0] == (
        "reinstall-component", "Failed", "containerd: nothing says how it should be",
    )  # fmt: skip
    assert attempts(made)[1][:2] == ("reboot", "Succeeded")
