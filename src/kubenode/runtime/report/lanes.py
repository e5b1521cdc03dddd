"""A lane per node: who did what?"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from kubenode.runtime.report.axis import WIDE, Axis, clock, count, spell
from kubenode.runtime.report.data import Act, Lane, ReportData, State
from kubenode.runtime.report.markup import Markup, figure, legend, table, tag

PITCH: Final = 10
FEW: Final = 40
"""Up to so many machines each lane has its name beside it at full size."""
ROOMY: Final = 20


def section(data: ReportData, axis: Axis, prefix: str) -> Markup:
    """Draw every machine as one thin line, the acts upon it marked."""
    if not data.lanes:
        return Markup("")
    pitch = ROOMY if len(data.lanes) <= FEW else PITCH
    groups = [
        _zone(zone, list(lanes), axis, pitch)
        for zone, lanes in groupby(data.lanes, key=lambda lane: lane.zone)
    ]
    chart = tag("div", groups, tag("div", class_="gutter"), axis.drawn(), class_=f"chart lanes p{pitch}")
    seen = {one.state for lane in data.lanes for one in lane.stretches}
    states = [(f"s-{state.name.lower()}", state.value) for state in State if state in seen]
    key = legend((*states, ("a-done", "act"), ("a-failed", "act that failed")))
    return figure(
        "Lane per node", _answer(data), (key, chart, table("What was done to whom", ("Machine", "Zone", "From", "For", "What", "Asked by", "Outcome"), _rows(data, axis))),
        id_=f"{prefix}lanes", question="Who did what?",
    )  # fmt: skip


def _answer(data: ReportData) -> str:
    acts = [act for lane in data.lanes for act in lane.acts]
    bad = sorted({lane.machine for lane in data.lanes if any(_failed(act) for act in lane.acts)})
    text = f"{count(len(acts), 'act')} on {count(sum(bool(lane.acts) for lane in data.lanes), 'machine')}."
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        text += f" Something failed on {', '.join(bad[:5])}{more}."
    return text


def _failed(act: Act) -> bool:
    return act.outcome.startswith("failed")


def _zone(zone: str, lanes: Sequence[Lane], axis: Axis, pitch: int) -> list[Markup]:
    height = pitch * len(lanes)
    drawn = tag(
        "svg", [_lane(lane, index * pitch, pitch, axis) for index, lane in enumerate(lanes)], axis.grid(height),
        viewBox=f"0 0 {WIDE} {height}", preserveAspectRatio="none", height=height, role="img",
        aria_label=f"{len(lanes)} machines of zone {zone or 'without a name'}, one line each",
    )  # fmt: skip
    names = [
        tag("span", lane.machine, class_="bad" if any(_failed(act) for act in lane.acts) else None)
        for lane in lanes
    ]
    head = tag("div", f"zone {zone}" if zone else "no zone", class_="zone")
    return [
        head, tag("div", names, class_="gutter names"),
        tag("div", drawn, class_="plot", tabindex=0, data_lanes=zone, data_pitch=pitch),
    ]  # fmt: skip


def _lane(lane: Lane, top: int, pitch: int, axis: Axis) -> Markup:
    """Draw the stretches of one state as one path: thousands of them stay small."""
    thick = pitch - max(2, pitch // 5)
    paths = []
    for state in State:
        spans = [
            axis.span(one.began, one.ended, 0.8) for one in lane.stretches
            if one.state is state and one.began <= axis.ends
        ]  # fmt: skip
        if spans:
            paths.append(tag("path", d=_boxes(spans, top + 1, thick), class_=f"s-{state.name.lower()}"))
    for css, wanted in (("a-done", False), ("a-failed", True)):
        spans = [axis.span(act.began, act.ended, 1.6) for act in lane.acts if _failed(act) is wanted]
        if spans:
            mark = thick * 2 // 5
            paths.append(tag("path", d=_boxes(spans, top + 1 + (thick - mark) // 2, mark), class_=css))
    return tag("g", paths, class_="lane", data_machine=lane.machine)


def _boxes(spans: Iterable[tuple[float, float]], top: int, height: int) -> str:
    return "".join(f"M{left:g} {top}h{width:g}v{height}h-{width:g}z" for left, width in spans)


def _rows(data: ReportData, axis: Axis) -> Iterable[tuple[str, ...]]:
    for lane in data.lanes:
        for act in lane.acts:
            length = "" if act.ended is None else spell(act.ended - act.began)
            yield (
                lane.machine, lane.zone, clock(act.began - axis.begins), length, act.what, act.why,
                act.outcome or "runs",
            )  # fmt: skip
