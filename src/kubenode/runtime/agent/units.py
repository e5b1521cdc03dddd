"""systemd units, by systemctl."""

from collections.abc import Callable, Mapping
from typing import Final

from kubenode.core.naming import is_unit
from kubenode.core.probe import RUNS
from kubenode.runtime.agent.commands import Ran, Runner
from kubenode.runtime.agent.tree import StepFailed, printable

START_LIMIT: Final = 180.0
"""Seconds that a unit has to start or stop; systemd itself gives 90 s each to stopping and to starting."""
LOOK_LIMIT: Final = 10.0
SETTLE: Final = 2.0
"""Seconds after which a unit that has become active is looked at again: what dies at once has not started."""
_EVERY: Final = 0.5
_SHOWN: Final = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "Type",
    "NeedDaemonReload",
    "InvocationID",
    "UnitFileState",
)
_NOT_THERE: Final = "not-found"
_RESTS: Final = ("inactive", "failed")


class Units:
    """The units of a host.

    Args:
        run: runs systemctl.
        sleep: waits for some seconds.
    """

    def __init__(self, run: Runner, sleep: Callable[[float], None]) -> None:
        self._run = run
        self._sleep = sleep

    def state(self, unit: str) -> str | None:
        """Give the active state of a unit; None when there is no such unit. Raises StepFailed when nobody can tell."""
        shown = self._show(unit)
        return None if shown["LoadState"] == _NOT_THERE else shown["ActiveState"]

    def runs(self, unit: str) -> bool:
        """Tell whether a unit does its work, or is about to. Raises StepFailed when nobody can tell."""
        return self.state(unit) in {*RUNS, "activating"}

    def invocation(self, unit: str) -> str:
        """Give the id of a unit's run, another one after each start; empty when it does not run. Raises StepFailed."""
        shown = self._show(unit)
        return shown["InvocationID"] if shown["ActiveState"] in RUNS else ""

    def enabled(self, unit: str) -> str | None:
        """Give whether a unit starts at boot, in systemd's words; None for one without a file. Raises StepFailed."""
        return self._show(unit)["UnitFileState"] or None

    def starts(self, unit: str) -> bool:
        """Tell whether a unit starts at boot. Raises StepFailed when nobody can tell."""
        return (self.enabled(unit) or "").startswith("enabled")

    def enable(self, unit: str, *, enabled: bool) -> None:
        """Let a unit start at boot, or not; what runs is not touched.

        Raises:
            StepFailed: systemd refuses, or finds nothing in the unit's file by which it could.
        """
        if self.starts(unit) is enabled:
            return
        self._call("enable" if enabled else "disable", unit)
        if self.starts(unit) is not enabled:
            found = self.enabled(unit) or "not there"
            raise StepFailed(
                f"{unit} is {found} after systemctl {'enable' if enabled else 'disable'}; give its file an [Install] section"
            )

    def restart(self, unit: str) -> None:
        """Restart a unit, and wait until it is active and stays so.

        Raises:
            StepFailed: it does not.
        """
        shown = self._show(unit)
        if shown["NeedDaemonReload"] == "yes" or shown["LoadState"] == _NOT_THERE:
            self.reread()
        if shown["ActiveState"] == "failed":
            self._call("reset-failed", unit)  # else it may be refused for having failed too often
        self._call("restart", unit)
        self._settled(unit)

    def reload(self, unit: str) -> None:
        """Let a unit read its configuration anew, and see that it stays up; one that does not run is started.

        Raises:
            StepFailed: it cannot, or does not stay up.
        """
        if self._show(unit)["ActiveState"] not in RUNS:
            self.restart(unit)
            return
        self._call("reload", unit)
        self._settled(unit)

    def _settled(self, unit: str) -> None:
        """Wait until a unit is active and stays so, in one run. Raises StepFailed."""
        waited, found = 0.0, self._show(unit)
        while not _is_up(found):
            if waited >= START_LIMIT or found["ActiveState"] in _RESTS:
                raise StepFailed(self._why(unit, found))
            self._sleep(_EVERY)
            waited, found = waited + _EVERY, self._show(unit)
        self._sleep(SETTLE)
        again = self._show(unit)
        if not _is_up(again) or again["InvocationID"] != found["InvocationID"]:
            raise StepFailed(self._why(unit, again))

    def restart_soon(self, unit: str) -> None:
        """Ask for a restart and do not wait: the unit may be this process. Raises StepFailed when it is refused."""
        self._call("restart", unit, "--no-block")

    def kill(self, unit: str) -> None:
        """Kill all of a unit that runs; it is not asked to end. Raises StepFailed."""
        if self._show(unit)["ActiveState"] not in _RESTS:
            self._call("kill", unit, "--signal=SIGKILL")

    def last_run(self, unit: str) -> tuple[str, str]:
        """Give the id of a unit's run that is, or was last, and how that ended; empty when it goes on, or ended well.

        Raises:
            StepFailed: nobody can tell.
        """
        shown = self._show(unit)
        ended = shown["ActiveState"] not in RUNS and shown["Result"] != "success"
        return shown["InvocationID"], shown["Result"] if ended else ""

    def stop(self, unit: str) -> None:
        """Stop a unit; one that is not there, or does not run, is left as it is. Raises StepFailed when it goes on."""
        if self._show(unit)["ActiveState"] in _RESTS:
            return
        self._call("stop", unit)
        found = self._show(unit)
        if found["ActiveState"] not in _RESTS:
            raise StepFailed(f"{unit} is {found['ActiveState']} after it was stopped")

    def reread(self) -> None:
        """Let systemd read all unit files anew; nothing is restarted. Raises StepFailed."""
        self._call("daemon-reload")

    def reboot(self) -> None:
        """Ask for a reboot. Raises StepFailed when it is refused."""
        self._call("reboot")

    def _call(self, verb: str, unit: str | None = None, *options: str) -> None:
        if unit is not None:
            _check(unit)
        named = () if unit is None else ("--", unit)
        ran = self._run(("systemctl", "--no-ask-password", *options, verb, *named), START_LIMIT)
        if not ran.succeeded:
            raise StepFailed(told(" ".join(("systemctl", verb, *named[1:])), ran))

    def _show(self, unit: str) -> Mapping[str, str]:
        _check(unit)
        ran = self._run(("systemctl", "show", f"--property={','.join(_SHOWN)}", "--", unit), LOOK_LIMIT)
        if not ran.succeeded:
            raise StepFailed(told(f"systemctl show {unit}", ran))
        found = dict.fromkeys(_SHOWN, "")
        for line in ran.out.splitlines():
            name, _, value = line.partition("=")
            found[name] = value
        return found

    def _why(self, unit: str, found: Mapping[str, str]) -> str:
        state, result = found["ActiveState"], found["Result"]
        more = f" ({found['SubState']}, {result})" if result and result != "success" else ""
        return f"{unit} does not stay up: it is {state}{more}; see journalctl -u {unit}"


def _check(unit: str) -> None:
    if not is_unit(unit):
        raise StepFailed(f"{unit!r} is not the name of a unit such as kubelet.service")


def _is_up(found: Mapping[str, str]) -> bool:
    """Tell whether a unit is active; one that only runs something once is when that has gone well."""
    if found["ActiveState"] in RUNS:
        return True
    once = found["Type"] == "oneshot" and found["Result"] == "success"
    return once and found["ActiveState"] == "inactive"


def told(what: str, ran: Ran) -> str:
    """Say in one line how a program failed, in its own last words."""
    if ran.code is None:
        return f"{what} did not end in time and was killed"
    lines = [printable(" ".join(line.split())) for line in ran.tail.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "dpkg: error", "Error", "error"))] or lines[
        -2:
    ]
    return f"{what}: {'; '.join(errors)[-600:] or f'exit code {ran.code}'}"
