"""Recordings that were kept: every later version reads them, and says in the changelog if it decides otherwise.

A file of a released version is never replaced.
`python -m tests.formats.keep` writes those of this version, and `tests/formats` tells when it has to.
"""

import gzip
import json
import re
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
    """All but those of a dry run, of enrolment, of clouds that tell events and of health checks that ask, of which no story plays."""
    kinds = {codec.word_of(one.snapshot) for path in KEPT for one in replay(path).recording.records}
    assert set(codec.SNAPSHOTS) - kinds == {"rehearsal", "enrol", "doctor", "external"}


def test_the_reference_names_every_key_of_every_line() -> None:
    """In their order; and every kind of snapshot."""
    page = (ROOT / "docs" / "reference" / "recordings.md").read_text()
    rows = re.findall(r"^\| (first|policy|record|) ?\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    lines: dict[str, list[str]] = {}
    hung = next(path for path in KEPT if path.name.endswith("-hung.knrec.gz"))
    for line, key, _ in rows:
        lines.setdefault(line or next(reversed(lines)), []).append(key)
    first, *others = [json.loads(line) for line in gzip.decompress(hung.read_bytes()).splitlines()]
    assert lines["first"] == list(first)
    assert {tuple(one) for one in others} == {tuple(lines["policy"]), tuple(lines["record"])}
    (kinds,) = (told for _, key, told in rows if key == "kind")
    assert re.findall(r"`(\w+)`", kinds) == sorted(codec.SNAPSHOTS)
