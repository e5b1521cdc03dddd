"""Fleet over time, by state and zone: was capacity short?"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from kubenode.runtime.report.axis import WIDE, Axis, clock
from kubenode.runtime.report.data import Lane, ReportData, State
from kubenode.runtime.report.markup import Markup, figure, legend, table, tag

HEIGHT: Final = 72
POINTS: Final = 400
"""Most moments that are drawn of a zone; where there are more, each stands for its neighbourhood's worst."""
STACKED: Final = (State.READY, State.UPDATING, State.REPAIRING, State.JOINING, State.LEAVING, State.DOWN)
"""From the ground up."""

Moment = tuple[int, tuple[int, ...]]
"""From when on, and how many machines are in each of STACKED."""


def moments(lanes: Iterable[Lane]) -> list[Moment]:
    """Count the machines by state, at every moment at which the counts change."""
    steps: dict[int, Counter[State]] = {}
    for lane in lanes:
        for stretch in lane.stretches:
            steps.setdefault(stretch.began, Counter())[stretch.state] += 1
            if stretch.ended is not None:
                steps.setdefault(stretch.ended, Counter())[stretch.state] -= 1
    running: Counter[State] = Counter()
    found: list[Moment] = []
    for at in sorted(steps):
        for state, step in steps[at].items():
            running[state] += step
        found.append((at, tuple(running[state] for state in STACKED)))
    return found


def thinned(found: Sequence[Moment], axis: Axis) -> list[Moment]:
    """Keep of each neighbourhood the moment with the most machines down, and the last, so that lines go on rightly."""
    if len(found) <= POINTS:
        return list(found)
    width = axis.length / (POINTS // 2)
    kept: list[Moment] = []
    for _, group in groupby(found, key=lambda moment: int((moment[0] - axis.begins) / width)):
        near = list(group)
        worst = max(near, key=lambda moment: (moment[1][-1], -moment[1][0]))
        kept += [worst] if worst is near[-1] else [worst, near[-1]]
    return kept


def shortest(found: Sequence[Moment], total: int) -> Moment | None:
    """Give the moment with the fewest machines available, once all had been there; None before that.

    Machines being updated or repaired count as available only while they are Ready, which their state does
    not say; so only Ready ones count.
    """
    whole = next((index for index, moment in enumerate(found) if moment[1][0] == total), None)
    return None if whole is None else min(found[whole:], key=lambda moment: moment[1][0])


def section(data: ReportData, axis: Axis, prefix: str) -> Markup:
    """Draw one band a zone."""
    if not data.lanes:
        return Markup("")
    zones = {zone: list(lanes) for zone, lanes in groupby(data.lanes, key=lambda lane: lane.zone)}
    bands = [_band(zone, lanes, axis) for zone, lanes in zones.items()]
    chart = tag("div", bands, tag("div", class_="gutter"), axis.drawn(), class_="chart fleet")
    seen = {stretch.state for lane in data.lanes for stretch in lane.stretches}
    key = legend((_css(state), state.value) for state in STACKED if state in seen)
    rows = [
        (zone or "no zone", clock(at - axis.begins), *counts)
        for zone, lanes in zones.items() for at, counts in thinned(moments(lanes), axis)
    ]  # fmt: skip
    numbers = table("Machines by zone and state", ("Zone", "From", *(state.value for state in STACKED)), rows)
    return figure(
        "Fleet over time", _answer(data, axis), (key, chart, numbers),
        id_=f"{prefix}fleet", question="Was capacity short?",
    )  # fmt: skip


def _answer(data: ReportData, axis: Axis) -> str:
    total = len(data.lanes)
    found = moments(data.lanes)
    least = shortest(found, total)
    if least is None:
        most = max(found, key=lambda moment: moment[1][0], default=None)
        reached = 0 if most is None else most[1][0]
        return f"At no time were all {total} machines Ready and at rest; at most {reached} were."
    down = max(found[found.index(least) :], key=lambda moment: moment[1][-1])
    text = f"Fewest Ready and untouched: {least[1][0]} of {total}, at {clock(least[0] - axis.begins)}. "
    if down[1][-1] == 0:
        return text + "No machine was lost but those being worked on."
    return text + f"Most down at once: {down[1][-1]}, at {clock(down[0] - axis.begins)}."


def _css(state: State) -> str:
    return f"s-{state.name.lower()}"


def _band(zone: str, lanes: Sequence[Lane], axis: Axis) -> list[Markup]:
    total = len(lanes)
    found = thinned(moments(lanes), axis)
    paths = [
        tag("path", d=_area(found, index, total, axis), class_=_css(state))
        for index, state in enumerate(STACKED) if any(counts[index] for _, counts in found)
    ]  # fmt: skip
    drawn = tag(
        "svg", paths, axis.grid(HEIGHT), viewBox=f"0 0 {WIDE} {HEIGHT}", preserveAspectRatio="none",
        height=HEIGHT, role="img", aria_label=f"Zone {zone or 'without a name'}: {total} machines by state over time",
    )  # fmt: skip
    label = tag(
        "div", tag("b", f"zone {zone}" if zone else "no zone"), tag("small", str(total)), class_="gutter"
    )
    return [label, tag("div", drawn, class_="plot", tabindex=0, data_fleet=zone)]


def _area(found: Sequence[Moment], index: int, total: int, axis: Axis) -> str:
    """Trace one state's band: along its top, and back along its ground."""

    def y(amount: int) -> str:
        return f"{HEIGHT - amount * HEIGHT / max(total, 1):.1f}".removesuffix(".0")

    there: list[str] = []
    back: list[str] = []
    for number, (at, counts) in enumerate(found):
        until = found[number + 1][0] if number + 1 < len(found) else None
        left, right = f"{axis.x(at):g}", f"{axis.x(until):g}"
        ground, top = sum(counts[:index]), sum(counts[: index + 1])
        there.append(f"L{left} {y(top)}H{right}")
        back.append(f"L{right} {y(ground)}H{left}")
    return ("M" + "".join(there)[1:] + "".join(reversed(back)) + "Z") if there else ""
