"""The functions that Kubernetes adds to CEL, for the engine that `cel.py` drives.

Opaque values are tagged maps in a canonical form, so that equal ones are equal to the engine. What cannot be read
raises ValueError, which the engine makes an error of the rule. Source: Kubernetes' CEL libraries, each function
compared with kube-apiserver 1.36 by tests/cluster/test_cel.py.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from operator import add, sub
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, urlsplit

import re2

Function: TypeAlias = tuple[str, bool, str, tuple[str, ...], Callable[..., Any]]
"""Name, whether it is a member, and the types of its result and its parameters, in the words of `TYPES`."""

_SUFFIXES: Final = MappingProxyType({
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1),
    **{sign: Fraction(1000**power) for power, sign in enumerate("kMGTPE", 1)},
    **{f"{sign}i": Fraction(1024**power) for power, sign in enumerate("KMGTPE", 1)},
})  # fmt: skip
_QUANTITY: Final = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i|[numkMGTPE]?)|[eE]([+-]?\d+))", re.ASCII
)
_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_FORMATS: Final = MappingProxyType({
    "dns1123Label": (63, _LABEL), "dns1123Subdomain": (253, rf"{_LABEL}(\.{_LABEL})*"),
    "dns1035Label": (63, "[a-z]([-a-z0-9]*[a-z0-9])?"),
    "dns1123LabelPrefix": (63, "[a-z0-9]([-a-z0-9]*[a-z0-9])?-?"),
    "labelValue": (63, "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"),
    "qualifiedName": (317, rf"({_LABEL}(\.{_LABEL})*/)?([A-Za-z0-9][-A-Za-z0-9_.]{{0,61}})?[A-Za-z0-9]"),
    "uuid": (36, "(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"),
    "date": (10, r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"),
})  # fmt: skip
"""Longest length and pattern of the formats that are known here; a rule with another one is not checked."""


def quantity(text: str) -> dict[str, str]:
    """Read a quantity."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        pattern = "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        raise ValueError(f"quantities must match the regular expression {pattern}")
    scale = Fraction(10) ** int(found[3]) if found[3] is not None else _SUFFIXES[found[2]]
    return _amount(Fraction(Decimal(found[1])) * scale)


def semver(text: str, normalize: bool = False) -> dict[str, Any]:
    """Read a semantic version; normalized, `v1.02` is 1.2.0."""
    if normalize:
        text = text.removeprefix("v")
        head = re.match(r"[\d.]*", text, re.ASCII)
        digits = head[0] if head else ""
        parts = [part.lstrip("0") or "0" for part in digits.split(".")]
        text = ".".join([*parts, *["0"] * (3 - len(parts))]) + text[len(digits) :]
    found = _SEMVER.fullmatch(text)
    if not found:
        raise ValueError("No Major.Minor.Patch elements found")
    return {"@semver": [int(found[1]), int(found[2]), int(found[3])], "pre": found[4] or ""}


def url(text: str) -> dict[str, str]:
    """Read a URL: an absolute one, or an absolute path."""
    split = urlsplit(text)
    is_absolute = bool(split.scheme) and _SCHEME.fullmatch(split.scheme) is not None
    if not (text.startswith("/") or is_absolute) or " " in split.netloc:
        raise ValueError(
            f'URL parse error during conversion from string: parse "{text}": invalid URI for request'
        )
    return {"@url": text}


def ip(text: str) -> dict[str, str]:
    """Read an address, without a zone, and none of IPv4 in IPv6."""
    if "%" in text or (text.lower().startswith("::ffff:") and "." in text):
        raise ValueError(f"IP Address {text!r} parse error")
    return {"@ip": str(ipaddress.ip_address(text))}


def cidr(text: str) -> dict[str, str]:
    """Read a network with the address it is written with."""
    address, slash, bits = text.partition("/")
    if not (slash and bits.isdigit()) or "%" in text or (bits != "0" and bits.startswith("0")):
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    return {"@cidr": f"{ip(address)['@ip']}/{ipaddress.ip_interface(text).network.prefixlen}"}


def _amount(number: Fraction) -> dict[str, str]:
    return {"@quantity": f"{number.numerator}/{number.denominator}"}


def _number(given: dict[str, str]) -> Fraction:
    return Fraction(given["@quantity"])


def _whole(given: dict[str, str]) -> int:
    number = _number(given)
    if number.denominator != 1 or not -(2**63) <= number < 2**63:
        raise ValueError("cannot convert value to integer")
    return int(number)


def _order(given: dict[str, Any]) -> Any:
    """Give what a quantity or a version is compared by."""
    if "@semver" not in given:
        return _number(given)
    parts = given["pre"].split(".") if given["pre"] else []
    pre = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts] or [(2, 0, "")]
    return given["@semver"], pre


def _compared(one: dict[str, Any], two: dict[str, Any]) -> int:
    first, second = _order(one), _order(two)
    return int(first > second) - int(first < second)


def _split(given: dict[str, str]) -> SplitResult:
    return urlsplit(given["@url"])


def _host(given: dict[str, str]) -> str:
    return _split(given).netloc.rpartition("@")[2]


def _address(given: dict[str, str]) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(given["@ip"])


def _network(given: dict[str, str]) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(given["@cidr"], strict=False)


def _holds(outer: dict[str, str], inner: dict[str, str]) -> bool:
    one, two = _network(outer), _network(inner)
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(two, ipaddress.IPv4Network) and two.subnet_of(one)
    return isinstance(two, ipaddress.IPv6Network) and two.subnet_of(one)


def _readable(read: Callable[..., object]) -> Callable[..., bool]:
    def is_readable(*given: object) -> bool:
        try:
            read(*given)
        except ValueError:
            return False
        return True

    return is_readable


def _faults(form: dict[str, str], text: str) -> list[str]:
    longest, pattern = _FORMATS[form["@format"]]
    return [] if len(text) <= longest and re2.fullmatch(pattern, text) else [f"is no {form['@format']}"]


def _found(text: str, pattern: str) -> str:
    found = re2.search(pattern, text)
    return found.group(0) if found else ""


def _all_found(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match.group(0) for match in re2.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _first(items: Sequence[Any], item: Any) -> int:
    return items.index(item) if item in items else -1


def _last(items: Sequence[Any], item: Any) -> int:
    return max((at for at, each in enumerate(items) if each == item), default=-1)


def _is_sorted(items: Sequence[Any]) -> bool:
    return all(one <= two for one, two in pairwise(items))


def _form(name: str) -> Callable[[], dict[str, str]]:
    return lambda: {"@format": name}


def _part(at: int) -> Callable[[dict[str, Any]], int]:
    return lambda version: int(version["@semver"][at])


def _value(given: Any) -> Any:
    if not given:
        raise ValueError("optional.none() dereference")
    return given


FUNCTIONS: Final[tuple[Function, ...]] = (
    ("isSorted", True, "bool", ("list",), _is_sorted),
    ("sum", True, "dyn", ("list",), sum),
    ("min", True, "dyn", ("list",), min),
    ("max", True, "dyn", ("list",), max),
    ("indexOf", True, "int", ("list", "dyn"), _first),
    ("lastIndexOf", True, "int", ("list", "dyn"), _last),
    ("find", True, "string", ("string", "string"), _found),
    ("findAll", True, "list", ("string", "string"), _all_found),
    ("findAll", True, "list", ("string", "string", "int"), _all_found),
    ("isURL", False, "bool", ("string",), _readable(url)),
    ("url", False, "map", ("string",), url),
    ("getScheme", True, "string", ("map",), lambda given: _split(given).scheme),
    ("getHost", True, "string", ("map",), _host),
    ("getHostname", True, "string", ("map",), lambda given: _split(given).hostname or ""),
    ("getPort", True, "string", ("map",), lambda given: str(_split(given).port or "")),
    ("getEscapedPath", True, "string", ("map",), lambda given: _split(given).path),
    ("getQuery", True, "dyn", ("map",), lambda given: parse_qs(_split(given).query, keep_blank_values=True)),
    ("isQuantity", False, "bool", ("string",), _readable(quantity)),
    ("quantity", False, "map", ("string",), quantity),
    ("asInteger", True, "int", ("map",), _whole),
    ("asApproximateFloat", True, "double", ("map",), lambda given: float(_number(given))),
    ("isInteger", True, "bool", ("map",), _readable(_whole)),
    *(
        (name, True, "map", ("map", kind), function)
        for name, act in (("add", add), ("sub", sub))
        for kind, function in (
            ("map", lambda one, two, act=act: _amount(act(_number(one), _number(two)))),
            ("int", lambda one, two, act=act: _amount(act(_number(one), two))),
        )
    ),
    ("compareTo", True, "int", ("map", "map"), _compared),
    ("isGreaterThan", True, "bool", ("map", "map"), lambda one, two: _compared(one, two) > 0),
    ("isLessThan", True, "bool", ("map", "map"), lambda one, two: _compared(one, two) < 0),
    ("isIP", False, "bool", ("string",), _readable(ip)),
    ("ip", False, "map", ("string",), ip),
    ("ip.isCanonical", False, "bool", ("string",), lambda text: ip(text)["@ip"] == text),
    ("family", True, "int", ("map",), lambda given: _address(given).version),
    ("isUnspecified", True, "bool", ("map",), lambda given: _address(given).is_unspecified),
    ("isLoopback", True, "bool", ("map",), lambda given: _address(given).is_loopback),
    ("isCIDR", False, "bool", ("string",), _readable(cidr)),
    ("cidr", False, "map", ("string",), cidr),
    ("containsIP", True, "bool", ("map", "string"), lambda net, text: _address(ip(text)) in _network(net)),
    ("containsIP", True, "bool", ("map", "map"), lambda net, one: _address(one) in _network(net)),
    ("containsCIDR", True, "bool", ("map", "string"), lambda net, text: _holds(net, cidr(text))),
    ("containsCIDR", True, "bool", ("map", "map"), _holds),
    ("prefixLength", True, "int", ("map",), lambda given: _network(given).prefixlen),
    ("masked", True, "map", ("map",), lambda given: {"@cidr": str(_network(given))}),
    ("string", False, "string", ("map",), lambda given: given.get("@ip") or given["@cidr"]),
    ("isSemver", False, "bool", ("string",), _readable(semver)),
    ("isSemver", False, "bool", ("string", "bool"), _readable(semver)),
    ("semver", False, "map", ("string",), semver),
    ("semver", False, "map", ("string", "bool"), semver),
    *((name, True, "int", ("map",), _part(at)) for at, name in enumerate(("major", "minor", "patch"))),
    *((f"format.{name}", False, "map", (), _form(name)) for name in _FORMATS),
    ("validate", True, "list", ("map", "string"), _faults),
    # An optional list of faults cannot be given to the engine, so the list stands for it: none when empty.
    ("hasValue", True, "bool", ("list",), bool),
    ("value", True, "list", ("list",), _value),
)
"""All of them; members have what they are called on as their first parameter."""

TYPES: Final = ("bool", "int", "double", "string", "dyn", "list", "map")
"""The words for types."""


def extension(cel: Any) -> Any:
    """Make the engine's extension of these functions; `cel` is the engine's module."""
    made = cel.Type
    plain = {
        "bool": made.BOOL,
        "int": made.INT,
        "double": made.DOUBLE,
        "string": made.STRING,
        "dyn": made.DYN,
    }
    types = {**plain, "list": made.List(made.DYN), "map": made.Map(made.STRING, made.DYN)}
    overloads: dict[str, list[Any]] = {}
    for number, (name, is_member, result, parameters, act) in enumerate(FUNCTIONS):
        overload = cel.Overload(
            f"kubernetes_{number}", return_type=types[result], parameters=[types[each] for each in parameters],
            is_member=is_member, impl=act,
        )  # fmt: skip
        overloads.setdefault(name, []).append(overload)
    declared = [cel.FunctionDecl(name, each) for name, each in overloads.items()]
    return cel.CelExtension("kubernetes", declared)
