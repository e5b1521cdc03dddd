"""`kubenode rollout`: where a rollout stands, and a person's words to it. NAME is a MachineComponentSet."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Final, assert_never

import typer

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model import Json
from kubenode.core.model.condition import find
from kubenode.core.rollout.progress import PROGRESSING, Phase, Reason
from kubenode.core.wish import rollout as wish
from kubenode.core.wish.wish import Wish
from kubenode.runtime.cli.live import (
    Cluster,
    Context,
    DryRun,
    Kubeconfig,
    Missing,
    completes,
    followed,
    one,
    wished,
)
from kubenode.runtime.cli.output import NO, CouldNotTell, Format, Output, document, examples
from kubenode.runtime.documents import to_yaml
from kubenode.runtime.store.contract import Api

rollout = typer.Typer(
    no_args_is_help=True, help="Look at a rollout of a running cluster, and pause, resume, approve, skip or undo it."
)  # fmt: skip
Name = Annotated[str, typer.Argument(help="Of the MachineComponentSet.", autocompletion=completes(m.MachineComponentSet))]  # fmt: skip
NAMED: Final = 5
_WORDS: Final = {
    Reason.PAUSED.value: ("resume", "undo"), Reason.FAILURE_THRESHOLD.value: ("resume", "undo"),
    Reason.INSPECTION_FAILED.value: ("resume", "undo"), Reason.HOOK_INCONCLUSIVE.value: ("resume", "undo"),
    Reason.AWAITING_APPROVAL.value: ("approve", "undo"), Reason.INSPECTION_INCONCLUSIVE.value: ("undo",),
    Reason.CONTROL_GROUP_WORSE.value: ("undo",), Reason.CONTROL_GROUP_TOO_SMALL.value: ("undo",),
}  # fmt: skip
"""By the reason why a rollout stands still, the words that may help."""


@rollout.command(
    epilog=examples(
        "kubenode rollout status kubelet", "kubenode rollout status kubelet --watch --timeout 3600",
        "kubenode rollout status kubelet -o json",
    )
)  # fmt: skip
def status(
    name: Name,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until it is complete, or stands still.")] = False,
    timeout: Annotated[int, typer.Option(min=0, help="With --watch: give up after so many seconds; 0: never.")] = 0,
    output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Say where a rollout stands, what it waits for, and what could be done.

    Exit status: 0 complete or going on, 1 it stands still until somebody does something, 3 the server cannot be
    reached, the controller has not looked at it yet, or it went on beyond --timeout.
    """
    cluster = Cluster(kubeconfig=kubeconfig, context=context)
    if watch:
        raise typer.Exit(cluster.ask(lambda store: _watched(store, name, timeout, output)))
    owner = wire.read(cluster.ask(lambda store: one(store, m.MachineComponentSet, name)), m.MachineComponentSet)  # fmt: skip
    if output is Output.TABLE:
        for line in lines(owner):
            sys.stdout.write(f"{line}\n")
    else:
        document(told(owner), output)
    if not is_looked_at(owner):
        raise CouldNotTell(
            f"no controller has looked at generation {owner.metadata.generation} of {name} yet"
        )
    if owner.status.phase == Phase.PAUSED.value:
        raise typer.Exit(NO)


async def _watched(store: Api, name: str, timeout: int, output: Output) -> int:
    """Tell every new state until it is complete or stands still."""
    last = ""

    def tell(owner: m.MachineComponentSet) -> int | None:
        nonlocal last
        end = is_looked_at(owner) and owner.status.phase in (Phase.PAUSED.value, Phase.COMPLETE.value)
        text = _text(owner, output, end=end)
        if text != last:
            last = text
            sys.stdout.write(text)
            sys.stdout.flush()
        return (NO if owner.status.phase == Phase.PAUSED.value else 0) if end else None

    try:
        async with asyncio.timeout(timeout or None):
            found = await followed(store, m.MachineComponentSet, name, tell)
    except TimeoutError:
        raise CouldNotTell(
            f"rollout {name} is neither complete nor paused after {timeout} s; it goes on"
        ) from None
    if found is None:
        raise Missing(f"MachineComponentSet {name} was deleted", "there is nothing to wait for")
    return found


def _text(owner: m.MachineComponentSet, output: Output, *, end: bool) -> str:
    """Give what is printed of one state; what people are shown of two states may be the same."""
    body = {**told(owner), "done": end}
    match output:
        case Output.JSON:
            return json.dumps(body, ensure_ascii=False) + "\n"
        case Output.YAML:
            return to_yaml((body,))
        case Output.TABLE:
            return "\n".join(lines(owner) if end else [next(iter(lines(owner)))]) + "\n"
        case _:
            assert_never(output)


def is_looked_at(owner: m.MachineComponentSet) -> bool:
    """Tell whether the status is of the spec that stands."""
    return bool(owner.status.phase) and owner.status.observed_generation >= owner.metadata.generation


def told(owner: m.MachineComponentSet) -> Json:
    """Give what `-o json` prints."""
    status, condition = owner.status, find(owner.status.conditions, PROGRESSING)
    batch = status.batch
    return {
        "set": owner.metadata.name, "phase": status.phase or None, "reason": wish.reason_of(owner) or None,
        "message": condition.message if condition is not None else None, "looked_at": is_looked_at(owner),
        "component": owner.component, "revision": _number(status.update), "current": _number(status.current),
        "selected": status.selected, "updated": status.updated, "unavailable": status.unavailable,
        "failures": status.failures, "excused": status.excused, "skipped": status.skipped, "held": status.held,
        "failed": [{"machine": one.name, "reason": one.reason, "message": one.message} for one in status.failed],
        "batches": [
            {"number": one.number, "size": one.size, "updated": one.updated, "failed": one.failed, "skipped": one.skipped}
            for one in status.batches
        ],
        "batch": None if batch is None else {
            "number": batch.number, "opened_at": batch.opened_at.isoformat(),
            "closed_at": None if batch.closed_at is None else batch.closed_at.isoformat(),
            "members": [{"machine": one.name, "state": one.state.value, "op_id": one.op_id} for one in batch.members],
        },
        "next": list(_next(owner)),
    }  # fmt: skip


def _number(revision: m.Revision | None) -> int | None:
    return None if revision is None else revision.number


def lines(owner: m.MachineComponentSet) -> Iterable[str]:
    """Give the screen for people; the first line alone says where it stands."""
    status, name = owner.status, owner.metadata.name
    phase = status.phase if is_looked_at(owner) else f"{status.phase or 'Unknown'} (not looked at yet)"
    why = wish.reason_of(owner)
    stands = phase if why in ("", phase) else f"{phase}: {why}"
    failed = f", {status.failures} failed" if status.failures else ""
    number, before = _number(status.update), _number(status.current)
    of = f"revision {number}" + (f" <- {before}" if before not in (None, number) else "")
    yield f"{name}  {stands}  {status.updated} of {status.selected} updated{failed}    {of}"
    done = [
        f"{one.number} {one.updated}/{one.size} {'ok' if not one.failed else f'{one.failed} failed'}"
        for one in status.batches
    ]
    if status.batch is not None:
        done.append(_open(status.batch))
    if done:
        yield "  " + "   ".join(done)
    condition = find(status.conditions, PROGRESSING)
    if condition is not None and condition.message:
        yield f"  {condition.message}"
    for failure in status.failed[:NAMED]:
        yield f"  {failure.name} {failure.reason} {failure.message}".rstrip()
    if len(status.failed) > NAMED:
        yield f"  and {status.failures - NAMED} more that failed"
    words = list(_next(owner))
    if words:
        yield "next: " + " | ".join(words)


def _open(batch: m.Batch) -> str:
    states = [one.state.value for one in batch.members]
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    return f"batch {batch.number}: {told or 'nobody'}"


def _next(owner: m.MachineComponentSet) -> Iterable[str]:
    name = owner.metadata.name
    if owner.status.phase == Phase.COMPLETE.value or not owner.status.phase:
        return ()
    words = _WORDS.get(wish.reason_of(owner), ())
    said = [f"kubenode rollout {word} {name}" for word in words]
    return (*said, f"kubenode explain set {name}")


@rollout.command(
    epilog=examples("kubenode rollout pause kubelet", "kubenode rollout pause kubelet --dry-run")
)
def pause(
    name: Name, kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE
) -> None:  # fmt: skip
    """Let no machine start and no batch open, until resume. What began goes on to its end."""
    _say(name, wish.pause, Cluster(kubeconfig=kubeconfig, context=context), dry_run=dry_run, output=output)


@rollout.command(epilog=examples("kubenode rollout resume kubelet", "kubenode rollout resume kubelet --dry-run"))  # fmt: skip
def resume(
    name: Name, kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE
) -> None:  # fmt: skip
    """Let it go on: no longer paused, the failures so far excused, hooks that did not pass asked again.

    What failed keeps what ran last and retries. Exit status: 1 when it stands still for something else.
    """
    _say(name, wish.resume, Cluster(kubeconfig=kubeconfig, context=context), dry_run=dry_run, output=output)


@rollout.command(epilog=examples("kubenode rollout approve kubelet", "kubenode rollout approve kubelet --batch 3"))  # fmt: skip
def approve(
    name: Name, batch: Annotated[int | None, typer.Option(min=1, help="Approve up to this batch, also before it is done.")] = None,
    kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Let the next batch follow, where spec.rollout.approval is Manual."""
    cluster = Cluster(kubeconfig=kubeconfig, context=context)
    _say(name, lambda raw: wish.approve(raw, batch), cluster, dry_run=dry_run, output=output)


@rollout.command(epilog=examples("kubenode rollout skip kubelet n117", "kubenode rollout skip kubelet n117 n118 --dry-run"))  # fmt: skip
def skip(
    name: Name,
    machines: Annotated[list[str], typer.Argument(help="Machines.", autocompletion=completes(m.Machine))],
    kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Let the revision leave some machines alone. What began on them comes to its own end."""
    cluster = Cluster(kubeconfig=kubeconfig, context=context)

    async def said(store: Api) -> list[Wish]:
        for machine in machines:  # a name that is none would be skipped for nothing
            await one(store, m.Machine, machine)
        return [wish.skip(await one(store, m.MachineComponentSet, name), machines)]

    wished(cluster, said, dry_run=dry_run, output=output)


@rollout.command(epilog=examples("kubenode rollout undo kubelet", "kubenode rollout undo kubelet --to-revision 6"))  # fmt: skip
def undo(
    name: Name, to_revision: Annotated[int | None, typer.Option(min=1, help="Back to the component of this revision.")] = None,
    kubeconfig: Kubeconfig = None, context: Context = None, dry_run: DryRun = False, output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Set the component back to the one that was last on every machine, or to an earlier revision's.

    Whoever keeps the set in files must set it back there, too.
    """
    cluster = Cluster(kubeconfig=kubeconfig, context=context)
    _say(name, lambda raw: wish.undo(raw, to_revision), cluster, dry_run=dry_run, output=output)


def _say(name: str, word: Callable[[Json], Wish], cluster: Cluster, *, dry_run: bool, output: Output) -> None:
    async def said(store: Api) -> list[Wish]:
        return [word(await one(store, m.MachineComponentSet, name))]

    wished(cluster, said, dry_run=dry_run, output=output)
