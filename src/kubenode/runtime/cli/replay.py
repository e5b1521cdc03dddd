"""`kubenode replay`: what was recorded, decided again."""

import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from kubenode.core.decision import Decision
from kubenode.core.errors import InvalidObjectError
from kubenode.core.policy import Policy
from kubenode.runtime.cli.output import NO, UNKNOWN, Format, Output, document, examples, fail, rows
from kubenode.runtime.loading import load
from kubenode.runtime.record import Change, Recording, Replay
from kubenode.runtime.record import replay as replayed
from kubenode.runtime.report.axis import clock

HELP = examples(
    "kubenode replay monday.knrec",
    "kubenode replay monday.knrec -o json",
    "kubenode replay monday.knrec --policy docs/examples/python/policies || test $? -eq 1",
)
SHOWN = 20
"""Most changes that the screen for people shows."""


def replay(
    recording: Annotated[Path, typer.Argument(help="What demo --record or your own engine wrote.")],
    policy: Annotated[
        Path | None,
        typer.Option(
            help="A file or folder of NodeRemediers and RiskPolicies; without it that of the recording."
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Decide a recording again, by this version and its own policy or another, and show what is otherwise.

    After the first change all is conjecture: what was recorded then is the world as the other decision made it.
    Exit status: 0 when every decision is the same, 1 when one is not, 3 when the recording cannot be read.
    """  # fmt: skip
    other = None if policy is None else Policy.of(load(policy))
    try:
        found = replayed(recording, other)
    except InvalidObjectError as error:
        fail(error, output, UNKNOWN)
    warn(recording, found.recording)
    if output is Output.TABLE:
        _screen(found)
    else:
        document(told(recording, found), output)
    if found.changes:
        raise typer.Exit(NO)


def warn(path: Path, recording: Recording) -> None:
    """Say on stderr that a recording is not whole, if it is not."""
    if recording.cut:
        sys.stderr.write(f"warning: {path}:{recording.cut}: is cut off, and was left out\n")


def told(path: Path, found: Replay) -> dict[str, Any]:
    """Give what `-o json` prints; seconds are since the first record."""
    begins = _begins(found)
    changes = [
        {
            "at": one.at.isoformat(), "at_seconds": (one.record.now.elapsed - begins) / 1e9,
            "controller": one.controller, "key": one.key, "before": _said(one.before), "after": _said(one.after),
        }
        for one in found.changes
    ]  # fmt: skip
    return {
        "recording": str(path), "recorded_by": found.recording.kubenode, "decided_by": version("kubenode"),
        "decisions": found.decisions, "same": not found.changes, "changes": changes,
        "open_loop_after_seconds": changes[0]["at_seconds"] if changes else None,
        "cut_line": found.recording.cut or None,
    }  # fmt: skip


def _begins(found: Replay) -> int:
    return found.recording.records[0].now.elapsed if found.recording.records else 0


def _said(decision: Decision[Any]) -> dict[str, Any]:
    note = decision.binding or next(iter(decision.notes), None)
    return {
        "verdict": decision.verdict.value, "code": None if note is None else note.code,
        "text": None if note is None else note.text, "effects": len(decision.effects),
    }  # fmt: skip


def _screen(found: Replay) -> None:
    begins = _begins(found)
    if found.changes:
        rows(("AT", "WHO", "OF", "BEFORE", "AFTER"), (_row(one, begins) for one in found.changes[:SHOWN]))
        if len(found.changes) > SHOWN:
            sys.stdout.write(f"and {len(found.changes) - SHOWN:,} more; -o json has them all\n")
    sys.stdout.writelines(f"{line}\n" for line in _summary(found, begins))


def _row(one: Change, begins: int) -> tuple[str, ...]:
    return (
        clock(one.record.now.elapsed - begins), one.controller, one.key, _short(one.before), _short(one.after),
    )  # fmt: skip


def _short(decision: Decision[Any]) -> str:
    said = _said(decision)
    return decision.verdict.name if said["code"] is None else f"{decision.verdict.name} {said['code']}"


def _summary(found: Replay, begins: int) -> Iterable[str]:
    by = f"recorded by {found.recording.kubenode}; {version('kubenode')} decides"
    if not found.changes:
        yield f"{by} the same in all of {found.decisions:,}"
        return
    yield f"{by} otherwise in {len(found.changes):,} of {found.decisions:,}"
    yield f"after {clock(found.changes[0].record.now.elapsed - begins)} all is conjecture"
