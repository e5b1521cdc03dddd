"""The file of a recording: what is in it, and what a damaged, unfinished or newer one is told."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core.decision import Decision
from kubenode.core.errors import InvalidObjectError, KubenodeError
from kubenode.core.model import Machine, MachineSpec, Now, ObjectMeta
from kubenode.core.policy import Policy
from kubenode.core.risk.decide import RiskSnapshot
from kubenode.runtime.record import Record, Recording, RecordingError, recorder

NOW = Now(wall=datetime(2026, 3, 2, 9, tzinfo=UTC), elapsed=7)
FIRST = Record(
    now=NOW, controller="risk", key="cluster", snapshot=RiskSnapshot(ledger=None, history=False, now=NOW),
    policy=Policy(), decision=Decision(),
)  # fmt: skip
SECOND = attrs.evolve(FIRST, policy=Policy.default())


def lines(path: Path) -> list[dict[str, Any]]:
    """Give the lines of a plain recording."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording of three decisions, under two policies."""
    path = tmp_path / "monday.knrec"
    with recorder(path) as kept:
        for record in (FIRST, SECOND, SECOND):
            kept(record)
    return path


def test_a_recording_says_what_it_is_and_how_much_there_is(path: Path) -> None:
    """Format, version and policy first; a policy where it changes, and only there; the number last."""
    found = lines(path)
    assert [next(iter({"knrec", "record", "policy", "end"} & set(line))) for line in found[1:]] == [
        "record", "policy", "record", "record", "end",
    ]  # fmt: skip
    assert (found[0]["knrec"], found[0]["kubenode"]) == (1, version("kubenode"))
    assert set(found[0]) == {"knrec", "kubenode", "policy"}
    assert found[-1] == {"end": 3}


def test_what_was_written_is_read(path: Path) -> None:
    """Record by record, each with the policy that stood then."""
    found = Recording.load(path)
    assert found.records == (FIRST, SECOND, SECOND)
    assert (found.whole, found.kubenode, found.policy) == (True, version("kubenode"), Policy.default())


def test_a_packed_recording_is_the_same_and_has_no_time_in_it(path: Path, tmp_path: Path) -> None:
    """Equal runs give equal files."""
    packed = [tmp_path / "one.knrec.gz", tmp_path / "two.knrec.gz"]
    for one in packed:
        with recorder(one) as kept:
            for record in (FIRST, SECOND, SECOND):
                kept(record)
    assert packed[0].read_bytes() == packed[1].read_bytes()
    assert gzip.decompress(packed[0].read_bytes()) == path.read_bytes()
    assert Recording.load(packed[0]).records == (FIRST, SECOND, SECOND)


def test_a_run_without_a_decision_has_a_recording_too(tmp_path: Path) -> None:
    """Empty is not cut off."""
    with recorder(tmp_path / "quiet.knrec"):
        assert not (tmp_path / "quiet.knrec").exists()
    assert Recording.load(tmp_path / "quiet.knrec").records == ()


def test_what_was_recorded_before_a_crash_is_there(tmp_path: Path) -> None:
    """Every line is written out at once: a process that is killed leaves all but the end."""
    kept = recorder(tmp_path / "killed.knrec")
    kept(FIRST)
    found = Recording.load(tmp_path / "killed.knrec", partial=True)
    assert (found.records, found.whole) == ((FIRST,), False)
    kept.close()
    assert Recording.load(tmp_path / "killed.knrec").whole


def test_a_closed_recording_takes_nothing_more(path: Path, tmp_path: Path) -> None:
    """Closing twice is no fault, writing after it is."""
    kept = recorder(tmp_path / "closed.knrec")
    kept(FIRST)
    kept.close()
    kept.close()
    with pytest.raises(ValueError, match=r"closed\.knrec: the recording is closed"):
        kept(FIRST)
    assert Recording.load(tmp_path / "closed.knrec").records == (FIRST,)


def told(path: Path, *, partial: bool = False) -> str:
    """Give what is said of a recording that cannot be read."""
    with pytest.raises(RecordingError) as caught:
        Recording.load(path, partial=partial)
    assert isinstance(caught.value, InvalidObjectError | KubenodeError)
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    return str(problem)


def test_a_recording_that_is_cut_off_anywhere_says_so(path: Path, tmp_path: Path) -> None:
    """At every end of a line, just beside it and between: told; with `partial`, all whole records are given."""
    whole = path.read_bytes()
    cut = tmp_path / "cut.knrec"
    counts = set()
    ends = [at for at, byte in enumerate(whole) if byte == ord("\n")]
    for length in sorted({0, 1, *(at + by for at in ends for by in (0, 1, 2)), *range(0, len(whole), 997)}):
        if length >= len(whole):
            continue
        cut.write_bytes(whole[:length])
        assert ("is empty" if length == 0 else "is cut off after") in told(cut)
        if length > 0:
            found = Recording.load(cut, partial=True)
            assert found.records == (FIRST, SECOND, SECOND)[: len(found.records)]
            counts.add(len(found.records))
    assert counts == {0, 1, 2, 3}


def test_a_packed_recording_that_is_cut_off_says_so(path: Path, tmp_path: Path) -> None:
    """Wherever that is, as long as anything of it is lost: what is missing after its end is nobody's."""
    whole = gzip.compress(path.read_bytes(), mtime=0)
    cut = tmp_path / "cut.knrec.gz"
    for length in range(0, len(whole) - 12, 7):
        cut.write_bytes(whole[:length])
        assert "is empty" in (text := told(cut)) or "is cut off after" in text
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 1
    cut.write_bytes(spoilt)
    told(cut)


def test_how_to_read_one_that_is_cut_off_is_said(path: Path) -> None:
    """The words of the fix work."""
    path.write_bytes(path.read_bytes()[:-5])
    assert "is cut off after 3 records" in told(path)
    assert "fix: take what is there: Recording.load(path, partial=True)" in told(path)
    assert len(Recording.load(path, partial=True).records) == 3


def _without(line: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != key}


DAMAGES: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], int, str]] = {
    "no header": (lambda found: found.pop(0), 1, "has no header of a recording"),
    "a newer format": (
        lambda found: found[0].update(knrec=2, kubenode="1.4.0"), 1,
        f"has the format 2, recorded by kubenode 1.4.0; kubenode {version('kubenode')} reads 1\n    fix: read it with kubenode 1.4.0",
    ),
    "a field of a newer version": (
        lambda found: found[1]["record"]["snapshot"].update(weather="fine"), 2,
        f"RiskSnapshot.weather is not known to kubenode {version('kubenode')}; recorded by {version('kubenode')}",
    ),
    "a class of a newer version": (
        lambda found: found[1]["record"]["snapshot"].update({"!": "core.spell.Snapshot"}), 2, "core.spell.Snapshot is not known",
    ),
    "a missing field": (
        lambda found: found[1].update(record=_without(found[1]["record"], "decision")), 2, "cannot be read: KeyError: 'decision'",
    ),
    "a field that the snapshot needs": (
        lambda found: found[1]["record"].update(snapshot=_without(found[1]["record"]["snapshot"], "history")), 2,
        "cannot be read: TypeError: ",
    ),
    "a time that is none": (lambda found: found[1]["record"].update(wall="soon"), 2, "cannot be read: ValueError: "),
    "no snapshot": (
        lambda found: found[1]["record"].update(snapshot=found[0]["policy"]), 2, "a value of type Policy is no snapshot",
    ),
    "no policy": (lambda found: found[2].update(policy={"a": 1}), 3, "has a dict where a Policy belongs"),
    "another line": (lambda found: found.insert(2, {"noise": 1}), 3, "is no line of a recording"),
    "a lost line": (lambda found: found.pop(3), 5, "has 2 records, and its last line says 3"),
    "two recordings in one": (lambda found: found.append(found[0]), 7, "goes on after its end"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_with_its_line(damage: str, path: Path) -> None:
    """What is wrong, where, and what to do; whole or partial, nothing is guessed."""
    spoil, line, said = DAMAGES[damage]
    found = lines(path)
    spoil(found)
    path.write_text("".join(json.dumps(one) + "\n" for one in found))
    for partial in (False, True):
        text = told(path, partial=partial)
        assert text.startswith(f"{path}:{line}: recording: ")
        assert said in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty, not even a header"),
        (b"{]\n", "is no JSON: "),
        (b"[]\n", "is no JSON object"),
        (b"\xff\xfe\n", "has bytes that no recording has"),
        (b"kind: Machine\n", "is no JSON: "),
    ],
)
def test_what_is_no_recording_is_told(content: bytes, said: str, path: Path) -> None:
    """Some other file."""
    path.write_bytes(content)
    assert said in told(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Or is a folder."""
    assert "cannot be read: No such file or directory" in told(tmp_path / "gone.knrec")
    assert "cannot be read: Is a directory" in told(tmp_path)


def test_an_object_of_the_user_is_in_it_whole(tmp_path: Path) -> None:
    """Labels that look like our own marks, too."""
    from kubenode.core.machine.snapshot import MachineSnapshot

    machine = Machine(metadata=ObjectMeta(name="n1", labels={"!": "model.meta.Switch"}), spec=MachineSpec())
    record = attrs.evolve(FIRST, snapshot=MachineSnapshot(machine=machine, now=NOW))
    with recorder(tmp_path / "one.knrec") as kept:
        kept(record)
    assert Recording.load(tmp_path / "one.knrec").records == (record,)
