"""A simulated host: packages, units, a kernel log, a journal, power; and the truth about its health.

It knows nothing of the API. Whoever owns it (virtual time or asyncio) gives it a way to do something
later and is told when anything about it changed.
"""

import enum
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol, assert_never

import attrs

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.detect.decide import DetectSnapshot, DetectState
from kubenode.core.detect.decide import decide as detect
from kubenode.core.detect.record import parse
from kubenode.core.detect.rules import BUILT_IN
from kubenode.core.hookspecs import Seen
from kubenode.core.host.decide import HostSeen
from kubenode.core.host.journal import ROLLED_BACK, JournalEntry, JournalState
from kubenode.core.naming import module_path, sysctl_path
from kubenode.core.probe import (
    Access,
    ArtifactAt,
    Check,
    CheckAnswer,
    Exec,
    FileAccess,
    HttpGet,
    PackageHeld,
    PackageVersion,
    Probe,
    ReadFile,
    TcpConnect,
    UnitEnabled,
    UnitState,
)
from kubenode.core.step import (
    AGENT_PATH,
    EnableUnit,
    InstallArtifact,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    SetKernel,
    Step,
    StopUnit,
    Then,
    UpgradeAgent,
    WriteFile,
)

AGENT_VERSION = "0.1.0-sim"


class Timer(Protocol):
    """Time, as the owner of the host keeps it."""

    def now(self) -> m.Now:
        """Give the time."""

    def later(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Do something after a delay."""


class Heals(enum.Enum):
    """What frees a hung host."""

    REBOOT = "reboot"
    RESTART = "restart"
    NOTHING = "nothing"


@attrs.frozen(kw_only=True)
class HostSpec:
    """What a simulated host is before anything happens.

    Attributes:
        address: what its agent says is its own; empty while it has none.
        provider_id: what its kubelet registers as `spec.providerID`; empty where nobody gives it one.
        refuses: `package=version` texts and digests of artifacts whose installation fails here, and units whose restart does.
        cost: how long each kind of step takes.
    """

    machine: str
    node: str
    zone: str
    address: str = ""
    provider_id: str = ""
    packages: Mapping[str, str] = attrs.field(factory=dict)
    units: Mapping[str, str] = attrs.field(
        factory=lambda: {"kubelet.service": "active", "containerd.service": "active"}
    )
    refuses: frozenset[str] = frozenset()
    step_time: timedelta = timedelta(seconds=5)
    boot_time: timedelta = timedelta(seconds=40)


@attrs.define(kw_only=True)
class Span:
    """Steps that were really run, from when to when; as only the simulator knows.

    Attributes:
        ended: None while they run; a reboot has ended when the host is up again.
    """

    machine: str
    zone: str
    op_id: str
    steps: tuple[Step, ...]
    disruption: m.Disruption
    began: int
    ended: int | None = None

    @property
    def disruptive(self) -> bool:
        """Whether the work on the node is touched."""
        return self.disruption is not m.Disruption.NONE


@attrs.define
class SimHost:
    """One host. `spans` is the truth about what was done to it, `repeats` what it was asked again; nobody's report."""

    spec: HostSpec
    timer: Timer
    changed: Callable[["SimHost"], None]
    agent_up: bool = True
    powered: bool = True
    linked: bool = True
    hung: bool = False
    frees: Heals = Heals.REBOOT
    boots: int = 1
    packages: dict[str, str] = attrs.field(factory=dict)
    units: dict[str, str] = attrs.field(factory=dict)
    files: dict[str, bytes] = attrs.field(factory=dict)
    access: dict[str, Access] = attrs.field(factory=dict)
    enabled: dict[str, str] = attrs.field(factory=dict)
    artifacts: dict[str, str] = attrs.field(factory=dict)
    answers: dict[Check, CheckAnswer | None] = attrs.field(factory=dict)
    journal: dict[str, JournalEntry] = attrs.field(factory=dict)
    spans: list[Span] = attrs.field(factory=list)
    repeats: list[str] = attrs.field(factory=list)
    detected: DetectState = attrs.field(factory=DetectState)

    def __attrs_post_init__(self) -> None:
        self.packages.update(self.spec.packages)
        self.units.update(self.spec.units)

    @property
    def boot_id(self) -> str:
        """The id of this boot."""
        return f"{self.spec.machine}-boot-{self.boots}"

    @property
    def ready(self) -> m.Switch:
        """What Kubernetes says of its Node: Unknown when nothing is heard."""
        if not self.linked:
            return m.Switch.UNKNOWN
        return m.Switch.TRUE if self.powered and not self.hung else m.Switch.FALSE

    def seen(self) -> HostSeen | None:
        """Give what its agent knows; None when the agent is off, down or cut off."""
        if not (self.agent_up and self.powered and self.linked):
            return None
        return HostSeen(
            boot_id=self.boot_id, node_name=self.spec.node, agent_version=AGENT_VERSION, address=self.spec.address,
            conditions=self.detected.conditions, journal=dict(self.journal),
        )  # fmt: skip

    def look(self, probes: tuple[Probe, ...]) -> Seen:
        """Look at what the probes ask for."""
        files: dict[str, bytes] = {}
        access: dict[str, Access] = {}
        enabled: dict[str, str] = {}
        held: dict[str, bool] = {}
        units: dict[str, str] = {}
        packages: dict[str, str] = {}
        artifacts: dict[str, str] = {}
        answers: dict[Check, CheckAnswer] = {}
        for probe in probes:
            match probe:
                case ReadFile():
                    _copy(self.files, files, probe.path)
                case FileAccess():
                    if probe.path in self.files:
                        access[probe.path] = self.access.get(probe.path, Access())
                case UnitEnabled():
                    _copy(self.enabled, enabled, probe.unit)
                case UnitState():
                    _copy(self.units, units, probe.unit)
                case PackageHeld():
                    if probe.package in self.packages:
                        held[probe.package] = True  # nobody upgrades anything here but an agent
                case PackageVersion():
                    _copy(self.packages, packages, probe.package)
                case ArtifactAt():
                    _copy(self.artifacts, artifacts, probe.path)
                case Exec() | HttpGet() | TcpConnect():
                    answer = self._answered(probe)
                    if answer is not None:
                        answers[probe] = answer
                case _:
                    assert_never(probe)
        return Seen(
            files=files, access=access, units=units, enabled=enabled, packages=packages, held=held,
            artifacts=artifacts, answers=answers,
        )  # fmt: skip

    def _answered(self, check: Check) -> CheckAnswer | None:
        """Give what is said to a check, or None: as told in `answers`, else by a host that is well unless it hangs.

        No program runs here, so one that is asked for its version prints those of all packages.
        """
        if self.hung:
            return None
        if check in self.answers:
            return self.answers[check]
        match check:
            case Exec():
                versions = (f"{name} {version}" for name, version in sorted(self.packages.items()))
                return CheckAnswer(code=0, text="\n".join(versions))
            case HttpGet():
                return CheckAnswer(code=200)
            case TcpConnect():
                return CheckAnswer(code=0)
            case _:
                assert_never(check)

    def answer(self, check: Check, answer: CheckAnswer | None) -> None:
        """Say this to a check from now on; None: nothing."""
        self.answers[check] = answer
        self.changed(self)

    def log(self, lines: tuple[str, ...]) -> None:
        """Let the kernel say something; the detector reads it as it comes."""
        records = tuple(record for record in map(parse, lines) if record is not None)
        decision = detect(
            DetectSnapshot(records=records, state=self.detected, boot_id=self.boot_id, now=self.timer.now()),
            BUILT_IN,
        )
        if decision.status is not None:
            self.detected = decision.status
        self.changed(self)

    def hang(self, lines: tuple[str, ...], frees: Heals = Heals.REBOOT) -> None:
        """Hang, as the kernel log says; only `frees` makes it well again."""
        self.hung, self.frees = True, frees
        self.log(lines)

    def enrol(self) -> None:
        """Have an agent from now on."""
        self.agent_up = True
        self.changed(self)

    def reboot(self) -> None:
        """Be restarted from outside; what runs is over."""
        self.powered = False
        self.changed(self)
        self.timer.later(self.spec.boot_time, self._booted)

    def link(self, up: bool) -> None:
        """Cut the host off, or reach it again."""
        self.linked = up
        self.changed(self)

    def start(self, effect: RunSteps) -> None:
        """Journal the steps and start them, unless this op-id is known: then nothing is run again."""
        if effect.op_id in self.journal:
            self.repeats.append(effect.op_id)
            return
        self._journal(effect.op_id, JournalState.STARTED)
        self.spans.append(Span(
            machine=self.spec.machine, zone=self.spec.zone, op_id=effect.op_id, steps=effect.steps,
            disruption=effect.disruption, began=self.timer.now().elapsed,
        ))  # fmt: skip
        self._next(effect, 0)

    def _next(self, effect: RunSteps, index: int) -> None:
        if index == len(effect.steps):
            self._ended(effect, JournalState.DONE)
            return
        boot = self.boots
        step = effect.steps[index]
        if isinstance(step, Reboot):
            self.reboot()
            return
        self.timer.later(self.spec.step_time, lambda: self._finish(effect, index, boot))

    def _finish(self, effect: RunSteps, index: int, boot: int) -> None:
        if boot != self.boots or not self.powered:  # the boot it ran in is over, and it with it
            return
        step = effect.steps[index]
        why = self._do(step)
        if why:
            self._ended(effect, JournalState.FAILED, why)
            return
        self._next(effect, index + 1)

    def _do(self, step: Step) -> str:
        """Do one step; give why it failed, or nothing."""
        match step:
            case InstallPackage():
                if f"{step.package}={step.version}" in self.spec.refuses:
                    return f"dpkg: error processing package {step.package} ({step.version}): post-installation script failed"
                self.packages[step.package] = step.version
                self._restart(step.then)
            case RemovePackage():
                self.packages.pop(step.package, None)
            case InstallArtifact() | UpgradeAgent():
                return self._fetch(step)
            case RemoveArtifact():
                self.artifacts.pop(step.path, None)
            case WriteFile():
                self._write(step)
                self._restart(step.then)
            case RemoveFile():
                self.files.pop(step.path, None)
                self.access.pop(step.path, None)
                self._restart(step.then)
            case SetKernel():
                self.files.update(step.files)
                self.files.update({module_path(module): b"live\n" for module in step.modules})
                self.files.update({sysctl_path(key): f"{value}\n".encode() for key, value in step.sysctl})
            case Reboot():
                raise AssertionError("a reboot is not done in place")
            case RestartUnit() if step.unit in self.spec.refuses:
                return f"Job for {step.unit} failed because the control process exited with error code."
            case _:
                self._turn(step)
        return ""

    def _fetch(self, step: InstallArtifact | UpgradeAgent) -> str:
        """Do what fetches an artifact; give why it failed, or nothing."""
        refused = step.sha256 in self.spec.refuses
        if isinstance(step, UpgradeAgent):
            if refused:
                return f"{ROLLED_BACK}: it did not come up within {step.within} s"
            self.artifacts[AGENT_PATH] = step.installation.mark
            return ""
        if refused:
            return f"what was fetched for {step.path} has another SHA-256"
        self.artifacts[step.path] = step.mark
        self._restart(step.then)
        return ""

    def _turn(self, step: RestartUnit | ReloadUnit | EnableUnit | StopUnit) -> None:
        match step:
            case RestartUnit() | ReloadUnit():
                self._restart(step)
            case EnableUnit():
                self.enabled[step.unit] = "enabled" if step.enabled else "disabled"
            case StopUnit():
                self.units[step.unit] = "inactive"
            case _:
                assert_never(step)

    def _write(self, step: WriteFile) -> None:
        before = self.access.get(step.path, Access())
        self.files[step.path] = step.content
        self.access[step.path] = Access(
            mode=step.mode, owner=step.owner or before.owner, group=step.group or before.group
        )

    def _restart(self, after: Then | None) -> None:
        if after is not None:
            self.units[after.unit] = "active"
            if isinstance(after, RestartUnit) and self.frees is Heals.RESTART:
                self.hung = False

    def _booted(self) -> None:
        self.boots += 1
        self.powered = True
        for span in self.spans:  # whatever ran in the boot before is over
            span.ended = self.timer.now().elapsed if span.ended is None else span.ended
        if self.frees is Heals.REBOOT:
            self.hung = False
        self.log(())
        self.changed(self)

    def _journal(self, op_id: str, state: JournalState, message: str = "") -> None:
        self.journal[op_id] = JournalEntry(state=state, boot_id=self.boot_id, message=message)

    def _ended(self, effect: RunSteps, state: JournalState, message: str = "") -> None:
        self._journal(effect.op_id, state, message)
        span = next(span for span in reversed(self.spans) if span.op_id == effect.op_id)
        span.ended = self.timer.now().elapsed
        self.changed(self)


def _copy(
    source: Mapping[str, object], into: dict[str, object] | dict[str, str] | dict[str, bytes], key: str
) -> None:
    if key in source:
        into[key] = source[key]  # type: ignore[assignment]
