"""What core accepts and refuses, a real server accepts and refuses, at the same places, whatever is generated.

Good objects of every kind are made by `tests/strategies.py`, bad ones from them by one change that the kind's own
schema suggests. Each is judged by `core.wire.load`, and as a dry run by the server under strict field validation.
What only one of the two can know is the data of `DIFFERENCES`; `docs/reference/validation.md` tells it to users.
"""

import copy
import http.client
import json
import re
import ssl
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.manifests import install, load_manifests, to_yaml
from kubenode.runtime.testing import ControlPlane
from tests.strategies import objects

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

_OFTEN: Final = settings(
    max_examples=max(settings.default.max_examples // 3, 20), deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
"""A hundred requests take ten seconds or so; nightly runs make thousands."""

Place: TypeAlias = tuple[str | int, ...]
"""The keys and positions that lead to a value of an object."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What one judge said of an object.

    Attributes:
        said: the whole of it, for people.
        problems: core's problems by place.
        places: where it found fault; empty also where it refuses without naming a place.
    """

    refused: bool
    said: str = ""
    problems: dict[str, str] = attrs.field(factory=dict)
    places: frozenset[str] = frozenset()


class Server:
    """A real server that judges objects of ours and keeps none."""

    def __init__(self, control_plane: ControlPlane, folder: Path) -> None:
        """Install our kinds, and one object of each that has a status to judge."""
        control_plane.kubectl("apply", "-f", "-", input=to_yaml(install()))
        names = [obj["metadata"]["name"] for obj in install() if obj["kind"] == "CustomResourceDefinition"]
        names = [f"crd/{name}" for name in names]
        control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
        told = json.loads(control_plane.admin_kubeconfig.read_text())
        user = told["users"][0]["user"]
        identity = folder / "identity.pem"
        identity.write_bytes(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
        tls = ssl.create_default_context(cafile=str(control_plane.ca_file))
        tls.load_cert_chain(identity)
        port = int(control_plane.url.rpartition(":")[2])
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=60)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def judge(self, kind: m.Kind, body: bytes, *, strict: bool = True) -> Verdict:
        """Have an object judged as a new one."""
        fields = "Strict" if strict else "Ignore"
        self._connection.request(
            "POST", f"/apis/{kind.api_version}/{kind.plural}?dryRun=All&fieldValidation={fields}", body,
            {"Content-Type": "application/json"},
        )  # fmt: skip
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status == http.client.CREATED:
            return Verdict(refused=False)
        assert response.status in {http.client.BAD_REQUEST, http.client.UNPROCESSABLE_ENTITY}, answer
        found = {cause.get("field", "") for cause in answer.get("details", {}).get("causes", ())}
        found |= set(_UNKNOWN.findall(answer["message"]))
        return Verdict(
            refused=True,
            said=answer["message"],
            places=frozenset(field.removeprefix(".") for field in found - {"<nil>", ""}),
        )


_PAGE: Final = Path(__file__).parents[2] / "docs/reference/validation.md"
_UNKNOWN: Final = re.compile(r'(?:unknown|duplicate) field "([^"]*)"')


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows our kinds."""
    made = Server(control_plane, tmp_path_factory.mktemp("server"))
    yield made
    made.close()


def of_core(raw: Any) -> Verdict:
    """Give what core's strict reader says."""
    try:
        wire.load(raw)
    except InvalidObjectError as error:
        problems = {problem.where: problem.what for problem in error.problems}
        # Of owners the server does not say which one.
        places = frozenset(re.sub(r"^(metadata\.ownerReferences)\[\d+\]", r"\1", where) for where in problems)
        return Verdict(refused=True, said=str(error), places=places, problems=problems)
    return Verdict(refused=False)


def places_in(value: Any, schema: m.Json, at: Place = ()) -> Iterator[tuple[Place, m.Json]]:
    """Give every place that an object has and its schema knows, with the schema of what stands there."""
    yield at, schema
    if isinstance(value, dict):
        for key, part in value.items():
            below = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if below is not None:
                yield from places_in(part, below, (*at, key))
    elif isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield from places_in(part, schema["items"], (*at, index))


_ODD_TEXTS: Final = (
    "", " ", "a b", "a\n", "\n", "\t", "\x00", "a\x07", "\x7f", "é", "日本", "\N{GRINNING FACE}", "\u2028", "\ufeff",
    "-a", "a-", "A", "a/b", "a//b", "/", ".", "..", "a.b", "true", "null", "1", "-1", "0", "1e3", "NaN", "${x}", "'",
    "x" * 64, "x" * 254, "x" * 318, "é" * 200, "Never", "restartunit",
)  # fmt: skip
_ODD_AMOUNTS: Final = (
    "1d", "-1s", "1.5h", "PT1H", "9000h", "8784h", "8785h", "1s1h", "1h1h", "99999999999999999999h", "1h 1m", "1ms", "0s", "1H",
    "0%", "1%", "100%", "101%", "10", "-1%", "1.5%", "%", "010%", "1%%", "1Gi",
    "yesterday", "2026-01-01", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z",
    "2026-01-01T23:59:60Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+01:00",
    "2026-01-01T00:00:00,5Z", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789Z", "2026-01-01t00:00:00z",
    "2026-01-01T00:00:00+99:99", "2026-1-1T0:0:0Z", "9999-12-31T23:59:59-23:59",
)  # fmt: skip
_ODD_NUMBERS: Final = (
    0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30,
    0.0, 1.0, 1.5, -0.0, 1e15, 1e17, 1e300, 5e-324,
)  # fmt: skip
_ODD_VALUES: Final = (
    *_ODD_TEXTS,
    *_ODD_AMOUNTS,
    *_ODD_NUMBERS,
    True,
    False,
    None,
    [],
    {},
    [None],
    [{}],
    {"a": None},
)
_METADATA: Final = (
    ("name", ("", "Upper", "a b", "a..b", "-a", "a.", "x" * 64, "x" * 254, "é", "a\n", 7, None, [])),
    ("labels", ({"a b": "c"}, {"a": "x y"}, {"a": "x" * 64}, {"": ""}, {"x" * 64: ""}, {"a/b/c": ""}, {"é": ""},
        {"a": 1}, {"a": True}, {"a": None}, [], "a", {"A.b/c": ""}, {"a\n": ""}, {"a": "b\n"}, {"/a": ""})),
    ("annotations", ({"a b": "c"}, {"a": "x y"}, {"UP/a": ""}, {"": ""}, {"a": 1}, {"a": None}, [], {"a": "x" * 262_144})),
    ("finalizers", (["a/b"], ["a b"], [""], ["a"], "a", [1], [None], ["a/b", "a/b"], ["x" * 64 + "/a"], ["a/" + "x" * 64], ["a/b/c"])),
    ("namespace", ("default", "", None)),
    ("generateName", ("a-", "A", "")),
    ("ownerReferences", ([], [{}], "a", [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}])),
    ("surplus", ("x", {})),
    ("uid", ("x", 7)),
    ("resourceVersion", ("", "x", 7)),
    ("generation", (1, "x", 2**64)),
    ("creationTimestamp", (None, "2026-01-01T00:00:00Z", "soon")),
)  # fmt: skip
"""What may stand in metadata, each field with values of all kinds."""


@attrs.frozen(kw_only=True)
class Change:
    """One change of an object at a place."""

    at: Place
    name: str
    make: Callable[[Any], Any] = attrs.field(repr=False)


def changes(value: Any, schema: m.Json, at: Place) -> Iterator[Change]:
    """Give every change that the schema of a value suggests, but for other values of odd types."""
    if isinstance(value, dict):
        yield Change(at=at, name="an unknown field", make=lambda old: {**old, "surplus": 1})
        yield Change(at=at, name="an odd key", make=lambda old: {**old, "A b": next(iter(old.values()), "x")})
        yield Change(at=at, name="an empty key", make=lambda old: {**old, "": next(iter(old.values()), "x")})
        for key in value:
            yield Change(
                at=at,
                name=f"without {key}",
                make=lambda old, key=key: {k: v for k, v in old.items() if k != key},
            )
        if "additionalProperties" in schema and value:
            most, one = schema["maxProperties"], next(iter(value.values()))
            yield Change(
                at=at,
                name="too many keys",
                make=lambda old: {**old, **{f"k{i}": one for i in range(most + 1)}},
            )
            yield Change(at=at, name="a long key", make=lambda old: {**old, "x" * 318: one})
    if isinstance(value, list) and value:
        most = schema["maxItems"]
        yield Change(at=at, name="twice the first", make=lambda old: [old[0], *old])
        yield Change(at=at, name="too many items", make=lambda old: [old[0]] * (most + 1))
        yield Change(at=at, name="a null item", make=lambda old: [*old, None])
    for word in ("minimum", "maximum"):
        if word in schema:
            for step in (-1, 0, 1):
                yield Change(
                    at=at, name=f"{word} {step:+}", make=lambda _, word=word, step=step: schema[word] + step
                )
    for word in ("minLength", "maxLength"):
        if word in schema:
            for step in (-1, 0, 1):
                count = max(schema[word] + step, 0)
                yield Change(at=at, name=f"{word} {step:+}", make=lambda _, count=count: "x" * count)


@st.composite
def bad_objects(draw: st.DrawFn, cls: type[m.Object], part: str) -> m.Json:
    """Give an object of a kind with one change in its spec or metadata; most of them are bad."""
    raw = wire.dump(draw(objects(cls, fresh=True)))
    if part == "metadata":
        field, values = draw(st.sampled_from(_METADATA))
        raw["metadata"] = {**raw["metadata"], field: draw(st.sampled_from(values))}
        return raw
    schema = schema_of(cls)["properties"]["spec"]
    if draw(st.integers(0, 4)) == 0:  # two good halves may break a law over both
        other = wire.dump(draw(objects(cls, fresh=True))).get("spec", {})
        keys = draw(st.sets(st.sampled_from(sorted(schema.get("properties", {"": {}})))))
        spec = {k: v for k, v in raw.get("spec", {}).items() if k not in keys}
        return {**raw, "spec": {**spec, **{k: v for k, v in other.items() if k in keys}}}
    at, below = draw(st.sampled_from(list(places_in(raw.get("spec", {}), schema, ("spec",)))))
    old = value_at(raw, at)
    suggested = list(changes(old, below, at))
    odd = Change(at=at, name="an odd value", make=lambda _: draw(st.sampled_from(_ODD_VALUES)))
    change = draw(st.sampled_from([*suggested, odd])) if suggested and draw(st.booleans()) else odd
    return replaced(raw, at, change.make(old))


def value_at(raw: Any, at: Place) -> Any:
    """Give what stands at a place; an empty mapping for a spec that is not there."""
    for step in at:
        raw = raw.get(step, {}) if isinstance(raw, dict) else raw[step]
    return raw


def replaced(raw: m.Json, at: Place, value: Any) -> m.Json:
    """Give a copy with another value at a place."""
    made = copy.deepcopy(raw)
    value_at(made, at[:-1])[at[-1]] = value
    return made


_SET: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineSet", "metadata": {"name": "s"},
    "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}},
        "template": {"labels": {"a": "b"}, "spec": {"infrastructure": {"provider": "p"}}},
    },
}  # fmt: skip
_JOB: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "RemedyOperationJob", "metadata": {"name": "j"},
    "spec": {"machine": {"name": "m", "uid": "u"}, "remedier": "r", "episode": 1, "cause": {"type": "T"}},
}  # fmt: skip
_COMPONENT: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "c"},
    "spec": {"version": "1", "driver": "file"},
}  # fmt: skip
_POLICY: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "RiskPolicy", "metadata": {"name": "p"},
}  # fmt: skip


@attrs.frozen(kw_only=True)
class Difference:
    """Something that only one of the two judges can know, or wants to.

    Attributes:
        where: core's word for the place, a pattern.
        says: what core says of it, a pattern.
        why: the reason, as `docs/reference/validation.md` tells it.
        raw: an object that shows it.
    """

    where: str
    says: str
    why: str
    raw: m.Json


DIFFERENCES: Final = (
    Difference(
        where=r"metadata\.namespace", says="have no namespace",
        why="The server drops a namespace without a word", raw={**_SET, "metadata": {"name": "s", "namespace": "default"}},
    ),
    Difference(
        where=r"metadata\.(labels|annotations)\..*", says="must be a string, not null",
        why="The server reads a label or annotation that is null as empty text",
        raw={**_SET, "metadata": {"name": "s", "labels": {"a": None}}},
    ),
    Difference(
        where=r"spec\..*", says=r"must be a whole number, not the number -?[0-9.e+]+",
        why="The server takes a float that is whole for a whole number",
        raw={**_JOB, "spec": {**_JOB["spec"], "firstRung": 1.0}},
    ),
    Difference(
        where=r"spec\..*", says=r"must be a number or a percentage, not the number -?[0-9]+\.0$",
        why="The server takes a float that is whole for a whole number",
        raw={**_POLICY, "spec": {"limits": [{"scope": "zone", "max": 3.0}]}},
    ),
    Difference(
        where=r"spec\.(.*\.)?parameters\..*", says="is a number that does not fit 64 bits$",
        why="The server takes a whole number beyond 64 bits in `parameters`", raw={**_COMPONENT, "spec": {**_COMPONENT["spec"], "parameters": {"a": [2**63]}}},
    ),
)  # fmt: skip
"""What core refuses and the server does not. There is nothing that the server refuses and core does not."""


def is_listed(problems: dict[str, str]) -> bool:
    """Tell whether all that core says is of the listed differences."""
    return bool(problems) and all(
        any(re.fullmatch(one.where, where) and re.search(one.says, what) for one in DIFFERENCES)
        for where, what in problems.items()
    )


def disagreement(ours: Verdict, theirs: Verdict) -> str:
    """Say what two verdicts differ in; empty when they agree."""
    if ours.refused and not theirs.refused and is_listed(ours.problems):
        return ""
    if ours.refused != theirs.refused:
        return "verdict"
    if not theirs.places:  # the server could not even decode it
        return ""
    # Over an object with another fault the server runs no rule, and says so; core judges those of sound parts.
    unchecked = "some validation rules were not checked" in theirs.said
    near = unchecked or all(any(is_near(one, other) for other in theirs.places) for one in ours.places)
    back = all(any(is_near(one, other) for other in ours.places) for one in theirs.places)
    return "" if near and back else "places"


def is_near(one: str, other: str) -> bool:
    """Tell whether two places are the same, or one lies in the other."""
    return (
        one == other or one.startswith((f"{other}.", f"{other}[")) or other.startswith((f"{one}.", f"{one}["))
    )


CASES: Final = [
    pytest.param(kind, part, id=f"{kind.KIND.name}-{part}")
    for kind in m.KINDS
    for part in ("spec", "metadata")
]


@pytest.mark.parametrize(("cls", "part"), CASES)
@_OFTEN
@given(data=st.data())
def test_core_and_the_server_agree(
    server: Server, cls: type[m.Object], part: str, data: st.DataObject
) -> None:
    """What one refuses the other refuses, at the same places, and what one accepts the other accepts."""
    raw = data.draw(bad_objects(cls, part))
    ours, theirs = of_core(raw), server.judge(cls.KIND, json.dumps(raw).encode())
    assert not disagreement(ours, theirs), f"{raw}\nserver: {theirs.said}\ncore: {ours.said}"


@pytest.mark.parametrize("one", DIFFERENCES, ids=lambda one: one.why[:40])
def test_listed_differences_are_there_and_told_to_users(server: Server, one: Difference) -> None:
    """Core refuses, the server accepts; a difference that is gone has to leave the list and the page."""
    kind = wire.kind_of(one.raw["kind"]).KIND
    ours, theirs = of_core(one.raw), server.judge(kind, json.dumps(one.raw).encode())
    assert (ours.refused, theirs.refused) == (True, False), theirs.said
    assert is_listed(ours.problems)
    assert one.why in _PAGE.read_text()


def test_an_unknown_field_is_pruned_without_strict_validation(server: Server) -> None:
    """Core always refuses it; a server that is not asked to be strict takes the object and drops the field."""
    body = json.dumps({**_SET, "spec": {**_SET["spec"], "surplus": 1}}).encode()
    assert server.judge(m.MachineSet.KIND, body).places == {"spec.surplus"}
    assert not server.judge(m.MachineSet.KIND, body, strict=False).refused


_TEXTS: Final = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e30", b"-1", b"01", b"+1", b"0x10", b"1_000", b".5", b"1.",
    b"99999999999999999999999999", b"-99999999999999999999999999", b"", b"'1'", b"tru", b"1,", b'1, "replicas": 2',
    b'"\xff"', b'"\xc3("', b'"\xed\xa0\x80"', b'"\x00"', b'"\x07"', b'"\n"', b"1}", b"[" * 5, b"1 // one", b"1 /* one */",
)  # fmt: skip
"""What may stand as bytes where a number is wanted: no text of these is a good object."""


@pytest.mark.parametrize("text", _TEXTS, ids=repr)
def test_bad_text_is_refused_by_both(server: Server, tmp_path: Path, text: bytes) -> None:
    """NaN, huge and negative numbers, keys given twice, and bytes that are no UTF-8: file and line are told."""
    body = json.dumps(_SET).encode().replace(b'"replicas": 1', b'\n"replicas": ' + text)
    assert server.judge(m.MachineSet.KIND, body).refused
    file = tmp_path / "set.json"
    file.write_bytes(body)
    with pytest.raises(InvalidObjectError) as raised:
        load_manifests([file])
    assert {(problem.file, problem.line) for problem in raised.value.problems} <= {
        (str(file), n) for n in (1, 2, 3)
    }


def test_a_judge_that_never_refuses_is_found() -> None:
    """Each kind of disagreement is told."""
    good, bad = (
        Verdict(refused=False),
        Verdict(refused=True, problems={"spec.a": "x"}, places=frozenset({"spec.a"})),
    )
    assert disagreement(good, bad) == disagreement(bad, good) == "verdict"
    assert disagreement(bad, attrs.evolve(bad, places=frozenset({"spec.b"}))) == "places"
    assert not disagreement(bad, attrs.evolve(bad, places=frozenset({"spec"})))
