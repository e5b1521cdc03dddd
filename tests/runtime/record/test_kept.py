"""Recordings that were kept: every later version reads them, and says in the changelog if it decides otherwise.

A file is never replaced. A version that changes what is recorded adds one of its own:
`kubenode demo --story hung --record x.knrec && gzip -9n x.knrec`.
"""

from pathlib import Path

import pytest

from kubenode.runtime.record import codec, replay

ROOT = Path(__file__).resolve().parents[3]
KEPT = sorted((ROOT / "tests" / "fixtures" / "recordings").iterdir())
HEADING = "### Changed decisions"


@pytest.mark.parametrize("path", KEPT, ids=[path.name for path in KEPT])
def test_a_kept_recording_is_read_whole(path: Path) -> None:
    """Every line of it, by the version that it names."""
    found = replay(path)
    assert found.recording.cut == 0
    assert path.name.startswith(f"{found.recording.kubenode}-")
    assert found.decisions > 100
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize("path", KEPT, ids=[path.name for path in KEPT])
def test_what_is_decided_otherwise_is_in_the_changelog(path: Path) -> None:
    """Under a heading of its own, since it is what people are paged for."""
    changes = replay(path).changes
    told = "\n".join(
        f"{one.at} {one.controller} {one.key}: {one.before} -> {one.after}" for one in changes[:3]
    )
    assert not changes or HEADING in (ROOT / "CHANGELOG.md").read_text(), told


def test_the_kept_recordings_hold_nearly_every_kind_of_decision() -> None:
    """All but the MachineSet's, of which no story plays."""
    kinds = {codec.word_of(one.snapshot) for path in KEPT for one in replay(path).recording.records}
    assert set(codec.SNAPSHOTS) - kinds == {"machineset"}
