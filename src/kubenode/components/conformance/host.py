"""A host in memory that is looked at and that does steps, as the agent does them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar, assert_never

import attrs

from kubenode.core.hookspecs import Seen
from kubenode.core.law import BrokenLaw
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

K = TypeVar("K")
V = TypeVar("V")


@attrs.define
class FakeHost:
    """Files by path, states of units by name, versions of packages by name, marks of artifacts by path.

    Attributes:
        access: of files by path; one that is not named is root's, mode 0644.
        held: whether a package is kept from upgrades; one that is not named is not.
        enabled: by unit; whether it is started at boot, in systemd's words.
        answers: what is said to an Exec, an HttpGet or a TcpConnect; steps do not change it.
        loaded: what each unit found of files, packages and artifacts when it was last started.
    """

    files: dict[str, bytes] = attrs.field(factory=dict)
    units: dict[str, str] = attrs.field(factory=dict)
    packages: dict[str, str] = attrs.field(factory=dict)
    artifacts: dict[str, str] = attrs.field(factory=dict)
    loaded: dict[str, tuple[dict[str, bytes], dict[str, str], dict[str, str]]] = attrs.field(
        factory=dict, repr=False, eq=False
    )
    answers: dict[Check, CheckAnswer] = attrs.field(factory=dict, repr=False)
    access: dict[str, Access] = attrs.field(factory=dict, repr=False)
    enabled: dict[str, str] = attrs.field(factory=dict, repr=False)
    held: dict[str, bool] = attrs.field(factory=dict, repr=False)

    def look(self, probes: Iterable[Probe]) -> Seen:
        """Look at what is asked for; who reads anything else breaks a law."""
        files, access, units, enabled, packages, held, artifacts = (set[str]() for _ in range(7))
        checks = set[Check]()
        for probe in probes:
            match probe:
                case ReadFile():
                    files.add(probe.path)
                case FileAccess():
                    access.add(probe.path)
                case UnitState():
                    units.add(probe.unit)
                case UnitEnabled():
                    enabled.add(probe.unit)
                case PackageVersion():
                    packages.add(probe.package)
                case PackageHeld():
                    held.add(probe.package)
                case ArtifactAt():
                    artifacts.add(probe.path)
                case Exec() | HttpGet() | TcpConnect():
                    checks.add(probe)
                case _:
                    assert_never(probe)
        return Seen(
            files=_Asked("ReadFile({!r})", files, self.files),
            access=_Asked(
                "FileAccess({!r})", access, {path: self.access.get(path, Access()) for path in self.files}
            ),
            units=_Asked("UnitState({!r})", units, self.units),
            enabled=_Asked("UnitEnabled({!r})", enabled, self.enabled),
            packages=_Asked("PackageVersion({!r})", packages, self.packages),
            held=_Asked("PackageHeld({!r})", held, {one: self.held.get(one, False) for one in self.packages}),
            artifacts=_Asked("ArtifactAt({!r})", artifacts, self.artifacts),
            answers=_Asked("{!r}", checks, self.answers),
        )

    def apply(self, *steps: Step) -> None:
        """Do steps in order, each with its `then`."""
        for step in steps:
            match step:
                case InstallPackage():
                    self.packages[step.package] = step.version
                    _keep(self.held, step.package, step.hold, default=False)
                    self._restart(step.then)
                case RemovePackage():
                    self.packages.pop(step.package, None)
                    self.held.pop(step.package, None)
                case InstallArtifact():
                    self.artifacts[step.path] = step.mark
                    self._restart(step.then)
                case RemoveArtifact():
                    self.artifacts.pop(step.path, None)
                case WriteFile():
                    self._write(step)
                    self._restart(step.then)
                case RemoveFile():
                    self._remove(step)
                case SetKernel():
                    self.files.update(step.files)
                    self.files.update({module_path(module): b"live\n" for module in step.modules})
                    self.files.update({sysctl_path(key): f"{value}\n".encode() for key, value in step.sysctl})
                case UpgradeAgent():
                    self.artifacts[AGENT_PATH] = step.installation.mark
                case RestartUnit() | ReloadUnit():
                    self._restart(step)
                case EnableUnit():
                    self.enabled[step.unit] = "enabled" if step.enabled else "disabled"
                case StopUnit():
                    self.units[step.unit] = "inactive"
                case Reboot():
                    raise BrokenLaw("plan() gave a Reboot; a component does not reboot, a remedy does")
                case _:
                    assert_never(step)

    def copy(self) -> "FakeHost":
        """Give another host in the same state."""
        return FakeHost(
            files=dict(self.files), access=dict(self.access), enabled=dict(self.enabled), units=dict(self.units),
            packages=dict(self.packages), held=dict(self.held), artifacts=dict(self.artifacts), loaded=dict(self.loaded),
            answers=dict(self.answers),
        )  # fmt: skip

    def active(self) -> frozenset[str]:
        """Name the units that run."""
        return frozenset(unit for unit, state in self.units.items() if state == "active")

    def stale(self) -> frozenset[str]:
        """Name the units that run with what was there before."""
        now = (self.files, self.packages, self.artifacts)
        return frozenset(unit for unit in self.active() if self.loaded.get(unit) != now)

    def _write(self, step: WriteFile) -> None:
        before = self.access.get(step.path, Access())
        self.files[step.path] = step.content
        access = Access(mode=step.mode, owner=step.owner or before.owner, group=step.group or before.group)
        _keep(self.access, step.path, access, default=Access())

    def _remove(self, step: RemoveFile) -> None:
        if self.files.get(step.path, step.content) != step.content:
            raise BrokenLaw(f"plan() removes {step.path}, which has a content that it did not write")
        self.files.pop(step.path, None)
        self.access.pop(step.path, None)
        self._restart(step.then)

    def _restart(self, after: Then | None) -> None:
        """Let a unit load what is there now."""
        if after is not None:
            self.units[after.unit] = "active"
            self.loaded[after.unit] = (dict(self.files), dict(self.packages), dict(self.artifacts))


def _keep(found: dict[str, V], name: str, one: V, *, default: V) -> None:
    """Keep what is not as it is anyway."""
    found.pop(name, None)
    if one != default:
        found[name] = one


class _Asked(Mapping[K, V], Generic[K, V]):
    """What was found of what was asked for. Only the asked may be read: nothing else is looked at on a host."""

    def __init__(self, probe: str, asked: Iterable[K], found: Mapping[K, V]) -> None:
        self._probe = probe
        self._asked = frozenset(asked)
        self._found = {key: found[key] for key in sorted(self._asked & found.keys(), key=repr)}

    def __getitem__(self, key: K) -> V:
        if key not in self._asked:
            raise BrokenLaw(
                f"judge() reads {key!r}, which probes() does not ask for; add {self._probe.format(key)}"
            )
        return self._found[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return repr(self._found)
