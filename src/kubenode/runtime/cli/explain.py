"""`kubenode explain`: why something is decided as it is: on a cluster as it stands, or in a run, played or recorded."""

import enum
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from kubenode.core.decision import Verdict
from kubenode.core.errors import InvalidObjectError
from kubenode.core.explain import Explanation
from kubenode.core.explain import explain as explained
from kubenode.core.remedy.repair import RepairSnapshot
from kubenode.core.snapshots import FleetSnapshot, MachineSnapshot, RemedySnapshot, RolloutSnapshot, Snapshot
from kubenode.runtime.cli.live import Cluster, Context, Kubeconfig
from kubenode.runtime.cli.output import UNKNOWN, CouldNotTell, Format, Output, document, examples, fail
from kubenode.runtime.cli.replay import warn
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Record, Recording, recorded
from kubenode.runtime.report.axis import clock
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast
from kubenode.runtime.sim.story import examples as folder
from kubenode.runtime.survey import survey

HELP = examples(
    "kubenode explain node n001 --story outage",
    "kubenode explain node n001 --story outage --at +10:00 -o json",
    "kubenode explain set node-exporter --story upgrade --at +6:00",
    "kubenode explain node n001 --recording monday.knrec",
)
_ORDER = (Verdict.DEFER, Verdict.ACT, Verdict.IGNORE)
_AT = re.compile(r"\+?(?:(\d+):)?(\d+):(\d\d)", re.ASCII)


class Subject(enum.StrEnum):
    """What can be asked about."""

    NODE = "node"
    SET = "set"


@attrs.frozen(kw_only=True)
class Why:
    """One decision explained."""

    moment: Record
    explanation: Explanation


def explain(  # noqa: PLR0913, PLR0917 - one an option
    subject: Annotated[
        Subject,
        typer.Argument(help="node: a machine, by its name or its Node's; set: a MachineComponentSet."),
    ],
    name: Annotated[str, typer.Argument(help="Its name.")],
    story: Annotated[
        str | None,
        typer.Option(
            help=f"Play this story and look at it: {', '.join(STORIES)}.",
            autocompletion=lambda: list(STORIES),
        ),
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Look at this file, which demo --record or your own engine wrote.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="When, since the beginning, as +1:30; without it the last time that a limit bound it."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="As for demo; with --story.")] = 0,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: Format = Output.TABLE,
) -> None:
    """Say why something is done or not: what binds, by how much, when it frees, and what would have to differ.

    Without --story and --recording it is decided anew on the cluster as it stands, and nothing is done. What the
    controller counts from when it first saw it is then counted from now, so it may act sooner than said.

    Exit status: 0 when it could be explained, 3 when nothing is decided about it or nothing can be read.
    """  # fmt: skip
    if story is None and recording is None:
        if at is not None:
            raise typer.BadParameter("is for a run: give --story or --recording too", param_hint="--at")
        on_cluster(Cluster(kubeconfig=kubeconfig, context=context), subject, name, output)
        return
    moments = _played(story, seed) if recording is None else _read(recording, story, output)
    whys = why(moments, subject, name, None if at is None else parse_at(at))
    _print(whys, moments[0].now.elapsed, subject, name, output)


def on_cluster(cluster: Cluster, subject: Subject, name: str, output: Output) -> None:
    """Explain what is decided about a subject on a cluster, as it stands."""
    plugins = Plugins.discover()
    moments = cluster.ask(lambda store: survey(store, plugins, SystemClock().now()))
    _print(why(moments, subject, name, None, when="in this cluster"), None, subject, name, output)


def _print(whys: Sequence[Why], begins: int | None, subject: Subject, name: str, output: Output) -> None:
    if output is Output.TABLE:
        for line in lines(whys, begins):
            sys.stdout.write(f"{line}\n")
    else:
        decisions = [told(one, begins) for one in whys]
        document({"kind": subject.value, "name": name, "decisions": decisions}, output)


def _played(story: str | None, seed: int) -> Sequence[Record]:
    """Play a story and give its decisions."""
    if story is None or story not in STORIES:
        raise typer.BadParameter(f"no story {story!r}; known: {', '.join(STORIES)}", param_hint="--story")
    moments: list[Record] = []
    STORIES[story](
        Cast.read([folder() / f"{story}.yaml"]), seed, lambda _: None,
        lambda simulation: simulation.listen(lambda decided: moments.append(recorded(decided))),
    )  # fmt: skip
    return moments


def _read(path: Path, story: str | None, output: Output) -> Sequence[Record]:
    """Read the decisions of a recording."""
    if story is not None:
        raise typer.BadParameter("give --story or --recording, not both", param_hint="--recording")
    try:
        recording = Recording.load(path)
    except InvalidObjectError as error:
        fail(error, output, UNKNOWN)
    warn(path, recording)
    return recording.records


def parse_at(text: str) -> int:
    """Read `+1:30` or `+2:01:30` as nanoseconds.

    Raises:
        BadParameter: any other text.
    """
    found = _AT.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no time since the beginning; write minutes and seconds, as +1:30", param_hint="--at"
        )
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (hours * 3600 + minutes * 60 + seconds) * 1_000_000_000


def why(
    moments: Sequence[Record], subject: Subject, name: str, at: int | None, *, when: str = "in this run"
) -> list[Why]:
    """Explain the last decisions about a subject.

    Args:
        moments: of a run, oldest first.
        subject: what kind of thing.
        name: of it.
        at: at which moment (nanoseconds since the first), what was decided then or before; None: the last
            moment at which a limit bound it, or the end when none did.
        when: where or when nothing was decided, for the error.

    Returns:
        One a decider, what waits first.

    Raises:
        CouldNotTell: nothing was decided about it until then.
    """
    begins = moments[0].now.elapsed if moments else 0
    machine = _machine(moments, name) if subject is Subject.NODE else ""
    told = [one for one in moments if at is None or one.now.elapsed - begins <= at]
    if at is None:
        bound = [one.now.elapsed for one in told if _binds(one, name, machine)]
        told = [one for one in told if not bound or one.now.elapsed <= bound[-1]]
    latest = {(one.controller, one.key): one for one in told}
    about = [one for one in latest.values() if _concerns(one, name, machine)]
    if not about:
        when = when if at is None else f"until {clock(at)}"
        raise CouldNotTell(f"nothing was decided about {subject.value} {name} {when}")
    whys = [Why(moment=one, explanation=_explained(one, machine)) for one in about]
    return sorted(
        whys,
        key=lambda one: (
            one.explanation.binding is None, _ORDER.index(one.explanation.verdict), one.moment.controller,
        ),
    )  # fmt: skip


def _machine(moments: Iterable[Record], name: str) -> str:
    """Give the machine of that name, or whose Node has it."""
    for one in moments:
        if isinstance(one.snapshot, MachineSnapshot):
            ref = one.snapshot.machine.status.node_ref
            if ref is not None and ref.name == name:
                return one.key
    return name


def _concerns(one: Record, name: str, machine: str) -> bool:
    match one.snapshot:
        case FleetSnapshot():
            return any(ask.waiting and ask.machine.name == machine for ask in one.snapshot.asks)
        case RolloutSnapshot():
            batch = one.snapshot.set.status.batch
            inside = batch is not None and any(member.name == machine for member in batch.members)
            return inside or (not machine and one.key == name)
        case _:
            return bool(machine) and one.key == machine


def _binds(one: Record, name: str, machine: str) -> bool:
    """Tell whether a limit kept it waiting; the ledger's notes name whom."""
    mine = f"{machine}: " if isinstance(one.snapshot, FleetSnapshot) else ""
    return (
        one.decision.deferred
        and any(note.limit is not None and note.text.startswith(mine) for note in one.decision.notes)
        and _concerns(one, name, machine)
    )


def _explained(one: Record, machine: str) -> Explanation:
    seen: Snapshot = one.snapshot
    return explained(seen, one.policy, about=machine if isinstance(seen, FleetSnapshot) else "")


def told(one: Why, begins: int | None) -> dict[str, Any]:
    """Give what `-o json` prints of one decision; seconds are since the beginning of the run, null of a cluster."""
    why, moment = one.explanation, one.moment
    note = why.note
    return {
        "controller": moment.controller, "key": moment.key, "at_seconds": None if begins is None else (moment.now.elapsed - begins) / 1e9,
        "verdict": why.verdict.value, "code": None if note is None else note.code, "text": None if note is None else note.text,
        "binding": why.binding is not None, "scope": why.scope or None, "observed": why.observed, "limit": why.limit,
        "frees_at": None if why.frees_at is None else why.frees_at.isoformat(),
        "counterfactual": why.counterfactual or None,
    }  # fmt: skip


def lines(whys: Sequence[Why], begins: int | None) -> Iterable[str]:
    """Give the screen for people: the first in full, of the others one line each.

    Args:
        whys: what waits first; at least one.
        begins: the beginning of the run; None of a cluster as it stands.
    """
    first, others = whys[0], whys[1:]
    why, moment = first.explanation, first.moment
    when = "now" if begins is None else f"at {clock(moment.now.elapsed - begins)}"
    yield f"{why.verdict.name:<9}{_called(moment)}, decided {when}"
    if why.note is not None:
        yield f"{'binding' if why.binding is not None else 'because':<9}{why.note.text}"
    if why.limit is not None and why.observed is not None:
        yield f"{'limit':<9}{why.scope or 'cluster'}: observed {why.observed}, limit {why.limit}"
    if why.counterfactual:
        yield f"{'would':<9}{why.counterfactual.removeprefix('would ')}"
    if why.verdict is Verdict.DEFER:
        frees = "not by time alone" if why.frees_at is None else _frees(why, moment, begins)
        yield f"{'frees':<9}{frees}"
    for one in others:
        note = one.explanation.note
        said = "" if note is None else f": {note.text}"
        yield f"{'also':<9}{_called(one.moment)}: {one.explanation.verdict.name}{said}"


def _called(moment: Record) -> str:
    seen = moment.snapshot
    if isinstance(seen, RemedySnapshot):
        return f"remedy of {moment.key}"
    if isinstance(seen, RepairSnapshot):
        return f"drift of {moment.key}"
    return (
        f"permit (ledger {moment.key})"
        if isinstance(seen, FleetSnapshot)
        else f"{moment.controller} {moment.key}"
    )


def _frees(why: Explanation, moment: Record, begins: int | None) -> str:
    if why.frees_at is None:
        return ""
    if begins is None:
        return f"by itself at {why.frees_at.isoformat(timespec='seconds')}"
    length = (why.frees_at - moment.now.wall).total_seconds()
    return f"by itself at {clock(moment.now.elapsed - begins + int(length * 1e9))}"
