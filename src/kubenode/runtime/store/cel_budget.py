"""The budget of a CRD's rules: what each may cost over all places where it can run, and what a server would refuse.

Source: kubernetes apiextensions-apiserver pkg/apis/apiextensions/validation, 1.36.
"""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import attrs

from kubenode.core.model import Json
from kubenode.core.schema import Cause, rules_in
from kubenode.core.schema.walk import RULES
from kubenode.runtime.store.cel_check import Checker, is_installed
from kubenode.runtime.store.cel_cost import cost_of
from kubenode.runtime.store.cel_prices import LARGEST
from kubenode.runtime.store.cel_types import LARGEST_REQUEST, Shape, shape_of

RULE_LIMIT: Final = 10_000_000
"""Of one expression, wherever it runs."""
SCHEMA_LIMIT: Final = 100_000_000
"""Of all expressions of a schema."""
_ROOT: Final = "openAPIV3Schema"
_TOLD: Final = 4
_REMEMBERED: Final = 64
_UNDEFINED: Final = re.compile(r"undefined field '([^']*)'")


@attrs.frozen(kw_only=True)
class RuleCost:
    """What an expression may cost.

    Attributes:
        path: of it in the CRD, from openAPIV3Schema on.
        cost: at most, in the server's units.
        fault: why it could not be priced, in the engine's words; the cost is 0 then.
    """

    path: str
    cost: int
    fault: str = ""


def costs(schema: Json) -> tuple[RuleCost, ...]:
    """Give the costs of all rules and messages of a schema.

    Raises:
        ModuleNotFoundError: the extra `cel` is not installed.
    """
    return tuple(_costs(schema, _ROOT, 1, is_root=True))


def over_budget(found: tuple[RuleCost, ...]) -> tuple[Cause, ...]:
    """Give what a server would refuse a CRD for whose rules cost that much, in its words."""
    faults = [
        _forbidden(each.path, _exceeds(f"estimated {_named(each.path)} cost", each.cost, RULE_LIMIT))
        for each in found
        if each.cost > RULE_LIMIT
    ]
    total = min(sum(each.cost for each in found), LARGEST)
    if total > SCHEMA_LIMIT:
        dear = sorted(
            (each for each in found if each.cost >= SCHEMA_LIMIT // 100), key=lambda each: -each.cost
        )
        text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        faults += [_forbidden(each.path, text) for each in dear[:_TOLD]]
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        faults.append(_forbidden(_ROOT, _exceeds(what, total, SCHEMA_LIMIT)))
    return tuple(faults)


def refused(schema: Json) -> tuple[str, ...]:
    """Give why a server would refuse a CRD of this schema for its rules, each as `path: why`.

    That is what they may cost, and fields that there are not; nothing without the extra `cel`.
    """
    return _refused(json.dumps(schema)) if rules_in(schema) and is_installed() else ()


@functools.lru_cache(maxsize=_REMEMBERED)
def _refused(text: str) -> tuple[str, ...]:
    found = costs(json.loads(text))
    unknown = [
        f"{each.path}: Invalid value: compilation failed: undefined field '{name[1]}'"
        for each in found
        if (name := _UNDEFINED.search(each.fault))
    ]
    return (*unknown, *(f"{cause.field}: {cause.message}" for cause in over_budget(found)))


def _costs(schema: Json, path: str, count: int | None, *, is_root: bool = False) -> Iterator[RuleCost]:
    """Price a schema and what is below; `count` is how often a value of it can occur, None without bound."""
    if schema.get(RULES) and (shape := shape_of(schema, is_root=is_root)) is not None:
        checker = Checker(shape)
        for number, rule in enumerate(schema[RULES]):
            yield from _rule_costs(rule, f"{path}.{RULES}[{number}]", checker, shape, count)
    for name, below in schema.get("properties", {}).items():
        yield from _costs(below, f"{path}.properties[{name}]", count)
    for name, most in (("items", "maxItems"), ("additionalProperties", "maxProperties")):
        if isinstance(below := schema.get(name), dict):
            bound = schema.get(most)
            times = None if count is None or bound is None else min(count * bound, LARGEST)
            yield from _costs(below, f"{path}.{name}", times)


def _rule_costs(
    rule: Json, path: str, checker: Checker, shape: Shape, count: int | None
) -> Iterator[RuleCost]:
    is_optional = bool(rule.get("optionalOldSelf"))
    times = LARGEST_REQUEST // (shape.least + 1) if count is None else count
    for name, often in (("rule", times), ("messageExpression", 1)):
        text: Any = rule.get(name, "").strip()
        if not text:
            continue
        try:
            once = cost_of(checker.check(text, is_optional=is_optional), shape)
        except ValueError as wrong:
            yield RuleCost(path=f"{path}.{name}", cost=0, fault=str(wrong))
        else:
            yield RuleCost(path=f"{path}.{name}", cost=min(once * often, LARGEST))


def _named(path: str) -> str:
    return path.rpartition(".")[2]


def _forbidden(path: str, text: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {text}", path)


def _exceeds(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    told = f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    told = "more than 100x" if factor > 100 else told
    return (
        f"{what} exceeds budget by factor of {told} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )
