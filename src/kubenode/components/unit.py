"""Whether a systemd unit runs, and the steps that make it do so: shared by several drivers."""

from kubenode.core.hookspecs import Seen
from kubenode.core.model.entry import Running
from kubenode.core.probe import RUNS
from kubenode.core.step import RestartUnit, Step, StopUnit


def running(wanted: Running, unit: str | None, seen: Seen) -> Running:
    """Judge the running state of something that is installed.

    Returns:
        By its unit; without one, what is installed counts as whichever of Running and Stopped is wanted.
    """
    if unit is not None:
        return Running.RUNNING if seen.units.get(unit) in RUNS else Running.STOPPED
    return Running.STOPPED if wanted is Running.STOPPED else Running.RUNNING


def steady(unit: str | None, wanted: Running, found: Running) -> tuple[Step, ...]:
    """Give the steps from the running state found to the one wanted, Running or Stopped."""
    if unit is None or wanted is found:
        return ()
    return (RestartUnit(unit=unit),) if wanted is Running.RUNNING else (StopUnit(unit=unit),)
