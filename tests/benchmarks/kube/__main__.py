"""kubenode against a real kube-apiserver, beside others on the same job: one command, one table of ratios.

    python -m tests.benchmarks.kube [--only contest] [--rounds 3] [--fleets 1000,2000,5000] [-o json] [--quick]

contest: N machines, each change of a spec answered by one status patch; by our engine through its public face, with recording,
metrics, expectations and notes on; by a bare asyncio loop; by a client-go controller (built here, needs Go); by kopf (needs the extra
`benchmark`). Each is a process of its own; CPU and memory are that process's, never the server's.
held: many machines, listed and held: memory of each, and what our listing costs.
upgrade: a component rolled out over fleets of several sizes, with simulated agents in another process: writes a machine by the server's
audit log, growth of our controller's CPU (1.00 is linear); and how long the fault of one machine waits for its first step.

The control plane is that of the tests, built once. All of it stands on the cores of one machine, so what can be compared are ratios of
one round, and CPU rather than rates.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.benchmarks.kube.measures import PARTS, QUICK, Sizes, Stage
from tests.benchmarks.rows import Row, rising, show
from tests.cluster.build import control_plane_binaries

FULL = Sizes()


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


async def measured(given: argparse.Namespace) -> list[Row]:
    """Measure what is asked for."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)  # type: ignore[union-attr]
    asked = {name: getattr(given, name) for name in ("contest", "rounds", "held", "fleets", "faults")}
    sizes = attrs.evolve(
        QUICK if given.quick else FULL, **{name: value for name, value in asked.items() if value is not None}
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(binaries=control_plane_binaries(), folder=Path(folder), sizes=sizes, say=say)
        for name, part in PARTS.items():
            if given.only in name:
                rows += await part(stage)
    return [attrs.evolve(row, met=None) for row in rows] if given.quick else rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.kube", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    number = {"type": int, "metavar": "N"}
    parser.add_argument(
        "--contest", **number, help=f"objects of the contest ({FULL.contest:,}; quick: {QUICK.contest})"
    )
    parser.add_argument(
        "--held", **number, help=f"objects that are listed and held ({FULL.held:,}; quick: {QUICK.held})"
    )
    parser.add_argument("--rounds", **number, help=f"of both ({FULL.rounds}; quick: {QUICK.rounds})")
    parser.add_argument(
        "--fleets",
        type=rising,
        help="machines of the upgrades, rising, by commas (1000,2000,5000; quick: 4,8)",
    )
    parser.add_argument(
        "--faults", **number, help=f"machines that hang ({FULL.faults}; quick: {QUICK.faults})"
    )
    parser.add_argument(
        "--only", default="", help=f"measure only those whose name holds this: {', '.join(PARTS)}"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument(
        "--quick", action="store_true", help="small, once, and nothing judged: shows that it runs"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = _parser().parse_args(argv)
    show(asyncio.run(measured(given)), given.output)


if __name__ == "__main__":
    main()
