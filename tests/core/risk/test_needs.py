"""The table of what needs a permit, and who follows it."""

import re
from pathlib import Path

import pytest

from kubenode.core import model as m
from kubenode.core.risk.needs import ACT_OF, NEEDS_PERMIT, Act, needs_permit
from kubenode.core.rollout.decide import needs_permit as rollout_needs_permit

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "rollouts-and-risk.md"


@pytest.mark.parametrize("act", Act)
def test_needs_a_permit(act: Act) -> None:
    """Cordon, drain, restart class, reboot, power, reimage, replace, terminate; nothing else, and nothing before first Running."""
    asks = "cordon drain class restart reboot power reimage replace terminate"
    assert needs_permit(act) == (act.value in asks and act is not Act.UNCORDON)
    assert not needs_permit(act, has_run=False)


def test_every_act_has_its_row_in_the_page() -> None:
    """The reference says of each act what the table says."""
    rows = re.findall(r"^\| ([a-z -]+) \| (yes|no) \|$", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == {act.value: "yes" if needs else "no" for act, needs in NEEDS_PERMIT.items()}


@pytest.mark.parametrize("disruption", m.Disruption)
def test_a_rollout_follows_the_table(disruption: m.Disruption) -> None:
    """By the disruption class of its component."""
    spec = m.MachineComponentSpec(version="1", driver="package", disruption=disruption)
    component = m.MachineComponent(metadata=m.ObjectMeta(name="c"), spec=spec)
    assert rollout_needs_permit(component) == needs_permit(ACT_OF[disruption])
