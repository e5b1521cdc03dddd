"""Selectors of labels and fields, as the API server reads them: `zone in (a,b),!spare`, `metadata.name!=x`.

Lives here: the two grammars, with the server's own refusals. Listings and watches ask `Selection.has`.
Source: apimachinery pkg/labels and pkg/fields, each case observed on kube-apiserver 1.36.
"""

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NoReturn

import attrs

from kubenode.core.model import Json
from kubenode.runtime.store import objectmeta, refusals
from kubenode.runtime.store.contract import Wanted
from kubenode.runtime.store.selectable import NAME

_REMEMBERED: Final = 256
_SPACE: Final = " \t\r\n"
_SPECIAL: Final = frozenset("=!(),><")
_SIGNS: Final = frozenset({")", ",", "!", "==", "=", ">", "<", "!=", "("})
_OPERATORS: Final = "in, notin, =, ==, !=, gt, lt"
_INT64: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


class Operator(enum.Enum):
    """How a label is compared."""

    EXISTS = "exists"
    ABSENT = "!"
    IN = "in"
    NOT_IN = "notin"
    GREATER = "gt"
    LESS = "lt"


_BY_SIGN: Final[Mapping[str, Operator]] = {
    "in": Operator.IN, "=": Operator.IN, "==": Operator.IN, "notin": Operator.NOT_IN, "!=": Operator.NOT_IN,
    ">": Operator.GREATER, "<": Operator.LESS,
}  # fmt: skip


@attrs.frozen
class Term:
    """One requirement on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet it."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.GREATER | Operator.LESS:
                (bound,) = map(int, self.values)
                number = _number(value)
                if number is None:
                    return False
                return number > bound if self.operator is Operator.GREATER else number < bound


@attrs.frozen
class FieldTerm:
    """One requirement on one field: equal to a value, or not."""

    field: str
    value: str
    equal: bool = True


@attrs.frozen(kw_only=True)
class Selection:
    """Which objects are wanted.

    Attributes:
        exact: labels with the value that each must have.
        terms: more requirements on labels.
        fields: requirements on fields, by the reader of each.
        name: the only name that can be wanted; None when it is not as simple as that.
        namespace: the one they are in; empty for any.
    """

    exact: Mapping[str, str]
    terms: tuple[Term, ...]
    fields: tuple[tuple[Callable[[Json], str], FieldTerm], ...]
    name: str | None
    namespace: str = ""

    @classmethod
    def of(
        cls, labels: Wanted, fields: Wanted, known: Mapping[str, Callable[[Json], str]], namespace: str = ""
    ) -> "Selection":
        """Make a selection.

        Args:
            labels: of the objects.
            fields: of the objects.
            known: the fields that the kind can be selected by, each with what reads it.
            namespace: of the objects; empty for any.

        Raises:
            Refused: a selector cannot be read, or a field cannot be selected by.
        """
        exact: Mapping[str, str] = {}
        terms: tuple[Term, ...] = ()
        if isinstance(labels, str):
            terms = parse_labels(labels)
        else:
            exact = labels or {}
        if isinstance(fields, str):
            asked = parse_fields(fields)
        else:
            asked = tuple(FieldTerm(field, value) for field, value in (fields or {}).items())
        for term in asked:
            if term.field not in known:
                raise refusals.bad_request(f"field label not supported: {term.field}")
        names = [term.value for term in asked if term.field == NAME and term.equal]
        return cls(
            exact=exact, terms=terms, fields=tuple((known[term.field], term) for term in asked),
            name=names[0] if names else None, namespace=namespace,
        )  # fmt: skip

    def __bool__(self) -> bool:
        return bool(self.namespace) or self.is_picky

    @property
    def is_picky(self) -> bool:
        """Tell whether it wants only some of what is in its namespace."""
        return bool(self.exact or self.terms or self.fields)

    def is_near(self, obj: Json) -> bool:
        """Tell whether an object is in the namespace."""
        return not self.namespace or obj["metadata"].get("namespace") == self.namespace

    def has(self, obj: Json) -> bool:
        """Tell whether an object is wanted."""
        labels = obj["metadata"].get("labels", {})
        return (
            self.is_near(obj)
            and (not self.exact or self.exact.items() <= labels.items())
            and all(term.fits(labels) for term in self.terms)
            and all((read(obj) == term.value) is term.equal for read, term in self.fields)
        )


@lru_cache(maxsize=_REMEMBERED)
def parse_labels(text: str) -> tuple[Term, ...]:
    """Read a selector of labels. Raises Refused."""
    return tuple(_Parser(text).terms())


@lru_cache(maxsize=_REMEMBERED)
def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    """Read a selector of fields. Raises Refused."""
    found = []
    for part in _parts(text):
        if not part:
            continue
        cut = _cut(part)
        if cut is None:
            raise refusals.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        field, sign, value = cut
        if field or value:
            found.append(FieldTerm(field, _unescaped(value), equal=sign != "!="))
    return tuple(found)


class _Parser:
    """Reads a selector of labels, word by word; a word is its text, and empty at the end."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), ""]
        self._at = 0

    def terms(self) -> Iterator[Term]:
        while True:
            word = self._next
            if not word:
                return
            if word != "!" and not _is_word(word):
                _refuse(f"found '{word}', expected: !, identifier, or 'end of string'")
            yield self._term()
            word = self._take()
            if not word:
                return
            if word != ",":
                _refuse(f"found '{word}', expected: ',' or 'end of string'")
            word = self._next
            if word != "!" and not _is_word(word):
                _refuse(f"found '{word}', expected: identifier after ','")

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        word = self._next
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return word

    def _term(self) -> Term:
        key = self._take()
        absent = key == "!"
        if absent:
            key = self._take()
        if not _is_word(key):
            _misfit(f"found '{key}', expected: identifier")
        faults = [cause.message for cause in objectmeta.qualified_name_faults(key, "", key)]
        if faults:
            lead, *more = faults
            told = [lead, *(fault.split(": ", 2)[2] for fault in more)]
            _misfit(f"<nil>: {'; '.join(told)}")
        if absent:
            return Term(key, Operator.ABSENT)
        if self._next in {"", ","}:
            return Term(key, Operator.EXISTS)
        sign = self._take()
        operator = _BY_SIGN.get(sign)
        if operator is None:
            _misfit(f"found '{sign}', expected: {_OPERATORS}")
        values = frozenset(self._values() if sign in {"in", "notin"} else (self._value(),))
        _check_values(key, operator, sorted(values))
        return Term(key, operator, values)

    def _value(self) -> str:
        if self._next in {"", ","}:
            return ""
        value = self._take()
        if not _is_word(value):
            _misfit(f"found '{value}', expected: identifier")
        return value

    def _values(self) -> Iterator[str]:
        opened = self._take()
        if opened != "(":
            _misfit(f"found '{opened}' expected: '('")
        if self._next not in {")", ","} and not _is_word(self._next):
            _misfit(f"found '{self._next}', expected: ',', ')' or identifier")
        empty = True  # nothing is named since the list, or the last comma, began
        while (word := self._take()) != ")":
            if word == ",":
                if empty:
                    yield ""
                empty = True
            elif not _is_word(word):
                _misfit(f"found '{word}', expected: ',', or identifier")
            else:
                yield word
                empty = False
                if self._next not in {",", ")"}:
                    _misfit(f"found '{self._next}', expected: ',' or ')'")
        if empty:
            yield ""


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        if text[at] in _SPACE:
            at += 1
            continue
        end = at + 1
        if text[at] in _SPECIAL:
            while text[at : end + 1] in _SIGNS and end < len(text):
                end += 1
        else:
            while end < len(text) and text[end] not in _SPECIAL and text[end] not in _SPACE:
                end += 1
        yield text[at:end]
        at = end


def _is_word(word: str) -> bool:
    return bool(word) and word[0] not in _SPECIAL


def _check_values(key: str, operator: Operator, values: list[str]) -> None:
    faults = []
    if operator in {Operator.GREATER, Operator.LESS}:
        text = "for 'Gt', 'Lt' operators, the value must be an integer"
        faults += [f'values[0]: Invalid value: "{each}": {text}' for each in values if _number(each) is None]
    for at, value in enumerate(values):
        faults += [f"values[{at}][{key}]: {cause.message}" for cause in objectmeta.value_faults(value, "")]
    if faults:
        _misfit(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _number(text: str | None) -> int | None:
    if text is None or not _INT64.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def _refuse(fault: str) -> NoReturn:
    raise refusals.bad_request(fault)


def _misfit(fault: str) -> NoReturn:
    raise refusals.bad_request(f"unable to parse requirement: {fault}")


def _parts(text: str) -> Iterator[str]:
    r"""Split at commas that are not escaped by `\`."""
    return iter(re.findall(r"(?:\\.|[^,\\]|\\$)+|(?<=,)(?=,)", text, re.DOTALL))


def _cut(part: str) -> tuple[str, str, str] | None:
    r"""Cut at the first `!=`, `==` or `=` that is not escaped."""
    found = re.match(r"((?:\\.|[^\\=!]|!(?!=))*)(!=|==|=)(.*)", part, re.DOTALL)
    return (found[1], found[2], found[3]) if found else None


def _unescaped(value: str) -> str:
    out, at = "", 0
    while at < len(value):
        char = value[at]
        if char == "\\":
            at += 1
            if value[at : at + 1] not in {"\\", ",", "="}:
                _refuse(f"invalid field selector: invalid escape sequence: \\{value[at : at + 1]}")
            char = value[at]
        elif char in ",=":
            _refuse(f"invalid field selector: unescaped character in value: {ord(char)}")
        out += char
        at += 1
    return out
