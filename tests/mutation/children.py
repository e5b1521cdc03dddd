"""How a mutant is tried: in a fork, by the tests that execute it, quickest first, until one fails.

A mutant in a function that runs in tests alone is tried in a fork of a process that has collected the tests:
there the function gets the mutated code. Any other may be in tables and classes that were made of it by then,
so its fork begins before anything of kubenode is imported, and is served the mutated module.
"""

import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import attrs
import pytest

from tests.mutation.baseline import Baseline, is_near
from tests.mutation.rules import Mutant, mutated

BASE = [
    "-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov",
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
]  # fmt: skip
KILLED = {1, 2, 3, 4}
"""What pytest answers where a test failed, or where the mutant cannot even be imported."""


@attrs.frozen(kw_only=True)
class Job:
    """One mutant to be tried."""

    file: Path
    module: str
    mutant: Mutant | None
    """None: nothing is changed, and the tests have to pass."""
    tests: tuple[str, ...]

    def code(self) -> CodeType:
        """Compile the module with its change."""
        source = self.file.read_text()
        tree = ast.parse(source) if self.mutant is None else mutated(source, self.mutant.number)
        compiled: CodeType = compile(tree, str(self.file), "exec")
        return compiled


Begin = Callable[[Job, int], int | None]
"""Starts a child that tries a job, and gives its process id; None where it cannot be tried that way.

It may use so many seconds of a processor: one that hangs is ended by a signal, however busy the machine is. Its
exit status is as pytest's.
"""
NEAR_SECONDS = 2.0
MEMORY = 4 << 30
"""Most bytes of a child: a loop that never ends may also gather."""


def reimported(profile: str) -> Begin:
    """Try jobs in children that import the mutated module."""

    def begin(job: Job, seconds: int) -> int:
        return os.fork() or _leave(lambda: _run(job, profile), seconds)

    return begin


def _run(job: Job, profile: str) -> int:
    _be_quiet()
    _choose(profile)
    sys.meta_path.insert(0, _Served(job))
    return int(pytest.main([*BASE, *job.tests]))


class _Served(importlib.abc.MetaPathFinder, importlib.abc.Loader):
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
        exec(self._job.code(), module.__dict__)  # noqa: S102


class Collected:
    """A plugin of pytest: in place of the tests that were collected, it tries jobs."""

    def __init__(self, jobs: Sequence[Job], known: Baseline, workers: int) -> None:
        self._jobs, self._known, self._workers = jobs, known, workers
        self._items: dict[str, list[pytest.Item]] = defaultdict(list)
        self._live: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
        self.alive: list[int] = []
        self.unfit: list[int] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Fork a child for each job."""
        for item in session.items:
            self._items[item.nodeid.partition("[")[0]].append(item)
        for one in gc.get_objects():
            if isinstance(one, FunctionType):
                self._live[_place(one.__code__)].append(one)
        gc.freeze()
        number = {id(job): at for at, job in enumerate(self._jobs)}
        alive, unfit = tried(self._jobs, self._known, self._begin, workers=self._workers)
        self.alive, self.unfit = ([number[id(job)] for job in found] for found in (alive, unfit))
        return True

    def _begin(self, job: Job, seconds: int) -> int | None:
        swaps = () if job.mutant is None else self._swaps(job, job.mutant)
        if swaps is None:
            return None
        items = [item for test in job.tests for item in self._items[test]]
        return os.fork() or _leave(lambda: _swap_and_run(swaps, items), seconds)

    def _swaps(self, job: Job, mutant: Mutant) -> tuple[tuple[FunctionType, CodeType], ...] | None:
        """Give the functions that are mutated, and their new code; None where there are none, or it does not fit."""
        code = None if mutant.body is None else _function_at(job.code(), mutant.body[0])
        live = () if code is None else self._live.get(_place(code), ())
        if code is None or not live or any(one.__code__.co_freevars != code.co_freevars for one in live):
            return None
        return tuple((one, code) for one in live)


def _swap_and_run(swaps: Sequence[tuple[FunctionType, CodeType]], items: Sequence[pytest.Item]) -> int:
    for one, code in swaps:
        one.__code__ = code
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if item.session.testsfailed:
            return 1
    return 0


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_name, code.co_firstlineno


def _function_at(module: CodeType, line: int) -> CodeType | None:
    """Give the outermost function of a module that a line is in."""
    before = [code for code in _functions(module) if code.co_firstlineno <= line]
    return max(before, key=lambda code: code.co_firstlineno, default=None)


def _functions(outer: CodeType) -> Iterator[CodeType]:
    for code in outer.co_consts:
        if isinstance(code, CodeType) and not code.co_name.startswith("<"):
            is_class = not code.co_flags & 0x1  # CO_OPTIMIZED: the body of a function
            yield from _functions(code) if is_class else (code,)


def in_place(
    jobs: Sequence[Job], known: Baseline, profile: str, *, workers: int
) -> tuple[list[Job], list[Job]]:
    """Try jobs in forks of one process that has collected all their tests.

    Returns:
        Those that no test noticed, and those that cannot be tried so.

    Raises:
        SystemExit: the tests cannot be collected.
    """
    if not jobs:
        return [], []
    reading, writing = os.pipe()
    sys.stderr.flush()
    child = os.fork() or _leave(lambda: _serve(jobs, known, profile, workers, writing))
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    if status or not said:
        sys.exit(f"the tests cannot be collected to try mutants: {os.waitstatus_to_exitcode(status)}")
    alive, unfit = json.loads(said)
    return [jobs[at] for at in alive], [jobs[at] for at in unfit]


def _serve(jobs: Sequence[Job], known: Baseline, profile: str, workers: int, writing: int) -> int:
    _be_quiet()
    _choose(profile)
    plugin = Collected(jobs, known, workers)
    files = sorted({test.partition("::")[0] for job in jobs for test in job.tests})
    status = int(pytest.main([*BASE, "-s", *files], plugins=[plugin]))
    with os.fdopen(writing, "w") as answer:
        json.dump((plugin.alive, plugin.unfit), answer)
    return 0 if status in {0, 5} else status


def tried(
    jobs: Sequence[Job], known: Baseline, begin: Begin, *, workers: int, named: bool = True
) -> tuple[list[Job], list[Job]]:
    """Try every job, a few at once; tell how far it is, and name survivors unless they are tried again.

    Returns:
        Those that no test noticed, and those that could not be begun.

    Raises:
        SystemExit: a child answered what is neither yes nor no.
    """
    waiting, running = list(reversed(jobs)), dict[int, Job]()
    alive, unfit, done = list[Job](), list[Job](), 0
    while waiting or running:
        while waiting and len(running) < workers:
            job = waiting.pop()
            child = begin(job, known.limit(job.tests)) if job.tests else 0
            if child:
                running[child] = job
                continue
            (unfit if child is None else alive).append(job)
            done += 1
        if not running:
            continue
        child, status = os.waitpid(-1, 0)
        job = running.pop(child)
        if not _is_noticed(job, os.waitstatus_to_exitcode(status)):
            alive.append(job)
            if job.mutant is not None and named:
                _tell(f"  alive: {job.mutant.id}")
        done += 1
        if done % 50 == 0 or done == len(jobs):
            _tell(f"  {done}/{len(jobs)} tried, {len(alive)} alive")
    return alive, unfit


def _is_noticed(job: Job, code: int) -> bool:
    if code > 0 and code not in KILLED:
        sys.exit(f"{job}: pytest answered {code} to {' '.join(job.tests)}")
    return code != 0


_ERRORS = os.dup(2)
"""Where progress is told; children have no standard error."""


def _tell(text: str) -> None:
    os.write(_ERRORS, f"{text}\n".encode())


def _choose(profile: str) -> None:
    os.environ["HYPOTHESIS_PROFILE"] = profile
    os.environ.pop("CI", None)


def _be_quiet() -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def _leave(work: Callable[[], int], seconds: int | None = None) -> int:
    """Do the work of a forked child, and end it: nothing of its parent is to be cleaned up by it."""
    if seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    status = 3
    try:
        status = work()
    finally:
        os._exit(status)


def survivors_of(jobs: Sequence[Job], known: Baseline, profile: str, *, workers: int) -> list[Job]:
    """Try every job in the quickest way that shows it; give those that no test noticed.

    What is imported anew collects its tests anew, too: first a few of its own package, and all for who survives those.
    """
    late = [job for job in jobs if job.mutant is not None and known.is_late(job.file, job.mutant)]
    chosen = {id(job) for job in late}
    alive, unfit = in_place(late, known, profile, workers=workers)
    others = [job for job in jobs if id(job) not in chosen] + unfit
    if not others:
        return alive
    _tell(f"  {len(others)} are imported anew")
    near = [attrs.evolve(job, tests=_near(job, known)) for job in others]
    left = {job.mutant for job in tried(near, known, reimported(profile), workers=workers, named=False)[0]}
    again = [job for job in others if job.mutant in left]
    return alive + tried(again, known, reimported(profile), workers=workers)[0]


def _near(job: Job, known: Baseline) -> tuple[str, ...]:
    return known.quickest([test for test in job.tests if is_near(job.file, test)], within=NEAR_SECONDS)
