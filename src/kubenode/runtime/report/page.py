"""The page: one HTML file with its style and script inside, which asks no network for anything."""

import base64
import functools
import hashlib
import json
from importlib import resources
from typing import Any

from kubenode.runtime.report import fleet, lanes, permits, radius, rollouts, waits
from kubenode.runtime.report.axis import Axis, count, spell
from kubenode.runtime.report.data import Lane, ReportData
from kubenode.runtime.report.markup import Markup, tag, trusted

SECTIONS = (fleet, rollouts, permits, waits, radius, lanes)
"""In the order of the page; a section with nothing to show leaves itself out."""


def render(*runs: ReportData) -> str:
    """Draw the report of one or several runs.

    Args:
        runs: in the order in which they stand on the page, each with a part of its own.

    Returns:
        A whole HTML document. Equal data give an equal document.
    """
    style, script = _file("page.css"), _file("page.js")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    title = ", ".join(run.title for run in runs)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        trusted(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"kubenode report: {title}"),
        tag("style", trusted(style)),
    )
    nav = tag(
        "nav",
        *(tag("a", run.title, href=f"#run{index}") for index, run in enumerate(runs)),
        aria_label="Runs",
    )
    body = tag(
        "body",
        tag("header", tag("p", "kubenode report", class_="brand"), nav if len(runs) > 1 else "", class_="top"),
        tag("main", *(_run(run, index) for index, run in enumerate(runs))),
        tag("div", id="tip", role="status", aria_live="polite", hidden=True),
        tag("script", trusted(script)),
    )  # fmt: skip
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _run(run: ReportData, index: int) -> Markup:
    axis = Axis.of(run)
    prefix = f"run{index}-"
    sections = [one.section(run, axis, prefix) for one in SECTIONS]
    quiet = run.ends - axis.ends
    note = f" The last {spell(quiet)}, in which nothing changed, are not drawn." if quiet > 0 else ""
    lead = f"From {run.wall:%Y-%m-%d %H:%M:%S} UTC, for {spell(run.ends - run.begins)}.{note}"
    return tag(
        "article",
        tag("h2", run.title), tag("p", run.summary, class_="summary") if run.summary else "", tag("p", lead, class_="muted"),
        _tiles(run), sections,
        tag("script", _data(run, axis), type="application/json", class_="data"),
        id=f"run{index}", aria_label=run.title,
    )  # fmt: skip


def _tiles(run: ReportData) -> Markup:
    zones = {lane.zone for lane in run.lanes}
    most = max((sum(counts) for _, counts in permits.in_flight(run.permits)), default=0)
    failed = sum(act.outcome.startswith("failed") for lane in run.lanes for act in lane.acts)
    shown = (
        (f"{len(run.lanes):,}", f"machines in {count(len(zones), 'zone')}"),
        (f"{sum(len(one.batches) for one in run.rollouts):,}", "rollout batches"),
        (f"{len(run.permits):,}", f"permits, most {most} at once"),
        (f"{failed:,}", "acts failed"),
    )
    return tag(
        "dl", *(tag("div", tag("dt", word), tag("dd", number)) for number, word in shown), class_="tiles"
    )


def _data(run: ReportData, axis: Axis) -> Markup:
    """Give what the script shows where the pointer is: times in milliseconds, texts once each."""
    texts: dict[str, int] = {}

    def number(text: str) -> int:
        return texts.setdefault(text, len(texts))

    def at(moment: int | None) -> int:
        return ((axis.ends if moment is None else min(moment, axis.ends)) - axis.begins) // 1_000_000

    drawn: dict[str, list[Any]] = {}
    zones: dict[str, list[Lane]] = {}
    for lane in run.lanes:
        zones.setdefault(lane.zone, []).append(lane)
        spans = [[at(one.began), at(one.ended), number(one.state.value)] for one in lane.stretches]
        acts = [
            [at(act.began), at(act.ended), number(f"{act.what} ({act.why}) {act.outcome}".rstrip())]
            for act in lane.acts
        ]
        drawn.setdefault(lane.zone, []).append([lane.machine, spans, acts])
    counts = {
        zone: [[at(moment), *numbers] for moment, numbers in fleet.thinned(fleet.moments(those), axis)]
        for zone, those in zones.items()
    }
    flight = [[at(moment), *numbers] for moment, numbers in permits.in_flight(run.permits)]
    body = {
        "length": axis.length // 1_000_000, "states": [state.value for state in fleet.STACKED], "lanes": drawn,
        "fleet": counts, "flight": flight, "texts": list(texts),
    }  # fmt: skip
    written = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return trusted(written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@functools.cache
def _file(name: str) -> str:
    return (resources.files("kubenode.runtime.report") / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
