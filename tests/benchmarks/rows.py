"""The table that a benchmark prints, and what its command takes."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Row:
    """One line.

    Attributes:
        figure: what was measured, in words.
        numbers: the same for programs.
        aim: in words; empty where there is none.
        met: None where nothing is aimed at, or the run is too small to tell.
    """

    what: str
    figure: str
    numbers: Mapping[str, float]
    aim: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        verdict = {True: "met", False: "**missed**", None: ""}[self.met]
        return f"| {self.what} | {self.figure} | {self.aim} | {verdict} |"


def rising(text: str) -> tuple[int, ...]:
    """Read sizes that can be compared, as argparse wants it."""
    sizes = tuple(int(size) for size in text.split(","))
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise argparse.ArgumentTypeError("give rising numbers of machines, as in 1000,2000")
    return sizes


def show(table: Sequence[Row], output: str, **more: Any) -> None:
    """Print the rows as a table, or as json with what else is to be known of the run."""
    if output == "json":
        told = {"python": sys.version.split()[0], **more, "rows": [attrs.asdict(row) for row in table]}
        print(json.dumps(told, indent=2))
    else:
        print("| what | measured | aim | |\n|---|---|---|---|", *table, sep="\n")
