"""What the detector of a host is told: which log is the kernel's, and which rule files it takes besides its own rules."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.core.detect.clock import CLOCK
from kubenode.core.detect.decide import FLOOD
from kubenode.core.detect.facts import SERVICES
from kubenode.core.detect.npd import Plugin, RuleFile, rule_file
from kubenode.core.detect.rules import KERNEL, OF_HOSTS, DetectRule, types_of
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime.clock import Clock
from kubenode.runtime.detector.detector import Detector, WatchedLog
from kubenode.runtime.detector.journald import Journald
from kubenode.runtime.detector.kept import KeptDetector
from kubenode.runtime.detector.kmsg import KMSG, Kmsg
from kubenode.runtime.detector.logfile import LogFile
from kubenode.runtime.detector.look import HostLook
from kubenode.runtime.detector.source import Source

JOURNAL: Final = "journald"
_FORMERLY: Final = "kernel"
"""The name by which 0.x kept what is known of the kernel's log, wherever that was read."""
MOST_CONDITIONS: Final = 32
"""As many as a Machine's status takes."""
_LARGEST: Final = 1 << 20
_USER: Final = 1


@attrs.frozen(kw_only=True)
class Detecting:
    """What a detector is told.

    Attributes:
        kernel_log: where the kernel's lines are read: /dev/kmsg, the word journald, or another file.
        rule_files: node-problem-detector's, for logs; of a folder every `*.json` in it.
    """

    kernel_log: str = str(KMSG)
    rule_files: tuple[Path, ...] = ()


def detector(
    wanted: Detecting, boot_id: str, state: Path, clock: Clock, told: Callable[[], None], *, root: Path,
    unit: Callable[[str], str | None],
) -> Detector:  # fmt: skip
    """Make the detector of this host; inert until it runs.

    Args:
        wanted: what it is told.
        boot_id: of this boot.
        state: the agent's own folder.
        clock: for the moment of a decision.
        told: is called when the conditions are others.
        root: where the host's files are.
        unit: gives the state of a unit; raises KubenodeError when nobody can tell.

    Raises:
        InvalidObjectError: a rule file is none, or there are more conditions than a Machine takes.
    """
    logs = _logs(wanted, read_rules(wanted.rule_files), root, clock)
    return Detector(logs, boot_id, KeptDetector(state), HostLook(root, unit), clock, told)


def read_rules(paths: Sequence[Path]) -> tuple[RuleFile, ...]:
    """Read rule files, and those in folders, by name. Raises InvalidObjectError, with the problems of all of them."""
    found: list[RuleFile] = []
    problems: list[Problem] = []
    for path in (file for named in paths for file in _files(named)):
        try:
            found.append(rule_file(_json(path), str(path)))
        except InvalidObjectError as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidObjectError(tuple(problems))
    return tuple(found)


def _files(path: Path) -> Sequence[Path]:
    """Give the rule files of a folder; what is none is one itself."""
    return sorted(path.glob("*.json")) if path.is_dir() else (path,)


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        return json.loads(raw if len(raw) <= _LARGEST else b"")
    except (OSError, ValueError, RecursionError) as error:
        problem = Problem(where=str(path), what=f"it cannot be read: {error}", fix="a rule file in JSON")
        raise InvalidObjectError((problem,)) from error


def _logs(wanted: Detecting, files: Sequence[RuleFile], root: Path, clock: Clock) -> tuple[WatchedLog, ...]:
    """Put the rules of one log together: the kernel's are with our own, wherever a rule file would read them."""
    ours = [one for one in files if one.is_kernels]
    logs = [WatchedLog(
        name=_name(wanted.kernel_log), formerly=_FORMERLY, source=_kernel(wanted.kernel_log, root, clock), services=SERVICES,
        rules=(*OF_HOSTS, *_rules(ours)), events=_events(ours),
    )]  # fmt: skip
    others: dict[str, list[RuleFile]] = {}
    for one in files:
        if not one.is_kernels:
            others.setdefault(f"{one.plugin.value} {one.identifier or one.path} {_pattern(one)}", []).append(
                one
            )
    for name, same in others.items():
        logs.append(WatchedLog(
            name=name, source=_source(same[0], root, clock), rules=_rules(same), events=_events(same)
        ))  # fmt: skip
    types = types_of(rule for log in logs for rule in log.rules)
    if len({*types, *(one.condition for one in SERVICES), FLOOD, CLOCK}) > MOST_CONDITIONS:
        what = f"{len(types)} conditions are more than a Machine takes"
        raise InvalidObjectError((Problem(where="rule files", what=what, fix=f"{MOST_CONDITIONS} at most"),))
    return tuple(logs)


def _pattern(one: RuleFile) -> str:
    return one.message.pattern if one.message is not None else ""


def _rules(files: Sequence[RuleFile]) -> tuple[DetectRule, ...]:
    return tuple(rule for one in files for rule in one.rules)


def _events(files: Sequence[RuleFile]) -> tuple[DetectRule, ...]:
    return tuple(rule for one in files for rule in one.events)


def _name(where: str) -> str:
    """Name the kernel's log by its source: one's numbers and positions say nothing of another's."""
    return f"kernel:{where if where == JOURNAL else '/' + where.lstrip('/')}"


def _kernel(where: str, root: Path, clock: Clock) -> Source:
    if where == JOURNAL:
        return Journald()
    path = root / where.lstrip("/")
    if where == str(KMSG):
        return Kmsg(path)
    return LogFile(path, lambda: clock.now().elapsed, facility=KERNEL)


def _source(one: RuleFile, root: Path, clock: Clock) -> Source:
    if one.plugin is Plugin.JOURNALD:
        return Journald(one.identifier)
    return LogFile(
        root / one.path.lstrip("/"), lambda: clock.now().elapsed, message=one.message, facility=_USER
    )  # fmt: skip
