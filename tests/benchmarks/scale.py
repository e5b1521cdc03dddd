"""What kubenode costs as it grows: one command, one table. CPU seconds of one process, not wall time.

    python -m tests.benchmarks.scale [--sizes 1000,2000,5000,10000] [--runs 3] [--only rollout] [-o json] [--quick]

Engine: no-op decisions a second with a decider that wants what stands, so the engine's own cost; and
decide-and-apply steps a second with a decider that wants one status more, through the embedded store:
decide, write, see the event, decide again at rest.
Memory: bytes a machine, Running and at rest, in the controller's cache, inventory and queue.
Rollout: the upgrade story at each size; growth is the exponent from the size before (1.00 is linear).

Each measure runs in a fresh process, all of them in turn, `--runs` times; the best run of each counts, since
other work on the machine only ever makes one slower. Beside it stands what the garbage collector took of it.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.benchmarks.engine import memory, no_ops, steps
from tests.benchmarks.fleet import rollout
from tests.benchmarks.meter import Sample
from tests.benchmarks.rows import Row, rising, show

ROOT: Final = Path(__file__).parents[2]
SIZES: Final = (1000, 2000, 5000, 10_000)
QUICK_SIZES: Final = (50, 100)
NO_OPS, STEPS, BYTES, GROWTH = 100_000, 10_000, 8 * 1024, 1.15
"""The aims."""


@attrs.frozen
class Measure:
    """Something to be measured, by the name it has between processes."""

    name: str
    take: Callable[[], Sample]


def measures(sizes: Sequence[int], *, quick: bool) -> tuple[Measure, ...]:
    """Give all there is to measure; the small ones of `quick` only show that it runs."""
    less = 20 if quick else 1
    few, many = 100, 5000 // less
    return (
        Measure("no-op", lambda: no_ops(10_000 // less, 20)),
        Measure(f"steps {few}", lambda: steps(few, many, 4)),
        Measure(f"steps {many}", lambda: steps(many, many, 4)),
        Measure("memory", lambda: memory(500 if not quick else 100)),
        *(Measure(f"rollout {size}", lambda size=size: rollout(size)) for size in sizes),  # type: ignore[misc]
    )


def rows(samples: dict[str, list[Sample]], *, judged: bool = True) -> Iterator[Row]:
    """Make the table of what was found, in the order in which it was asked for.

    Args:
        samples: the runs of each measure, by its name.
        judged: say whether the aims are met.
    """
    before: Sample | None = None
    last = 0
    for name, runs in samples.items():
        what, _, text = name.partition(" ")
        best = min(runs, key=lambda one: one.seconds)
        if what == "rollout":
            yield _grown(int(text), runs, best, last, before, judged=judged)
            before, last = best, int(text)
        elif what == "memory":
            held = max(one.held / one.operations for one in runs)
            yield Row(
                what="memory of an idle machine in the controller", figure=f"{held / 1024:.1f} KiB",
                numbers={"bytes": held}, aim="<= 8 KiB", met=held <= BYTES,
            )  # fmt: skip
        else:
            least = NO_OPS if what == "no-op" else STEPS
            label = (
                "no-op decisions"
                if what == "no-op"
                else f"decide-and-apply steps, {int(text):,} keys at once"
            )
            worst = max(runs, key=lambda one: one.seconds)
            yield Row(
                what=f"engine, {label}",
                figure=f"{best.rate:,.0f} a second ({_of(runs, f'from {worst.rate:,.0f}')}; {_collected(best)})",
                numbers={"rate": best.rate, "worst": worst.rate, "collecting": best.collecting / best.seconds},
                aim=f">= {least:,}", met=best.rate >= least if judged else None,
            )  # fmt: skip


def _grown(
    size: int, runs: list[Sample], best: Sample, last: int, before: Sample | None, *, judged: bool
) -> Row:
    worst = max(one.seconds for one in runs)
    decisions, effects = best.decisions / size, (best.operations - best.decisions) / size
    figure = (
        f"{best.seconds:.1f} CPU s ({_of(runs, f'to {worst:.1f}')}; {_collected(best)}); "
        f"{decisions:.1f} decisions and {effects:.1f} effects a machine"
    )
    numbers = {
        "size": size, "seconds": best.seconds, "worst": worst, "collecting": best.collecting / best.seconds,
        "decisions": decisions, "effects": effects,
    }  # fmt: skip
    if before is None:
        return Row(what=f"rollout over {size:,} machines", figure=figure, numbers=numbers)
    times = math.log(size / last)
    cpu = math.log(best.seconds / before.seconds) / times
    counted = math.log(best.operations / before.operations) / times
    return Row(
        what=f"rollout over {size:,} machines", figure=f"{figure}; growth {cpu:.2f} in CPU, {counted:.2f} in operations",
        numbers=numbers | {"growth_cpu": cpu, "growth_operations": counted}, aim=f"growth <= {GROWTH}",
        met=max(cpu, counted) <= GROWTH if judged else None,
    )  # fmt: skip


def _of(runs: list[Sample], rest: str) -> str:
    return f"best of {len(runs)} runs, {rest}" if len(runs) > 1 else "one run"


def _collected(one: Sample) -> str:
    return f"collector {100 * one.collecting / one.seconds:.0f} %"


def taken(name: str, given: Sequence[str]) -> Sample:
    """Take one measure in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--take", name, *given]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return Sample(**json.loads(found.stdout))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scale", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--sizes", type=rising, help="machines, rising, by commas")
    parser.add_argument("--runs", type=int, help="how often each is measured (3; quick: 1)")
    parser.add_argument("--only", default="", help="measure only those whose name holds this: rollout")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--quick", action="store_true", help="small, once, and rates and growth not judged")
    parser.add_argument("--take", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = _parser().parse_args(argv)
    sizes: tuple[int, ...] = given.sizes or (QUICK_SIZES if given.quick else SIZES)
    every = {one.name: one for one in measures(sizes, quick=given.quick)}
    if given.take is not None:
        print(json.dumps(attrs.asdict(every[given.take].take())))
        return
    runs = given.runs or (1 if given.quick else 3)
    asked = [name for name in every if given.only in name]
    more = ["--sizes", ",".join(map(str, sizes)), *(["--quick"] if given.quick else [])]
    samples: dict[str, list[Sample]] = {name: [] for name in asked}
    for run in range(1, runs + 1):
        for name in asked:
            sample = taken(name, more)
            samples[name].append(sample)
            print(f"run {run} of {runs}: {name}: {sample.seconds:.1f} CPU s", file=sys.stderr, flush=True)
    table = tuple(rows(samples, judged=not given.quick))
    show(table, given.output, runs=runs)


if __name__ == "__main__":
    main()
