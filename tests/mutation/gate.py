"""Runs the tests of core on every mutant of the deciders; what survives must be listed, with a reason.

    python tests/mutation/gate.py                        all of it
    python tests/mutation/gate.py --only risk,remedy     some packages of core
    python tests/mutation/gate.py --sample 150 --seed 7  so many, drawn by the seed
    python tests/mutation/gate.py -o json                one document

A baseline run records which test executes which line and how long it takes. A mutant is a fork of a process
that has imported what is no part of kubenode; it runs the tests that execute the mutated lines, quickest
first, until one fails. One that survives is tried again with more examples. Exit status 1: a survivor is not
listed, a listed one is killed or gone, or more than 2 % survive.
"""

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.mutation.rules import Mutant, mutants, mutated  # noqa: E402

CORE = ROOT / "src" / "kubenode" / "core"
SCOPE = (
    "accept", "detect", "health", "host", "machine", "machineset", "node", "policy.py", "remedy", "risk", "rollout",
)  # fmt: skip
"""The packages and modules of core that decide."""
SURVIVORS = Path(__file__).with_name("survivors.toml")
MOST = 0.02
QUICK, THOROUGH = "mutants", "ci"
"""Profiles of Hypothesis: of the first try, and of the second, which only survivors see."""
BASE = [
    "-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov",
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
]  # fmt: skip
KILLED = {1, 2, 3, 4}
"""What pytest answers where a test failed, or where the mutant cannot even be imported."""


@attrs.frozen(kw_only=True)
class Baseline:
    """What the tests of core do when nothing is mutated.

    Attributes:
        lines: file -> line -> the tests (without their parameters) that execute it.
        seconds: by test, all its parameters together.
    """

    lines: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]

    def tests_of(self, file: Path, mutant: Mutant) -> list[str]:
        """Name the tests that would notice, quickest first."""
        of_file = self.lines.get(str(file), {})
        first, last = (0, max(of_file, default=0)) if mutant.at_import else mutant.lines
        found = frozenset[str]().union(*(tests for line, tests in of_file.items() if first <= line <= last))
        return sorted(found, key=lambda test: (self.seconds.get(test, 0.0), test))

    def limit(self, tests: Iterable[str]) -> float:
        """Give the seconds after which a run of these tests hangs."""
        return 30.0 + 10 * sum(self.seconds.get(test, 0.0) for test in tests)


@attrs.frozen(kw_only=True)
class Job:
    """One mutant to be tried."""

    file: Path
    module: str
    mutant: Mutant | None
    """None: nothing is changed, and the tests have to pass."""
    tests: tuple[str, ...]


def baseline(folder: Path) -> Baseline:
    """Run the tests of core once, unchanged and with coverage by test.

    Raises:
        SystemExit: they do not pass: then nothing can be said of mutants.
    """
    from coverage import CoverageData

    data, durations = folder / "coverage", folder / "durations.json"
    if not durations.exists():
        _measure(data, durations)
    read = CoverageData(str(data))
    read.read()
    lines: dict[str, dict[int, frozenset[str]]] = {}
    for file in read.measured_files():
        by_line = read.contexts_by_lineno(file)
        lines[file] = {line: frozenset(_tests(contexts)) for line, contexts in by_line.items()}
    return Baseline(lines=lines, seconds=json.loads(durations.read_text()))


def _measure(data: Path, durations: Path) -> None:
    env = {
        **os.environ,
        "COVERAGE_FILE": str(data),
        "HYPOTHESIS_PROFILE": QUICK,
        "KUBENODE_DURATIONS": str(durations),
    }
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.mutation.durations",
        "--cov=kubenode.core", "--cov-context=test", "--cov-report=", "tests/core",
    ]  # fmt: skip
    if subprocess.run(command, cwd=ROOT, env=env, check=False, stdout=sys.stderr).returncode != 0:
        sys.exit("the tests of core do not pass; fix: mend them first")


def _tests(contexts: Iterable[str]) -> Iterator[str]:
    for context in contexts:
        if context:  # "tests/core/test_x.py::test_y[1]|run"
            yield context.rpartition("|")[0].partition("[")[0]


class Served(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves one module from a mutated tree; everything else is found as ever."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Serve the mutated module, and no other."""
        if name != self._job.module:
            return None
        return importlib.util.spec_from_file_location(name, self._job.file, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutated tree in place of the source."""
        source = self._job.file.read_text()
        tree = ast.parse(source) if self._job.mutant is None else mutated(source, self._job.mutant.number)
        exec(compile(tree, str(self._job.file), "exec"), module.__dict__)  # noqa: S102


def _begin(job: Job, profile: str) -> int:
    """Fork a child that runs the job's tests; its exit status is pytest's."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.environ["HYPOTHESIS_PROFILE"] = profile
    os.environ.pop("CI", None)
    sys.meta_path.insert(0, Served(job))
    status = 3
    try:
        import pytest

        status = int(pytest.main([*BASE, *job.tests]))
    finally:
        os._exit(status)


def survivors_of(jobs: Sequence[Job], known: Baseline, profile: str, *, workers: int) -> list[Job]:
    """Try every job, a few at once; give those that no test noticed.

    Raises:
        SystemExit: a child answered what is neither yes nor no.
    """
    waiting, running, alive = list(reversed(jobs)), dict[int, tuple[Job, float]](), list[Job]()
    done = 0
    while waiting or running:
        while waiting and len(running) < workers:
            job = waiting.pop()
            if not job.tests:
                alive.append(job)
                done += 1
                continue
            running[_begin(job, profile)] = (job, time.monotonic() + known.limit(job.tests))
        child, status = os.waitpid(-1, os.WNOHANG) if running else (0, 0)
        if child:
            job, _ = running.pop(child)
            code = os.waitstatus_to_exitcode(status)
            if code == 0:
                alive.append(job)
            elif code >= 0 and code not in KILLED:
                sys.exit(f"{job}: pytest answered {code} to {' '.join(job.tests)}")
            done += 1
            if done % 25 == 0 or done == len(jobs):
                print(f"  {done}/{len(jobs)} tried, {len(alive)} alive", file=sys.stderr, flush=True)
            continue
        for late in [pid for pid, (_, until) in running.items() if time.monotonic() > until]:
            os.killpg(late, signal.SIGKILL)  # it hangs: noticed
        time.sleep(0.01)
    return alive


def jobs_of(only: Sequence[str], known: Baseline) -> list[Job]:
    """Make the jobs of all mutants in scope."""
    found = []
    for name in only:
        place = CORE / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            module = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
            for mutant in mutants(file.read_text(), module):
                tests = tuple(known.tests_of(file, mutant))
                found.append(Job(file=file, module=module, mutant=mutant, tests=tests))
    return found


def control(jobs: Sequence[Job], known: Baseline, *, workers: int) -> None:
    """Run what mutants run, with nothing changed: where that fails, every mutant would seem to be noticed.

    Raises:
        SystemExit: a module's tests fail although nothing is changed.
    """
    tests: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for job in jobs:
        tests[job.file, job.module].update(job.tests)
    unchanged = [
        Job(file=file, module=module, mutant=None, tests=tuple(sorted(names)))
        for (file, module), names in tests.items()
    ]
    passed = survivors_of(unchanged, known, QUICK, workers=workers)
    failed = sorted({job.module for job in unchanged} - {job.module for job in passed})
    if failed:
        sys.exit(f"the tests fail in a child although nothing is changed: {', '.join(failed)}")


@attrs.frozen(kw_only=True)
class Verdict:
    """What the gate says.

    Attributes:
        tried: how many mutants of each package were tried.
        alive: ids of those that survived.
        unlisted: survivors without a reason.
        stale: listed, and killed or no longer there.
    """

    tried: Mapping[str, int]
    alive: tuple[str, ...]
    unlisted: tuple[str, ...]
    stale: tuple[str, ...]

    @property
    def share(self) -> float:
        """Give how many of the tried survived, 0 to 1."""
        return len(self.alive) / max(1, sum(self.tried.values()))

    @property
    def passed(self) -> bool:
        """Tell whether every survivor has a reason, every reason a survivor, and they are few."""
        return not self.unlisted and not self.stale and self.share <= MOST


def judge(
    tried: Sequence[str], alive: Iterable[str], reasons: Mapping[str, str], *, whole: Sequence[str]
) -> Verdict:
    """Compare what survived with what is listed.

    Args:
        tried: ids of the mutants that were tried.
        alive: ids of those that survived.
        reasons: by id, as listed.
        whole: packages all of whose mutants were tried: of these a listed id that is not there is stale.
    """
    by_package: dict[str, int] = defaultdict(int)
    for one in tried:
        by_package[package_of(one)] += 1
    living, there = set(alive), set(tried)
    stale = sorted(one for one in reasons if one not in living and (one in there or package_of(one) in whole))
    return Verdict(
        tried=dict(sorted(by_package.items())), alive=tuple(sorted(living)),
        unlisted=tuple(sorted(living - set(reasons))), stale=tuple(stale),
    )  # fmt: skip


def package_of(mutant_id: str) -> str:
    """Give the package of core, such as `risk`, of a mutant's id."""
    return mutant_id.partition(":")[0].split(".")[2]


def listed() -> dict[str, str]:
    """Read the survivors that have a reason."""
    entries = tomllib.loads(SURVIVORS.read_text()).get("survivor", []) if SURVIVORS.exists() else []
    return {entry["id"]: entry["reason"] for entry in entries}


def _warm_up() -> None:
    """Import what every child needs and no mutant can change."""
    import _pytest.assertion.rewrite
    import cattrs
    import hypothesis.strategies
    import pluggy
    import pytest
    import yaml

    assert all((_pytest.assertion.rewrite, cattrs, hypothesis.strategies, pluggy, pytest, yaml))
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
    jobs = jobs_of(options.only.split(","), known)
    whole: list[str] = [name.removesuffix(".py") for name in options.only.split(",")]
    if options.sample is not None and options.sample < len(jobs):
        jobs, whole = random.Random(options.seed).sample(jobs, options.sample), []
    print("control: nothing changed", file=sys.stderr, flush=True)
    control(jobs, known, workers=options.workers)
    print(f"{len(jobs)} mutants", file=sys.stderr, flush=True)
    alive = survivors_of(jobs, known, QUICK, workers=options.workers)
    alive = survivors_of(alive, known, THOROUGH, workers=options.workers) if alive else []
    verdict = judge(_ids(jobs), _ids(alive), listed(), whole=whole)
    _say(verdict, options.output)
    return 0 if verdict.passed else 1


def _ids(jobs: Iterable[Job]) -> list[str]:
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
        f"{len(verdict.alive)} survive, {verdict.share:.1%} (at most {MOST:.0%}): {'passed' if verdict.passed else 'failed'}"
    )


if __name__ == "__main__":
    sys.exit(main())
