"""Components on simulated hosts: in the order of their dependencies, with values of their node, judged by their probes."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.probe import Check, CheckAnswer, Exec, HttpGet, TcpConnect
from kubenode.core.step import WriteFile
from kubenode.runtime.sim.host import HostSpec, SimHost
from kubenode.runtime.sim.story import Cast, Stage

LONG = timedelta(hours=3)
HEALTHZ = HttpGet("http://127.0.0.1:10248/healthz")


def component(name: str, version: str = "1", content: str = "x\n", **spec: Any) -> m.MachineComponent:
    """Give a version of a file that a unit reads."""
    parameters = {"path": f"/etc/{name}.conf", "content": content, "unit": f"{name}.service"}
    made = m.MachineComponentSpec(version=version, driver="file", parameters=parameters, **spec)
    return m.MachineComponent(metadata=m.ObjectMeta(name=f"{name}-{version}"), spec=made)


def owner(name: str) -> m.MachineComponentSet:
    """Give the set that keeps a component on every machine."""
    spec = m.MachineComponentSetSpec(
        name=name, component=f"{name}-1", selector=m.Selector(match_labels={"pool": "x"}),
        rollout=m.Rollout(min_ready_seconds=0, max_unavailable=m.IntOrPercent.parse("100%"), progress_deadline_seconds=600),
    )  # fmt: skip
    return m.MachineComponentSet(metadata=m.ObjectMeta(name=name), spec=spec)


def stage(
    *components: m.MachineComponent, machines: int = 3,
    label: Callable[[m.Machine], m.Machine] = lambda machine: machine,
    spec: Callable[[HostSpec], HostSpec] = lambda spec: spec,
) -> Stage:  # fmt: skip
    """Give a cluster with a set for each component, after a quarter of an hour; whatever is at rest then stays so."""
    sets = tuple(
        owner(name) for name in dict.fromkeys(one.metadata.name.partition("-")[0] for one in components)
    )
    cast = Cast(objects=(*components, *sets)).with_machines(machines)
    labelled = tuple(label(one) if isinstance(one, m.Machine) else one for one in cast.objects)
    made = Stage("components", attrs.evolve(cast, objects=labelled), seed=11, tell=lambda _: None)
    made.open(spec)
    made.simulation.run_until(lambda: False, limit=timedelta(minutes=15))
    return made


def written(host: SimHost) -> list[str]:
    """Name the files that were written on a host, in order."""
    return [step.path for span in host.spans for step in span.steps if isinstance(step, WriteFile)]


def conditions(machine: m.Machine) -> dict[str, m.Condition]:
    """Give the conditions of a machine by type."""
    return {one.type: one for one in machine.status.conditions}


def reports(made: Stage, name: str) -> Iterable[m.ComponentReport]:
    """Give what the agents report of a component."""
    for machine in made.all(m.Machine):
        assert machine.status.agent is not None
        yield machine.status.agent.components[name]


def test_components_are_installed_in_the_order_of_their_dependencies() -> None:
    """By name the order would be the other one; on every host it is that of the dependencies."""
    made = stage(
        component("aaa", dependencies=("mmm", "zzz")),
        component("mmm", dependencies=("zzz",)),
        component("zzz"),
    )
    assert made.phases() == {"Running": 3}
    for host in made.simulation.hosts.values():
        assert written(host) == ["/etc/zzz.conf", "/etc/mmm.conf", "/etc/aaa.conf"]


def test_a_circle_is_named_on_the_machine_and_nothing_is_done() -> None:
    """Each host stays as it was; the set pauses with the reason; a component without the circle ends it."""
    made = stage(
        component("aaa", dependencies=("zzz",)), component("zzz", dependencies=("aaa",)), component("mmm")
    )
    assert [written(host) for host in made.simulation.hosts.values()] == [["/etc/mmm.conf"]] * 3
    for report in reports(made, "zzz"):
        assert (report.reason, report.component) == ("DependencyCircle", "")
    for machine in made.all(m.Machine):
        said = conditions(machine)["ComponentsReady"]
        assert said.reason == "ComponentFailed"
        assert "DependencyCircle: aaa -> zzz -> aaa wait for each other" in said.message
    made.simulation.create(component("zzz", "2"))
    made.simulation.change(m.MachineComponentSet, "zzz", {"spec": {"component": "zzz-2"}})
    assert made.simulation.rest(limit=LONG)
    assert made.phases() == {"Running": 3}
    for host in made.simulation.hosts.values():
        assert written(host) == ["/etc/mmm.conf", "/etc/zzz.conf", "/etc/aaa.conf"]


def test_each_machine_has_its_own_values() -> None:
    """Name, address, zone and labels of this machine, and the escape as it is meant."""
    text = "${machine.name} ${node.address} ${zone} ${label.pool} $${HOME}\n"
    made = stage(component("conf", content=text), machines=4)
    assert made.phases() == {"Running": 4}
    zones = {
        one.metadata.name: one.metadata.labels["topology.kubernetes.io/zone"] for one in made.all(m.Machine)
    }
    addresses = {one.metadata.name: one.spec.host.address for one in made.all(m.Machine)}
    for name, host in made.simulation.hosts.items():
        wanted = f"{name} {addresses[name]} {zones[name]} x ${{HOME}}\n"
        assert host.files["/etc/conf.conf"].decode() == wanted


def test_a_machine_without_the_value_waits_and_the_others_do_not() -> None:
    """Nothing is written there, and why stands on the Machine; a label is enough to go on."""

    def label(machine: m.Machine) -> m.Machine:
        has = machine.metadata.name != "n002"
        return attrs.evolve(machine, spec=attrs.evolve(machine.spec, labels={"rack": "r1"} if has else {}))

    made = stage(component("conf", content="${label.rack}\n"), label=label)
    host = made.simulation.hosts["n002"]
    assert written(host) == []
    said = conditions(made.read(m.Machine, "n002"))["ComponentsReady"]
    assert said.reason == "Progressing"
    assert "WaitingForValue" in said.message
    assert "${label.rack} has no value yet; label the Machine, or write spec.labels: rack" in said.message
    assert all(
        other.files["/etc/conf.conf"] == b"r1\n"
        for other in made.simulation.hosts.values()
        if other is not host
    )
    made.simulation.change(m.Machine, "n002", {"metadata": {"labels": {"rack": "r2"}}})
    assert made.simulation.rest(limit=LONG)
    assert host.files["/etc/conf.conf"] == b"r2\n"
    assert made.phases() == {"Running": 3}


def test_what_is_no_variable_is_a_failure_with_its_fix() -> None:
    """A server cannot refuse it, since parameters are free; every agent does, and writes nothing."""
    made = stage(component("conf", content="${HOME}\n"))
    assert [written(host) for host in made.simulation.hosts.values()] == [[]] * 3
    for report in reports(made, "conf"):
        assert (report.revision, report.reason) == ("1", "ParametersInvalid")
        assert "spec.parameters.content: ${HOME} is no variable" in report.message
        assert "write $${ where the text itself is meant" in report.message


PROBES = (
    (m.ComponentProbe(http=m.HttpProbe(port=10248, path="/healthz")), HEALTHZ, CheckAnswer(code=500), "answers 500"),
    (m.ComponentProbe(http=m.HttpProbe(port=10248, path="/healthz")), HEALTHZ, None, "does not answer within 5 s"),
    (m.ComponentProbe(tcp=m.TcpProbe(port=10250)), TcpConnect("127.0.0.1", 10250), None, "port 10250 does not answer"),
    (
        m.ComponentProbe(exec=m.ExecProbe(command=("/usr/bin/crictl", "info"))), Exec(("/usr/bin/crictl", "info")),
        CheckAnswer(code=1, text="hunter2"), "/usr/bin/crictl exits with 1",
    ),
    (
        m.ComponentProbe(version=m.VersionProbe(command=("/usr/bin/kubelet", "--version"), prints="1.2")),
        Exec(("/usr/bin/kubelet", "--version")), CheckAnswer(code=0, text="v1.1"), "does not print 1.2",
    ),
)  # fmt: skip


def with_kubelet(spec: HostSpec) -> HostSpec:
    """Let a host have a kubelet of 1.2."""
    return attrs.evolve(spec, packages={"kubelet": "1.2"})


@pytest.mark.parametrize(("probe", "check", "answer", "told"), PROBES, ids=lambda one: str(one)[:20])
def test_a_probe_that_fails_is_a_component_that_does_not_run(
    probe: m.ComponentProbe, check: Check, answer: CheckAnswer | None, told: str
) -> None:
    """It is restarted as drift is, three times an hour; when the probe is answered again, all is as before."""
    made = stage(component("kubelet", probes=(probe,)), spec=with_kubelet)
    assert made.phases() == {"Running": 3}
    host = made.simulation.hosts["n002"]
    before = len(host.spans)
    host.answer(check, answer)
    made.simulation.run_until(lambda: False, limit=timedelta(minutes=50))
    machine = made.read(m.Machine, "n002")
    report = machine.status.agent.components["kubelet"]
    assert (report.state, report.drifting) == (m.Running.STOPPED, True)
    assert told in report.message
    assert "hunter2" not in str(machine)
    assert told in conditions(machine)["ComponentsReady"].message
    assert len(host.spans) == before + 3
    assert all(len(other.spans) == 1 for other in made.simulation.hosts.values() if other is not host)
    del host.answers[check]
    host.changed(host)
    assert made.simulation.rest(limit=LONG)
    after = made.read(m.Machine, "n002").status.agent.components["kubelet"]
    assert (after.state, after.drifting, after.message) == (m.Running.RUNNING, False, "")


def test_who_depends_on_what_does_not_answer_waits() -> None:
    """Installed and started is not enough: what others need has to do its work first."""
    probes = (m.ComponentProbe(unit="dns.service"), m.ComponentProbe(tcp=m.TcpProbe(port=53)))
    dns = component("dns", probes=probes)
    check = TcpConnect("127.0.0.1", 53)

    made = Stage(
        "components",
        Cast(objects=(dns, component("agent", dependencies=("dns",)), owner("dns"), owner("agent"))).with_machines(2),
        seed=11, tell=lambda _: None,
    )  # fmt: skip
    made.open()
    for host in made.simulation.hosts.values():
        host.answers[check] = None
    made.simulation.run_until(lambda: False, limit=timedelta(minutes=9))
    assert [written(host) for host in made.simulation.hosts.values()] == [["/etc/dns.conf"]] * 2
    for report in reports(made, "agent"):
        assert (report.reason, report.message) == (
            "WaitingForDependency",
            "waits for dns, on which it depends",
        )
    for host in made.simulation.hosts.values():
        host.answer(check, CheckAnswer(code=0))
    assert made.simulation.rest(limit=LONG)
    assert [written(host) for host in made.simulation.hosts.values()] == [
        ["/etc/dns.conf", "/etc/agent.conf"]
    ] * 2
    assert made.phases() == {"Running": 2}
