"""`kubenode demo`: the four stories on the embedded API, with live progress."""

import hashlib
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from kubenode.runtime.cli.output import NO, Format, Output, document, examples
from kubenode.runtime.record import Recorder, Sink, recorded
from kubenode.runtime.report import Collector, ReportData, follow, render
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, Progress, Tell, Told
from kubenode.runtime.sim.story import examples as folder

HELP = examples(
    "kubenode demo",
    "kubenode demo --story upgrade --file docs/examples/upgrade.yaml",
    "kubenode demo --story hung -o json --seed 7",
    "kubenode demo --story upgrade --report upgrade.html",
    "kubenode demo --story outage --record outage.knrec",
)


def demo(
    story: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Play only this story: {', '.join(STORIES)}. May be repeated.",
            autocompletion=lambda: list(STORIES),
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="Play your own objects instead of the shipped ones; needs --story."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random comes from this; same seed, same trace.")] = 0,
    report: Annotated[
        Path | None, typer.Option(help="Write what happened to this file, as one HTML page.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Write every decision to this new file, for replay and explain; needs one --story."
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Play import, upgrade, hung and outage on simulated hosts: no cluster, no root.

    In a file, an object that occurs twice is a change: the second is applied once all is at rest.
    Exit status: 0 when every check of every story passed, 1 when one failed.
    """
    chosen = story or list(STORIES)
    unknown = [name for name in chosen if name not in STORIES]
    if unknown:
        raise typer.BadParameter(
            f"no story {unknown[0]!r}; known: {', '.join(STORIES)}", param_hint="--story"
        )
    if file and len(chosen) != 1:
        raise typer.BadParameter("your own file needs one story, e.g. --story upgrade", param_hint="--file")
    if record is not None and len(chosen) != 1:
        raise typer.BadParameter("a recording is of one story, e.g. --story upgrade", param_hint="--record")
    for path, name in ((report, "--report"), (record, "--record")):
        if path is not None and not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent}; make it first", param_hint=name)
    album = Album() if report is not None else None
    with nullcontext(None) if record is None else Recorder(record) as sink:
        told = play_all(chosen, file, seed, _teller(output, chosen), album, sink)
    if report is not None and album is not None:
        report.write_text(render(*album.runs), encoding="utf-8")
    passed = all(one.passed for one in told)
    if output is not Output.TABLE:
        document(summed(told), output)
    else:
        _summary(told)
        sys.stdout.write(f"report: {report}\n" if report is not None else "")
        sys.stdout.write(f"recording: {record}\n" if record is not None else "")
    if not passed:
        raise typer.Exit(NO)


@attrs.define
class Album:
    """What a report needs of each story played."""

    runs: list[ReportData] = attrs.field(factory=list)
    _followed: list[tuple[Simulation, Collector]] = attrs.field(factory=list)

    def attend(self, simulation: Simulation) -> None:
        """Follow a story from its beginning."""
        self._followed.append((simulation, follow(simulation)))

    def end(self, told: Told) -> None:
        """Take what was seen of the story that has ended."""
        simulation, collector = self._followed.pop()
        self.runs.append(collector.data(told.name, simulation.time.now(), told.summary))


def play_all(
    names: list[str], files: list[Path] | None, seed: int, teller: "Teller", album: Album | None = None,
    sink: Sink | None = None,
) -> list[Told]:  # fmt: skip
    """Play stories one after another; an album is given what a report needs of each, a sink every decision."""

    def attend(simulation: Simulation) -> None:
        if album is not None:
            album.attend(simulation)
        if sink is not None:
            simulation.listen(lambda decided: sink(recorded(decided)))

    told = []
    with teller:
        for name in names:
            cast = Cast.read(files or [folder() / f"{name}.yaml"])
            one = STORIES[name](cast, seed, teller.tell, attend)
            if album is not None:
                album.end(one)
            teller.end(one)
            told.append(one)
    return told


def summed(told: list[Told]) -> dict[str, Any]:
    """Give what `-o json` prints."""
    trace = hashlib.sha256("".join(one.trace for one in told).encode()).hexdigest()
    return {
        "stories": [one.document() for one in told],
        "passed": all(one.passed for one in told),
        "trace": trace,
    }


class Teller:
    """Says nothing: for `-o json`."""

    def __enter__(self) -> "Teller":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def tell(self, progress: Progress) -> None:
        """Take note of progress."""

    def end(self, told: Told) -> None:
        """Take note of an end."""


@attrs.define
class Lines(Teller):
    """Plain lines, one a change, where there is no terminal."""

    _last: dict[str, tuple[int, str]] = attrs.field(factory=dict)

    def tell(self, progress: Progress) -> None:
        """Print a line when a tenth was gained or the text changed."""
        state = (progress.done * 10 // max(progress.total, 1), progress.text)
        if self._last.get(progress.story) != state:
            self._last[progress.story] = state
            sys.stdout.write(f"{progress.story:<8} {progress.done}/{progress.total} {progress.text}\n")
            sys.stdout.flush()  # piped or not: progress is for now

    def end(self, told: Told) -> None:
        """Print how it ended."""
        sys.stdout.write(f"{told.name:<8} {'ok' if told.passed else 'FAILED'}: {told.summary}\n")
        sys.stdout.flush()


class Live(Teller):
    """A bar a story, on a terminal."""

    def __init__(self, names: list[str]) -> None:
        columns = (
            TextColumn("{task.description}", table_column=Column(min_width=8, no_wrap=True)),
            BarColumn(20),
            TextColumn(
                "{task.completed:.0f}/{task.total:.0f}", table_column=Column(min_width=7, no_wrap=True)
            ),
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        self._bars = Bars(*columns, console=Console(), refresh_per_second=8)
        self._tasks: dict[str, TaskID] = {
            name: self._bars.add_task(name, total=1, text="waits") for name in names
        }

    def __enter__(self) -> "Teller":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def tell(self, progress: Progress) -> None:
        """Move the bar."""
        self._bars.update(
            self._tasks[progress.story], completed=progress.done, total=progress.total, text=progress.text
        )

    def end(self, told: Told) -> None:
        """Fill the bar."""
        word = "[green]ok[/]" if told.passed else "[red]FAILED[/]"
        self._bars.update(self._tasks[told.name], text=f"{word} {told.summary}")


def _teller(output: Output, names: list[str]) -> Teller:
    if output is not Output.TABLE:
        return Teller()
    return Live(names) if sys.stdout.isatty() else Lines()


def _summary(told: list[Told]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for one in told:
        if sys.stdout.isatty():  # the bars may have cut it short
            console.print(f"{one.name}: {one.summary}", markup=False)
        if one.explanation:
            console.print(f"{one.name}: {one.explanation}", markup=False)
        for check in one.checks:
            if not check.passed:
                console.print(f"{one.name}: FAILED {check.name}: {check.found}", markup=False)
    checks = sum(len(one.checks) for one in told)
    failed = sum(not check.passed for one in told for check in one.checks)
    virtual = sum(one.virtual_seconds for one in told) // 60
    console.print(
        f"{len(told)} stories, {sum(one.machines for one in told)} machines, {sum(one.decisions for one in told)} decisions, "
        f"{sum(one.effects for one in told)} effects, {virtual} virtual minutes; {checks - failed} of {checks} checks passed",
        markup=False,
    )


__all__ = ["HELP", "Tell", "demo", "play_all", "summed"]
