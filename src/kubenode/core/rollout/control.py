"""The control group: do updated machines have a fault more often than those that are not updated yet?

One-sided exact test of Fisher, in integers: of N machines K have the fault; if the update had nothing to do
with it, the number of them among the n updated ones would be hypergeometric. So the chance of at least as
many as were seen is sum over k >= seen of C(n, k) C(N - n, K - k), out of C(N, K). Source: R. A. Fisher, The
Design of Experiments, chapter 2. Of several conditions each must be rarer by their number (Bonferroni).
"""

from collections.abc import Sequence
from math import comb

import attrs

from kubenode.core.model.inspection import (
    ControlGroup,
    Inconclusive,
)
from kubenode.core.rollout.tally import Rate


@attrs.frozen(kw_only=True)
class Verdict:
    """What the comparison says against going on.

    Attributes:
        worse: the condition is more frequent among the updated; False: nothing can be told.
    """

    worse: bool
    text: str


def chance(rate: Rate) -> tuple[int, int]:
    """Give the chance of at least so many faults among the updated if the update did nothing: a fraction, not reduced.

    >>> chance(Rate(type="X", updated=2, of_updated=2, waiting=0, of_waiting=2))
    (1, 6)
    """
    n, total = rate.of_updated, rate.of_updated + rate.of_waiting
    faulty = rate.updated + rate.waiting
    least, most = rate.updated, min(n, faulty)
    ways = sum(comb(n, k) * comb(rate.of_waiting, faulty - k) for k in range(least, most + 1))
    return ways, comb(total, faulty)


def is_significant(rate: Rate, group: ControlGroup) -> bool:
    """Tell whether the fault is more frequent among the updated, with the confidence asked for."""
    ways, of = chance(rate)
    return ways * 100 * len(group.conditions) <= (100 - group.confidence) * of


def compared(rates: Sequence[Rate], group: ControlGroup | None) -> Verdict | None:
    """Give what speaks against the next batch; None when nothing does, or nothing is left to compare with.

    Args:
        rates: of the conditions asked for.
        group: what the set asks for; None when it asks for nothing.

    Too little evidence: even if all updated machines had the fault, it could be chance, since there are too few of
    them, or too few others without it.
    """
    if group is None:
        return None
    for rate in rates:
        if is_significant(rate, group):  # never where nobody waits: then no other outcome was possible
            return Verdict(worse=True, text=f"{_numbers(rate)}; more than by chance ({group.confidence} %)")
    for rate in rates:
        worst = attrs.evolve(rate, updated=rate.of_updated)
        told = is_significant(worst, group) or not rate.of_waiting
        if not told and group.inconclusive is Inconclusive.PAUSE:
            few = "too few without it to tell" if rate.waiting else "too few machines to tell"
            return Verdict(worse=False, text=f"{_numbers(rate)}; {few} at {group.confidence} %")
    return None


def _numbers(rate: Rate) -> str:
    return (
        f"{rate.type}: {rate.updated} of {rate.of_updated} updated machines, "
        f"{rate.waiting} of {rate.of_waiting} not yet updated"
    )
