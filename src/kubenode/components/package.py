"""Driver `package`: a package of the host's package manager at an exact version, and its unit.

The version is the MachineComponent's `spec.version`, spelled as the package manager spells it. The configuration files of
a package are the package's own business: `config` says only whether it is held, if it should be.
"""

import attrs

from kubenode.components.unit import running, steady
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.naming import check_package, check_unit
from kubenode.core.probe import PackageHeld, PackageVersion, Probe, UnitState
from kubenode.core.step import InstallPackage, RemovePackage, RestartUnit, Step, StopUnit


@attrs.frozen(kw_only=True)
class PackageParams:
    """Which package, and the unit that it runs.

    Attributes:
        unit: restarted with every change of the version; None when the package runs nothing.
        hold: whether upgrades by others are kept from it.

    Raises:
        ValueError: a value cannot be what its field is for.
    """

    package: str = attrs.field(validator=check_package)
    unit: str | None = attrs.field(default=None, validator=check_unit)
    hold: bool = True


class PackageDriver:
    """Install, upgrade, downgrade and remove one package."""

    name = "package"
    params = PackageParams

    def probes(self, want: Desired[PackageParams], /) -> tuple[Probe, ...]:
        """Look at the package's version and, if it has one, at its unit."""
        package, unit = want.params.package, want.params.unit
        hold = (PackageHeld(package),) if want.params.hold else ()
        return (PackageVersion(package), *hold, *(() if unit is None else (UnitState(unit),)))

    def judge(self, want: Desired[PackageParams], seen: Seen, /) -> Have:
        """Judge the three states; a package that is not there is Absent, whatever its unit says."""
        version = seen.packages.get(want.params.package, "")
        if not version:
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        state = running(want.state, want.params.unit, seen)
        free = want.params.hold and not seen.held.get(want.params.package, False)
        config = ConfigState.DRIFTED if free else ConfigState.CURRENT
        return Have(version=version, config=config, state=state)

    def plan(self, want: Desired[PackageParams], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted.

        The restart belongs to the installation: killed between two steps, a host would go on running the
        old program and look healthy. A unit that should be stopped is stopped after an installation even
        if it was before, since the package's own scripts may have started it.
        """
        package, unit = want.params.package, want.params.unit
        if want.state is Running.ABSENT:
            return _removal(package, unit, have)
        install = InstallPackage(package=package, version=want.version, then=None, hold=want.params.hold)
        if have.version == want.version:
            # Only the hold is missing: nothing is restarted for that.
            hold = () if have.config is ConfigState.CURRENT else (install,)
            return (*hold, *steady(unit, want.state, have.state))
        if want.state is Running.STOPPED:
            return (install, *(() if unit is None else (StopUnit(unit=unit),)))
        return (attrs.evolve(install, then=None if unit is None else RestartUnit(unit=unit)),)


def _removal(package: str, unit: str | None, have: Have) -> tuple[Step, ...]:
    if have.state is Running.ABSENT:
        return ()
    stop = (StopUnit(unit=unit),) if unit is not None and have.state is Running.RUNNING else ()
    return (*stop, RemovePackage(package=package))
