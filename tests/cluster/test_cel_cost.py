"""What rules cost: the server's own estimates, and how far within its budget our CRDs are.

A server tells what an expression costs only when it is too much, as a factor. So each expression is put where it can
occur so often that it just exceeds the budget, by less than half, when six digits of the factor are told.
"""

import asyncio
from importlib.util import find_spec
from typing import Any, Final

import pytest

from kubenode.core.crd import crds, schema_of
from kubenode.core.errors import Refused
from kubenode.core.model import KINDS, Json, Kind, Object
from kubenode.core.schema.walk import RULES
from kubenode.runtime.store.cel_budget import RULE_LIMIT, SCHEMA_LIMIT, costs, over_budget
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane
from tests.cluster.test_cel import EXPRESSIONS, FIELDS

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(find_spec("cel_expr_python") is None, reason="the extra cel is not installed"),
]

CRD: Final = Kind(
    name="CustomResourceDefinition", plural="customresourcedefinitions", group="apiextensions.k8s.io", version="v1"
)  # fmt: skip
MARGIN: Final = 100
"""By this factor our dearest rule, and our dearest schema, could grow before a server refuses it."""
MORE: Final = (
    "self.list.all(x, self.list.exists_one(y, y == x))", "self.nums.map(n, n * 2).all(n, n > 0)",
    "self.list.filter(x, x.startsWith('a')).size() > 0", "self.list.map(x, x + self.s).exists(x, x.contains('b'))",
    "(self.list + ['a', 'b']).all(x, x.matches('^[a-z]+$'))", "self.s in self.list || self.s in ['a', 'b']",
    "[has(self.s), has(self.ip)].filter(x, x).size() == 1", "{'a': self.s, 'b': self.ip}.all(k, k != '')",
    "self.map.all(k, self.map[k].size() < 3)", "self.list[0] == self.s", "self == oldSelf",
    "self.list == oldSelf.list", "self.map == oldSelf.map", "string(self.i) == self.s", "self.s > self.ip",
    "type(self.s) == string ? self.s.size() > 1 : self.i > 1", "dyn(self.s) == dyn(self.i)",
    "self.long.matches('a')", "self.long.split(',').all(x, x.size() < 9)", "self.long.find('[0-9]+').size() < 9",
    "self.times.all(t, t < timestamp('2026-01-02T03:04:05Z'))", "self.span > duration('1h')", "self.either == 5",
    "type(self.either) == int ? self.either > 1 : self.either.endsWith('%')", "self.deep.inner.all(o, o.name != self.s)",
    "self.deep.inner.exists(o, has(o.tags) && o.tags.all(k, v, k != v))", "self.deep.table['a'].name == 'b'",
    "self.deep.inner.map(o, o.name).join(',').size() < 100", "self.mode == 'Short' || self.mode != oldSelf.mode",
    "self.deep.inner.all(o, self.deep.inner.exists_one(p, p.name == o.name))", "bytes(self.s).size() < 9",
    "self.list.distinct().size() > 1", "self.list.sort() == ['a']", "self.nums.sort() == [1]", "lists.range(5).size() == 5",
    "self.list.reverse().size() > 1", "[[1], [2]].flatten().size() > 1", "self.list.slice(0, 2).size() > 1",
    "self.s.split(' ', 2).all(x, x != '')", "self.list.all(i, v, i < 3 && v != '')", "self.long.replace('', 'a') != ''",
    "self.deep.table.all(k, v, k != v.name)", "self.s.replace('ab', 'c').size() < 9", "self.long.replace('a', self.s) == ''",
    "sets.contains(self.list, self.list)", "self.list.all(x, sets.intersects(self.list, [x]))",
    "cidr('10.0.0.0/8').containsIP(self.ip) && cidr('10.0.0.0/8').containsCIDR(self.ip)",
    "quantity(self.quantity) == quantity('1')", "ip(self.ip) == ip('::1')", "self.?s.optMap(x, x + 'a').orValue('') == ''",
    "self.list.filter(x, x != 'a').map(x, x + 'b').all(x, x.size() < 3)", "self.deep.table.exists_one(k, k == 'a')",
    "self.a__dash__b == ''", "self.?s.orValue('') != 'x'", "self.list.transformList(i, v, v + 'a').size() > 0",
)  # fmt: skip
_OBJECT: Final[Json] = {
    "type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "maxLength": 63},
        "tags": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "string", "maxLength": 9}},
    },
}  # fmt: skip
MORE_FIELDS: Final[Json] = {
    **FIELDS, "long": {"type": "string"}, "mode": {"type": "string", "enum": ["Short", "Longer"]},
    "times": {"type": "array", "maxItems": 3, "items": {"type": "string", "format": "date-time"}},
    "span": {"type": "string", "format": "duration"}, "a-b": {"type": "string", "maxLength": 3},
    "either": {"x-kubernetes-int-or-string": True, "maxLength": 10},
    "deep": {"type": "object", "properties": {
        "inner": {"type": "array", "maxItems": 7, "items": _OBJECT},
        "table": {"type": "object", "maxProperties": 8, "additionalProperties": _OBJECT},
    }},
}  # fmt: skip


def dear(schema: Json, rule: Json, cost: int) -> Json:
    """Put a rule where it just exceeds the budget, if this is its cost."""
    count = max(1, RULE_LIMIT * 6 // 5 // max(cost, 1))
    once = {name: value for name, value in schema.items() if name != RULES}
    return {"type": "object", "maxProperties": count, "additionalProperties": {**_bare(once), RULES: [rule]}}


def _bare(schema: Any) -> Any:
    """Take the rules out of a schema."""
    if isinstance(schema, dict):
        return {name: _bare(value) for name, value in schema.items() if name != RULES}
    return schema


def spread(pairs: list[tuple[Json, Json]]) -> Json:
    """Give a schema in which each rule is dear, in a property of its own."""
    parts = {}
    for number, (schema, rule) in enumerate(pairs):
        (found, *_) = costs({"type": "object", "properties": {"p": {**_bare(schema), RULES: [rule]}}})
        assert not found.fault, found.fault
        parts[f"p{number}"] = dear(schema, rule, found.cost)
    return {"type": "object", "properties": parts}


async def refusal(plane: ControlPlane, schema: Json) -> set[tuple[str, str]]:
    """Give place and text of what a server finds too dear in a CRD."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    body: Json = {
        "apiVersion": CRD.api_version, "kind": CRD.name, "metadata": {"name": "dears.kubenode.test"},
        "spec": {"group": "kubenode.test", "scope": "Cluster", "names": {"kind": "Dear", "plural": "dears"}, "versions": [version]},
    }  # fmt: skip
    async with KubeStore.connect(kubeconfig=plane.admin_kubeconfig) as store:
        try:
            await store.create(CRD, body, dry_run=True)
        except Refused as refused:
            listed = refused.status["details"]["causes"]
            return {(cause["field"].partition(".openAPIV3Schema")[2], cause["message"]) for cause in listed}
    return set()


def ours(schema: Json) -> set[tuple[str, str]]:
    """Give the same by our own reckoning."""
    return {
        (cause.field.removeprefix("openAPIV3Schema"), cause.message) for cause in over_budget(costs(schema))
    }


def priced(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out which four have contributed most: of equals, the server names any."""
    return {(field, text) for field, text in found if "contributed to" not in text}


def rules_of(schema: Json) -> list[tuple[Json, Json]]:
    """Give each rule of a schema and what is below it, with what it is a rule of."""
    found = [(schema, rule) for rule in schema.get(RULES, ())]
    below = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return [*found, *(each for inner in below if isinstance(inner, dict) for each in rules_of(inner))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND.name)
def test_our_rules_cost_what_the_server_says(kind: type[Object], control_plane: ControlPlane) -> None:
    """To six digits, each rule of each of our kinds."""
    root = schema_of(kind)
    schema = spread(
        [
            (below, rule)
            for name in ("spec", "status")
            if (inner := root["properties"].get(name))
            for below, rule in rules_of(inner)
        ]
    )
    theirs = asyncio.run(refusal(control_plane, schema))
    assert priced(ours(schema)) == priced(theirs)
    assert len(theirs) >= len(schema["properties"]) > 0, "each rule"


@pytest.mark.parametrize("start", range(0, len(EXPRESSIONS) + len(MORE), 10))
def test_any_rule_costs_what_the_server_says(start: int, control_plane: ControlPlane) -> None:
    """To six digits, for all functions."""
    texts = (*EXPRESSIONS, *MORE)[start : start + 10]
    schema = spread([({"type": "object", "properties": MORE_FIELDS}, {"rule": text}) for text in texts])
    found, theirs = ours(schema), asyncio.run(refusal(control_plane, schema))
    assert priced(found) == priced(theirs)
    assert len(found) == len(theirs)


def test_how_far_we_are_within_the_budget(control_plane: ControlPlane) -> None:
    """The server takes our CRDs, and would take rules a hundred times as dear."""
    found = {
        crd["spec"]["names"]["kind"]: costs(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        for crd in crds()
    }
    assert all(not each.fault for each in sum(found.values(), ()))
    assert max(each.cost for each in sum(found.values(), ())) * MARGIN < RULE_LIMIT
    assert max(sum(each.cost for each in told) for told in found.values()) * MARGIN < SCHEMA_LIMIT
    for kind in KINDS:
        assert asyncio.run(refusal(control_plane, schema_of(kind))) == set()
