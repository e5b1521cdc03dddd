"""The permit ledger: how many were in flight, who asked, and what bound meanwhile?"""

from collections.abc import Iterable, Sequence
from typing import Final

from kubenode.runtime.report.axis import WIDE, Axis, clock, count, spell
from kubenode.runtime.report.data import Permit, ReportData, Wait
from kubenode.runtime.report.markup import Markup, figure, legend, table, tag

HEIGHT: Final = 110
ROW: Final = 18
ROWS: Final = 12
"""Most limits that get a row of their own, those that bound longest."""
_CAUSES: Final = ("Rollout", "Remedy")


def spans_of(waits: Iterable[Wait]) -> list[tuple[int, int | None]]:
    """Give when any of them waited, without overlaps, in order."""
    merged: list[tuple[int, int | None]] = []
    for began, ended in sorted(
        ((wait.began, wait.ended) for wait in waits),
        key=lambda span: (span[0], span[1] is None, span[1] or 0),
    ):
        if merged and (merged[-1][1] is None or merged[-1][1] >= began):
            last = merged[-1][1]
            merged[-1] = (merged[-1][0], None if last is None or ended is None else max(last, ended))
        else:
            merged.append((began, ended))
    return merged


def place(scope: str) -> str:
    """Spell a scope for people.

    >>> place("set=kubelet"), place("")
    ('set kubelet', 'cluster')
    """
    return scope.replace("=", " ") or "cluster"


def bound_for(waits: Iterable[Wait], axis: Axis) -> int:
    """Give for how long any of them waited, nanoseconds."""
    return sum((axis.ends if ended is None else ended) - began for began, ended in spans_of(waits))


def by_limit(waits: Iterable[Wait], axis: Axis) -> list[tuple[tuple[str, str], list[Wait]]]:
    """Group waits by scope and code, those that bound longest first."""
    groups: dict[tuple[str, str], list[Wait]] = {}
    for wait in waits:
        groups.setdefault((wait.scope, wait.code), []).append(wait)
    return sorted(groups.items(), key=lambda item: (-bound_for(item[1], axis), item[0]))


def section(data: ReportData, axis: Axis, prefix: str) -> Markup:
    """Draw permits in flight by cause, and under it one row a limit that kept anybody waiting."""
    if not data.permits and not data.waits:
        return Markup("")
    steps = in_flight(data.permits)
    top = max((sum(counts) for _, counts in steps), default=0)
    rows = [_row(name, waits, axis) for name, waits in by_limit(data.waits, axis)[:ROWS]]
    area = [
        tag("div", tag("b", "in flight"), tag("small", f"most {top}"), class_="gutter"),
        tag("div", _area(steps, top, axis), class_="plot permits", tabindex=0, data_flight=True),
    ]  # fmt: skip
    chart = tag("div", area, rows, tag("div", class_="gutter"), axis.drawn(), class_="chart ledger")
    key = legend((("c-rollout", "for a rollout"), ("c-remedy", "for a remedy"), ("w-bound", "a limit bound")))
    numbers = table(
        "Permits", ("Machine", "Cause", "Changes", "Granted", "Held", "Counts in"), _rows(data, axis)
    )
    return figure(
        "Permit ledger", _answer(data, top, axis), (key, chart, numbers), id_=f"{prefix}permits", question="What bound?"
    )  # fmt: skip


def in_flight(permits: Iterable[Permit]) -> list[tuple[int, tuple[int, ...]]]:
    """Count the open permits by cause, at every moment at which one opens or closes."""
    steps: dict[int, list[int]] = {}
    for one in permits:
        index = _CAUSES.index(one.cause) if one.cause in _CAUSES else 0
        steps.setdefault(one.opened, [0] * len(_CAUSES))[index] += 1
        if one.closed is not None:
            steps.setdefault(one.closed, [0] * len(_CAUSES))[index] -= 1
    running = [0] * len(_CAUSES)
    found: list[tuple[int, tuple[int, ...]]] = []
    for at in sorted(steps):
        running = [have + step for have, step in zip(running, steps[at], strict=True)]
        found.append((at, tuple(running)))
    return found


def _answer(data: ReportData, top: int, axis: Axis) -> str:
    text = f"{count(len(data.permits), 'permit')} granted, at most {top} in flight."
    groups = by_limit(data.waits, axis)
    if not groups:
        return text + " No limit kept anybody waiting."
    (scope, code), waits = groups[0]
    return text + f" {place(scope)} {code} bound longest: {spell(bound_for(waits, axis))}."


def _area(steps: Sequence[tuple[int, tuple[int, ...]]], top: int, axis: Axis) -> Markup:
    paths = []
    for index in reversed(range(len(_CAUSES))):
        line = [f"M0 {HEIGHT}"]
        for at, counts in steps:
            line.append(
                f"H{axis.x(at):g}V{HEIGHT - sum(counts[: index + 1]) * (HEIGHT - 6) / max(top, 1):.1f}"
            )
        line.append(f"H{WIDE}V{HEIGHT}Z")
        if any(counts[index] for _, counts in steps):
            paths.append(tag("path", d="".join(line), class_=f"c-{_CAUSES[index].lower()}"))
    return tag(
        "svg", paths, axis.grid(HEIGHT), viewBox=f"0 0 {WIDE} {HEIGHT}", preserveAspectRatio="none", height=HEIGHT,
        role="img", aria_label=f"Permits in flight over time, at most {top}",
    )  # fmt: skip


def _row(name: tuple[str, str], waits: Sequence[Wait], axis: Axis) -> list[Markup]:
    scope, code = name
    last = waits[-1]
    bars = []
    for began, ended in spans_of(waits):
        left, width = axis.span(began, ended)
        tip = f"{clock(began - axis.begins)}: {last.text}"
        bars.append(tag("rect", x=left, y=4, width=width, height=ROW - 8, class_="w-bound", data_tip=tip))
    drawn = tag(
        "svg", axis.grid(ROW), bars, viewBox=f"0 0 {WIDE} {ROW}", preserveAspectRatio="none", height=ROW,
        role="img", aria_label=f"{code} of {place(scope)} bound for {spell(bound_for(waits, axis))}",
    )  # fmt: skip
    return [
        tag("div", tag("small", code), class_="gutter", title=place(scope)),
        tag("div", drawn, class_="plot"),
    ]


def _rows(data: ReportData, axis: Axis) -> Iterable[tuple[str, ...]]:
    for one in data.permits:
        held = "open" if one.closed is None else spell(one.closed - one.opened)
        began = clock(one.opened - axis.begins)
        yield one.machine, one.cause, ", ".join(one.op_ids), began, held, ", ".join(one.scopes)
