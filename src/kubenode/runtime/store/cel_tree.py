"""Checked CEL expressions as trees, read from the bytes that the engine gives of one.

The format is cel.expr.CheckedExpr (cel-spec, proto/cel/expr/checked.proto); only what costs depend on is kept.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import attrs

_PRIMITIVES: Final = ("", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN: Final = ("", "any", "timestamp", "duration")
_SIMPLE: Final[Mapping[int, str]] = MappingProxyType(
    {1: "dyn", 2: "null", 8: "function", 10: "param", 11: "type", 12: "error"}
)
_CONSTANTS: Final[Mapping[int, str]] = MappingProxyType({
    1: "null", 2: "bool", 3: "int", 4: "uint", 5: "double", 6: "string", 7: "bytes", 8: "duration", 9: "timestamp",
})  # fmt: skip


@attrs.frozen(kw_only=True)
class Type:
    """The type of an expression: `list` and `map` have parameters, `struct` and `opaque` a name."""

    kind: str
    name: str = ""
    parameters: tuple["Type", ...] = ()


DYN: Final = Type(kind="dyn")


@attrs.frozen(kw_only=True, eq=False)
class Node:
    """One expression.

    Attributes:
        id: by which types and overloads are looked up.
        kind: `const`, `ident`, `select`, `call`, `list`, `map`, `struct` or `comprehension`.
        name: of an identifier, a field or a function; of a constant its type, or `true` or `false`.
        length: how many characters or bytes a constant text has.
        number: a constant whole number; None for all else.
        is_test: a select that only asks whether there is a field.
        target: what a field or a member function is of.
        args: of a call; the elements of a list; keys and values of a map in turn; the values of a struct; range,
            start, condition, step and result of a comprehension.
        variables: of a comprehension: for each element, for the result, and for the value when there are two.
    """

    id: int
    kind: str
    name: str = ""
    length: int = 0
    number: int | None = None
    is_test: bool = False
    target: "Node | None" = None
    args: "tuple[Node, ...]" = ()
    variables: tuple[str, str, str] = ("", "", "")


@attrs.frozen(kw_only=True)
class Tree:
    """A checked expression: of each node, by its id, the type and the overloads that a call may mean."""

    root: Node
    types: Mapping[int, Type]
    overloads: Mapping[int, tuple[str, ...]]

    @classmethod
    def read(cls, data: bytes) -> "Tree":
        """Read a serialized expression, which comes in a protobuf Any."""
        root, types, overloads = b"", {}, {}
        for number, value in _fields(_bytes(dict(_fields(data))[2])):
            if number == 4:
                root = _bytes(value)
            elif number == 3:
                key, entry = _entry(value)
                types[key] = _type(entry)
            elif number == 2:
                key, entry = _entry(value)
                overloads[key] = tuple(_bytes(each).decode() for at, each in _fields(entry) if at == 3)
        return cls(root=_node(root), types=types, overloads=overloads)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Give number and value of each field of a protobuf message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value: int | bytes
                value, at = _varint(data, at)
            case 2:
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            case wire:
                size = 8 if wire == 1 else 4
                value, at = data[at : at + size], at + size
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _entry(value: int | bytes) -> tuple[int, bytes]:
    parts = dict(_fields(_bytes(value)))
    key = parts.get(1, 0)
    return key if isinstance(key, int) else 0, _bytes(parts.get(2, b""))


def _type(data: bytes) -> Type:
    for number, value in _fields(data):
        if number in {3, 4} and isinstance(value, int):
            return Type(kind=_PRIMITIVES[value])
        if number == 5 and isinstance(value, int):
            return Type(kind=_WELL_KNOWN[value])
        if number in {6, 7}:
            inner = tuple(_type(_bytes(each)) for _, each in _fields(_bytes(value)))
            return Type(kind="list" if number == 6 else "map", parameters=inner)
        if number == 9:
            return Type(kind="struct", name=_bytes(value).decode())
        if number == 14:
            parts = list(_fields(_bytes(value)))
            name = next((_bytes(each).decode() for at, each in parts if at == 1), "")
            inner = tuple(_type(_bytes(each)) for at, each in parts if at == 2)
            return Type(kind="opaque", name=name, parameters=inner)
        if number in _SIMPLE:
            return Type(kind=_SIMPLE[number])
    return DYN


def _node(data: bytes) -> Node:
    id = 0
    what, body = 0, b""
    for number, value in _fields(data):
        if number == 2 and isinstance(value, int):
            id = value
        else:
            what, body = number, _bytes(value)
    match what:
        case 3:
            return _constant(id, body)
        case 4:
            return Node(id=id, kind="ident", name=_text(body, 1))
        case 5:
            is_test = any(number == 3 and value for number, value in _fields(body))
            return Node(id=id, kind="select", name=_text(body, 2), is_test=is_test, target=_child(body, 1))
        case 6:
            args = tuple(_node(_bytes(value)) for number, value in _fields(body) if number == 3)
            return Node(id=id, kind="call", name=_text(body, 2), target=_child(body, 1), args=args)
        case 7:
            return Node(
                id=id,
                kind="list",
                args=tuple(_node(_bytes(value)) for number, value in _fields(body) if number == 1),
            )
        case 8:
            return _struct(id, body)
        case _:
            names = (_text(body, 1), _text(body, 3), _text(body, 8))
            args = tuple(_child(body, number) or Node(id=0, kind="const") for number in (2, 4, 5, 6, 7))
            return Node(id=id, kind="comprehension", args=args, variables=names)


def _text(data: bytes, wanted: int) -> str:
    return next((_bytes(value).decode() for number, value in _fields(data) if number == wanted), "")


def _child(data: bytes, wanted: int) -> Node | None:
    return next((_node(_bytes(value)) for number, value in _fields(data) if number == wanted), None)


def _constant(id: int, data: bytes) -> Node:
    for number, value in _fields(data):
        kind = _CONSTANTS.get(number, "null")
        text = _bytes(value)
        length = len(text.decode()) if kind == "string" else len(text) if kind == "bytes" else 1
        name = ("false", "true")[bool(value)] if kind == "bool" else kind
        whole = value if kind == "int" and isinstance(value, int) else None
        return Node(id=id, kind="const", name=name, length=length, number=whole)
    return Node(id=id, kind="const", name="null", length=1)


def _struct(id: int, data: bytes) -> Node:
    name = _text(data, 1)
    args: list[Node] = []
    for number, value in _fields(data):
        if number == 2:
            parts = [(at, each) for at, each in _fields(_bytes(value)) if at in {3, 4}]
            args += [_node(_bytes(each)) for _, each in parts]
    return Node(id=id, kind="struct" if name else "map", name=name, args=tuple(args))
