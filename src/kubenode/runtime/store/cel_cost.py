"""What a rule may cost at most, in the server's units, by the bounds of its schema.

A server prices each expression by the worst object that its schema allows, times how often the value can occur, and
refuses a CRD beyond its budget. The prices are those of cel-go checker/cost.go and of Kubernetes' own functions
(apiserver pkg/cel/library/cost.go), 1.36; they are the same to six digits by tests/cluster/test_cel_cost.py.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from kubenode.runtime.store.cel_prices import (
    LARGEST,
    LIST,
    NOTHING,
    ONE,
    PATTERN,
    TRAVERSAL,
    UNKNOWN,
    Price,
    Range,
    price_of,
)
from kubenode.runtime.store.cel_tree import DYN, Node, Tree, Type
from kubenode.runtime.store.cel_types import Path, Shape, most_at

_MAP, _STRUCT = 30, 40
_SCALARS: Final = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})
_ORDERED: Final = frozenset(
    f"{sign}_{kind}"
    for sign in ("less", "greater", "less_equals", "greater_equals")
    for kind in ("string", "bytes")
)
_OPAQUE: Final = frozenset({"quantity", "ip", "cidr", "semver", "url", "add", "sub", "masked"})
"""What makes values of Kubernetes' own types, which are compared at the price of one."""


_NEVER: Final = Range(LARGEST, 0)


@attrs.frozen
class _Entries:
    """How large keys and values of a list or map are that a rule makes."""

    kind: str
    key: Range
    value: Range

    def or_(self, other: "_Entries | None") -> "_Entries | None":
        return other and _Entries(self.kind, self.key.or_(other.key), self.value.or_(other.value))


@attrs.frozen
class _Variable:
    path: Path
    size: Range | None
    entries: _Entries | None = None


def cost_of(tree: Tree, shape: Shape) -> int:
    """Give what an expression may cost at most, once, for one value of this shape."""
    return _Estimate(tree, shape).cost(tree.root).most


class _Estimate:
    def __init__(self, tree: Tree, shape: Shape) -> None:
        self._tree = tree
        self._shape = shape
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, _Entries] = {}
        self._variables: dict[str, list[_Variable]] = {}

    def cost(self, node: Node) -> Range:
        match node.kind:
            case "const":
                return NOTHING
            case "ident":
                known = self._variable(node.name)
                self._paths[node.id] = known.path if known is not None else (node.name,)
                return ONE
            case "select":
                return self._select(node)
            case "call":
                return self._call(node)
            case "comprehension":
                return self._bind(node) if _is_bind(node) else self._loop(node)
            case _:
                return self._literal(node)

    def _select(self, node: Node) -> Range:
        target = node.target
        if target is None:
            return NOTHING
        cost = self.cost(target)
        if node.is_test:
            return cost
        if self.type(target).kind in {"map", "struct", "param"}:
            cost = cost.plus(ONE)
        self._paths[node.id] = (*self.path(target), node.name)
        return cost

    def _literal(self, node: Node) -> Range:
        cost = NOTHING
        for arg in node.args:
            cost = cost.plus(self.cost(arg))
        if node.kind == "struct":
            return cost.plus(Range(_STRUCT, _STRUCT))
        sizes = [self.size(arg) for arg in node.args]
        if node.kind == "list":
            self._entries[node.id] = _Entries("list", ONE, _within(sizes))
            return cost.plus(Range(LIST, LIST))
        self._entries[node.id] = _Entries("map", _within(sizes[::2]), _within(sizes[1::2]))
        return cost.plus(Range(_MAP, _MAP))

    def _loop(self, node: Node) -> Range:
        over, start, condition, step, result = node.args
        each, total, value = node.variables
        cost = self.cost(over).plus(self.cost(start))
        self._push(total, _Variable(self.path(start), self._known_size(start), self.entries(start)))
        entries = self.entries(over)
        kind = entries.kind if entries is not None else self.type(over).kind
        here, name = self.path(over), "@items" if kind == "list" else "@values"
        values = _Variable((*here, name), entries.value if entries is not None else None)
        keys = _Variable((*here, "@keys"), entries.key if entries is not None else None)
        if value:
            self._push(each, _Variable(values.path, keys.size) if _is_overwritten(here) else keys)
            self._push(value, values)
        else:
            self._push(each, values if kind == "list" else keys)
        once = self.cost(condition)
        once = self.cost(step).plus(once)
        self._pop(each)
        if value:
            self._pop(value)
        cost = cost.plus(self.cost(result))
        self._pop(total)
        count = self.size(over)
        cost = cost.plus(count.times(once))
        if start.kind == "const":
            self._note(node, self._known_size(start))
        elif start.kind in {"list", "map"}:
            self._note(node, count)
            if (made := self.entries(step)) is not None:
                self._entries[node.id] = made
        return cost

    def _bind(self, node: Node) -> Range:
        over, start, _, _, result = node.args
        total = node.variables[1]
        cost = self.cost(over).plus(self.cost(start))
        self._push(total, _Variable(self.path(start), self._known_size(start), self.entries(start)))
        cost = cost.plus(self.cost(result))
        self._pop(total)
        self._copy(node, result)
        return cost

    def _call(self, node: Node) -> Range:
        if node.name == "dyn":
            cost = self.cost(node.args[0])
            self._copy(node, node.args[0])
            return cost.plus(ONE)
        costs = [self.cost(arg) for arg in node.args]
        overloads = self._tree.overloads.get(node.id, ())
        if not overloads:
            return NOTHING
        cost = self.cost(node.target) if node.target is not None else NOTHING
        price, size = _NEVER, None
        for overload in overloads:
            found = self._price(node, overload, costs)
            price = price.or_(found.cost)
            if found.size is not None:
                size = found.size if size is None else size.or_(found.size)
            if overload in _INDEXES:
                entries = self.entries(node.args[0])
                size = None if entries is None else entries.value
                self._paths[node.id] = (*self.path(node.args[0]), _INDEXES[overload])
            if size is None:
                size = self._known_size(node)
        self._note(node, size)
        return cost.plus(price)

    def _price(self, node: Node, overload: str, costs: list[Range]) -> Price:
        args = NOTHING
        for each in costs:
            args = args.plus(each)
        if overload in {"logical_or", "logical_and"}:
            return Price(Range(costs[0].least, args.most))
        if overload == "conditional":
            yes, no = node.args[1], node.args[2]
            entries = self.entries(yes)
            if entries is not None and (both := entries.or_(self.entries(no))) is not None:
                self._entries[node.id] = both
            return Price(costs[0].plus(costs[1].or_(costs[2])), self.size(yes).or_(self.size(no)))
        found = price_of(node, self) or self._standard(node, overload)
        return Price(found.cost.plus(args), found.size)

    def _standard(self, node: Node, overload: str) -> Price:
        """Give the price of a function that CEL has by itself."""
        args = node.args
        if overload in {"equals", "not_equals"} or overload in _ORDERED:
            if any(arg.kind == "call" and arg.name in _OPAQUE for arg in args):
                return Price(ONE)
            most = min(self.size(args[0]).most, self.size(args[1]).most)
            return Price(Range(min(most, 1), most).by(TRAVERSAL))
        if overload in {"add_string", "add_bytes", "add_list"}:
            return self._sum(node, overload)
        match overload:
            case "matches_string" if node.target is not None:
                text = self.size(node.target).plus(ONE).by(TRAVERSAL)
                return Price(text.times(self.size(args[0]).by(PATTERN)))
            case "contains_string" if node.target is not None:
                return Price(self.size(node.target).by(TRAVERSAL).times(self.size(args[0]).by(TRAVERSAL)))
            case "starts_with_string" | "ends_with_string":
                return Price(self.size(args[0]).by(TRAVERSAL))
            case "in_list":
                return Price(self.size(args[1]))
            case "string_to_bytes":
                size = self.size(args[0])
                return Price(size.by(TRAVERSAL), Range(size.least, min(size.most * 4, LARGEST)))
            case "bytes_to_string":
                size = self.size(args[0])
                return Price(size.by(TRAVERSAL), Range(size.least // 4, size.most))
            case "strings_quote":
                size = self.size(args[0])
                return Price(size.by(TRAVERSAL), Range(size.least + 2, min(size.most * 2 + 2, LARGEST)))
            case "string_format" if node.target is not None:
                return Price(self.size(node.target).by(TRAVERSAL))
            case _:
                return Price(ONE)

    def _sum(self, node: Node, overload: str) -> Price:
        left, right = node.args
        size = self.size(left).plus(self.size(right))
        entries = self.entries(left)
        if entries is not None and (both := entries.or_(self.entries(right))) is not None:
            self._entries[node.id] = both
        return Price(ONE if overload == "add_list" else size.by(TRAVERSAL), size)

    def type(self, node: Node) -> Type:
        """Give the type of an expression."""
        return self._tree.types.get(node.id, DYN)

    def path(self, node: Node) -> Path:
        """Give the way from a variable to a value; empty for a value that is worked out."""
        if node.kind == "ident" and (known := self._variable(node.name)) is not None:
            return known.path
        return self._paths.get(node.id, ())

    def size(self, node: Node) -> Range:
        """Give how large a value can be."""
        found = self._known_size(node)
        return UNKNOWN if found is None else found

    def entries(self, node: Node) -> _Entries | None:
        """Give how large the elements of a value are that a rule makes."""
        if node.id in self._entries:
            return self._entries[node.id]
        known = self._variable(node.name) if node.kind == "ident" else None
        return known.entries if known is not None else None

    def item_size(self, node: Node) -> tuple[Type, Range] | None:
        """Give type and size of the elements of a list; None for what is none."""
        parameters = self.type(node).parameters
        if not parameters:
            return None
        path = self.path(node)
        found = most_at(self._shape, (*path, "@items")) if path else None
        return parameters[0], UNKNOWN if found is None else Range(0, found)

    def _known_size(self, node: Node) -> Range | None:
        if node.id in self._sizes:
            return self._sizes[node.id]
        if node.kind == "const":
            return Range(node.length, node.length)
        if node.kind in {"list", "map"}:
            count = len(node.args) // (2 if node.kind == "map" else 1)
            return Range(count, count)
        path = self.path(node)
        if path and (most := most_at(self._shape, path)) is not None:
            self._sizes[node.id] = Range(0, most)
            return self._sizes[node.id]
        if _is_scalar(self.type(node)):
            return ONE
        known = self._variable(node.name) if node.kind == "ident" else None
        return known.size if known is not None else None

    def _note(self, node: Node, size: Range | None) -> None:
        if size is not None:
            self._sizes[node.id] = size

    def _copy(self, node: Node, other: Node) -> None:
        self._note(node, self._known_size(other))
        if (entries := self.entries(other)) is not None:
            self._entries[node.id] = entries

    def _variable(self, name: str) -> _Variable | None:
        known = self._variables.get(name)
        return known[-1] if known else None

    def _push(self, name: str, variable: _Variable) -> None:
        self._variables.setdefault(name, []).append(variable)

    def _pop(self, name: str) -> None:
        self._variables[name].pop()


_INDEXES: Final[Mapping[str, str]] = MappingProxyType({"index_list": "@items", "index_map": "@values"})


def _is_overwritten(path: Path) -> bool:
    """Tell whether the path of a value overwrites that of its key, which then is priced as the value.

    The server appends to one slice for both, and a slice of Go has room for another element unless its length is a
    power of two.
    """
    return bool(path) and len(path) & (len(path) - 1) != 0


def _is_bind(node: Node) -> bool:
    """Tell whether a comprehension only names a value."""
    over, _, condition, *_ = node.args
    is_empty = over.kind == "list" and not over.args
    return is_empty and condition.name == "false" and node.variables[1] not in {"__result__", "@result"}


def _is_scalar(type: Type) -> bool:
    if type.kind == "opaque" and type.name == "optional_type" and type.parameters:
        return _is_scalar(type.parameters[0])
    return type.kind in _SCALARS


def _within(sizes: list[Range]) -> Range:
    found = _NEVER if sizes else Range(0, 0)
    for size in sizes:
        found = found.or_(size)
    return found
