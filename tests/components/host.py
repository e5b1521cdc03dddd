"""A tiny host that looks and applies steps, for the laws that every component driver keeps."""

from typing import assert_never

import attrs

from kubenode.core.hookspecs import ComponentDriver, Desired, Have, P, Seen
from kubenode.core.step import (
    InstallPackage,
    PackageVersion,
    Probe,
    ReadFile,
    Reboot,
    RemovePackage,
    RestartUnit,
    Step,
    StopUnit,
    UnitState,
    WriteFile,
)


@attrs.define
class TinyHost:
    """Files, units and packages, and what was done to them."""

    files: dict[str, bytes] = attrs.field(factory=dict)
    units: dict[str, str] = attrs.field(factory=dict)
    packages: dict[str, str] = attrs.field(factory=dict)

    def look(self, probes: tuple[Probe, ...]) -> Seen:
        """Look at what is asked for and at nothing else."""
        files: dict[str, bytes] = {}
        units: dict[str, str] = {}
        packages: dict[str, str] = {}
        for probe in probes:
            match probe:
                case ReadFile():
                    files |= {probe.path: self.files[probe.path]} if probe.path in self.files else {}
                case UnitState():
                    units |= {probe.unit: self.units[probe.unit]} if probe.unit in self.units else {}
                case PackageVersion():
                    name = probe.package
                    packages |= {name: self.packages[name]} if name in self.packages else {}
                case _:
                    assert_never(probe)
        return Seen(files=files, units=units, packages=packages)

    def do(self, step: Step) -> None:
        """Do one step, with what belongs to it."""
        match step:
            case InstallPackage():
                self.packages[step.package] = step.version
                self._restart(step.then)
            case RemovePackage():
                self.packages.pop(step.package, None)
            case WriteFile():
                self.files[step.path] = step.content
                self._restart(step.then)
            case RestartUnit():
                self._restart(step)
            case StopUnit():
                self.units[step.unit] = "inactive"
            case Reboot():
                raise AssertionError("a component does not reboot")
            case _:
                assert_never(step)

    def _restart(self, unit: RestartUnit | None) -> None:
        if unit is not None:
            self.units[unit.unit] = "active"

    def have(self, driver: ComponentDriver[P], want: Desired[P]) -> Have:
        """Ask a driver what it finds here."""
        return driver.judge(want, self.look(driver.probes(want)))

    def copy(self) -> "TinyHost":
        """Give another host in the same state."""
        return TinyHost(dict(self.files), dict(self.units), dict(self.packages))
