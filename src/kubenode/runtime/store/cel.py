"""CEL rules of a schema (`x-kubernetes-validations`), evaluated by the optional package cel-expr-python.

Without the package nothing is evaluated, and every rule is told as unchecked. So is one that the engine cannot
compile here. What Kubernetes adds to CEL is in `cel_library.py`.
Rules see a value as the server shows it: escaped names, no nulls, times as times. A value that has not changed is
not judged again, and a rule about `oldSelf` only where there is an old value.
"""

import importlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple

import attrs

from kubenode.core.model import Json
from kubenode.core.schema import NOWHERE, Cause
from kubenode.core.schema.walk import LIST_TYPE, NOTHING, RULES, child_schema, join, member
from kubenode.runtime.store.ownership import key_of

_ENVIRONMENT: Final = """
variables:
- {name: self, type_name: dyn}
- {name: oldSelf, type_name: dyn}
- {name: __old, type_name: dyn}
- {name: __has, type_name: bool}
extensions:
- {name: sets}
- {name: lists}
- {name: bindings}
- {name: two-var-comprehensions}
"""
_RESERVED: Final = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_REMEMBERED: Final = 4096
_OPTIONAL: Final = "cel.bind(oldSelf, __has ? optional.of(__old) : optional.none(), {rule})"
_LONGEST_MESSAGE: Final = 5 * 1024
_TEXT: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_OLD: Final = re.compile(r"\boldSelf\b")
_DURATION: Final = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:h|m|s|ms|us|ns))+", re.ASCII)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)", re.ASCII)
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_FAILURES: Final = (
    (re.compile(r'.*Key not found in map : "(.*)"'), r"no such key: \1"),
    (re.compile(r".*divide by zero"), "division by zero"),
    (re.compile(r".*Index error: index=(-?\d+).*"), r"index out of bounds: \1"),
)
_PREFIXES: Final = {"FieldValueForbidden": "Forbidden", "FieldValueRequired": "Required value"}


@attrs.frozen(kw_only=True)
class _Rule:
    """A compiled rule.

    Attributes:
        program: evaluates it.
        about_old: it names oldSelf, and is for values that have one.
        told: makes the message; None when it is fixed.
        known_by_value: verdicts are worth remembering. The engine compiles a pattern at each evaluation, which
            takes a millisecond for one with large counts, and the same labels come again and again.
    """

    program: Any
    told: Any
    about_old: bool
    known_by_value: bool
    text: str
    message: str
    reason: str
    field: str


class _Node(NamedTuple):
    """Where in a schema rules are, and below."""

    schema: Json
    rules: tuple[_Rule, ...]
    fields: dict[str, "_Node"]
    values: "_Node | None"
    items: "_Node | None"

    def __bool__(self) -> bool:
        return bool(self.rules or self.fields or self.values or self.items)


class _Times(NamedTuple):
    """How the engine is given times."""

    stamp: Callable[[], Any]
    span: Callable[[], Any]


class Laws:
    """The rules of one schema.

    Attributes:
        unchecked: those that are not evaluated, each as `path: rule`.
    """

    def __init__(self, schema: Json, *, evaluated: bool = True) -> None:
        self.unchecked: list[str] = []
        self._verdicts: dict[tuple[str, str], str | None] = {}
        engine = _engine() if evaluated else None
        self._environment: Any = engine[0] if engine is not None else None
        self._times: _Times | None = engine[1] if engine is not None else None
        self._root = self._node(schema, "")

    def faults(self, after: Json, before: Json | None) -> tuple[Cause, ...]:
        """Give what a new state breaks; of an earlier one, only where something has changed."""
        return tuple(self._judge(after, before, self._root, "")) if self._root else ()

    def _node(self, schema: Json, path: str) -> _Node:
        rules = [self._rule(rule, path) for rule in schema.get(RULES, ())]
        fields = {
            name: self._node(below, join(path, name))
            for name, below in schema.get("properties", NOTHING).items()
        }
        more, items = schema.get("additionalProperties"), schema.get("items")
        return _Node(
            schema=schema,
            rules=tuple(rule for rule in rules if rule is not None),
            fields={name: node for name, node in fields.items() if node},
            values=(self._node(more, f"{path}[*]") or None) if isinstance(more, dict) else None,
            items=(self._node(items, f"{path}[]") or None) if isinstance(items, dict) else None,
        )

    def _rule(self, rule: Json, path: str) -> _Rule | None:
        text = rule["rule"].strip()
        is_optional = bool(rule.get("optionalOldSelf"))
        program = self._compiled(_OPTIONAL.format(rule=text) if is_optional else text)
        expression = rule.get("messageExpression", "").strip()
        told = self._compiled(expression) if expression else None
        if program is None or (expression and told is None):
            self.unchecked.append(f"{path or 'the root'}: {rule['rule']}")
            return None
        about_old = bool(_OLD.search(_TEXT.sub("", text)))
        return _Rule(
            program=program, told=told, about_old=about_old and not is_optional,
            known_by_value="matches(" in text and not about_old, text=text, message=rule.get("message", "").strip(),
            reason=rule.get("reason", "FieldValueInvalid"), field=rule.get("fieldPath", ""),
        )  # fmt: skip

    def _compiled(self, text: str) -> Any:
        """Give a program; None when the engine cannot compile it, or there is none."""
        if self._environment is None:
            return None
        try:
            return self._environment.compile(text)
        except RuntimeError:  # the engine's word for what does not compile
            return None

    def _judge(self, value: Any, known: Any, node: _Node, path: str) -> Iterator[Cause]:
        if value is None or value is known:
            return
        if node.rules:
            yield from self._broken(value, known, node, path)
        if isinstance(value, dict):
            for name, inner in value.items():
                below, spelled = node.fields.get(name), join(path, name)
                if below is None and node.values is not None:
                    below, spelled = node.values, f"{path}[{name}]"
                if below is not None:
                    yield from self._judge(inner, member(known, name), below, spelled)
        elif isinstance(value, list) and node.items is not None:
            earlier = _by_key(known, node.schema)
            for at, inner in enumerate(value):
                old = earlier.get(key_of(inner, node.schema)) if earlier else None
                if old is None or old != inner:
                    yield from self._judge(inner, old, node.items, f"{path}[{at}]")

    def _broken(self, value: Any, known: Any, node: _Node, path: str) -> Iterator[Cause]:
        values = {"self": self._shown(value, node.schema), "__has": known is not None, "__old": None}
        if known is not None:
            values["oldSelf"] = values["__old"] = self._shown(known, node.schema)
        for rule in node.rules:
            if rule.about_old and known is None:
                continue
            failure = self._failure(rule, value, values)
            if failure is not None:
                message = _message(rule, values) if rule.told is not None and not failure else ""
                yield _cause(rule, value, node.schema, path, failure, message)

    def _failure(self, rule: _Rule, value: Any, values: dict[str, Any]) -> str | None:
        """Give None for a rule that holds, and why it could not be evaluated; empty when it is just broken."""
        if not rule.known_by_value:
            return _evaluated(rule, values)
        key = (rule.text, json.dumps(value, sort_keys=True))
        if key not in self._verdicts:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            self._verdicts[key] = _evaluated(rule, values)
        return self._verdicts[key]

    def _shown(self, value: Any, schema: Json) -> Any:
        """Give a value as rules see it."""
        if isinstance(value, dict):
            declared = schema.get("properties", NOTHING)
            return {
                spelled: self._shown(inner, child_schema(schema, name) or NOTHING)
                for name, inner in value.items()
                if inner is not None
                for spelled in (spellings(name) if name in declared else (name,))
            }
        if isinstance(value, list):
            below = schema.get("items", NOTHING)
            return [self._shown(inner, below) for inner in value if inner is not None]
        if schema.get("type") == "number" and not isinstance(value, str | bool):
            return float(value)
        if isinstance(value, str) and self._times is not None:
            return _timed(value, schema.get("format", ""), self._times)
        return value


def _engine() -> tuple[Any, _Times] | None:
    """Give the environment that rules are compiled in; None when the package is not installed."""
    try:
        cel = importlib.import_module("cel_expr_python.cel")
        strings = importlib.import_module("cel_expr_python.ext.ext_strings")
        optional = importlib.import_module("cel_expr_python.ext.ext_optional")
        library = importlib.import_module("kubenode.runtime.store.cel_library")
        stamp = importlib.import_module("google.protobuf.timestamp_pb2").Timestamp
        span = importlib.import_module("google.protobuf.duration_pb2").Duration
    except ModuleNotFoundError:
        return None
    config = cel.NewEnvConfigFromYaml(_ENVIRONMENT)
    # The engine's own extensions come first: only so can functions of ours join theirs of the same name.
    extensions = [strings.ExtStrings(), optional.ExtOptional(), library.extension(cel)]
    environment = cel.NewEnv(config=config, extensions=extensions)
    return environment, _Times(stamp, span)


def _evaluated(rule: _Rule, values: dict[str, Any]) -> str | None:
    found = rule.program.eval(data=values)
    if found.type().name() == "ERROR":
        return str(found.value())
    return None if found.value() is True else ""


def _message(rule: _Rule, values: dict[str, Any]) -> str:
    """Give the message that an expression makes; empty when it fails, or makes none that can be shown."""
    found = rule.told.eval(data=values)
    message = found.value() if found.type().name() == "STRING" else ""
    shown: str = message.strip()
    return "" if "\n" in shown or len(shown.encode()) > _LONGEST_MESSAGE else shown


def _by_key(known: Any, schema: Json) -> dict[str, Any]:
    """Give the items of an earlier list-map by their keys; other lists have no items to compare with."""
    if not isinstance(known, list) or schema.get(LIST_TYPE) != "map":
        return {}
    return {key_of(item, schema): item for item in known}


def spellings(name: str) -> tuple[str, ...]:
    """Give the names of a field in rules: escaped; a reserved word has two."""
    if name in _RESERVED:
        return name, f"__{name}__"
    for sign, word in (("__", "underscores"), (".", "dot"), ("-", "dash"), ("/", "slash")):
        name = name.replace(sign, f"__{word}__")
    return (name,)


def _timed(value: str, told: str, times: _Times) -> Any:
    """Give a text as a time when its format says so; one that cannot be read stays a text."""
    if told == "date-time":
        stamp = times.stamp()
        try:
            stamp.FromJsonString(value.upper())
        except ValueError:
            return value
        return stamp
    if told == "duration" and _DURATION.fullmatch(value):
        seconds = sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(value))
        span = times.span()
        span.FromTimedelta(timedelta(seconds=-seconds if value.startswith("-") else seconds))
        return span
    return value


def _pointed(path: str, pointer: str, schema: Json) -> str:
    """Give the place that a rule points to, below its own; a key of a map is written in brackets."""
    for name in pointer.split(".")[1:]:
        is_key = name not in schema.get("properties", NOTHING)
        schema = child_schema(schema, name) or NOTHING
        path = f"{path}[{name}]" if is_key else join(path, name)
    return path


def _cause(rule: _Rule, value: Any, schema: Json, path: str, failure: str, message: str) -> Cause:
    """Tell a broken rule in the server's words: the value only of scalars, and why it could not be evaluated."""
    field = _pointed(path, rule.field, schema) or NOWHERE
    if failure:
        for pattern, words in _FAILURES:
            failure = pattern.sub(words, failure)
        told = f'Invalid value: "{schema.get("type", "")}": {failure} evaluating rule: {rule.message or rule.text}'
        return Cause("FieldValueInvalid", told, field)
    message = message or rule.message or f"failed rule: {rule.text}"
    if rule.reason in _PREFIXES:
        return Cause(rule.reason, f"{_PREFIXES[rule.reason]}: {message}", field)
    shown = "" if isinstance(value, dict | list) else f"{json.dumps(value, ensure_ascii=False)}: "
    if rule.reason == "FieldValueDuplicate":  # the server has no message for it
        return Cause(rule.reason, f"Duplicate value: {shown}".removesuffix(": "), field)
    return Cause(rule.reason, f"Invalid value: {shown}{message}", field)
