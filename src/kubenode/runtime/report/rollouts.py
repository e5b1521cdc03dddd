"""Rollout batches as bars: what waited, and why?"""

from collections.abc import Iterable
from typing import Final

from kubenode.runtime.report.axis import WIDE, Axis, clock, count, spell
from kubenode.runtime.report.data import Batch, Reason, ReportData, Rollout
from kubenode.runtime.report.markup import Markup, figure, legend, table, tag

ROW: Final = 26
_WORDS: Final = {
    "WaitingForPermits": ("w-permits", "waits for permits"), "MinReady": ("w-ready", "has to stay ready"),
    "Observing": ("w-observed", "observed"), "AwaitingApproval": ("w-person", "waits for a person"),
    "Paused": ("w-paused", "paused"),
}  # fmt: skip
"""How a reason is drawn and called; any other is work."""


def section(data: ReportData, axis: Axis, prefix: str) -> Markup:
    """Draw one bar a batch, for each rollout."""
    if not data.rollouts:
        return Markup("")
    charts = [_rollout(one, axis) for one in data.rollouts]
    codes = {reason.code for one in data.rollouts for reason in (*one.reasons, *one.pauses)}
    key = legend((("w-work", "works"), *(drawn for code, drawn in _WORDS.items() if code in codes)))
    rows = [row for one in data.rollouts for row in _rows(one, axis)]
    heads = ("Set", "Batch", "Size", "Opened", "Worked", "Passed", "Updated", "Failed", "Skipped")
    return figure(
        "Rollout batches", " ".join(_answer(one) for one in data.rollouts),
        (key, charts, table("Batches", heads, rows), table("Reasons", ("Set", "From", "For", "Why"), _whys(data, axis))),
        id_=f"{prefix}rollouts", question="What waited, and why?",
    )  # fmt: skip


def _answer(one: Rollout) -> str:
    updated, total = sum(b.updated for b in one.batches), sum(b.size for b in one.batches)
    sizes = "/".join(str(batch.size) for batch in one.batches)
    text = f"{one.set}: {updated} of {total} updated to {one.component} in {count(len(one.batches), 'batch', 'batches')} ({sizes})."
    for pause in one.pauses:
        length = "; it is still paused" if pause.ended is None else f" for {spell(pause.ended - pause.began)}"
        text += f" Paused{length}: {pause.text}."
    return text


def _rollout(one: Rollout, axis: Axis) -> Markup:
    rows = [_bar(one, batch, axis) for batch in one.batches]
    pauses = _pauses(one, axis)
    return tag(
        "div",
        tag("h4", f"{one.set} revision {one.revision}: {one.component}"),
        tag("div", rows, pauses, tag("div", class_="gutter"), axis.drawn(), class_="chart batches"),
    )


def _bar(one: Rollout, batch: Batch, axis: Axis) -> list[Markup]:
    parts = [_rect("w-work", batch.opened, batch.worked, axis, _tip(batch, axis, "works"))]
    end = batch.passed
    if batch.worked is not None:
        parts.append(_rect("w-observed", batch.worked, end, axis, _tip(batch, axis, "observed")))
    for reason in one.reasons:
        css, _ = _WORDS.get(reason.code, ("", ""))
        began, ended = max(reason.began, batch.opened), _until(reason.ended, end)
        if css and began < (ended if ended is not None else axis.ends):
            parts.append(_rect(css, began, ended, axis, f"batch {batch.number}: {reason.text}"))
    for pause in one.pauses:
        began, ended = max(pause.began, batch.opened), _until(pause.ended, end)
        if began < (ended if ended is not None else axis.ends):
            parts.append(_rect("w-paused", began, ended, axis, f"paused: {pause.text}"))
    verdict = f"{batch.updated}/{batch.size}" + (f" ✗{batch.failed}" if batch.failed else "")
    drawn = tag(
        "svg", axis.grid(ROW), parts, viewBox=f"0 0 {WIDE} {ROW}", preserveAspectRatio="none", height=ROW,
        role="img", aria_label=_tip(batch, axis, verdict),
    )  # fmt: skip
    bad = " bad" if batch.failed else ""
    label = tag("div", tag("b", f"{batch.number}"), tag("small", verdict), class_=f"gutter{bad}")
    return [label, tag("div", drawn, class_="plot batch", data_batch=batch.number, data_size=batch.size)]


def _pauses(one: Rollout, axis: Axis) -> list[Markup]:
    if not one.pauses:
        return []
    bars = [
        _rect("w-paused", pause.began, pause.ended, axis, f"paused: {pause.text}", extra="paused")
        for pause in one.pauses
    ]
    drawn = tag(
        "svg", axis.grid(ROW), bars, viewBox=f"0 0 {WIDE} {ROW}", preserveAspectRatio="none", height=ROW,
        role="img", aria_label="; ".join(f"paused: {pause.text}" for pause in one.pauses),
    )  # fmt: skip
    return [tag("div", tag("b", "paused"), class_="gutter"), tag("div", drawn, class_="plot")]


def _until(one: int | None, other: int | None) -> int | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _rect(css: str, began: int, ended: int | None, axis: Axis, tip: str, extra: str = "") -> Markup:
    left, width = axis.span(began, ended)
    return tag(
        "rect", x=left, y=5, width=width, height=ROW - 10, class_=f"{css} {extra}".rstrip(), data_tip=tip
    )


def _tip(batch: Batch, axis: Axis, what: str) -> str:
    until = "now" if batch.passed is None else clock(batch.passed - axis.begins)
    opened = clock(batch.opened - axis.begins)
    return f"batch {batch.number} of {batch.size}: {what}; {opened} to {until}, {batch.updated} updated, {batch.failed} failed"


def _rows(one: Rollout, axis: Axis) -> Iterable[tuple[str | int, ...]]:
    def at(moment: int | None) -> str:
        return "" if moment is None else clock(moment - axis.begins)

    for batch in one.batches:
        yield (
            one.set, batch.number, batch.size, at(batch.opened), at(batch.worked), at(batch.passed), batch.updated,
            batch.failed, batch.skipped,
        )  # fmt: skip


def _whys(data: ReportData, axis: Axis) -> Iterable[tuple[str, ...]]:
    for one in data.rollouts:
        for why in one.reasons:
            yield one.set, clock(why.began - axis.begins), _length(why, axis), why.text


def _length(why: Reason, axis: Axis) -> str:
    return spell((axis.ends if why.ended is None else why.ended) - why.began)
