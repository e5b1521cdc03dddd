"""Keeps the formats of this version: `python -m tests.formats.keep` writes what later versions have to read.

Into `tests/fixtures/objects/VERSION.jsonl`: objects of every kind in which every field and every word occurs, and three
clusters as a controller leaves them, at rest and in the middle of something. Into `tests/fixtures/recordings`: stories.
What a released version wrote is never written again.
"""

import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, Final, get_args, get_origin

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import revision_of, schema_of
from kubenode.core.forms import is_annotated, is_enum
from kubenode.core.identity import digest
from kubenode.core.model.risk import LEDGER
from kubenode.core.risk import ledger
from kubenode.runtime.engine.apply import Act
from kubenode.runtime.record import codec, replay
from kubenode.runtime.sim.story import Stage
from tests.formats.making import made
from tests.runtime.record.conftest import record
from tests.runtime.stages import HOUR, hung, staged

FIXTURES: Final = Path(__file__).resolve().parents[1] / "fixtures"
OBJECTS: Final = FIXTURES / "objects"
RECORDINGS: Final = FIXTURES / "recordings"
CHANGELOG: Final = FIXTURES.parents[1] / "CHANGELOG.md"
THIS: Final = version("kubenode")
STORIES: Final = ("hung", "upgrade", "drift", "machineset")
"""What is recorded: nearly every kind of decision is in one of them."""
NEVER: Final = frozenset({"spec.limits[].scope=node", "spec.limits[].scope=fleet"})
"""What the schema of a NodeRemedier knows, and a rule of it refuses."""
_DRAWS: Final = 3000


def head() -> m.Json:
    """Give what tells the formats of this version from others: what schemas accept, and what is recorded."""
    return {
        "format": "kept",
        "kubenode": THIS,
        "schemas": {cls.KIND.name: revision_of(cls) for cls in m.KINDS},
        "recording": digest(
            *(f"{word}: {_shape(parts, set())}" for word, parts in codec.SNAPSHOTS.items()),
            _shape(Act, set()),
        ),
    }


def _shape(cls: Any, seen: set[Any]) -> str:
    """Spell a type by all that is recorded of it; our kinds by name, since their schemas are told apart beside it."""
    if is_annotated(cls):
        return _shape(get_args(cls)[0], seen)
    if isinstance(cls, tuple | list):
        return f"[{', '.join(_shape(part, seen) for part in cls)}]"
    if is_enum(cls):
        return f"{cls.__name__}({', '.join(str(one.value) for one in cls)})"
    origin = get_origin(cls)
    if origin is not None:
        parts = ", ".join(_shape(part, seen) for part in get_args(cls))
        return f"{_shape(origin, seen)}[{parts}]"
    name = getattr(cls, "__name__", str(cls))
    if not attrs.has(cls) or cls in m.WATCHED or cls in seen:
        return name
    seen.add(cls)
    fields = (f"{one.name}: {_shape(one.type, seen)}" for one in attrs.fields(attrs.resolve_types(cls)))
    return f"{name}({', '.join(fields)})"


# Objects in which everything occurs.


def words_of(raw: Any, schema: m.Json, path: str) -> Iterator[str]:
    """Give what occurs in an object: the path of each field, with the value where there is a choice of few."""
    yield f"{path}={raw}" if "enum" in schema else path
    if isinstance(raw, dict):
        for key, value in raw.items():
            inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(inner, dict):
                yield from words_of(value, inner, f"{path}.{key if 'properties' in schema else '*'}")
    for item in raw if isinstance(raw, list) else ():
        yield from words_of(item, schema.get("items", {}), f"{path}[]")


def all_words(schema: m.Json, path: str) -> Iterator[str]:
    """Give all that can occur in an object of a schema."""
    yield from (f"{path}={word}" for word in schema["enum"]) if "enum" in schema else (path,)
    for name, part in schema.get("properties", {}).items():
        yield from all_words(part, f"{path}.{name}")
    for key, sign in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(key), dict):
            yield from all_words(schema[key], path + sign)


def parts_of(raw: m.Json, cls: type[m.Object]) -> set[str]:
    """Give what of ours occurs in an object."""
    schema = schema_of(cls)["properties"]
    return {
        word for part in ("spec", "status") if part in raw for word in words_of(raw[part], schema[part], part)
    }


def wanted(cls: type[m.Object]) -> set[str]:
    """Give all of ours that has to occur in some object of a kind."""
    schema = schema_of(cls)["properties"]
    found = {word for part in ("spec", "status") if part in schema for word in all_words(schema[part], part)}
    return found - NEVER if cls is m.NodeRemedier else found


def drawn(cls: type[m.Object]) -> list[m.Json]:
    """Make objects of a kind until everything occurs in one of them, and keep those that brought something new."""
    kept: list[m.Json] = []
    missing, chance = wanted(cls), Random(cls.KIND.name)
    for number in range(_DRAWS):
        obj: Any = made(cls, chance, name=LEDGER if cls is m.RiskLedger else f"kept-{number}")
        raw: m.Json = json.loads(json.dumps(wire.dump(obj)))
        new = missing & parts_of(raw, cls)
        if new:
            wire.load({**raw, "metadata": {"name": obj.metadata.name}})
            missing -= new
            kept.append(raw)
        if not missing:
            return kept
    raise LookupError(f"no {cls.KIND.name} was made with {', '.join(sorted(missing)[:5])}")


# Clusters.


def clusters() -> Iterator[m.Json]:
    """Play until something is worth keeping."""
    stage = staged("hung", machines=4)
    hung(stage)
    yield _kept("at rest", stage)
    stage = staged(machines=6)
    stage.change()
    stage.simulation.run_until(
        lambda: any(_open(stage)) and stage.all(m.MachineComponentSet)[0].status.update is not None,
        limit=HOUR,
    )
    yield _kept("in a rollout", stage)
    stage = staged("hung", machines=4)
    host = stage.simulation.hosts["n003"]
    from kubenode.runtime.sim.stories.hung import kernel_lines

    stage.simulation.at(timedelta(minutes=5), lambda: host.hang(kernel_lines()))
    stage.simulation.run_until(lambda: any(_open(stage)), limit=HOUR)
    yield _kept("in an episode", stage)


def _open(stage: Stage) -> Iterable[m.Hold]:
    return (hold for book in stage.all(m.RiskLedger) for hold in book.status.holds)


def _kept(name: str, stage: Stage) -> m.Json:
    now = stage.simulation.time.now()
    found = [raw for cls in m.WATCHED for raw in stage.simulation.objects(cls)]
    (book,) = stage.all(m.RiskLedger)
    return {
        "cluster": name, "wall": now.wall.isoformat(), "elapsed": now.elapsed, "objects": found, "used": used(book),
    }  # fmt: skip


def used(book: m.RiskLedger) -> m.Json:
    """Count what a ledger says of each of its scopes: starts within an hour and a day before its last write, and in flight."""
    status = book.status
    scopes = {*status.closed, *(scope for hold in status.holds for scope in hold.scopes)}
    return {
        scope: [
            ledger.usage(status, scope, timedelta(hours=1), status.checkpoint),
            ledger.usage(status, scope, timedelta(days=1), status.checkpoint), ledger.in_flight(status, scope),
        ]
        for scope in sorted(scopes)
    }  # fmt: skip


# The files.


def is_released() -> bool:
    """Tell whether this version was released: then its files stand for ever."""
    return f"\n## {THIS} - unreleased\n" not in CHANGELOG.read_text(encoding="utf-8")


def lines() -> Iterator[str]:
    """Give the file of objects, a line each."""
    yield json.dumps(head())
    for cls in m.KINDS:
        for raw in drawn(cls):
            yield json.dumps({"object": raw})
    for cluster in clusters():
        yield json.dumps(cluster)


def main() -> None:
    """Write the files of this version; recordings only where what is recorded, or decided, has changed since they were written."""
    if is_released():
        raise SystemExit(
            f"{THIS} is released, and its files stand: raise the version in pyproject.toml first"
        )
    OBJECTS.mkdir(exist_ok=True)
    path = OBJECTS / f"{THIS}.jsonl"
    before = json.loads(path.read_text(encoding="ascii").splitlines()[0]) if path.exists() else {}
    path.write_text("".join(f"{line}\n" for line in lines()), encoding="ascii")
    for story in STORIES:
        kept = RECORDINGS / f"{THIS}-{story}.knrec.gz"
        stands = kept.exists() and before.get("recording") == head()["recording"]
        if not stands or replay(kept).changes:
            kept.write_bytes(_recorded(story))


def _recorded(story: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{story}.knrec"
        record(story, path)
        return gzip.compress(path.read_bytes(), 9, mtime=0)


if __name__ == "__main__":
    main()
