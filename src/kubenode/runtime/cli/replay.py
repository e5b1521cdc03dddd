"""`kubenode replay`: the decisions of a recording made again, under the same policy or another one."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.runtime.cli.output import NO, Output, document, examples, rows
from kubenode.runtime.loading import load
from kubenode.runtime.record import Change, Recording, Replay
from kubenode.runtime.record import replay as replayed

HELP = examples(
    "kubenode replay monday.knrec.gz",
    "kubenode replay monday.knrec.gz --policy docs/examples/python/policies -o json",
)
SHOWN = 20
"""Most changes in a table."""


def replay(
    file: Annotated[Path, typer.Argument(help="A recording: of kubenode demo --record, or of an engine.")],
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file or folder of NodeRemediers and RiskPolicies that stands in for all that stood then. "
            "May be repeated."
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take what is there of a recording that is cut off.")
    ] = False,
    output: Annotated[
        Output, typer.Option("-o", "--output", help="json, yaml: one document.")
    ] = Output.TABLE,
) -> None:
    """Make every decision of a recording again, each from what was known then, and tell which are others now.

    Exit status: 0 when all are the same, or another policy was tried; 1 when the same policy decides otherwise.
    """
    tried = None if not policy else Policy.of(load(*policy))
    found = replayed(Recording.load(file, partial=partial), tried)
    if output is Output.TABLE:
        _table(found, another=tried is not None)
    else:
        document(told(found), output)
    if found.changes and tried is None:
        raise typer.Exit(NO)


def told(found: Replay) -> dict[str, Any]:
    """Give what `-o json` prints."""
    return {
        "recorded_by": found.recording.kubenode, "decided_by": found.decided_by, "whole": found.recording.whole,
        "decisions": len(found.recording.records), "changed": len(found.changes),
        "open_loop_after": None if found.open_loop_after is None else found.open_loop_after.isoformat(),
        "changes": [_change(one) for one in found.changes],
    }  # fmt: skip


def _change(one: Change) -> dict[str, Any]:
    return {
        "at": one.at.isoformat(), "controller": one.controller, "key": one.key,
        "before": _side(one.before), "after": _side(one.after),
    }  # fmt: skip


def _side(decision: Decision[Any]) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.value,
        "notes": [note.text for note in decision.notes],
        "effects": [type(effect).__name__ for effect in decision.effects],
    }


def _table(found: Replay, *, another: bool) -> None:
    count, all_of_them = len(found.changes), len(found.recording.records)
    by = f"recorded by {found.recording.kubenode}; " if found.other_version else ""
    who = "the other policy" if another else found.decided_by
    if not count:
        sys.stdout.write(f"{by}{all_of_them:,} decisions, all the same\n")
        return
    sys.stdout.write(f"{by}{who} decides otherwise in {count:,} of {all_of_them:,}\n")
    shown = found.changes[:SHOWN]
    rows(
        ("AT", "DECIDER", "KEY", "BEFORE", "AFTER", "BECAUSE"),
        ((f"{one.at:%Y-%m-%d %H:%M:%S}", one.controller, one.key, one.before.verdict.name, one.after.verdict.name, _because(one))
         for one in shown),
    )  # fmt: skip
    if count > len(shown):
        sys.stdout.write(f"and {count - len(shown):,} more\n")
    sys.stdout.write(
        f"after {found.open_loop_after:%H:%M:%S} it is conjecture: the world would have gone on otherwise\n"
    )


def _because(one: Change) -> str:
    """Give the first note that is another one now."""
    before = {note.text for note in one.before.notes}
    return next((note.text for note in one.after.notes if note.text not in before), "-")
