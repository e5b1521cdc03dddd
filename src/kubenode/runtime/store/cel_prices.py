"""What the functions cost that Kubernetes adds to CEL, in the server's units.

Source: kubernetes apiserver pkg/cel/library/cost.go, 1.36.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias

from kubenode.runtime.store.cel_tree import Node, Type

LARGEST: Final = 2**64 - 1
TRAVERSAL: Final = 0.1
"""What one character costs that is looked at."""
PATTERN: Final = 0.25
"""What one character of a regular expression costs."""
LIST: Final = 10
"""What it costs to make a list."""
_LONGEST_FORMAT_PATTERN: Final = 128


class Range(NamedTuple):
    """A size or a cost: at least and at most; beyond 64 bits it stays the largest number."""

    least: int
    most: int

    def plus(self, other: "Range") -> "Range":
        """Give the sum."""
        return Range(min(self.least + other.least, LARGEST), min(self.most + other.most, LARGEST))

    def times(self, other: "Range") -> "Range":
        """Give the product."""
        return Range(min(self.least * other.least, LARGEST), min(self.most * other.most, LARGEST))

    def by(self, factor: float) -> "Range":
        """Give the product with a factor, rounded up."""
        return Range(*(LARGEST if each * factor >= LARGEST else math.ceil(each * factor) for each in self))

    def or_(self, other: "Range") -> "Range":
        """Give what both are within."""
        return Range(min(self.least, other.least), max(self.most, other.most))


UNKNOWN: Final = Range(0, LARGEST)
NOTHING: Final = Range(0, 0)
ONE: Final = Range(1, 1)


class Price(NamedTuple):
    """The price of a call besides its arguments, and how large its result is when that is known."""

    cost: Range
    size: Range | None = None


class Sizes(Protocol):
    """What is known of the values in an expression."""

    def type(self, node: Node) -> Type:
        """Give the type of an expression."""

    def size(self, node: Node) -> Range:
        """Give how large a value can be."""

    def item_size(self, node: Node) -> tuple[Type, Range] | None:
        """Give type and size of the elements of a list; None for what is none."""


Pricer: TypeAlias = Callable[[Node, Sizes], Price | None]


def price_of(node: Node, sizes: Sizes) -> Price | None:
    """Give the price of a call; None for a function that CEL has by itself."""
    pricer = _PRICERS.get(node.name)
    return pricer(node, sizes) if pricer is not None else None


def _nominal(node: Node, sizes: Sizes) -> Price | None:
    return Price(ONE)


def _in_order(node: Node, sizes: Sizes) -> Price | None:
    """Price what looks at each element of a list, or at each character of a text."""
    if node.target is None:
        return None
    items = sizes.item_size(node.target)
    if items is None:
        return Price(sizes.size(node.target).by(TRAVERSAL))
    kind, size = items
    each = ONE.plus(size.by(TRAVERSAL)) if kind.kind in {"string", "bytes"} else ONE
    return Price(sizes.size(node.target).times(each))


def _read(node: Node, sizes: Sizes) -> Price | None:
    """Price what reads a text that is given."""
    return Price(sizes.size(node.args[0]).by(TRAVERSAL)) if node.args else None


def _read_address(node: Node, sizes: Sizes) -> Price | None:
    return Price(ONE) if node.target is not None else _read(node, sizes)


def _read_twice(node: Node, sizes: Sizes) -> Price | None:
    return Price(sizes.size(node.args[0]).by(2 * TRAVERSAL)) if node.args else None


def _read_url(node: Node, sizes: Sizes) -> Price | None:
    size = sizes.size(node.args[0])
    return Price(size.by(TRAVERSAL), size)


def _changed(node: Node, sizes: Sizes) -> Price | None:
    """Price what gives a text of the same length."""
    if node.target is None:
        return None
    size = sizes.size(node.target)
    return Price(size.by(TRAVERSAL), size)


def _replaced(node: Node, sizes: Sizes) -> Price | None:
    if node.target is None or len(node.args) < 2:
        return None
    size, old, new = sizes.size(node.target), sizes.size(node.args[0]), sizes.size(node.args[1])
    longest = _count(size.most, old.least, grows=new.most > old.least, new=new.most)
    shortest = _count(size.least, old.most, grows=new.least < old.most, new=new.least)
    return Price(size.by(2 * TRAVERSAL), Range(shortest, longest))


def _count(size: int, old: int, *, grows: bool, new: int) -> int:
    """Give the length of a text in which all of one length is replaced by another one."""
    if old == 0:  # between all characters
        return min(min(size + 1, LARGEST) * new + size, LARGEST)
    return min(math.ceil(size / old) * new, LARGEST) if grows else size


def _split(node: Node, sizes: Sizes) -> Price | None:
    if node.target is None:
        return None
    size = sizes.size(node.target)
    parts = node.args[1].number if len(node.args) > 1 else None
    return Price(size.by(2 * TRAVERSAL), Range(0, size.most if parts is None else max(parts, 0)))


def _joined(node: Node, sizes: Sizes) -> Price | None:
    if node.target is None:
        return None
    count, items = sizes.size(node.target), sizes.item_size(node.target)
    size = count.times(items[1]) if items is not None else Range(0, 0)
    if node.args:
        between = Range(max(count.least - 1, 0), max(count.most - 1, 0))
        size = size.plus(sizes.size(node.args[0]).times(between))
    return Price(size.by(TRAVERSAL), size)


def _found(node: Node, sizes: Sizes) -> Price | None:
    if node.target is None or not node.args:
        return None
    size = sizes.size(node.target)
    pattern = sizes.size(node.args[0]).by(PATTERN)
    return Price(size.plus(ONE).by(TRAVERSAL).times(pattern), Range(0, size.most))


_ADDRESS: Final = Range(4, 16)


def _contains_address(node: Node, sizes: Sizes) -> Price | None:
    cost = _ADDRESS.plus(_ADDRESS).by(TRAVERSAL)
    return Price(cost.plus(_text(node, sizes)))


def _contains_network(node: Node, sizes: Sizes) -> Price | None:
    cost = _ADDRESS.plus(_ADDRESS).by(TRAVERSAL).plus(_ADDRESS.by(TRAVERSAL)).plus(ONE)
    return Price(cost.plus(_text(node, sizes)))


def _text(node: Node, sizes: Sizes) -> Range:
    """Give the price of reading an address that is given as a text."""
    is_text = bool(node.args) and sizes.type(node.args[0]).kind == "string"
    return sizes.size(node.args[0]).by(TRAVERSAL) if is_text else NOTHING


def _listed(size: Range, factor: float) -> Price:
    """Give the price of a list that is made."""
    return Price(size.by(factor).plus(Range(1 + LIST, 1 + LIST)), size)


def _reversed(node: Node, sizes: Sizes) -> Price | None:
    return _listed(sizes.size(node.target), 1) if node.target is not None else None


def _flattened(node: Node, sizes: Sizes) -> Price | None:
    if node.target is None:
        return None
    depth = (node.args[0].number if node.args else 1) or LARGEST
    return _listed(sizes.size(node.target), depth)


def _sliced(node: Node, sizes: Sizes) -> Price | None:
    if node.target is None or len(node.args) != 2:
        return None
    start, end = (arg.number for arg in node.args)
    count = (sizes.size(node.target).most if end is None else end) - (start or 0)
    return _listed(Range(count, count), 1)


def _counted(node: Node, sizes: Sizes) -> Price | None:
    count = node.args[0].number if node.args else None
    return _listed(Range(*((LARGEST,) * 2 if count is None else (count, count))), 1)


def _compared(node: Node, sizes: Sizes) -> Price | None:
    """Price what compares all elements of a list with each other."""
    if node.target is None or node.args:
        return None
    size, items = sizes.size(node.target), sizes.item_size(node.target)
    reads = node.name == "sort" and items is not None and items[0].kind in {"string", "bytes"}
    return _listed(size.times(size), 2 + TRAVERSAL if reads else 2)


def _both(factor: int) -> Pricer:
    def pricer(node: Node, sizes: Sizes) -> Price | None:
        left, right = (sizes.size(arg) for arg in node.args)
        return Price(left.times(right).by(factor).plus(ONE))

    return pricer


def _validated(node: Node, sizes: Sizes) -> Price | None:
    if not node.args:
        return None
    return Price(sizes.size(node.args[0]).by(TRAVERSAL).by(_LONGEST_FORMAT_PATTERN * PATTERN))


_PRICERS: Final[Mapping[str, Pricer]] = MappingProxyType({
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _in_order),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _changed),
    **dict.fromkeys(("find", "findAll"), _found),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _read),
    **dict.fromkeys((
        "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast",
        "isLinkLocalUnicast", "isGlobalUnicast", "format.named", "sign", "asInteger", "isInteger",
        "asApproximateFloat", "isGreaterThan", "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch",
        "getScheme", "getHostname", "getHost", "getPort", "getEscapedPath", "getQuery",
    ), _nominal),
    "sets.contains": _both(1), "sets.intersects": _both(1), "sets.equivalent": _both(2),
    "reverse": _reversed, "flatten": _flattened, "slice": _sliced, "lists.range": _counted,
    "distinct": _compared, "sort": _compared,
    "url": _read_url, "replace": _replaced, "split": _split, "join": _joined, "ip": _read_address,
    "ip.isCanonical": _read_twice, "containsIP": _contains_address, "containsCIDR": _contains_network,
    "validate": _validated,
})  # fmt: skip
