"""Every reason and code that rollouts, rules and permits can say has a line in the reference."""

import re
from pathlib import Path

from kubenode.core.accept.decide import AcceptReason
from kubenode.core.accept.doubts import Doubt
from kubenode.core.rollout.progress import Reason

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "rollouts-and-risk.md").read_text()
CORE = ROOT / "src" / "kubenode" / "core"


def test_every_reason_is_explained() -> None:
    """Those of sets, remediers and policies."""
    for reason in (*Reason, *AcceptReason, *Doubt):
        assert re.search(rf"\b{reason.value}\b", PAGE), reason


def test_every_code_of_a_refused_permit_is_explained_and_none_is_made_up() -> None:
    """The codes in the risk decider's source are those of the table."""
    sources = [path.read_text() for room in ("risk", "health") for path in (CORE / room).glob("*.py")]
    said = set(re.findall(r'(?:code=|\bstop\(\s*)"([A-Za-z]+)"', "\n".join(sources)))
    table = PAGE[PAGE.index("## Why an ask waits") :]
    assert set(re.findall(r"^\| ([A-Z][A-Za-z]+) \|", table, re.MULTILINE)) == said
