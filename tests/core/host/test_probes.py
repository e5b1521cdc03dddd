"""A component's own probes: what they look at, what they make of it, and what is reported and done about it."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import RunSteps
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import Have, Seen
from kubenode.core.host.decide import decide
from kubenode.core.host.journal import JournalState
from kubenode.core.host.probes import looked_at, prints, probed
from kubenode.core.machine.conditions import components_claim
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.core.probe import CheckAnswer, Exec, HttpGet, Probe, TcpConnect, UnitState
from kubenode.core.step import RestartUnit
from tests.core.host.seen import NEW, SECOND, entry, journalled, seen
from tests.strategies import parts

RUNNING, STOPPED, ABSENT = m.Running.RUNNING, m.Running.STOPPED, m.Running.ABSENT
INFO = m.ComponentProbe(exec=m.ExecProbe(command=("/usr/bin/crictl", "info", "--token=hunter2")))
HEALTHZ = m.ComponentProbe(http=m.HttpProbe(port=10248, path="/healthz?key=hunter2"), timeout_seconds=3)
PORT = m.ComponentProbe(tcp=m.TcpProbe(port=10250))
UNIT = m.ComponentProbe(unit="kubelet.service")
VERSION = m.ComponentProbe(version=m.VersionProbe(command=("/usr/bin/kubelet", "--version")))
DEBIAN = m.ComponentProbe(version=m.VersionProbe(command=("/usr/bin/kubelet", "--version"), prints="1.2-rc1"))
INFO_RUN = Exec(("/usr/bin/crictl", "info", "--token=hunter2"))
HEALTHZ_URL = HttpGet("http://127.0.0.1:10248/healthz?key=hunter2", 3)
VERSION_RUN = Exec(("/usr/bin/kubelet", "--version"))


def spec(*probes: m.ComponentProbe, version: str = "1.2") -> m.MachineComponentSpec:
    """Make a component with these probes."""
    return m.MachineComponentSpec(version=version, driver="package", probes=probes)


@pytest.mark.parametrize(
    ("probe", "wanted"),
    [
        (INFO, INFO_RUN),
        (attrs.evolve(INFO, timeout_seconds=60), attrs.evolve(INFO_RUN, timeout=60)),
        (HEALTHZ, HEALTHZ_URL),
        (m.ComponentProbe(http=m.HttpProbe(port=1, scheme=m.Scheme.HTTPS)), HttpGet("https://127.0.0.1:1/")),
        (m.ComponentProbe(http=m.HttpProbe(host="::1", port=80)), HttpGet("http://[::1]:80/")),
        (PORT, TcpConnect("127.0.0.1", 10250)),
        (m.ComponentProbe(tcp=m.TcpProbe(host="fe80::1", port=65535)), TcpConnect("fe80::1", 65535)),
        (UNIT, UnitState("kubelet.service")),
        (VERSION, VERSION_RUN),
    ],
)
def test_what_a_probe_looks_at(probe: m.ComponentProbe, wanted: Probe) -> None:
    """Argv as it is written, never a shell; nothing is asked of what is not to run."""
    assert looked_at(spec(probe, UNIT), RUNNING) == (wanted, UnitState("kubelet.service"))
    assert looked_at(spec(probe), STOPPED) == looked_at(spec(probe), ABSENT) == ()


def told(text: str, code: int = 0) -> CheckAnswer:
    """Give what a program ended with."""
    return CheckAnswer(code=code, text=text)


@pytest.mark.parametrize(
    ("probe", "seen", "wanted"),
    [
        (INFO, Seen(answers={INFO_RUN: told("hunter2")}), ""),
        (INFO, Seen(answers={INFO_RUN: told("hunter2", 1)}), "/usr/bin/crictl exits with 1"),
        (INFO, Seen(answers={INFO_RUN: told("hunter2", -9)}), "/usr/bin/crictl exits with -9"),
        (INFO, Seen(), "/usr/bin/crictl does not answer within 5 s"),
        (HEALTHZ, Seen(answers={HEALTHZ_URL: CheckAnswer(code=200)}), ""),
        (HEALTHZ, Seen(answers={HEALTHZ_URL: CheckAnswer(code=399)}), ""),
        (HEALTHZ, Seen(answers={HEALTHZ_URL: CheckAnswer(code=199)}), "http://127.0.0.1:10248/healthz answers 199"),
        (HEALTHZ, Seen(answers={HEALTHZ_URL: CheckAnswer(code=400)}), "http://127.0.0.1:10248/healthz answers 400"),
        (HEALTHZ, Seen(), "http://127.0.0.1:10248/healthz does not answer within 3 s"),
        (PORT, Seen(answers={TcpConnect("127.0.0.1", 10250): CheckAnswer(code=0)}), ""),
        (PORT, Seen(), "127.0.0.1 port 10250 does not answer within 5 s"),
        (UNIT, Seen(units={"kubelet.service": "active"}), ""),
        (UNIT, Seen(units={"kubelet.service": "reloading"}), ""),
        (UNIT, Seen(units={"kubelet.service": "failed"}), "unit kubelet.service is failed"),
        (UNIT, Seen(), "unit kubelet.service is not there"),
        (VERSION, Seen(answers={VERSION_RUN: told("Kubernetes v1.2\n")}), ""),
        (VERSION, Seen(answers={VERSION_RUN: told("Kubernetes v1.1 hunter2\n")}), "/usr/bin/kubelet does not print 1.2"),
        (VERSION, Seen(answers={VERSION_RUN: told("v1.2", 2)}), "/usr/bin/kubelet exits with 2"),
        (VERSION, Seen(), "/usr/bin/kubelet does not answer within 5 s"),
        (DEBIAN, Seen(answers={VERSION_RUN: told("1.2-rc1")}), ""),
        (DEBIAN, Seen(answers={VERSION_RUN: told("1.2")}), "/usr/bin/kubelet does not print 1.2-rc1"),
    ],
)  # fmt: skip
def test_what_a_probe_makes_of_it(probe: m.ComponentProbe, seen: Seen, wanted: str) -> None:
    """One that fails makes the component Stopped, and says how without arguments, queries or what was printed."""
    have, failing = probed(NEW, spec(probe), RUNNING, seen)
    assert failing == wanted
    assert have == attrs.evolve(NEW, state=STOPPED if wanted else RUNNING)
    assert "hunter2" not in failing


def test_all_must_succeed_and_the_first_that_fails_is_told() -> None:
    """In the order in which they are written."""
    seen = Seen(answers={INFO_RUN: told("")}, units={"kubelet.service": "failed"})
    assert probed(NEW, spec(INFO, UNIT, PORT), RUNNING, seen)[1] == "unit kubelet.service is failed"
    assert probed(NEW, spec(INFO, PORT, UNIT), RUNNING, seen)[1].startswith("127.0.0.1 port")
    assert probed(NEW, spec(INFO), RUNNING, seen) == (NEW, "")
    assert probed(NEW, spec(), RUNNING, seen) == (NEW, "")


@given(
    probes=st.lists(parts(m.ComponentProbe), max_size=3).map(tuple),
    wanted=st.sampled_from(m.Running), state=st.sampled_from(m.Running), version=st.sampled_from(("1.2", "1.1", "")),
    config=st.sampled_from(m.ConfigState),
)  # fmt: skip
def test_probes_only_ever_say_that_what_is_installed_does_not_run(
    probes: tuple[m.ComponentProbe, ...],
    wanted: m.Running,
    state: m.Running,
    version: str,
    config: m.ConfigState,
) -> None:
    """Total; version and configuration are the driver's word; nothing starts to run by a probe."""
    have = Have(version=version, config=config, state=state)
    found, failing = probed(have, spec(*probes), wanted, Seen())
    assert attrs.evolve(found, state=state) == have
    asked = probes and wanted is state is RUNNING and version == "1.2"
    assert bool(failing) is bool(asked)
    assert found.state is (STOPPED if asked else state)


@pytest.mark.parametrize(
    ("text", "version", "wanted"),
    [
        ("1.30.4", "1.30.4", True),
        ("v1.30.4", "1.30.4", True),
        ("v1.30.4", "v1.30.4", True),
        ("containerd github.com/containerd/containerd v1.7.2 0cae528", "1.7.2", True),
        ("version 1.30.4.", "1.30.4", True),
        ('{"version":"1.30.4"}', "1.30.4", True),
        ("1.30.40", "1.30.4", False),
        ("1.30.4.1", "1.30.4", False),
        ("11.30.4", "1.30.4", False),
        ("2.1.30.4", "1.30.4", False),
        ("1.30.4-rc1", "1.30.4", False),
        ("1.30.4+k3s1", "1.30.4", False),
        ("1.30.4~beta", "1.30.4", False),
        ("rev1.30.4", "1.30.4", False),
        ("1x30y4", "1.30.4", False),
        ("", "1.30.4", False),
        ("a.b", "a.b", True),
        ("1.30.40 and 1.30.4", "1.30.4", True),
    ],
)
def test_a_version_is_printed_whole(text: str, version: str, wanted: bool) -> None:
    """A longer version that begins, or ends, the same is another one."""
    assert prints(text, version) is wanted


# What is reported, and what is done.

FAILING = {"kubelet": "unit kubelet.service is failed"}
BROKEN = attrs.evolve(NEW, state=STOPPED)
RESTART = {"kubelet": (RestartUnit(unit="kubelet.service"),)}
WHOLE = m.AgentStatus(
    components={"kubelet": m.ComponentReport(component="kubelet-1.2", revision="2", state=RUNNING)}
)


def failing(**given: Any) -> Any:
    """Make a snapshot of a kubelet at target but for its probe."""
    made = seen(entries={"kubelet": entry()}, have={"kubelet": BROKEN}, plans=RESTART, **given)
    return attrs.evolve(made, failing=FAILING)


def test_a_failing_probe_is_drift_of_the_running_state_and_its_repair_is_the_drivers() -> None:
    """It is reported as not running, and why; it is repaired as any drift, after it stands in the report."""
    decision = decide(failing(before=WHOLE), Policy())
    assert decision.status is not None
    report = decision.status.components["kubelet"]
    assert (report.state, report.drifting, report.reason) == (STOPPED, True, "")
    assert report.message == FAILING["kubelet"]
    snapshot = failing(before=decision.status, at=61 * SECOND, sightings={"drift:kubelet:0": 0})
    (effect,) = decide(snapshot, Policy()).effects
    assert isinstance(effect, RunSteps)
    assert effect.steps == RESTART["kubelet"]
    machine = attrs.evolve(snapshot.machine, status=m.MachineStatus(agent=decision.status))
    claim = components_claim(MachineSnapshot(machine=attrs.evolve(machine), now=snapshot.now))
    assert claim.message == "kubelet: is Stopped, not Running; unit kubelet.service is failed"


def test_a_probe_that_fails_after_an_installation_is_no_loop() -> None:
    """It is not installed again; what was just started has time, and the machine says what is missing."""
    begun = decide(failing(), Policy())
    (effect,) = begun.effects
    assert isinstance(effect, RunSteps)
    after = failing(journal={effect.op_id: journalled(JournalState.DONE)}, before=begun.status)
    decision = decide(after, Policy())
    assert decision.effects == ()
    assert [note.text for note in decision.notes] == [
        "kubelet: installed, and yet not at target; unit kubelet.service is failed"
    ]
    assert decision.status is not None
    report = decision.status.components["kubelet"]
    assert (report.revision, report.reason, report.message) == ("", "", FAILING["kubelet"])


def test_why_a_step_failed_is_told_before_the_probe_that_fails_after_it() -> None:
    """The step is the cause, the probe only shows it."""
    (effect,) = decide(failing(), Policy()).effects
    assert isinstance(effect, RunSteps)
    journal = {effect.op_id: journalled(JournalState.FAILED, message="dpkg died")}
    status = decide(failing(journal=journal), Policy()).status
    assert status is not None
    report = status.components["kubelet"]
    assert (report.reason, report.message) == ("InstallFailed", "dpkg died")


def test_what_failed_under_an_earlier_revision_is_not_told_of_the_next() -> None:
    """A probe that fails no more is forgotten, though the next revision is not at target yet."""
    report = m.ComponentReport(component="kubelet-1.1", revision="1", message=FAILING["kubelet"])
    before = m.AgentStatus(components={"kubelet": report})
    status = decide(attrs.evolve(failing(before=before), failing={}), Policy()).status
    assert status is not None
    assert (status.components["kubelet"].revision, status.components["kubelet"].message) == ("1", "")


@pytest.mark.parametrize(("period", "wanted"), [(timedelta(minutes=5), 10), (timedelta(0), None)])
def test_what_fails_is_looked_at_again_soon(period: timedelta, wanted: int | None) -> None:
    """Every ten seconds, where nobody tells of changes; the first answer that is good ends it."""
    inspect = nanoseconds(period)
    bad = attrs.evolve(failing(before=WHOLE), inspect=inspect)
    bad = attrs.evolve(
        bad, machine=attrs.evolve(bad.machine, metadata=attrs.evolve(bad.machine.metadata, unknown=("x",)))
    )
    assert decide(bad, Policy()).wake_at == (None if wanted is None else wanted * SECOND)
    good = attrs.evolve(bad, failing={}, have={"kubelet": NEW})
    assert decide(good, Policy()).wake_at == (None if wanted is None else inspect)


# What is accepted.

RAW: m.Json = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "kubelet-1.2"},
    "spec": {"version": "1.2", "driver": "package"},
}  # fmt: skip


def refused(**changes: Any) -> dict[str, str]:
    """Give the problems of a component with these fields, by place."""
    raw = {**RAW, "spec": {**RAW["spec"], **changes}}
    try:
        wire.load(raw)
    except InvalidObjectError as error:
        return {problem.where: problem.what for problem in error.problems}
    return {}


def probe(**fields: Any) -> dict[str, str]:
    """Give the problems of a component with one probe."""
    return refused(probes=[fields])


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, ""),
        ({"unit": "a.service", "tcp": {"port": 1}}, ""),
        ({"exec": {"command": ["/bin/true"]}, "version": {"command": ["/bin/true"]}}, ""),
        ({"exec": {"command": "/usr/bin/crictl info"}}, ".exec.command"),
        ({"exec": {"command": []}}, ".exec.command"),
        ({"exec": {}}, ".exec.command"),
        ({"exec": {"command": ["crictl info"]}}, ".exec.command"),
        ({"exec": {"command": ["crictl"]}}, ".exec.command"),
        ({"exec": {"command": ["/usr/bin/crictl info"]}}, ".exec.command"),
        ({"exec": {"command": ["/bin/true;reboot"]}}, ".exec.command"),
        ({"version": {"command": ["--version"]}}, ".version.command"),
        ({"exec": {"command": ["/bin/true", "a\nb"]}}, ".exec.command[1]"),
        ({"exec": {"command": ["/bin/true", "a\x00b"]}}, ".exec.command[1]"),
        ({"exec": {"command": ["/bin/true", "x" * 1025]}}, ".exec.command[1]"),
        ({"exec": {"command": ["/bin/true"] * 33}}, ".exec.command"),
        ({"exec": {"command": ["/bin/true", 7]}}, ".exec.command[1]"),
        ({"exec": {"command": ["/bin/true"], "shell": True}}, ".exec.shell"),
        ({"http": {}}, ".http.port"),
        ({"http": {"port": 0}}, ".http.port"),
        ({"http": {"port": 65536}}, ".http.port"),
        ({"http": {"port": "10248"}}, ".http.port"),
        ({"http": {"port": 1, "path": "healthz"}}, ".http.path"),
        ({"http": {"port": 1, "path": "/a b"}}, ".http.path"),
        ({"http": {"port": 1, "path": "/\r\nX: y"}}, ".http.path"),
        ({"http": {"port": 1, "host": "a/b"}}, ".http.host"),
        ({"http": {"port": 1, "host": "user@a"}}, ".http.host"),
        ({"http": {"port": 1, "scheme": "FTP"}}, ".http.scheme"),
        ({"tcp": {"port": -1}}, ".tcp.port"),
        ({"tcp": {"port": 1, "host": "-a"}}, ".tcp.host"),
        ({"unit": "../x"}, ".unit"),
        ({"unit": "--force"}, ".unit"),
        ({"unit": "a.service", "timeoutSeconds": 0}, ".timeoutSeconds"),
        ({"unit": "a.service", "timeoutSeconds": 61}, ".timeoutSeconds"),
        ({"version": {"command": ["/bin/true"], "prints": "x" * 129}}, ".version.prints"),
    ],
)
def test_what_is_no_probe_is_refused(fields: m.Json, where: str) -> None:
    """One way each, argv and never a shell string, everything bounded."""
    assert set(probe(**fields)) == {f"spec.probes[0]{where}"}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"probes": [{"unit": "a.service"}] * 9}, "spec.probes"),
        ({"dependencies": ["kubelet-1.2"], "version": ""}, "spec.version"),
        ({"dependencies": ["Containerd"]}, "spec.dependencies[0]"),
        ({"dependencies": ["a.b"]}, "spec.dependencies[0]"),
        ({"dependencies": ["x" * 64]}, "spec.dependencies[0]"),
        ({"dependencies": [f"c{number}" for number in range(17)]}, "spec.dependencies"),
        ({"dependencies": "containerd"}, "spec.dependencies"),
    ],
)
def test_what_is_no_dependency_is_refused(fields: m.Json, where: str) -> None:
    """Names of components, bounded."""
    assert where in refused(**fields)


def test_a_dependency_on_itself_is_refused() -> None:
    """It could never be installed."""
    raw = {**RAW, "metadata": {"name": "kubelet"}}
    with pytest.raises(InvalidObjectError) as raised:
        wire.load({**raw, "spec": {**RAW["spec"], "dependencies": ["containerd", "kubelet"]}})
    (problem,) = raised.value.problems
    assert (problem.where, problem.what) == (
        "spec.dependencies",
        "names the component itself, which cannot wait for itself",
    )
    assert isinstance(
        wire.load({**raw, "spec": {**RAW["spec"], "dependencies": ["containerd"]}}), m.MachineComponent
    )
