"""A host in memory that is looked at and that does steps, as the agent does them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar, assert_never

import attrs

from kubenode.core.hookspecs import Seen
from kubenode.core.law import BrokenLaw
from kubenode.core.step import (
    ArtifactAt,
    Check,
    CheckAnswer,
    Exec,
    HttpGet,
    InstallArtifact,
    InstallPackage,
    PackageVersion,
    Probe,
    ReadFile,
    Reboot,
    RemoveArtifact,
    RemovePackage,
    RestartUnit,
    SetKernel,
    Step,
    StopUnit,
    TcpConnect,
    UnitState,
    WriteFile,
    module_path,
    sysctl_path,
)

K = TypeVar("K")
V = TypeVar("V")


@attrs.define
class FakeHost:
    """Files by path, states of units by name, versions of packages by name, marks of artifacts by path.

    Attributes:
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

    def look(self, probes: Iterable[Probe]) -> Seen:
        """Look at what is asked for; who reads anything else breaks a law."""
        files, units, packages, artifacts, checks = (
            set[str](),
            set[str](),
            set[str](),
            set[str](),
            set[Check](),
        )
        for probe in probes:
            match probe:
                case ReadFile():
                    files.add(probe.path)
                case UnitState():
                    units.add(probe.unit)
                case PackageVersion():
                    packages.add(probe.package)
                case ArtifactAt():
                    artifacts.add(probe.path)
                case Exec() | HttpGet() | TcpConnect():
                    checks.add(probe)
                case _:
                    assert_never(probe)
        return Seen(
            files=_Asked("ReadFile({!r})", files, self.files),
            units=_Asked("UnitState({!r})", units, self.units),
            packages=_Asked("PackageVersion({!r})", packages, self.packages),
            artifacts=_Asked("ArtifactAt({!r})", artifacts, self.artifacts),
            answers=_Asked("{!r}", checks, self.answers),
        )

    def apply(self, *steps: Step) -> None:
        """Do steps in order, each with its `then`."""
        for step in steps:
            match step:
                case InstallPackage():
                    self.packages[step.package] = step.version
                    self._restart(step.then)
                case RemovePackage():
                    self.packages.pop(step.package, None)
                case InstallArtifact():
                    self.artifacts[step.path] = step.mark
                    self._restart(step.then)
                case RemoveArtifact():
                    self.artifacts.pop(step.path, None)
                case WriteFile():
                    self.files[step.path] = step.content
                    self._restart(step.then)
                case SetKernel():
                    self.files.update(step.files)
                    self.files.update({module_path(module): b"live\n" for module in step.modules})
                    self.files.update({sysctl_path(key): f"{value}\n".encode() for key, value in step.sysctl})
                case RestartUnit():
                    self._restart(step)
                case StopUnit():
                    self.units[step.unit] = "inactive"
                case Reboot():
                    raise BrokenLaw("plan() gave a Reboot; a component does not reboot, a remedy does")
                case _:
                    assert_never(step)

    def copy(self) -> "FakeHost":
        """Give another host in the same state."""
        return FakeHost(
            dict(self.files), dict(self.units), dict(self.packages), dict(self.artifacts), dict(self.loaded),
            dict(self.answers),
        )  # fmt: skip

    def active(self) -> frozenset[str]:
        """Name the units that run."""
        return frozenset(unit for unit, state in self.units.items() if state == "active")

    def stale(self) -> frozenset[str]:
        """Name the units that run with what was there before."""
        now = (self.files, self.packages, self.artifacts)
        return frozenset(unit for unit in self.active() if self.loaded.get(unit) != now)

    def _restart(self, unit: RestartUnit | None) -> None:
        if unit is not None:
            self.units[unit.unit] = "active"
            self.loaded[unit.unit] = (dict(self.files), dict(self.packages), dict(self.artifacts))


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
