"""Rules that a server would refuse: too dear, or about fields that there are not. The costs are a server's own."""

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Final

import pytest

from kubenode.core.crd import schema_of
from kubenode.core.model import KINDS, Json, Kind
from kubenode.core.schema.walk import RULES
from kubenode.runtime.store.cel_budget import RULE_LIMIT, SCHEMA_LIMIT, RuleCost, costs, over_budget, refused
from kubenode.runtime.store.cel_prices import LARGEST, Range
from kubenode.runtime.store.embedded import EmbeddedStore

pytestmark = pytest.mark.skipif(find_spec("cel_expr_python") is None, reason="the extra cel is not installed")

KIND: Final = Kind(name="Check", plural="checks", group="kubenode.test", version="v1")
TEXT: Final[Json] = {"type": "string", "maxLength": 40}


def ruled(rule: Json, **fields: Json) -> Json:
    """Give a schema with a rule of its spec."""
    return {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"s": TEXT, **fields}, RULES: [rule]}},
    }


@pytest.mark.parametrize(
    ("rule", "cost"),
    [
        # By hand, in the server's units: a name is 1, a field 1, a call at least 1, a constant nothing.
        ("self.s == 'abc'", 3),  # 2 for self.s, 0.1 for each of 3 characters
        ("self.s.size() < 3", 4),
        ("has(self.s)", 1),
        ("self.s.matches('abcd')", 2 + 17),  # (160 bytes + 1) a tenth, times 1 for the pattern of 4
        (
            "self.list.all(x, x == 'ab')",
            2 + 5 * (2 + 1 + 2) + 1,
        ),  # list, 5 x (condition, total, comparison), result
        ("self.list.all(x, self.list.all(y, x == y))", 2 + 5 * (2 + 1 + (2 + 5 * (2 + 1 + 18) + 1)) + 1),
        ("true", 0),
    ],
)
def test_costs(rule: str, cost: int) -> None:
    """As worked out by hand, or told by kube-apiserver 1.36."""
    text: Json = {"type": "array", "maxItems": 5, "items": TEXT}
    (found,) = costs(ruled({"rule": rule}, list=text))
    assert (found.path, found.fault) == (f"openAPIV3Schema.properties[spec].{RULES}[0].rule", "")
    assert found.cost == cost


def test_a_rule_that_is_too_dear() -> None:
    """The kind is not served, and the refusal is the server's."""
    rule = "self.list.all(x, self.list.exists_one(y, y == x))"
    schema = ruled({"rule": rule}, list={"type": "array", "items": {"type": "string"}})
    with pytest.raises(ValueError, match="the schema of Check: ") as told:
        EmbeddedStore([(KIND, schema)], clock=lambda: datetime.now(UTC))
    assert (
        f"openAPIV3Schema.properties[spec].{RULES}[0].rule: Forbidden: estimated rule cost exceeds budget by factor of "
        "more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, "
        "and strings are declared)"
    ) in str(told.value)
    EmbeddedStore([(KIND, schema)], clock=lambda: datetime.now(UTC), cel=False)


def test_a_message_that_is_too_dear() -> None:
    """It is priced as the rule is."""
    rule = {"rule": "true", "messageExpression": "self.list.map(x, self.list.join(',')).join(',')"}
    why, *_ = refused(
        ruled(rule, list={"type": "array", "maxItems": 999, "items": {"type": "string", "maxLength": 99}})
    )
    assert why.startswith(
        f"openAPIV3Schema.properties[spec].{RULES}[0].messageExpression: Forbidden: estimated messageExpression cost exceeds"
    )


def test_an_unknown_field() -> None:
    """The kind is not served."""
    with pytest.raises(ValueError, match="compilation failed: undefined field 'nope'"):
        EmbeddedStore([(KIND, ruled({"rule": "self.nope == 1"}))], clock=lambda: datetime.now(UTC))


def test_the_budget() -> None:
    """At the limit is within; the whole names its four dearest; small rules are not named."""
    assert over_budget((RuleCost(path="a", cost=RULE_LIMIT),)) == ()
    (beyond,) = over_budget((RuleCost(path="a.rule", cost=RULE_LIMIT + 10),))
    assert "exceeds budget by factor of 1.000001x" in beyond.message
    (twice,) = over_budget((RuleCost(path="a.rule", cost=2 * RULE_LIMIT),))
    assert "exceeds budget by factor of 2.0x" in twice.message
    many = tuple(RuleCost(path=f"{number}.rule", cost=RULE_LIMIT - number) for number in range(11))
    told = over_budget((*many, RuleCost(path="small.rule", cost=SCHEMA_LIMIT // 100 - 1)))
    assert [cause.field for cause in told] == ["0.rule", "1.rule", "2.rule", "3.rule", "openAPIV3Schema"]


def test_ranges_do_not_overflow() -> None:
    """They stay the largest number of 64 bits."""
    large = Range(1, LARGEST)
    assert (large.plus(large).most, large.times(large).most, large.by(2.5).most) == (LARGEST,) * 3
    assert Range(3, 11).by(0.1) == (1, 2)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND.name)
def test_our_own(kind: type) -> None:
    """All can be priced, and none is refused; a server says the same (tests/cluster/test_cel_cost.py)."""
    assert [each.fault for each in costs(schema_of(kind)) if each.fault] == []
    assert refused(schema_of(kind)) == ()
