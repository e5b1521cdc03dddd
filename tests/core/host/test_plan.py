"""From what is asked to steps, and how tries are counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.plan import (
    disruption,
    host_steps,
    is_at_target,
    operation_steps,
    pause,
    reboots,
    reinstalled,
    repaired,
    takes_reboot,
    tries,
    whole,
)
from kubenode.core.step import (
    EnableUnit,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemovePackage,
    RestartUnit,
    Step,
    StopUnit,
    WriteFile,
)
from tests.core.host.seen import REBOOT, RESTART, component, entry, journalled, operation, seen

UNIT = RestartUnit(unit="kubelet.service")


@pytest.mark.parametrize(
    ("steps", "blame"),
    [
        ((), "there are none"),
        ((StopUnit(unit="a.service"),), "cannot carry StopUnit"),
        ((UNIT, WriteFile(path="/x", content=b"", then=None)), "cannot carry WriteFile"),
        ((InstallPackage(package="a", version="1", then=None),), "cannot carry InstallPackage"),
        ((RemovePackage(package="a"),), "cannot carry RemovePackage"),
        ((Reboot(), UNIT), "RestartUnit follows a Reboot"),
        ((Reboot(), Reboot()), "Reboot follows a Reboot"),
        ((RestartUnit(unit="--now"),), "'--now' is not the name of a unit"),
        ((RestartUnit(unit="a b"),), "'a b' is not the name of a unit"),
        ((UNIT,) * 17, "17 are more than an operation can carry"),
    ],
)
def test_what_an_operation_cannot_carry_is_blamed_on_the_plugin(steps: tuple[Step, ...], blame: str) -> None:
    """Anything but restarts and a last reboot is a Problem that begins with PluginFailed."""
    problem = operation_steps(steps)
    assert isinstance(problem, Problem)
    assert problem.what.startswith("PluginFailed: ")
    assert blame in problem.what


@given(units=st.lists(st.sampled_from(["a.service", "b@1.socket"]), max_size=15), ends=st.booleans())
def test_steps_come_back_as_they_went(units: list[str], ends: bool) -> None:
    """host_steps is the inverse of operation_steps, and the disruption is read off them."""
    steps: tuple[Step, ...] = (
        *(RestartUnit(unit=unit) for unit in units),
        *([Reboot()] if ends or not units else []),
    )
    carried = operation_steps(steps)
    assert not isinstance(carried, Problem)
    assert host_steps(carried) == steps
    asked = operation(*carried)
    assert reboots(asked) is isinstance(steps[-1], Reboot)
    assert disruption(asked) is (m.Disruption.REBOOT if reboots(asked) else m.Disruption.RESTART)
    assert operation_steps(host_steps((RESTART, REBOOT))) == (RESTART, REBOOT)


TURNS: tuple[Step, ...] = (
    UNIT, ReloadUnit(unit="a.service"), EnableUnit(unit="a.service", enabled=True), StopUnit(unit="a.service"),
)  # fmt: skip


@pytest.mark.parametrize("disruption", m.Disruption)
@pytest.mark.parametrize("turns", [(), TURNS])
@pytest.mark.parametrize(
    "brings", [(), (WriteFile(path="/x", content=b"", then=UNIT),), (RemovePackage(package="a"),)]
)
def test_what_a_component_of_class_reboot_brings_takes_one_reboot(
    disruption: m.Disruption, turns: tuple[Step, ...], brings: tuple[Step, ...]
) -> None:
    """At the end; not after units that were only turned on or off, and of no other class."""
    reboot = disruption is m.Disruption.REBOOT and brings != ()
    for plan in ((*brings, *turns), (*turns, *brings)):
        assert takes_reboot(plan, disruption) is reboot
        assert whole(plan, disruption) == ((*plan, Reboot()) if reboot else plan)


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("config", m.ConfigState)
@pytest.mark.parametrize("state", m.Running)
@pytest.mark.parametrize("wanted", m.Running)
def test_all_three_states_must_be_at_target(
    version: str, config: m.ConfigState, state: m.Running, wanted: m.Running
) -> None:
    """Absent is absent whatever else; the others need version, configuration and running state."""
    have = Have(version=version, config=config, state=state)
    expected = state is wanted and (
        wanted is m.Running.ABSENT or (version == "1.2" and config is m.ConfigState.CURRENT)
    )
    assert is_at_target(entry(state=wanted), component(), have) is expected


def test_tries_are_counted_by_the_journal() -> None:
    """Each try has its own op-id; a success ends the failure, an interruption neither makes nor ends one."""
    machine, want, thing = seen().machine, entry(), component()
    journal: dict[str, JournalEntry] = {}
    numbers = []
    for state in (JournalState.FAILED, JournalState.STARTED, JournalState.DONE):
        tried = tries(machine, "kubelet", want, thing, journal)
        numbers.append((tried.number, tried.failed is not None))
        journal[tried.next_op_id] = journalled(state)
    tried = tries(machine, "kubelet", want, thing, journal)
    numbers.append((tried.number, tried.failed is not None))
    assert numbers == [(0, False), (1, True), (2, True), (3, False)]
    assert tried.last_op_id in journal
    assert len(journal) == 3


def test_of_tries_that_came_to_an_end_the_last_one_counts() -> None:
    """Whatever those before it were: a failure is told as the newest, and only when nothing has succeeded since."""
    machine, want, thing = seen().machine, entry(), component()
    first = JournalEntry(state=JournalState.FAILED, boot_id="b", message="first")
    second = JournalEntry(state=JournalState.FAILED, boot_id="b", message="second")
    done = journalled(JournalState.DONE)
    for told, expected in (((first, second), second), ((done, first), first), ((first, done), None)):
        journal: dict[str, JournalEntry] = {}
        for one in told:
            journal[tries(machine, "kubelet", want, thing, journal).next_op_id] = one
        assert tries(machine, "kubelet", want, thing, journal).failed == expected
        assert tries(machine, "kubelet", want, thing, journal).last == told[1]


def test_every_want_has_an_op_id_of_its_own() -> None:
    """Another set, component, revision or state under the same numbers is another act."""
    machine = seen().machine
    wants = [
        ("kubelet", entry(), component()),
        ("other", entry(), component()),
        ("kubelet", entry(revision="3"), component()),
        ("kubelet", entry(set="second"), component()),
        ("kubelet", entry(state=m.Running.STOPPED), component()),
        ("kubelet", entry(), component("kubelet-1.3")),
    ]
    assert len({tries(machine, *want, {}).next_op_id for want in wants}) == len(wants)


@given(tried=st.integers(0, 10_000))
def test_the_pause_grows_to_an_hour(tried: int) -> None:
    """It never shrinks and never exceeds the hour."""
    assert 60 * 10**9 <= pause(tried) <= pause(tried + 1) <= 3600 * 10**9


def test_no_hour_sees_more_than_three_tries() -> None:
    """Without a permit, as drift repair: however long an excused machine goes on, and however short its tries are."""
    starts = [0]
    for number in range(1, 50):
        starts.append(starts[-1] + pause(number))
    minutes = [start // (60 * 10**9) for start in starts[:5]]
    assert minutes == [0, 10, 30, 70, 130]
    hour = 3600 * 10**9
    assert max(sum(start <= other < start + hour for other in starts) for start in starts) == 3


@pytest.mark.parametrize("action", [m.StepAction.REPAIR, m.StepAction.REINSTALL])
def test_a_step_that_names_no_component_is_of_none(action: m.StepAction) -> None:
    """The schema refuses one; an agent that meets it all the same does nothing for it."""
    asked = operation(m.OperationStep(action=action), m.OperationStep(action=action, component="kubelet"))
    of_it = repaired if action is m.StepAction.REPAIR else reinstalled
    assert of_it(asked) == ("kubelet",)
    assert host_steps(asked.steps, {"kubelet": (Reboot(),)}) == (Reboot(),)
