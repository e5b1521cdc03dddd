"""Blast radius: what was allowed to be disrupted, and what came closest to it."""

from kubenode.core.model.quantity import format_duration
from kubenode.runtime.report.axis import Axis, clock
from kubenode.runtime.report.data import Bound, ReportData
from kubenode.runtime.report.markup import Markup, figure, table, tag


def section(data: ReportData, axis: Axis, prefix: str) -> Markup:
    """Draw each limit as a track, filled as far as it was reached."""
    if not data.bounds:
        return Markup("")
    over = [one for one in data.bounds if one.reached > one.limit]
    full = data.bounds[0]
    answer = (
        f"EXCEEDED: {_name(over[0])} reached {over[0].reached} of {over[0].limit}."
        if over
        else f"No limit was exceeded. Fullest: {_name(full)}, {full.reached} of {full.limit}, at {clock(full.at - axis.begins)}."
    )
    heads = ("Policy", "Scope", "Counted", "Allowed", "Reached", "At")
    rows = [
        (one.policy, _scope(one), _kind(one), one.limit, one.reached, clock(one.at - axis.begins))
        for one in data.bounds
    ]
    bars = tag("div", [_row(one) for one in data.bounds], class_="bars")
    return figure(
        "Blast radius", answer, (bars, table("Limits", heads, rows)),
        id_=f"{prefix}radius", question="How much could have gone at once, and how much did?",
    )  # fmt: skip


def _scope(one: Bound) -> str:
    return one.scope.replace("=", " ")


def _kind(one: Bound) -> str:
    return "in flight" if one.window is None else f"begun in {format_duration(one.window)}"


def _name(one: Bound) -> str:
    return f"{_scope(one)}, {_kind(one)}"


def _row(one: Bound) -> Markup:
    share = min(one.reached * 100 / max(one.limit, 1), 100)
    css = "fill over" if one.reached > one.limit else "fill full" if one.reached == one.limit else "fill"
    return tag(
        "div",
        tag("div", tag("b", _scope(one)), tag("span", _kind(one)), tag("span", one.policy, class_="muted"),
            tag("span", f"{one.reached} of {one.limit}", class_="end"), class_="head"),
        tag("div", tag("div", class_=css, style=f"width:{share:.1f}%"), class_="track"),
        class_="bar", data_scope=one.scope,
    )  # fmt: skip
