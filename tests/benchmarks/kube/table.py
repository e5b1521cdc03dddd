"""The table: what was found against what is aimed at. Ratios of figures of one round; of several rounds the best one counts.

Other work on the machine only ever makes a round worse for one of the two, so the median stands beside the best.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from tests.benchmarks.kube.contest import BARE, CLIENT_GO, KOPF, OURS, Found
from tests.benchmarks.kube.upgrade import Answered, Upgraded, percentile
from tests.benchmarks.rows import Row

RATE_OF_BARE, RATE_OF_GO, RATE_OF_KOPF = 0.9, 0.9, 2.0
CPU_OF_GO, CPU_OF_KOPF, RSS_OF_GO = 1.3, 0.25, 1.3
LISTINGS = ((200, 120, 3000), (140, 60, 4000))
"""Most microseconds of CPU, milliseconds of a blocked loop, and bytes held, of an object; one of the two is enough."""
WRITES, EVENTS, GROWTH = 4.5, 1.0, 1.15


def contest_rows(rounds: Mapping[str, Sequence[Found]], count: int) -> Iterator[Row]:
    """Give what each contestant did, then ours against the others."""
    for name, found in rounds.items():
        best = min(one.live_cpu for one in found)
        yield Row(
            what=f"{name}, {count:,} objects",
            figure=(
                f"{1e6 * best:,.0f} us CPU an object, {max(one.backlog_rate for one in found):,.0f} writes/s"
                f" ({max(one.live_rate for one in found):,.0f} beside the writer), {min(one.rss for one in found) / 2**20:,.0f} MiB,"
                f" {max(one.writes for one in found):.2f} writes an object"
            ),
            numbers={
                "cpu_us": 1e6 * best, "writes_a_second": max(one.backlog_rate for one in found),
                "live_writes_a_second": max(one.live_rate for one in found), "rss": min(one.rss for one in found),
                "writes_an_object": max(one.writes for one in found),
            },
        )  # fmt: skip
    for other, least in ((BARE, RATE_OF_BARE), (CLIENT_GO, RATE_OF_GO), (KOPF, RATE_OF_KOPF)):
        if {OURS, other} <= rounds.keys():
            ratios = [
                a.backlog_rate / b.backlog_rate for a, b in zip(rounds[OURS], rounds[other], strict=True)
            ]
            yield at_least(f"writes/s, kubenode : {other}", ratios, least)
    for other, most in ((CLIENT_GO, CPU_OF_GO), (KOPF, CPU_OF_KOPF), (BARE, None)):
        if {OURS, other} <= rounds.keys():
            ratios = [a.live_cpu / b.live_cpu for a, b in zip(rounds[OURS], rounds[other], strict=True)]
            yield at_most(f"CPU a handled object, kubenode : {other}", ratios, most)


def at_least(what: str, ratios: Sequence[float], least: float) -> Row:
    """Judge ratios that are to be large."""
    return _judged(what, ratios, max(ratios), f">= {least:g}", max(ratios) >= least)


def at_most(what: str, ratios: Sequence[float], most: float | None) -> Row:
    """Judge ratios that are to be small; None only tells them."""
    best = min(ratios)
    return _judged(
        what, ratios, best, "" if most is None else f"<= {most:g}", None if most is None else best <= most
    )


def _judged(what: str, ratios: Sequence[float], best: float, aim: str, met: bool | None) -> Row:
    median = statistics.median(ratios)
    of = f" (best of {len(ratios)} rounds, median {median:.2f})" if len(ratios) > 1 else " (one round)"
    return Row(
        what=what, figure=f"{best:.2f}{of}", numbers={"best": best, "median": median}, aim=aim, met=met
    )


def rss_rows(resident: Mapping[str, Sequence[int]], count: int) -> Iterator[Row]:
    """Give the memory of each contestant with so many objects, then ours against client-go's."""
    said = ", ".join(f"{name} {min(found) / 2**20:,.0f} MiB" for name, found in resident.items())
    yield Row(
        what=f"memory, {count:,} objects",
        figure=said,
        numbers={name: min(found) for name, found in resident.items()},
    )
    ratios = [a / b for a, b in zip(resident[OURS], resident[CLIENT_GO], strict=True)]
    yield at_most(f"memory at {count:,} objects, kubenode : {CLIENT_GO}", ratios, RSS_OF_GO)


def list_row(listings: Sequence[Mapping[str, float]], traced: Mapping[str, float]) -> Row:
    """Judge what listing costs an object: CPU and block are those of the best run, memory of a run that was traced."""
    count = traced["objects"]
    best = min(listings, key=lambda one: one["cpu"])
    cpu, block, held = 1e6 * best["cpu"] / count, 1e3 * best["block"], traced["held"] / count
    return Row(
        what=f"listing {count:,.0f} machines into the cache",
        figure=f"{cpu:.0f} us CPU an object, loop blocked for {block:.0f} ms of CPU at most, {held:,.0f} bytes an object",
        numbers={"cpu_us": cpu, "block_ms": block, "held": held},
        aim="; or ".join(f"<= {us} us, <= {ms} ms and <= {held:,} bytes" for us, ms, held in LISTINGS),
        met=any(cpu <= us and block <= ms and held <= most for us, ms, most in LISTINGS),
    )


def upgrade_rows(found: Sequence[Upgraded]) -> Iterator[Row]:
    """Give each upgrade, and the growth from the smallest to the largest."""
    for one in found:
        yield Row(
            what=f"upgrade over {one.machines:,} machines",
            figure=(
                f"{one.writes / one.machines:.2f} writes and {one.events / one.machines:.2f} Events a machine, {one.at_rest} at rest;"
                f" controller {one.cpu:.1f} CPU s"
            ),
            numbers={
                "writes": one.writes / one.machines, "events": one.events / one.machines, "at_rest": one.at_rest, "cpu": one.cpu,
            },
            aim=f"<= {WRITES:g} writes, <= {EVENTS:g} Event, none at rest",
            met=one.writes <= WRITES * one.machines and one.events <= EVENTS * one.machines and not one.at_rest,
        )  # fmt: skip
    first, last = found[0], found[-1]
    if last.machines > first.machines:
        growth = math.log(last.cpu / first.cpu) / math.log(last.machines / first.machines)
        yield Row(
            what=f"growth of the controller's CPU, {first.machines:,} to {last.machines:,} machines", figure=f"{growth:.2f}",
            numbers={"growth": growth}, aim=f"<= {GROWTH}", met=growth <= GROWTH,
        )  # fmt: skip


def fault_row(answers: Sequence[Answered], machines: int) -> Row:
    """Say how long faults waited for their first step."""
    ours, whole = [one.ours for one in answers], [one.whole for one in answers]
    numbers = {
        "faults": len(answers), "ours_p50": percentile(ours, 0.5), "ours_p99": percentile(ours, 0.99),
        "whole_p50": percentile(whole, 0.5), "whole_p99": percentile(whole, 0.99),
    }  # fmt: skip
    return Row(
        what=f"fault written to first step written, {len(answers)} of {machines:,} machines",
        figure=(
            f"our share p50 {1e3 * numbers['ours_p50']:.0f} ms, p99 {1e3 * numbers['ours_p99']:.0f} ms;"
            f" with the server's p50 {1e3 * numbers['whole_p50']:.0f} ms, p99 {1e3 * numbers['whole_p99']:.0f} ms"
        ),
        numbers=numbers,
    )
