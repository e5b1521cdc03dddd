"""node-problem-detector's rule files for logs, as they are: `{"plugin": "kmsg", "conditions": [...], "rules": [...]}`.

What is permanent there is a condition here, with its names, and holds until the next boot: that format has no word for more.
What is temporary there is an event, which an agent may not write: it is told in the agent's log.
Source: kubernetes/node-problem-detector, pkg/systemlogmonitor.
"""

import enum
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from kubenode.core.detect.golang import at_end, compiled
from kubenode.core.detect.rules import KERNEL, NO_FAULT, DetectRule
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.meta import matches

_TYPE: Final = "^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$"
_REASON: Final = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
_LONGEST: Final = 128
_KERNEL: Final = "kernel"
"""What a journal's `source` is for lines of the kernel; or it has none."""


class Plugin(enum.Enum):
    """From where the lines come."""

    KMSG = "kmsg"
    JOURNALD = "journald"
    FILE = "filelog"


@attrs.frozen(kw_only=True)
class RuleFile:
    """What a rule file says.

    Attributes:
        identifier: of a journal: whose lines, by SYSLOG_IDENTIFIER; empty for the kernel's.
        path: of a file: where it is.
        message: of a file: what finds the message in a line, its last group.
        rules: the permanent ones.
        events: the temporary ones; their condition is empty.
    """

    plugin: Plugin
    identifier: str = ""
    path: str = ""
    message: re.Pattern[str] | None = None
    rules: tuple[DetectRule, ...] = ()
    events: tuple[DetectRule, ...] = ()

    @property
    def is_kernels(self) -> bool:
        """Whether the lines are the kernel's, so that only the kernel's word is believed."""
        return self.plugin is Plugin.KMSG or (self.plugin is Plugin.JOURNALD and not self.identifier)


def rule_file(raw: Any, name: str) -> RuleFile:
    """Read a rule file.

    Args:
        raw: what its JSON says.
        name: of the file, for what is told.

    Raises:
        InvalidObjectError: it is none; every problem at once.
    """
    if not isinstance(raw, Mapping):
        fix = '{"plugin": "kmsg", "rules": []}'
        raise InvalidObjectError((Problem(where="$", what="it is no object", fix=fix, file=name),))
    said = raw.get("plugin")
    plugin = next((one for one in Plugin if one.value == said), None)
    if plugin is None:
        fix = "kmsg, journald or filelog; what runs programs (custom) is not taken"
        raise InvalidObjectError((Problem(where="plugin", what=f"{said!r} is no log", fix=fix, file=name),))
    reading = _Reading(name)
    found = reading.file(raw, plugin)
    if reading.problems:
        raise InvalidObjectError(tuple(reading.problems))
    return found


class _Reading:
    """Reads one file, and gathers what is wrong with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.problems: list[Problem] = []

    def _wrong(self, where: str, what: str, fix: str = "") -> None:
        self.problems.append(Problem(where=where, what=what, fix=fix, file=self._name))

    def file(self, raw: Mapping[str, Any], plugin: Plugin) -> RuleFile:
        more = self._config(raw)
        source = str(more.get("source", "")) if plugin is Plugin.JOURNALD else ""
        found = RuleFile(
            plugin=plugin, identifier="" if source == _KERNEL else source,
            path=str(raw.get("logPath", "")) if plugin is Plugin.FILE else "",
            message=self._message(more) if plugin is Plugin.FILE else None,
        )  # fmt: skip
        if plugin is Plugin.FILE and not found.path.startswith("/"):
            self._wrong("logPath", f"{found.path!r} is no path from the root", "/var/log/kern.log")
        skips = self._skips(raw.get("skipList"))
        well = {str(one.get("type")): one for one in self._listed(raw, "conditions")}
        facility = KERNEL if found.is_kernels else None
        rules: list[DetectRule] = []
        events: list[DetectRule] = []
        for index, one in enumerate(self._listed(raw, "rules")):
            rule = self._rule(f"rules[{index}]", one, well, facility, skips)
            (rules if rule.condition else events).append(rule)
        return attrs.evolve(found, rules=tuple(rules), events=tuple(events))

    def _skips(self, held: Any) -> tuple[str, ...]:
        if held is not None and not (isinstance(held, list) and all(isinstance(one, str) for one in held)):
            self._wrong("skipList", "it is no list of text")
            return ()
        return tuple(held or ())

    def _listed(self, raw: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
        held = raw.get(name) or []
        if not isinstance(held, list) or not all(isinstance(one, Mapping) for one in held):
            self._wrong(name, "it is no list of objects")
            return []
        return held

    def _config(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        held = raw.get("pluginConfig") or {}
        if not isinstance(held, Mapping):
            self._wrong("pluginConfig", "it is no object")
            return {}
        return held

    def _message(self, more: Mapping[str, Any]) -> re.Pattern[str] | None:
        try:
            return compiled(str(more.get("message", "")))
        except ValueError as error:
            self._wrong("pluginConfig.message", str(error))
            return None

    def _rule(
        self, where: str, raw: Mapping[str, Any], well: Mapping[str, Mapping[str, Any]], facility: int | None,
        skips: tuple[str, ...],
    ) -> DetectRule:  # fmt: skip
        permanent = raw.get("type") == "permanent"
        if not permanent and raw.get("type") != "temporary":
            self._wrong(f"{where}.type", f"{raw.get('type')!r} is neither permanent nor temporary")
        condition, reason = str(raw.get("condition", "")) if permanent else "", str(raw.get("reason", ""))
        if permanent:
            self._word(f"{where}.condition", condition, _TYPE)
        self._word(f"{where}.reason", reason, _REASON)
        pattern = self._pattern(f"{where}.pattern", raw.get("pattern"))
        healthy = well.get(condition, {})
        said = str(healthy.get("reason", NO_FAULT))
        return DetectRule(
            condition=condition, reason=reason, pattern=pattern, facility=facility, skips=skips,
            well=said if len(said) <= _LONGEST and matches(_REASON, said) else NO_FAULT,
            well_message=str(healthy.get("message", "")),
        )  # fmt: skip

    def _pattern(self, where: str, text: Any) -> re.Pattern[str]:
        """Compile a pattern; of none at all nothing would be left but the end of a line, and every line has one."""
        if not isinstance(text, str) or not text:
            self._wrong(where, "it is no text, and without a pattern every line would be a fault")
            return re.compile("")
        try:
            return at_end(text)
        except ValueError as error:
            self._wrong(where, str(error))
            return re.compile("")

    def _word(self, where: str, word: str, pattern: str) -> None:
        if len(word) > _LONGEST or not matches(pattern, word):
            self._wrong(where, f"{word!r} is no word that a condition takes")
