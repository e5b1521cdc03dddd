"""Runs the tests of core on every mutant of the deciders; what survives must be listed, with a reason.

    python tests/mutation/gate.py                        all of it
    python tests/mutation/gate.py --only risk,remedy     some packages of core
    python tests/mutation/gate.py --sample 150 --seed 7  so many, drawn by the seed
    python tests/mutation/gate.py --quick 5              by the quickest tests alone, while you write some
    python tests/mutation/gate.py -o json                one document

A baseline run records which test executes which line and how long it takes; the suite's own run, by
`.ci/run`, will do as one. Each mutant is tried in a fork by the tests that execute it, and tried again with
more examples if it survives. Exit status 1: a survivor is not listed, a listed one is killed or gone, or more
than 2 % survive.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.mutation.baseline import QUICK, ROOT, THOROUGH, Baseline, baseline, installed
from tests.mutation.children import Job, in_place, reimported, survivors_of, tried
from tests.mutation.rules import mutants
from tests.mutation.verdict import MOST, Verdict, judge, listed, package_of

SCOPE = (
    "accept", "detect", "doctor", "drift", "enrol", "external", "health", "heard.py", "host", "instance", "machine", "machineset", "node", "policy.py", "remedy", "risk", "rollout",
)  # fmt: skip
"""The packages and modules of core that decide."""
LISTED_SECONDS = 5.0


def files_of(only: Iterable[str]) -> list[tuple[Path, str]]:
    """Give the files of some packages, and the names of their modules."""
    root = installed()
    places = [root / "core" / name for name in only]
    files = [
        file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    ]
    return [(file, ".".join(file.relative_to(root.parent).with_suffix("").parts)) for file in files]


def jobs_of(only: Iterable[str], known: Baseline, within: float | None = None) -> list[Job]:
    """Make the jobs of all mutants in scope.

    Args:
        only: packages and modules of core.
        known: gives each the tests that execute it.
        within: take the quickest of these, for so many seconds together. Those that are listed survive, and take
            longest: for them it is never more than LISTED_SECONDS, enough to see that a test notices one by now.
    """
    reasons = listed()
    jobs = []
    for file, module in files_of(only):
        for mutant in mutants(file.read_text(), module):
            most = LISTED_SECONDS if mutant.id in reasons and within is None else within
            tests = known.tests_of(file, mutant, within=most)
            jobs.append(Job(file=file, module=module, mutant=mutant, tests=tests))
    return jobs


def control(jobs: Sequence[Job], known: Baseline, *, workers: int) -> None:
    """Run what mutants run, with nothing changed: where that fails, every mutant would seem to be noticed.

    In place, all the tests in the order of mutants; anew, the quickest tests of each module.

    Raises:
        SystemExit: tests fail although nothing is changed.
    """
    everything = known.quickest(frozenset(test for job in jobs for test in job.tests))
    alive, _ = in_place([Job(file=ROOT, module="", mutant=None, tests=everything)], known, QUICK, workers=1)
    if not alive:
        sys.exit("the tests fail in a child although nothing is changed")
    tests: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for job in jobs:
        tests[job.file, job.module].update(job.tests)
    unchanged = [
        Job(file=file, module=module, mutant=None, tests=known.quickest(names, within=1.0))
        for (file, module), names in tests.items()
    ]
    passed, _ = tried(unchanged, known, reimported(QUICK), workers=workers)
    failed = sorted({job.module for job in unchanged} - {job.module for job in passed})
    if failed:
        sys.exit(f"the tests fail in a child although nothing is changed: {', '.join(failed)}")


def _warm_up() -> None:
    """Import what every child needs and no mutant can change."""
    import _pytest.assertion.rewrite
    import cattrs
    import hypothesis.strategies
    import pluggy
    import yaml

    assert all((_pytest.assertion.rewrite, cattrs, hypothesis.strategies, pluggy, yaml))
    assert not any(name.partition(".")[0] == "kubenode" for name in sys.modules), "a mutant would not be seen"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="python tests/mutation/gate.py --only risk --sample 100",
    )
    parser.add_argument("--only", default=",".join(SCOPE), help="packages of core, with commas")
    parser.add_argument("--sample", type=int, help="try so many, drawn by the seed")
    parser.add_argument("--seed", default="0")
    parser.add_argument(
        "--quick", type=float, metavar="SECONDS",
        help="one try, by the quickest tests that take so long together: what survives may be noticed by slower ones",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", type=Path, help="a folder that keeps the baseline; used again when it is there"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return parser.parse_args()


def main() -> int:
    """Run the gate; give its exit status."""
    options = _arguments()
    os.chdir(ROOT)
    if options.baseline is not None:
        options.baseline.mkdir(parents=True, exist_ok=True)
        known = baseline(options.baseline)
    else:
        with tempfile.TemporaryDirectory() as folder:
            known = baseline(Path(folder))
    _warm_up()
    only = options.only.split(",")
    jobs, whole = jobs_of(only, known, options.quick), [name.removesuffix(".py") for name in only]
    if options.sample is not None and options.sample < len(jobs):
        jobs, whole = random.Random(options.seed).sample(jobs, options.sample), []
    print(
        f"control of {len({job.module for job in jobs})} modules: nothing changed",
        file=sys.stderr,
        flush=True,
    )
    control(jobs, known, workers=options.workers)
    print(f"{len(jobs)} mutants", file=sys.stderr, flush=True)
    alive = survivors_of(jobs, known, QUICK, workers=options.workers)
    if options.quick is None:
        reasons = listed()
        expected = [job for job in alive if set(ids([job])) & set(reasons)]
        others = [job for job in alive if not set(ids([job])) & set(reasons)]
        alive = expected + survivors_of(others, known, THOROUGH, workers=options.workers)
    verdict = judge(ids(jobs), ids(alive), listed(), whole=whole)
    _say(verdict, options.output)
    return 0 if verdict.passed else 1


def ids(jobs: Iterable[Job]) -> list[str]:
    """Name the mutants of jobs."""
    return [job.mutant.id for job in jobs if job.mutant is not None]


def _say(verdict: Verdict, output: str) -> None:
    document: dict[str, Any] = {
        "passed": verdict.passed, "tried": verdict.tried, "alive": verdict.alive, "unlisted": verdict.unlisted,
        "stale": verdict.stale, "share": round(verdict.share, 4),
    }  # fmt: skip
    if output == "json":
        print(json.dumps(document, indent=2))
        return
    for package, count in verdict.tried.items():
        dead = count - sum(1 for one in verdict.alive if package_of(one) == package)
        print(f"{package:12} {dead:5} of {count:5} noticed")
    for one in verdict.unlisted:
        print(
            f"survives: {one}\n  fix: test what it breaks, or list it in tests/mutation/survivors.toml with a reason"
        )
    for one in verdict.stale:
        print(f"listed, and noticed or gone: {one}\n  fix: take it off the list")
    print(
        f"{len(verdict.alive)} survive, {verdict.share:.1%} (at most {MOST:.0%} of the whole): {'passed' if verdict.passed else 'failed'}"
    )


if __name__ == "__main__":
    sys.exit(main())
