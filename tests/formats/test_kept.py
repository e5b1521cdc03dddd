"""Objects that were kept: every later version reads them, loses nothing of them, and takes such a cluster over without a start.

Recordings that were kept are `tests/runtime/record/test_kept.py`'s.
"""

import copy
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.engine.apply import WriteStatus
from kubenode.runtime.engine.loop import Decided, Synced
from kubenode.runtime.plugins import Plugins
from tests.formats.keep import OBJECTS, THIS, head, is_released, parts_of, used, wanted

KEPT = sorted(OBJECTS.iterdir())
FILES = pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
COMMAND = "python -m tests.formats.keep"


@cache
def lines(path: Path) -> list[m.Json]:
    """Give the lines of a file of objects."""
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def kept(path: Path) -> list[m.Json]:
    """Give all objects of a file, those of its clusters too."""
    found = (line.get("objects", [line.get("object")]) for line in lines(path)[1:])
    return [raw for some in found for raw in some]


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Name what is in one piece of JSON and not the same in another; what is new there is no loss, nor is what is empty."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [one for key, value in before.items() for one in lost(value, after.get(key), f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [one for at, value in enumerate(before) for one in lost(value, after[at], f"{path}[{at}]")]
    return [] if before == after or (after is None and before in ([], {}, "")) else [path]


def unread(raw: m.Json) -> list[str]:
    """Say what this version does not read of an object, or would not write again."""
    seen = wire.read(raw, wire.kind_of(raw["kind"]))
    ours = {key: value for key, value in raw.items() if key != "metadata"}  # which the server keeps
    return [*seen.metadata.unknown, *lost(ours, wire.dump(seen))]


def test_the_formats_of_this_version_are_kept() -> None:
    """A change of a schema, or of what is recorded, without a file that has it, would be found by users."""
    known = {path.stem: lines(path)[0] for path in KEPT}
    told = f"run {COMMAND}, look at what changed, and commit it"
    if is_released():
        told = f"{THIS} is released: raise the version in pyproject.toml, and {told}"
    assert THIS in known, told
    assert known[THIS] == head(), f"the formats changed and were not kept: {told}"


@FILES
def test_everything_occurs_in_a_kept_file(path: Path) -> None:
    """Of its own version every field and every word; a file that was cut would promise nothing."""
    assert lines(path)[0]["format"] == "kept"
    assert lines(path)[0]["kubenode"] == path.stem
    assert [line["cluster"] for line in lines(path) if "cluster" in line] == [
        "at rest", "in a rollout", "in an episode",
    ]  # fmt: skip
    if path.stem == THIS:
        for cls in m.KINDS:
            found = (parts_of(raw, cls) for raw in kept(path) if raw["kind"] == cls.KIND.name)
            assert wanted(cls) - set[str]().union(*found) == set(), cls


@FILES
def test_a_kept_object_is_read_whole(path: Path) -> None:
    """Nothing in it is unknown, and all of it is written again."""
    assert {raw["kind"] for raw in kept(path)} == {cls.KIND.name for cls in m.WATCHED}
    for raw in kept(path):
        if raw["kind"] != m.Node.KIND.name:  # not ours: what we do not look at is left out
            assert unread(raw) == [], (raw["kind"], raw["metadata"]["name"])


@FILES
def test_a_kept_object_may_still_be_written(path: Path) -> None:
    """No bound was drawn closer, and no rule was made that refuses what was good; else people could not change it any more."""
    for line in lines(path)[1:]:
        if "object" in line:
            raw = line["object"]
            made = wire.load({**raw, "metadata": {"name": raw["metadata"]["name"]}})
            assert lost(raw["spec"], wire.dump(made)["spec"]) == []


@FILES
def test_a_kept_ledger_counts_as_it_did(path: Path) -> None:
    """Starts within windows and permits in flight, scope by scope: what was granted is not granted again."""
    for line in lines(path)[1:]:
        if "cluster" in line:
            (raw,) = (raw for raw in line["objects"] if raw["kind"] == m.RiskLedger.KIND.name)
            assert used(wire.read(raw, m.RiskLedger)) == line["used"]
            assert line["used"]


@FILES
def test_a_kept_cluster_is_taken_over(path: Path) -> None:
    """Every object of it is decided on without a fault; nothing is begun on a machine where all was at rest."""
    for line in lines(path)[1:]:
        if "cluster" not in line:
            continue
        told = taken_over(line)
        keys = {(one.key.controller, one.key.name) for one in told}
        named = {(raw["kind"], raw["metadata"]["name"]) for raw in line["objects"]}
        assert {("machine", name) for kind, name in named if kind == "Machine"} <= keys
        assert {("rollout", name) for kind, name in named if kind == "MachineComponentSet"} <= keys
        assert ("risk", "cluster") in keys
        begun = [act for one in told for act in one.acts if not isinstance(act, WriteStatus)]
        assert not begun or line["cluster"] != "at rest", begun
        phases = {one.status.phase for raw in line["objects"] if raw["kind"] == "Machine" for one in [wire.read(raw, m.Machine)]}  # fmt: skip
        assert (phases == {"Running"}) is (line["cluster"] == "at rest"), phases


def taken_over(cluster: m.Json) -> list[Decided]:
    """Let controllers of this version see a cluster for the first time; any fault of theirs is raised."""
    told: list[Decided] = []
    engine = controllers(Plugins.discover(), told.append, observes=True)
    listed = [
        Synced(kind=cls, items=tuple(raw for raw in cluster["objects"] if raw["kind"] == cls.KIND.name), version=10**9)
        for cls in m.WATCHED
    ]  # fmt: skip
    now = m.Now(wall=datetime.fromisoformat(cluster["wall"]), elapsed=cluster["elapsed"])
    step = engine.step((*listed, FIRST), now)
    assert not step.is_cut
    return told


# That they would be noticed.


def first_of(kind: str) -> m.Json:
    """Give a copy of a kept object of a kind."""
    return copy.deepcopy(next(raw for raw in kept(KEPT[-1]) if raw["kind"] == kind))


def test_what_a_later_version_no_longer_knows_is_noticed() -> None:
    """A field, a word, and a default that says something else."""
    raw = first_of("Machine")
    assert unread(raw) == []
    raw["spec"]["rack"] = "r07"
    raw["status"]["conditions"] = [{**raw["status"]["conditions"][0], "status": "Maybe"}]
    assert {"spec.rack", ".spec.rack"} <= set(unread(raw))
    assert any("conditions" in one for one in unread(raw))
    assert lost({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}], "c": 4}) == [".a[1].b"]


def test_a_bound_that_was_drawn_closer_is_noticed() -> None:
    """Here by an object beyond the bounds of today."""
    raw = first_of("RiskPolicy")
    raw["metadata"] = {"name": "a"}
    raw["spec"]["freeze"] = [{"scope": "zone", "name": "b", "reason": "x" * 257}]
    with pytest.raises(InvalidObjectError):
        wire.load(raw)


def test_another_schema_or_recording_is_another_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a field of a snapshot, or a word, however deep."""
    before = head()
    monkeypatch.setattr("tests.formats.keep.revision_of", lambda cls: cls.KIND.name)
    assert head()["schemas"] != before["schemas"]
    assert head()["recording"] == before["recording"]
    monkeypatch.setitem(__import__("kubenode.runtime.record.codec", fromlist=["SNAPSHOTS"]).SNAPSHOTS, "agent", (m.Now, m.Running))  # fmt: skip
    assert head()["recording"] != before["recording"]
