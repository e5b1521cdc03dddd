"""Every reason has its place in the reference, with meaning, cause and fix."""

from pathlib import Path

import pytest

from kubenode.core.detect.clock import CLOCK_AHEAD, CLOCK_BEHIND
from kubenode.core.detect.decide import LOG_UNREADABLE, NO_FAULT, RECORDS_DROPPED
from kubenode.core.detect.facts import SERVICES
from kubenode.core.detect.rules import OF_HOSTS
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.model.meta import Switch, matches

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "conditions.md"
DETECTOR = (
    NO_FAULT,
    RECORDS_DROPPED,
    LOG_UNREADABLE,
    CLOCK_AHEAD,
    CLOCK_BEHIND,
    *(one.reason for one in (*OF_HOSTS, *SERVICES)),
)
USER_DATA = ("UserDataInvalid", "UserDataUnavailable")
"""Why there is no user data; the runtime says it, which makes it."""
REASONS = (
    *USER_DATA,
    *(reason.value for kind in (MachineReason, InstanceReason) for reason in kind),
    *DETECTOR,
)


def rows() -> dict[str, list[str]]:
    """Read the rows of all tables of reasons."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    return {row[0]: row[1:] for row in cells if len(row) == 5 and row[0] not in ("reason", "---")}


@pytest.mark.parametrize("reason", REASONS)
def test_explained(reason: str) -> None:
    """Each reason has a status, a meaning, a cause and a fix; only what is well needs no fix."""
    status, meaning, cause, fix = rows()[reason]
    assert status in {switch.value for switch in Switch}
    assert meaning not in ("", "-")
    well = (status == "True" and reason not in (*DETECTOR, MachineReason.HELD.value)) or reason == NO_FAULT
    assert ((cause, fix) == ("-", "-")) is well
    assert all((cause, fix))


def test_nothing_else_is_explained() -> None:
    """The page explains no reason that does not exist."""
    assert set(rows()) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_word(reason: str) -> None:
    """Each reason is a word that the API takes."""
    assert matches("^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", reason)
