"""What the tests of core do when nothing is mutated: which test executes which line, and how long it takes."""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

import attrs

from tests.mutation.rules import Mutant

ROOT = Path(__file__).resolve().parents[2]
QUICK, THOROUGH = "mutants", "ci"
"""Profiles of Hypothesis: of the first try, and of the second, which only survivors see."""


def installed() -> Path:
    """Give the folder of kubenode as it is installed here, without importing it."""
    spec = find_spec("kubenode")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@attrs.frozen(kw_only=True)
class Baseline:
    """One run of all tests of core.

    Attributes:
        lines: file -> line -> the tests (without their parameters) that execute it.
        early: file -> the lines that are executed while modules are imported and tests collected.
        seconds: by test, all its parameters together.
    """

    lines: Mapping[str, Mapping[int, frozenset[str]]]
    early: Mapping[str, frozenset[int]] = attrs.field(factory=dict)
    seconds: Mapping[str, float]

    def tests_of(self, file: Path, mutant: Mutant, *, within: float | None = None) -> tuple[str, ...]:
        """Name the tests that would notice, quickest first.

        Those that execute what is mutated; where nobody is seen to, as in the middle of a literal, those that
        execute its function; of what runs when the module is imported, those that execute anything of it, and
        those of its package, since a table may be read by name.

        Args:
            file: of the mutant.
            mutant: what is changed.
            within: give only as many as take so many seconds together.
        """
        of_file = self.lines.get(str(file), {})
        whole = (0, max(of_file, default=0))
        found = frozenset[str]()
        for first, last in (mutant.lines, mutant.body) if mutant.body else (whole,):
            inside = (tests for line, tests in of_file.items() if first <= line <= last)
            found = found or frozenset[str]().union(*inside)
        if mutant.body is None:
            found |= {test for test in self.seconds if is_near(file, test)}
        return self.quickest(found, within=within)

    def quickest(self, tests: Collection[str], *, within: float | None = None) -> tuple[str, ...]:
        """Give tests, quickest first; only as many as take so many seconds together."""
        ordered = sorted(tests, key=lambda test: (self.seconds.get(test, 0.0), test))
        ends = accumulate(self.seconds.get(test, 0.0) for test in ordered)
        return tuple(test for test, end in zip(ordered, ends, strict=True) if within is None or end <= within)

    def is_late(self, file: Path, mutant: Mutant) -> bool:
        """Tell whether the function that is mutated runs in tests alone, so that nothing imported depends on it."""
        if mutant.body is None:
            return False
        first, last = mutant.body
        return not any(first <= line <= last for line in self.early.get(str(file), ()))

    def limit(self, tests: Iterable[str]) -> int:
        """Give the seconds of a processor after which a run of these tests hangs."""
        return 20 + round(10 * sum(self.seconds.get(test, 0.0) for test in tests))


def is_near(file: Path, test: str) -> bool:
    """Tell whether a test is one of the package that a file is in."""
    place = file.stem if file.parent.name == "core" else file.parent.name
    return test.startswith((f"tests/core/{place}/", f"tests/core/test_{place}"))


def baseline(folder: Path) -> Baseline:
    """Read the run that a folder keeps; make it where there is none: unchanged, and with coverage by test.

    Raises:
        SystemExit: the tests do not pass: then nothing can be said of mutants.
    """
    from coverage import CoverageData

    data, durations = folder / "coverage", folder / "durations.json"
    if not durations.exists():
        _measure(data, durations)
    read = CoverageData(str(data))
    read.read()
    lines: dict[str, dict[int, frozenset[str]]] = {}
    early: dict[str, frozenset[int]] = {}
    for file in read.measured_files():
        by_line = read.contexts_by_lineno(file)
        lines[file] = {line: frozenset(_tests(contexts)) for line, contexts in by_line.items()}
        early[file] = frozenset(line for line, contexts in by_line.items() if "" in contexts)
    return Baseline(lines=lines, early=early, seconds=json.loads(durations.read_text()))


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
