"""Evidence-based width: a remedier acts on one machine, and on more only as its repairs are proven.

Width = `first` + the repairs proven within the window since the remedier last failed. It is computed from the
stored jobs at every decision, so no restart loses it. Ends are stamped by wall clocks: a proven repair counts
from its stamp to the end of the window, and one not later than the last failure does not count at all.
"""

from collections.abc import Iterable

import attrs

from kubenode.core.decision import Note, soonest
from kubenode.core.health.freeze import aware, elapsed_at
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import format_duration
from kubenode.core.model.risk import RepairWidth
from kubenode.core.risk.refusal import Refusal
from kubenode.core.risk.success import Outcome


@attrs.frozen(kw_only=True)
class Evidence:
    """The proven repairs of one remedier since it last failed.

    Attributes:
        spans: of each, from when and until when it counts, `Now.elapsed`; it counts at its beginning, and at
            its end no more.
    """

    width: RepairWidth
    spans: tuple[tuple[int, int], ...]

    def at(self, moment: int) -> int:
        """Give how many may be in flight at a moment, if nothing more ends."""
        return self.width.first + sum(begin <= moment < end for begin, end in self.spans)


def evidence(width: RepairWidth, remedier: str, outcomes: Iterable[Outcome], now: Now) -> Evidence:
    """Gather what speaks for a remedier."""
    own = [one for one in outcomes if one.remedier == remedier]
    failed = max((aware(one.ended_at) for one in own if not one.succeeded), default=None)
    # What ended after the last failure has succeeded.
    ends = sorted(aware(one.ended_at) for one in own)
    proven = [came for came in ends if failed is None or came > failed]
    spans = ((elapsed_at(came, now), elapsed_at(came + width.window, now)) for came in proven)
    return Evidence(width=width, spans=tuple(spans))


def narrow(known: Evidence, remedier: str, running: int, now: Now) -> Refusal | None:
    """Say that a remedier has as many remedies in flight as its evidence allows; None when it has fewer.

    Invariants: a failure never widens, a proven repair never narrows, and time alone only narrows (but for a
    stamp that lies ahead). The answer stays the same until exactly `changes_at`.
    """
    most = known.at(now.elapsed)
    if running < most:
        return None
    edges = sorted({edge for span in known.spans for edge in span if edge > now.elapsed})
    ahead = (begin for begin, _ in known.spans if begin > now.elapsed)
    frees_at = soonest(edge for edge in ahead if known.at(edge) > running)
    scope, span = f"remedier {remedier}", format_duration(known.width.window)
    text = f"{scope}: {running} in flight, limit {most}; {most - known.width.first} proven within {span} since it last failed"
    note = Note(code="Unproven", text=text, scope=scope, observed=running, limit=most, frees_at=frees_at)
    return Refusal(note=note, changes_at=next((edge for edge in edges if known.at(edge) != most), None))
