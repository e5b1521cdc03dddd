"""Units: a restart is over when the unit is up and stays up."""

from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import pytest

from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.tree import StepFailed
from kubenode.runtime.agent.units import SETTLE, START_LIMIT, Units, told


class Systemd:
    """Says these states in turn, the last one for ever."""

    def __init__(self, *states: str, restart: Ran | None = None) -> None:
        self._states: Iterator[str] = chain(states, repeat(states[-1]))
        self._restart = restart if restart is not None else Ran(code=0)
        self.calls: list[list[str]] = []
        self.slept: list[float] = []
        self.units = Units(self, self.slept.append)

    def __call__(self, argv: Sequence[str], limit: float) -> Ran:
        """Run systemctl."""
        if argv[1] == "show":
            assert list(argv[-2:]) == ["--", "app.service"]
            active, run, *more = next(self._states).split()
            words = ["LoadState=loaded", f"ActiveState={active}", f"InvocationID={run}", "SubState=s", *more]
            return Ran(code=0, out="\n".join(words))
        self.calls.append([one for one in argv[1:] if one != "--no-ask-password"])
        return self._restart if argv[2] == "restart" else Ran(code=0)


def test_a_restart_waits_until_the_unit_is_up() -> None:
    """And looks once more."""
    systemd = Systemd("active 1", "activating 2", "activating 2", "active 2")
    systemd.units.restart("app.service")
    assert systemd.calls == [["restart", "--", "app.service"]]
    assert len(systemd.slept) == 3
    assert systemd.slept[-1] == SETTLE


DIES: dict[str, tuple[str, ...]] = {
    "at once": ("active 1", "failed 2 Result=exit-code"),
    "a little later": ("active 1", "active 2", "failed 2 Result=exit-code"),
    "again and again": ("active 1", "active 2", "active 3"),
    "and rests": ("active 1", "inactive 2"),
}


@pytest.mark.parametrize("when", DIES)
def test_a_unit_that_dies_has_not_started(when: str) -> None:
    """Though systemctl said that it had: at once, soon, or to be started anew by systemd each time."""
    systemd = Systemd(*DIES[when])
    with pytest.raises(StepFailed, match=r"app\.service does not stay up: .* journalctl -u app.service"):
        systemd.units.restart("app.service")


def test_a_unit_that_never_comes_up_is_given_up_on() -> None:
    """After its time."""
    systemd = Systemd("active 1", "activating 2")
    with pytest.raises(StepFailed, match="it is activating"):
        systemd.units.restart("app.service")
    assert START_LIMIT <= sum(systemd.slept) < START_LIMIT + 5


def test_a_refused_restart_is_told_in_the_words_of_systemctl() -> None:
    """The last of them."""
    failed = Ran(
        code=1, tail="Job for app.service failed because the control process exited.\nSee systemctl status."
    )
    systemd = Systemd("failed 1", restart=failed)
    with pytest.raises(StepFailed, match=r"systemctl restart app.service: Job for app.service failed"):
        systemd.units.restart("app.service")
    assert systemd.calls[0] == ["reset-failed", "--", "app.service"]


def test_what_a_program_says_cannot_command_a_terminal() -> None:
    """A line of it is shown to people."""
    ran = Ran(code=1, tail="first\n\x1b[2J\tE: no\x07 \udcff room\r\n")
    assert told("apt-get", ran) == "apt-get: first; ?[2J E: no? ? room"


def test_changed_unit_files_are_loaded_first() -> None:
    """Else systemd would start what was there before."""
    systemd = Systemd("active 1 NeedDaemonReload=yes", "active 2")
    systemd.units.restart("app.service")
    assert systemd.calls == [["daemon-reload"], ["restart", "--", "app.service"]]


def test_a_unit_that_runs_once_is_up_when_that_went_well() -> None:
    """It is inactive afterwards."""
    Systemd("inactive 1", "inactive 2 Type=oneshot Result=success").units.restart("app.service")
    with pytest.raises(StepFailed):
        Systemd("inactive 1", "inactive 2 Type=oneshot Result=exit-code").units.restart("app.service")


def test_a_reload_stays_in_its_run() -> None:
    """A unit that dies of what it reads is found; one that does not run is started."""
    systemd = Systemd("active 1")
    systemd.units.reload("app.service")
    assert systemd.calls == [["reload", "--", "app.service"]]
    with pytest.raises(StepFailed, match="does not stay up"):
        Systemd("active 1", "failed 1 Result=exit-code").units.reload("app.service")
    systemd = Systemd("inactive 1", "inactive 1", "active 2")
    systemd.units.reload("app.service")
    assert systemd.calls == [["restart", "--", "app.service"]]


def test_a_unit_is_enabled_where_it_is_not() -> None:
    """And seen to be; what systemd has no way to enable is told with what to do."""
    systemd = Systemd("active 1 UnitFileState=disabled", "active 1 UnitFileState=enabled")
    systemd.units.enable("app.service", enabled=True)
    systemd.units.enable("app.service", enabled=True)
    assert systemd.calls == [["enable", "--", "app.service"]]
    systemd = Systemd("active 1 UnitFileState=enabled-runtime", "active 1 UnitFileState=disabled")
    systemd.units.enable("app.service", enabled=False)
    assert systemd.calls == [["disable", "--", "app.service"]]
    with pytest.raises(
        StepFailed, match=r"app\.service is static after systemctl enable; give its file an \[Install\]"
    ):
        Systemd("active 1 UnitFileState=static").units.enable("app.service", enabled=True)


def test_a_unit_is_stopped() -> None:
    """Or it is told that it goes on."""
    Systemd("active 1", "inactive 1").units.stop("app.service")
    rests = Systemd("inactive 1")
    rests.units.stop("app.service")
    assert rests.calls == []
    with pytest.raises(StepFailed, match=r"app\.service is deactivating after it was stopped"):
        Systemd("deactivating 1").units.stop("app.service")


@pytest.mark.parametrize("name", ["--now", "a b.service", "", "a;b.service", "../x.service"])
def test_what_is_no_unit_reaches_no_program(name: str) -> None:
    """Not as an option."""
    systemd = Systemd("active 1")
    for act in (systemd.units.restart, systemd.units.stop, systemd.units.state):
        with pytest.raises(StepFailed, match="is not the name of a unit"):
            act(name)
    assert systemd.calls == []


def test_nobody_can_tell_when_systemd_does_not_answer() -> None:
    """A host without it, and one whose systemd hangs."""
    for ran in (Ran(code=1, tail="System has not been booted with systemd as init system"), Ran(code=None)):
        with pytest.raises(StepFailed):
            Units(lambda argv, limit, ran=ran: ran, print).state("app.service")
