"""CEL on a real API server: what it says of each expression, the embedded store says too."""

import asyncio
import itertools
import json
from importlib.util import find_spec
from typing import Any, Final

import pytest

from kubenode.core.errors import Refused
from kubenode.core.model import Json, Kind
from kubenode.core.schema import Cause
from kubenode.runtime.store.cel import Laws
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(find_spec("cel_expr_python") is None, reason="the extra cel is not installed"),
]

NUMBERS = itertools.count()
KIND = Kind(name="Check", plural="checks", group="kubenode.test", version="v1")
TEXT: Final[Json] = {"type": "string", "maxLength": 40}
FIELDS: Final[Json] = {
    "s": TEXT, "quantity": TEXT, "url": TEXT, "ip": TEXT, "i": {"type": "integer"}, "step": {"type": "integer"},
    "list": {"type": "array", "maxItems": 5, "items": TEXT},
    "nums": {"type": "array", "maxItems": 5, "items": {"type": "integer"}},
    "map": {"type": "object", "maxProperties": 5, "additionalProperties": TEXT},
}  # fmt: skip
SPEC: Final[Json] = {
    "s": "hello world", "quantity": "1500m", "url": "https://u@ex.com:80/p%20q?q=1&q=2", "ip": "10.1.2.3", "i": 5,
    "step": 1, "list": ["a", "b", "c", "b"], "nums": [3, 1, 2], "map": {"k": "v"},
}  # fmt: skip
EXPRESSIONS: Final = (
    "self.list.isSorted()", "self.nums.isSorted()", "self.nums.sum() == 6", "self.nums.min() == 1",
    "self.nums.max() == 2", "self.list.indexOf('b') == 1", "self.list.lastIndexOf('b') == 3",
    "self.list.indexOf('z') == -1", "self.s.indexOf('o') == 4", "self.s.lastIndexOf('o') == 7",
    "self.s.find('l+') == 'll'", "self.s.find('z') == ''", "self.s.findAll('o.') == ['o ', 'or']",
    "self.s.findAll('o.', 1) == ['o ']", "self.s.findAll('o.', 0) == []", "self.s.split(' ')[1] == 'world'",
    "self.list.join('-') == 'a-b-c-b'", "self.s.replace('l', 'L') == 'heLLo worLd'", "self.s.substring(0, 4) == 'hell'",
    "self.s.upperAscii() == 'HELLO WORLD'", "self.s.charAt(4) == 'o'", "'  a '.trim() == 'a'",
    "isURL(self.url)", "isURL(self.s)", "url(self.url).getHost() == 'ex.com:80'",
    "url(self.url).getHostname() == 'ex.com'", "url(self.url).getPort() == '80'",
    "url(self.url).getScheme() == 'https'", "url(self.url).getEscapedPath() == '/p%20q'",
    "url(self.url).getQuery() == {'q': ['1', '2']}", "url('/a/b').getHost() == ''",
    "isQuantity(self.quantity)", "isQuantity(self.s)", "quantity(self.quantity).isGreaterThan(quantity('1'))",
    "quantity(self.quantity).isLessThan(quantity('1'))", "quantity('1Ki').asInteger() == 1024",
    "quantity(self.quantity).asApproximateFloat() == 1.5", "quantity('200M') == quantity('0.2G')",
    "quantity('1').add(quantity('500m')).compareTo(quantity(self.quantity)) == 0", "quantity('1').sub(2).compareTo(quantity('-1')) == 0", "quantity(self.quantity).isInteger()", "quantity('1e3').isInteger()",
    "quantity(self.quantity).asInteger() == 1", "quantity(self.s).isInteger()",
    "isIP(self.ip)", "isIP('::ffff:1.2.3.4')", "ip(self.ip).family() == 4", "ip('::1').isLoopback()",
    "ip('0.0.0.0').isUnspecified()", "ip.isCanonical('::0001')", "string(ip('::0001')) == '::1'",
    "ip('10.0.0.256').family() == 4", "isCIDR('10.0.0.0/8')", "isCIDR('10.0.0.0/33')",
    "cidr('10.0.0.0/8').containsIP(self.ip)", "cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "cidr('10.1.2.3/8').prefixLength() == 8", "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
    "!format.dns1123Label().validate('a-b').hasValue()", "format.dns1123Label().validate('Bad_').hasValue()",
    "!format.dns1123Subdomain().validate('a.b').hasValue()", "format.dns1035Label().validate('1a').hasValue()",
    "!format.labelValue().validate('').hasValue()", "!format.qualifiedName().validate('ex.com/A_b').hasValue()",
    "format.uuid().validate('x').hasValue()", "!format.date().validate('2026-01-02').hasValue()",
    "isSemver('1.2.3')", "isSemver('v1.2')", "isSemver('v1.02', true)", "semver('1.2.3').minor() == 2",
    "semver('1.10.0').isGreaterThan(semver('1.9.0'))", "semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
    "sets.contains(self.list, ['a', 'c'])", "sets.intersects(self.list, ['z'])", "sets.equivalent(self.list, ['a','b','c'])",
    "self.map.?k.orValue('x') == 'v'", "self.map[?'z'].hasValue()",
    "self.list.all(i, v, i < 4 && v != '')", "self.nums.exists_one(n, n > 2)", "self.map.all(k, v, k != v)",
    "self.i / 0 == 1", "self.list[9] == 'a'", "self.map['z'] == 'v'", "has(self.s) ? self.i == 5 : false",
)  # fmt: skip
"""Each is told as broken, as failing, or not at all; which, the server says."""
SPECIAL: Final[tuple[Json, ...]] = (
    {"rule": "self.i < 5", "messageExpression": "'s is ' + self.s"},
    {"rule": "self.i < 4", "messageExpression": "self.list[9]", "message": "the fixed one"},
    {"rule": "self.i < 3", "messageExpression": "'two\\nlines'"},
    {"rule": "self.i < 2", "messageExpression": "'  '", "message": "not blank"},
    {"rule": "self.i < 1", "reason": "FieldValueForbidden", "message": "no", "fieldPath": ".s"},
    {"rule": "self.i < 0", "reason": "FieldValueRequired", "message": "give it", "fieldPath": ".map.k"},
    {"rule": "self.i < -1", "reason": "FieldValueDuplicate", "message": "twice"},
    {"rule": "self.step > oldSelf.step", "message": "step goes up"},
    {"rule": "self.step > oldSelf.?step.orValue(9)", "optionalOldSelf": True, "message": "step begins above 9"},
    {"rule": "oldSelf.hasValue() || self.step != 1", "optionalOldSelf": True, "messageExpression": "'new: ' + self.s"},
)  # fmt: skip


def schema(rules: list[Json]) -> Json:
    """Give a schema with these rules of its spec."""
    spec = {"type": "object", "properties": FIELDS, "x-kubernetes-validations": rules}
    return {"type": "object", "properties": {"spec": spec}}


def crd(rules: list[Json], kind: Kind) -> Json:
    """Write a CRD."""
    served = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema(rules)},
    }
    names = {"kind": kind.name, "plural": kind.plural}
    spec = {"group": kind.group, "scope": "Cluster", "names": names, "versions": [served]}
    named = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**named, "metadata": {"name": f"{kind.plural}.{kind.group}"}, "spec": spec}


def told(causes: list[Cause]) -> set[tuple[str, str, str]]:
    """Give causes; of what could not be evaluated only that, since each engine has words of its own for why."""
    found = set()
    for cause in causes:
        lead, failed, rule = cause.message.partition(" evaluating rule: ")
        found.add((cause.reason, cause.field, f"failing: {rule}" if failed else lead))
    return found


async def said(store: KubeStore, kind: Kind, spec: Json, *, patch: bool = False) -> list[Cause]:
    """Give the server's causes."""
    named = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "check"}}
    try:
        if patch:
            await store.patch(kind, "check", MergePatch({"spec": spec}), dry_run=True)
        else:
            await store.create(kind, {**named, "spec": spec}, dry_run=True)
    except Refused as refused:
        listed = refused.status["details"]["causes"]
        return [Cause(each["reason"], each["message"], each["field"]) for each in listed]
    return []


def serve(plane: ControlPlane, rules: list[Json], kind: Kind) -> None:
    """Create a CRD and wait until it is served."""
    plane.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(crd(rules, kind)))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{kind.plural}.{kind.group}")


def test_expressions(control_plane: ControlPlane) -> None:
    """Each is broken, fails or holds on both."""
    rules = [{"rule": text} for text in EXPRESSIONS]
    serve(control_plane, rules, KIND)

    async def run() -> list[Cause]:
        async with KubeStore.connect(kubeconfig=control_plane.admin_kubeconfig) as store:
            return await said(store, KIND, SPEC)

    laws = Laws(schema(rules))
    assert laws.unchecked == []
    theirs = told(asyncio.run(run()))
    ours = told(list(laws.faults({"spec": SPEC}, None)))
    assert (ours - theirs, theirs - ours) == (set(), set())
    assert len(EXPRESSIONS) // 5 < len(theirs) < len(EXPRESSIONS) // 2, (
        "the server told of too few, or of all"
    )


@pytest.mark.parametrize("change", [None, {"step": 1, "s": "x"}, {"step": 2}, {"step": 0}])
def test_messages_reasons_and_old_values(change: Json | None, control_plane: ControlPlane) -> None:
    """As the server tells them, of a new object and of a change."""
    number = next(NUMBERS)
    kind = Kind(name=f"Special{number}", plural=f"specials{number}", group=KIND.group, version="v1")
    serve(control_plane, [], kind)
    named = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "check"}}

    async def run() -> list[Cause]:
        async with KubeStore.connect(kubeconfig=control_plane.admin_kubeconfig) as store:
            if change is not None:
                await store.create(kind, {**named, "spec": SPEC})
            serve(control_plane, list(SPECIAL), kind)
            try:
                return await until_ruled(store)
            finally:
                if change is not None:
                    await store.delete(kind, "check")

    async def until_ruled(store: KubeStore) -> list[Cause]:
        """Ask until the server has taken the rules in, which it does after it has said so."""
        async with asyncio.timeout(30):
            while not (found := await said(store, kind, change or SPEC, patch=change is not None)):
                await asyncio.sleep(0)
        return found

    laws = Laws(schema(list(SPECIAL)))
    assert laws.unchecked == []
    before: dict[str, Any] | None = None if change is None else {"spec": SPEC}
    after = {"spec": {**SPEC, **(change or {})}}
    assert told(list(laws.faults(after, before))) == told(asyncio.run(run()))
