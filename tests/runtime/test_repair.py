"""Drift of class drain or reboot in a simulated cluster: agents, controllers and hosts together."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Stage
from tests.stories.drifting import EVIL, GOOD, LONG, NAME, PATH, cast_of, play, spoil


def stage(
    machines: int, *, zones: str = "a", objects: Iterable[m.Object] = (), **more: m.Disruption
) -> Stage:
    """Give a cluster in which all machines run and have their file."""
    made = Stage(
        "drift", cast_of(machines, zones=zones, objects=objects, **more), seed=3, tell=lambda _: None
    )
    made.open()
    assert made.until_running()
    assert made.simulation.rest(limit=LONG)
    return made


def hosts(made: Stage) -> list[SimHost]:
    """Give the hosts by name."""
    return [host for _, host in sorted(made.simulation.hosts.items())]


def jobs(made: Stage) -> list[m.RemedyOperationJob]:
    """Give all episodes by name."""
    return sorted(made.all(m.RemedyOperationJob), key=lambda job: job.metadata.name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("disruption", [m.Disruption.DRAIN, m.Disruption.REBOOT])
def test_drift_of_class_drain_or_reboot_is_repaired_with_a_permit_one_machine_after_another(
    disruption: m.Disruption, seed: int
) -> None:
    """Three drift at once: each has its own job and permit, and every check that all runs must pass."""
    told = play(cast_of(3, disruption=disruption), seed, lambda _: None)
    assert told.passed, [check for check in told.checks if not check.passed]


def test_repairs_begin_one_at_a_time_and_more_only_as_they_are_proven() -> None:
    """Automatic and disruptive on every machine at once is what evidence-based width is for."""
    wide = m.RiskPolicy(
        metadata=m.ObjectMeta(name="wide"),
        spec=m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(100)),)),
    )
    made = stage(3, objects=(wide,))
    for host in hosts(made):
        spoil(host)
    assert made.simulation.rest(limit=LONG)
    permits = sorted(
        (one for one in made.witness.permits.values() if one.hold.cause is m.Cause.DRIFT),
        key=lambda one: one.opened,
    )
    first, second, third = permits
    assert first.closed is not None
    assert second.opened >= first.closed
    assert second.closed is not None
    assert third.opened < second.closed  # one proven: two at once
    assert [job.status.phase for job in jobs(made)] == ["Succeeded"] * 3


def test_the_machine_is_repairing_while_its_hold_is_open() -> None:
    """By the kind of the open hold."""
    made = stage(1)
    (host,) = hosts(made)
    seen = set[str]()
    made.simulation.watch(lambda: seen.update(made.phases()))
    spoil(host)
    assert made.simulation.rest(limit=LONG)
    assert seen == {"Running", "Repairing"}


def test_no_job_is_opened_in_a_zone_that_is_down_and_the_drift_is_repaired_after_it() -> None:
    """Four of five are cut off; the fifth drifts: it waits for its zone, and then it is repaired."""
    made = stage(5)
    *cut, fifth = hosts(made)
    for host in cut:
        host.link(False)
    assert made.simulation.rest(limit=LONG)
    spoil(fifth)
    assert made.simulation.rest(limit=LONG)
    assert (jobs(made), fifth.files[PATH]) == ([], EVIL)
    for host in cut:
        host.link(True)
    assert made.simulation.rest(limit=LONG)
    assert ([job.status.phase for job in jobs(made)], fifth.files[PATH]) == (["Succeeded"], GOOD)


def test_when_many_report_the_same_drift_the_controller_holds_and_no_further_job_is_opened() -> None:
    """Twenty of forty, fifteen seconds apart: what is held asks for nothing, until a person says that it may."""
    made = stage(40)
    for number, host in enumerate(hosts(made)[:20]):
        made.simulation.at(timedelta(seconds=15 * number), lambda host=host: spoil(host))  # type: ignore[misc]
    assert made.simulation.rest(limit=timedelta(days=2))
    evil = [host for host in hosts(made) if host.files[PATH] == EVIL]
    assert len(evil) >= 16
    # Those of before the fourth report were opened; whichever of them had not begun by then waits with all others.
    assert 1 <= len(jobs(made)) <= 3
    assert all(job.status.phase in ("Succeeded", "Waiting", "") for job in jobs(made))
    assert [hold for book in made.all(m.RiskLedger) for hold in book.status.holds] == []
    held = [one for one in made.all(m.Machine) if one.spec.components[NAME].held]
    assert len(held) == len(evil)
    word = {"spec": {"repair": {"component": f"{NAME}-1", "machines": 20}}}
    made.simulation.change(m.MachineComponentSet, NAME, word)
    assert made.simulation.rest(limit=timedelta(days=7))
    assert [host for host in hosts(made) if host.files[PATH] == EVIL] == []


def test_a_repair_that_does_not_help_is_tried_three_times_then_a_human() -> None:
    """Somebody changes the file back at once, for ever: each repair has its permit, then there is no other."""
    made = stage(1)
    (host,) = hosts(made)
    before = len(host.spans)

    def again() -> None:
        if host.files[PATH] == GOOD and all(span.ended is not None for span in host.spans):
            spoil(host)

    made.simulation.watch(again)
    assert made.simulation.rest(limit=timedelta(days=3))
    (job,) = jobs(made)
    assert job.status.phase == "HandedOver"
    assert (len(job.status.attempts), len(host.spans) - before) == (3, 3)
    assert made.simulation.rest(limit=timedelta(days=30))
    assert (len(jobs(made)), len(host.spans) - before) == (1, 3)


def test_a_remedy_comes_before_a_repair_of_drift_and_both_are_done() -> None:
    """Both ask for one machine's place; one hold a machine uid: never two acts at once (reliability.md S7)."""
    hung = m.NodeRemedier(
        metadata=m.ObjectMeta(name="hung"),
        spec=m.NodeRemedierSpec(
            condition=m.ConditionMatch(type="KernelDeadlock"), ladder=(m.Rung(action="reboot", timeout=timedelta(minutes=10)),),
            verification=m.Verification(dwell=timedelta(seconds=10), timeout=timedelta(minutes=1)),
        ),
    )  # fmt: skip
    made = stage(3, objects=(hung,))  # of two machines the built-in policy lets two be disturbed a day
    first, second, _ = hosts(made)
    spoil(second)
    assert made.simulation.run_until(lambda: bool(jobs(made)), limit=LONG)
    spoil(first)
    first.hang(kernel_lines())
    assert made.simulation.rest(limit=LONG)
    assert [job.status.phase for job in jobs(made)] == ["Succeeded"] * 3
    permits = sorted(made.witness.permits.values(), key=lambda one: one.opened)
    order = [(one.hold.machine, one.hold.cause) for one in permits if one.hold.cause is not m.Cause.ROLLOUT]
    assert order == [("n002", m.Cause.DRIFT), ("n001", m.Cause.REMEDY), ("n001", m.Cause.DRIFT)]
    told = made.end((), "")
    assert told.passed, [check for check in told.checks if not check.passed]


def test_controllers_that_start_anew_at_every_moment_open_the_same_job() -> None:
    """Its name is a function of machine, component and number: nobody has to remember that it was opened."""
    made = stage(2)
    for host in hosts(made):
        spoil(host)
    for second in range(0, 300, 7):
        for process in made.simulation.processes.values():
            made.simulation.at(timedelta(seconds=second), process.start)
    assert made.simulation.rest(limit=LONG)
    assert [(job.spec.episode, job.status.phase) for job in jobs(made)] == [(0, "Succeeded")] * 2
    told = made.end((), "")
    assert told.passed, [check for check in told.checks if not check.passed]
