"""The law of phases: total, absorbing where it must be, and drawn in the reference.

`python -m tests.core.machine.test_phase` writes the page anew.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.machine.phase import NEXT, Phase, Signal, next_phase

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "phases.md"
DELETION = frozenset({Signal.DELETING, Signal.DELETING_NODE})
HEAD = """# Phases of a Machine

A phase is one word for people about where a Machine is in its life; programs read conditions
([conditions.md](conditions.md)). It moves only by this table: phase x signal -> phase. Of several signals that
hold, the first in the table counts (a spec change is followed first, and then one other). The rules behind it, and
why, stand in `src/kubenode/core/machine/phase.py`. `-` means that the phase stays. [Concepts](../concepts.md) draws it;
a Machine's note that names a signal has a [page](reasons/README.md) that says what to do.

"""


def drawn() -> str:
    """Draw the table as the reference shows it: a row a signal, a column a phase."""
    phases = [phase.value for phase in Phase]
    lines = [f"| signal | {' | '.join(phases)} |", f"|---|{'---|' * len(phases)}"]
    for signal in Signal:
        cells = ("-" if NEXT[phase][signal] is phase else NEXT[phase][signal].value for phase in Phase)
        lines.append(f"| {signal.value} | {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def test_total() -> None:
    """Every phase has a next one for every signal, and none for anything else."""
    assert set(NEXT) == set(Phase)
    assert all(set(row) == set(Signal) for row in NEXT.values())


def test_deleted_is_not_stored() -> None:
    """No phase is called Deleted, and the names are those of the API."""
    assert [phase.value for phase in Phase] == [
        "Pending", "Provisioning", "Importing", "Initializing", "Running", "Updating",
        "Repairing", "Draining", "Deleting", "Failed", "Unknown",
    ]  # fmt: skip


@pytest.mark.parametrize("signal", Signal)
def test_deletion_cannot_be_taken_back(signal: Signal) -> None:
    """Draining and Deleting are left by nothing but each other."""
    assert next_phase(Phase.DRAINING, signal) in (Phase.DRAINING, Phase.DELETING)
    assert next_phase(Phase.DELETING, signal) in (Phase.DRAINING, Phase.DELETING)
    assert next_phase(Phase.DRAINING, Signal.DELETING) is Phase.DELETING
    assert next_phase(Phase.DELETING, Signal.DELETING_NODE) is Phase.DRAINING


@pytest.mark.parametrize("phase", Phase)
def test_deletion_is_for_all(phase: Phase) -> None:
    """Whatever a machine is, deletion leads to Draining with a Node and to Deleting without."""
    assert next_phase(phase, Signal.DELETING_NODE) is Phase.DRAINING
    assert next_phase(phase, Signal.DELETING) is Phase.DELETING


def test_draining_is_for_deletion_only() -> None:
    """No signal but that of a deletion with a Node leads there; no hold does, of whatever kind."""
    leads = {
        signal
        for phase in set(Phase) - {Phase.DRAINING}
        for signal in Signal
        if NEXT[phase][signal] is Phase.DRAINING
    }
    assert leads == {Signal.DELETING_NODE}


def test_reachable() -> None:
    """Every phase can be reached from Pending."""
    reached, before = {Phase.PENDING}, set[Phase]()
    while reached != before:
        before = set(reached)
        reached |= {after for phase in before for after in NEXT[phase].values()}
    assert reached == set(Phase)


@pytest.mark.parametrize("signal", sorted(set(Signal) - DELETION, key=lambda signal: signal.name))
def test_failed_waits(signal: Signal) -> None:
    """Failed is left only by a spec change, or by deletion."""
    expected = Phase.PENDING if signal is Signal.SPEC_CHANGED else Phase.FAILED
    assert next_phase(Phase.FAILED, signal) is expected


def test_running_stays_running() -> None:
    """Running, Updating and Repairing stay or become Running when something is unhealthy."""
    for phase in (Phase.RUNNING, Phase.UPDATING, Phase.REPAIRING):
        assert next_phase(phase, Signal.IMPAIRED) is Phase.RUNNING


def test_not_running_before_healthy() -> None:
    """On the way up, only all healthy (or a hold's end) makes a machine Running."""
    for phase in (Phase.PROVISIONING, Phase.IMPORTING, Phase.INITIALIZING):
        assert next_phase(phase, Signal.IMPAIRED) is Phase.INITIALIZING
        assert next_phase(phase, Signal.REGISTERED) is Phase.INITIALIZING
        assert next_phase(phase, Signal.HEALTHY) is Phase.RUNNING


def test_unknown_has_no_memory() -> None:
    """Unknown follows every signal as Pending does, which has nothing to remember."""
    stays = {Signal.SPEC_CHANGED, Signal.CONTESTED}
    for signal in set(Signal) - stays:
        assert next_phase(Phase.UNKNOWN, signal) is next_phase(Phase.PENDING, signal)


@pytest.mark.parametrize("phase", Phase)
def test_nothing_follows_from_a_contest(phase: Phase) -> None:
    """What is contested keeps its phase."""
    assert next_phase(phase, Signal.CONTESTED) is phase


@given(st.sampled_from(Phase), st.sampled_from(Signal))
def test_settles_at_once(phase: Phase, signal: Signal) -> None:
    """The same signal twice is the same as once, so no phase swings by itself (L8)."""
    once = next_phase(phase, signal)
    assert next_phase(once, signal) is once


def test_read_only() -> None:
    """Nobody changes the law at run time."""
    with pytest.raises(TypeError):
        NEXT[Phase.FAILED][Signal.HEALTHY] = Phase.RUNNING  # type: ignore[index]


def test_drawn() -> None:
    """The reference shows this very table."""
    assert PAGE.read_text(encoding="utf-8") == drawn(), "python -m tests.core.machine.test_phase"


if __name__ == "__main__":
    PAGE.write_text(drawn(), encoding="utf-8")
