"""Deferrals by limit: what to change, if that was too slow?"""

from collections.abc import Sequence
from typing import Final

from kubenode.runtime.report.axis import Axis, spell
from kubenode.runtime.report.data import ReportData, Wait
from kubenode.runtime.report.markup import Markup, figure, table, tag
from kubenode.runtime.report.permits import bound_for, by_limit, place

_KNOBS: Final = {
    "RateLimit": "RiskPolicy spec.limits, the one with this window and scope",
    "InFlight": "RiskPolicy spec.limits, the one without a window for this scope",
    "MaxUnavailable": "spec.rollout.maxUnavailable of the set",
    "FailureThreshold": "look at the failed machine; then spec.rollout.excuse, or spec.rollout.failureThreshold",
    "ZoneOutage": "nothing: the zone was down (RiskPolicy spec.zoneBreaker says from when)",
    "ClusterOutage": "nothing: every zone was down, so the fault is not the nodes'",
    "StormCooldown": "RiskPolicy spec.zoneBreaker.cooldown",
    "SuccessRate": "the remedies, which do not help; then RiskPolicy spec.successGate",
    "MachineBusy": "nothing: one act a machine at a time",
    "Frozen": "RiskPolicy spec.freeze",
    "HistoryLost": "nothing: the ledger's history was lost, and windows count as full until it is past",
    "LedgerFull": "fewer open holds; the ledger has room for so many",
}  # fmt: skip
"""Where each limit is set."""


def section(data: ReportData, axis: Axis, prefix: str) -> Markup:
    """Draw one bar a limit, as long as somebody waited for it."""
    groups = by_limit(data.waits, axis)
    if not groups:
        return Markup("")
    longest = max(bound_for(waits, axis) for _, waits in groups)
    rows = [_row(name, waits, longest, axis) for name, waits in groups]
    (scope, code), waits = groups[0]
    answer = f"{place(scope)}: {code} kept {_askers(waits)} waiting, for {spell(longest)} in all."
    numbers = table(
        "Waits", ("Scope", "Limit", "Asked", "Waited", "Most", "Allowed", "Set in"),
        [(place(name[0]), name[1], _askers(waits), spell(bound_for(waits, axis)), max(one.observed for one in waits), waits[-1].limit, _KNOBS.get(name[1], ""))
         for name, waits in groups],
    )  # fmt: skip
    return figure(
        "Deferrals by limit", answer, (tag("div", rows, class_="bars"), numbers),
        id_=f"{prefix}waits", question="What to change, if that was too slow?",
    )  # fmt: skip


def _askers(waits: Sequence[Wait]) -> str:
    """Count who waited: machines that asked the ledger, or the keys of other deciders."""
    return f"{len({wait.who for wait in waits}):,}"


def _row(name: tuple[str, str], waits: Sequence[Wait], longest: int, axis: Axis) -> Markup:
    scope, code = name
    length = bound_for(waits, axis)
    most, limit = max(one.observed for one in waits), waits[-1].limit
    knob = _KNOBS.get(code, "")
    return tag(
        "div",
        tag("div", tag("b", code), tag("span", place(scope)), tag("span", f"{most} against {limit}"),
            tag("span", spell(length), class_="end"), class_="head"),
        tag("div", tag("div", class_="fill w-bound", style=f"width:{length * 100 / max(longest, 1):.1f}%"), class_="track"),
        tag("p", f"{_askers(waits)} waited; at last: {waits[-1].text}."),
        tag("p", tag("b", "set in: "), knob) if knob else "",
        class_="bar", data_limit=code,
    )  # fmt: skip
