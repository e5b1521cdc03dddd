"""`kubenode plan`: what applying some files would do; nothing is written and no cluster is asked."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.instance.turn import SECOND
from kubenode.runtime.cli.output import NO, Format, Output, document, examples
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.documents import read_documents
from kubenode.runtime.foresight import Foresight, foresee
from kubenode.runtime.foresight.values import PlannedImport, PlannedInstances, PlannedRollout
from kubenode.runtime.observe.instances import SPACING
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.report.axis import count
from kubenode.runtime.sim.story import Cast

HELP = examples(
    "kubenode plan -f docs/examples/import.yaml",
    "kubenode plan -f docs/examples/machineset.yaml -o json",
    "kubenode plan -f docs/examples/upgrade.yaml --machines 200",
    "kubenode plan -f docs/examples/import.yaml --installed docs/examples/import.yaml --exit-code",
)
IN = " " * 8
EVERY = 2 * SECOND
"""Between two lines of progress."""
NAMED = 6
"""Most members of a batch that are named in a table, from both ends."""


def plan(
    file: Annotated[list[Path], typer.Option("-f", "--file", help="What would be applied. May be repeated.")],
    installed: Annotated[
        list[Path] | None,
        typer.Option(
            help="What is there, e.g. from: kubectl get machines,machinecomponents,mcs,ms,nodes -o yaml. "
            "Without it, of an object that the files have twice the first is."
        ),
    ] = None,
    machines: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Plan for so many machines, if the files have none."),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Leave with 1 when something would change.")
    ] = False,
    output: Format = Output.TABLE,
) -> None:
    """Say what applying some files would do: batches, machines made and deleted, calls of clouds, imports. Writes nothing.

    Every machine is taken to do well what it is asked, and every permit to be given; so no times are told. What takes long tells
    its progress on stderr.
    """
    cast = Cast.read(file)
    if machines is not None:
        cast = cast.with_machines(machines)
    if installed is not None:
        there: Sequence[m.Object] = tuple(_dumped(installed))
    else:
        there = cast.objects if cast.changes else ()
    clock = SystemClock()
    teller = Teller(lambda: clock.now().elapsed)
    seen = foresee(there, (*cast.objects, *cast.changes), Plugins.discover(), clock.now(), teller.tell)
    if output is Output.TABLE:
        for line in lines(seen):
            sys.stdout.write(f"{line}\n")
    else:
        document(told(seen), output)
    if exit_code and seen.changes:
        raise typer.Exit(NO)


class Teller:
    """Tells on stderr how far a plan is, once it takes long, and then every EVERY.

    Args:
        elapsed: gives the time, nanoseconds.
    """

    def __init__(self, elapsed: Callable[[], int]) -> None:
        self._elapsed = elapsed
        self._next = elapsed() + EVERY

    def tell(self, what: str, done: int, total: int) -> None:
        """Take note of progress."""
        now = self._elapsed()
        if now >= self._next:
            self._next = now + EVERY
            sys.stderr.write(f"{what}: {done} of {total} machines planned\n")
            sys.stderr.flush()


def _dumped(paths: Sequence[Path]) -> Iterable[m.Object]:
    """Read objects as a server gave them, Lists of them too; kinds that are not ours are left out."""
    known = {kind.KIND.name: kind for kind in m.WATCHED}
    problems: list[Problem] = []
    for found in read_documents(paths):
        for raw in found.raw.get("items", ()) if found.raw.get("kind") == "List" else (found.raw,):
            kind = known.get(str(raw.get("kind"))) if isinstance(raw, dict) else None
            if kind is None:
                continue
            try:
                yield wire.read(raw, kind)
            except InvalidObjectError as error:
                problems += (attrs.evolve(one, file=found.file) for one in error.problems)
    if problems:
        raise InvalidObjectError(tuple(problems))


def told(seen: Foresight) -> dict[str, Any]:
    """Give what `-o json` prints."""

    def placed(members: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"machine": name, "zone": zone} for name, zone in members]

    return {
        "changes": seen.changes,
        "objects": [
            {"kind": one.kind, "name": one.name, "action": one.action, "fields": list(one.fields)}
            for one in seen.differences
        ],
        "imports": [
            {
                "machine": one.machine, "host": one.host, "zone": one.zone, "labels": dict(one.labels), "annotations": dict(one.annotations),
                "taints": list(one.taints), "components": dict(one.entries),
            }
            for one in seen.imports
        ],
        "machine_sets": [
            {"set": one.set, "creates": list(one.creates), "deletes": list(one.deletes), "waits": one.waits or None}
            for one in seen.machine_sets
        ],
        "instances": [
            {
                "provider": one.provider, "creates": list(one.creates), "deletes": list(one.deletes),
                "released": list(one.released), "problems": dict(one.problems),
                "calls": {"create": len(one.creates), "delete": len(one.deletes)},
            }
            for one in seen.instances
        ],
        "rollouts": [
            {
                "set": one.set, "revision": one.revision, "before": one.before or None, "component": one.component,
                "steps": list(one.steps), "joining": placed(one.joining), "waits": one.waits or None,
                "batches": [
                    {"number": batch.number, "size": len(batch.members), "members": placed(batch.members)}
                    for batch in one.batches
                ],
            }
            for one in seen.rollouts
        ],
        "frozen": list(seen.frozen),
        "order_within_zones": "exact" if seen.exact else "made-up",
    }  # fmt: skip


def lines(seen: Foresight) -> Iterable[str]:
    """Give the table for people."""
    if not seen.changes:
        yield "nothing would change"
    for one in seen.differences:
        yield f"{one.action:<7} {one.kind} {one.name}" + (f": {', '.join(one.fields)}" if one.fields else "")
    for imported in seen.imports:
        yield from _import(imported)
    for kept in seen.machine_sets:
        for verb, names in (("make", kept.creates), ("delete", kept.deletes)):
            if names:
                yield f"{verb:<7} {count(len(names), 'machine')} of MachineSet {kept.set}: {_few(names)}"
        if kept.waits:
            yield f"{IN}{kept.set} waits: {kept.waits}"
    for asked in seen.instances:
        yield from _asked(asked)
    for rollout in seen.rollouts:
        yield from _rollout(rollout)
    for text in seen.frozen:
        yield f"frozen  {text}"
    if not seen.exact and (seen.machine_sets or any(rollout.batches for rollout in seen.rollouts)):
        yield "note: the order within a zone, and names, are by a hash of uids; what no server made yet has made-up ones"


def _import(one: PlannedImport) -> Iterable[str]:
    yield f"import  {one.machine} ({one.host}" + (f", zone {one.zone})" if one.zone else ")")
    if one.labels:
        yield f"{IN}label the Node " + ", ".join(f"{key}={value}" for key, value in one.labels.items())
    if one.annotations:
        yield f"{IN}annotate the Node " + ", ".join(
            f"{key}={value}" for key, value in one.annotations.items()
        )
    if one.taints:
        yield f"{IN}taint the Node " + ", ".join(one.taints)
    yield f"{IN}install " + (", ".join(one.entries.values()) or "nothing") + "; then Running"


def _asked(one: PlannedInstances) -> Iterable[str]:
    calls = count(len(one.creates) + len(one.deletes), "call")
    yield f"ask     {one.provider}: {count(len(one.creates), 'instance')} made, {len(one.deletes)} terminated"
    yield f"{IN}{calls} to make and end them, and looks: one list that all machines share, every {SPACING // SECOND} s at most while any waits"
    if one.released:
        yield f"{IN}left as they are: {_few(one.released)}"
    for text in dict.fromkeys(one.problems.values()):
        names = [name for name, said in one.problems.items() if said == text]
        yield f"{IN}nothing is asked for {_few(names)}: {text}"


def _rollout(one: PlannedRollout) -> Iterable[str]:
    change = f"{one.before} -> " if one.before and one.before != one.component else ""
    yield f"rollout {one.set} revision {one.revision}: {change}{one.component}"
    if one.batches or one.joining:
        yield f"{IN}on each machine: {'; '.join(one.steps) or 'nothing'}"
    if one.joining:
        names = [name for name, _ in one.joining]
        yield f"{IN}at once, without a permit: {count(len(names), 'machine')} that never ran: {_few(names)}"
    for batch in one.batches:
        zones = ", ".join(dict.fromkeys(f"zone {zone}" for _, zone in batch.members if zone))
        names = [name for name, _ in batch.members]
        yield f"{IN}batch {batch.number:<3} {len(names):>4}  {zones}  {_few(names)}".rstrip()
    if one.waits:
        yield f"{IN}waits: {one.waits}"


def _few(names: Sequence[str]) -> str:
    if len(names) <= NAMED:
        return " ".join(names)
    half = NAMED // 2
    return " ".join((*names[:half], "...", *names[-half:]))
