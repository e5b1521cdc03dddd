"""YAML and JSON files as documents that know the line of each of their fields.

Values are taken as kubectl takes them: times stay text, `12:30` is text, `yes` is true. What is read here
was written by people, so every fault has its file and line, and a hostile file costs little.
"""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import yaml
from yaml.reader import ReaderError

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model import Json
from kubenode.core.reading import join

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_VALUES: Final = 200_000
"""Most values of one document, what aliases stand for counted each time."""
MAX_DEPTH: Final = 64
SUFFIXES: Final = (".yaml", ".yml", ".json")

_MARKER: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(?:(u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|.)", re.ASCII)
_TAG: Final = "tag:yaml.org,2002:"
_TRUE: Final = frozenset({"yes", "true", "on"})
_Base: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Tells plain scalars apart as kubectl does."""

    yaml_implicit_resolvers: dict[str, Any] = {}


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or kubectl would take for something else; writes a value that occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Answer yes, whatever it is: nobody wants anchors in a manifest."""
        return True


for _tag, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
              r"|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)", "-+0123456789."),
    ("merge", r"<<", "<"),
):  # fmt: skip
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(_TAG + _tag, re.compile(f"^(?:{_pattern})$", re.ASCII), list(_first))


def to_yaml(objects: Sequence[Json]) -> str:
    """Write objects as one YAML text, a document each."""
    return "---\n".join(
        yaml.dump(obj, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True) for obj in objects
    )


@attrs.frozen(kw_only=True)
class Document:
    """One object as it stands in a file.

    Attributes:
        lines: the line of each path, from 1; the empty path is the document's first.
    """

    raw: Json
    file: str
    lines: Mapping[str, int]

    def line(self, path: str) -> int:
        """Give the line of a path, or of the nearest parent that is there."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)


def read_documents(paths: Sequence[Path]) -> tuple[Document, ...]:
    """Read the documents of files, in order; of a folder, those of its YAML and JSON files by name.

    Raises:
        InvalidObjectError: with every fault of every file.
    """
    documents, problems = scan(paths)
    if problems:
        raise InvalidObjectError(tuple(problems))
    return tuple(documents)


def scan(paths: Sequence[Path]) -> tuple[list[Document], list[Problem]]:
    """Read what can be read, and tell what cannot."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        for file in _files(path):
            before = len(documents) + len(problems)
            for found in _file(file):
                if isinstance(found, Document):
                    documents.append(found)
                else:
                    problems.append(found)
            if len(documents) + len(problems) == before:
                problems.append(
                    Problem(
                        where="file", what="holds no object", fix="write one or leave it out", file=str(file)
                    )
                )
    return documents, problems


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file()) or [path]


def _file(path: Path) -> Iterator[Document | Problem]:
    """Give the documents and the faults of one file."""
    file = str(path)
    if path.is_dir():
        return
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        yield Problem(where="file", what="does not exist", fix="look at the path", file=file)
        return
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        yield Problem(where="file", what="is not UTF-8 text", fix="save it as UTF-8", file=file, line=line)
        return
    except OSError as error:
        yield Problem(where="file", what=f"cannot be read: {error.strerror}", file=file)
        return
    if len(data) > MAX_BYTES:
        yield Problem(where="file", what=f"has more than {MAX_BYTES} bytes", fix="split it", file=file)
        return
    yield from _json(text, file) if path.suffix == ".json" else _yaml(text, file)


def _json(text: str, file: str) -> Iterator[Document | Problem]:
    """JSON is judged by JSON's rules; YAML, which it nearly is, only tells the lines."""
    if not text.strip():
        return

    def constant(name: str) -> None:
        raise json.JSONDecodeError(f"{name} is no number", text, text.find(name))

    try:
        json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as error:
        yield Problem(where="JSON", what=error.msg, file=file, line=error.lineno)
        return
    except RecursionError:
        yield Problem(where="JSON", what="is nested too deep", file=file, line=1)
        return
    # A tab cannot stand in a JSON string, so all of them are blanks, which YAML wants to be spaces.
    # YAML has no pairs of surrogates.
    spaced = _ESCAPE.sub(lambda match: json.loads(f'"{match[0]}"') if match[1] else match[0], text)
    yield from _yaml_chunk(spaced.replace("\t", " "), 0, file)


def _yaml(text: str, file: str) -> Iterator[Document | Problem]:
    """Split at the markers first, so that a fault costs one document and not the rest of the file."""
    starts = [0, *(match.start() for match in _MARKER.finditer(text)), len(text)]
    for start, end in itertools.pairwise(starts):
        yield from _yaml_chunk(text[start:end], text.count("\n", 0, start), file)


def _yaml_chunk(text: str, offset: int, file: str) -> Iterator[Document | Problem]:
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            yield from _document(node, offset, file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what, fix = _explained(error, text)
        yield Problem(where="YAML", what=what, fix=fix, file=file, line=offset + mark.line + 1 if mark else 0)
    except ReaderError as error:
        line = offset + text.count("\n", 0, error.position) + 1
        what = f"holds the character U+{ord(text[error.position]):04X}, which YAML does not allow"
        yield Problem(where="YAML", what=what, fix="remove it", file=file, line=line)
    except RecursionError:
        yield Problem(where="YAML", what="is nested too deep", file=file, line=offset + 1)


def _explained(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """Say what YAML's own words mean, and what to do."""
    what = " ".join(part for part in (error.context, error.problem) if part) or "is no YAML"
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in what:
        return "a tab stands where only spaces may", "indent with spaces"
    if "undefined alias" in what:
        return what, "define the anchor above it, or put the value in quotes"
    if "mapping values are not allowed" in what:
        return what, "indent this line as deep as the fields beside it, or quote a value that holds ': '"
    return what, "compare the indentation and the quotes of this line with those above it"


def _document(node: yaml.Node | None, offset: int, file: str) -> Iterator[Document | Problem]:
    """Give the document of a YAML tree, or its faults; nothing for an empty one."""
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        return
    line = offset + node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        what = "a list" if isinstance(node, yaml.SequenceNode) else "plain text"
        fix = "write one object a document, separated by ---"
        yield Problem(where="document", what=f"is {what}, not an object", fix=fix, file=file, line=line)
        return
    builder = _Builder(file=file, offset=offset)
    try:
        raw = builder.value(node, "", 0)
    except _TooMuchError as error:
        yield Problem(where="document", what=str(error), fix="write it without aliases", file=file, line=line)
        return
    yield from builder.problems
    if not builder.problems:
        yield Document(raw=raw, file=file, lines=builder.lines)


class _TooMuchError(Exception):
    """Says that a document is larger or deeper than any object may be."""


@attrs.define(kw_only=True)
class _Builder:
    """Makes values of nodes, and notes where each stands."""

    file: str
    offset: int
    lines: dict[str, int] = attrs.field(factory=dict)
    problems: list[Problem] = attrs.field(factory=list)
    count: int = 0

    def value(self, node: yaml.Node, path: str, depth: int) -> Any:
        """Give the value of a node."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise _TooMuchError(f"stands for more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise _TooMuchError(f"is nested deeper than {MAX_DEPTH} levels")
        self.lines.setdefault(path, self._line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Json:
        made: Json = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            where = join(path, key)
            if key in made:
                first = self.lines.get(where, 0)
                self._wrong(key_node, where, f"stands here again, after line {first}", "keep one of the two")
                continue
            self.lines.setdefault(where, self._line(key_node))
            made[key] = self.value(value_node, where, depth + 1)
        for source in merged:
            made = self._merged(source, made, path, depth)
        return made

    def _merged(self, source: yaml.Node, made: Json, path: str, depth: int) -> Json:
        """Add what `<<` brings; a key that is there already stays."""
        if not isinstance(source, yaml.MappingNode):
            self._wrong(source, join(path, "<<"), "must be a mapping", "name an anchor of a mapping")
            return made
        brought = self.value(source, path, depth + 1)
        return {**made, **{key: value for key, value in brought.items() if key not in made}}

    def _key(self, node: yaml.Node, path: str) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}str":
            return str(node.value)
        shown = node.value if isinstance(node, yaml.ScalarNode) else "..."
        self._wrong(node, join(path, str(shown)), "the key is no string", f'put it in quotes: "{shown}":')
        return None

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        if kind in {"str", "timestamp"}:
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in _TRUE
        number = _number(text, kind)
        if number is None:
            self._wrong(node, path, f"{text!r} of type {node.tag} has no meaning here", "put it in quotes")
        return number

    def _wrong(self, node: yaml.Node, where: str, what: str, fix: str) -> None:
        self.problems.append(Problem(where=where, what=what, fix=fix, file=self.file, line=self._line(node)))

    def _line(self, node: yaml.Node) -> int:
        return int(self.offset + node.start_mark.line + 1)


def _number(text: str, kind: str) -> int | float | None:
    plain = text.replace("_", "").lower()
    try:
        if kind == "int":
            digits = plain.lstrip("+-")
            octal = digits.startswith("0") and digits.isdigit() and digits != "0"
            return int(plain.replace("0", "0o", 1) if octal else plain, 0)
        if kind == "float":
            number = float(plain)
            return number if math.isfinite(number) else None
    except ValueError:
        return None
    return None
