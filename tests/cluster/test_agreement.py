"""What core accepts and refuses, a real server accepts and refuses, at the same places, whatever is generated.

Good objects of every kind are made by `tests/strategies.py`, bad ones from them by `tests/mistakes.py`; statuses alike. Each is judged by `core.wire.load`, and as a dry run by the server under strict field
validation: an object as a new one, a status as a write of `/status`.
What only one of the two can know is the data of `DIFFERENCES`; `docs/reference/validation.md` tells it to users.
"""

import contextlib
import http.client
import json
import re
import ssl
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

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
from tests.mistakes import BASES, JOB, POLICY, SET, bad_objects, statuses

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

_OFTEN: Final = settings(
    max_examples=max(settings.default.max_examples // 3, 20), deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
"""A hundred requests take ten seconds or so; nightly runs make thousands."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What one judge said of an object.

    Attributes:
        said: the whole of it, for people.
        problems: by place; several of one place are one text.
        places: where it found fault; empty also where it refuses without naming a place.
    """

    refused: bool
    said: str = ""
    problems: dict[str, str] = attrs.field(factory=dict)
    places: frozenset[str] = frozenset()


class Server:
    """A real server that judges objects of ours, and keeps none but for a while."""

    def __init__(self, control_plane: ControlPlane, folder: Path) -> None:
        """Install our kinds."""
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

    @contextlib.contextmanager
    def keeping(self, kind: m.Kind, raw: m.Json) -> Iterator[m.Json]:
        """Keep an object for a while, so that its status can be judged."""
        status, stored = self._ask("POST", _path(kind), json.dumps(raw).encode())
        assert status == http.client.CREATED, stored
        try:
            yield stored
        finally:
            status, answer = self._ask("DELETE", f"{_path(kind)}/{raw['metadata']['name']}", b"")
        assert status == http.client.OK, answer

    def _ask(self, method: str, path: str, body: bytes, how: str = "") -> tuple[int, Any]:
        self._connection.request(method, path + how, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def judge(self, kind: m.Kind, body: bytes, *, strict: bool = True) -> Verdict:
        """Have an object judged as a new one."""
        ask = partial(self._ask, "POST", _path(kind))
        return _in_all_rounds(ask, body) if strict else _verdict(*ask(body, _LAX))

    def judge_status(self, kind: m.Kind, stored: m.Json, status: Any) -> Verdict:
        """Have a whole status judged as a controller's write of it to an object that is kept."""
        body = json.dumps({**stored, "status": status}).encode()
        return _in_all_rounds(
            partial(self._ask, "PUT", f"{_path(kind)}/{stored['metadata']['name']}/status"), body
        )


def _in_all_rounds(ask: Callable[[bytes, str], tuple[int, Any]], body: bytes) -> Verdict:
    """Have it judged, and once more without its unknown fields: while it has any, a server looks at nothing else."""
    first = _verdict(*ask(body, _STRICT))
    if "strict decoding error" not in first.said:
        return first
    rest = _verdict(*ask(body, _LAX))
    return attrs.evolve(first, said=f"{first.said}; {rest.said}", places=first.places | rest.places)


_STRICT: Final = "?dryRun=All&fieldValidation=Strict"
_LAX: Final = "?dryRun=All&fieldValidation=Ignore"


def _path(kind: m.Kind) -> str:
    return f"/apis/{kind.api_version}/{kind.plural}"


def _verdict(status: int, answer: Any) -> Verdict:
    if status in {http.client.CREATED, http.client.OK}:
        return Verdict(refused=False)
    assert status in {http.client.BAD_REQUEST, http.client.UNPROCESSABLE_ENTITY}, answer
    problems: dict[str, str] = {}
    for cause in answer.get("details", {}).get("causes", ()):
        place = cause.get("field", "").removeprefix(".")
        problems[place] = f"{problems.get(place, '')}\n{cause['message']}"
    found = problems.keys() | {field.removeprefix(".") for field in _UNKNOWN.findall(answer["message"])}
    return Verdict(
        refused=True, said=answer["message"], problems=problems, places=frozenset(found - {"<nil>", ""})
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


_COMPONENT: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "c"},
    "spec": {"version": "1", "driver": "file"},
}  # fmt: skip
DIFFERENCES: Final = (
    Difference(
        where=r"metadata\.namespace", says="have no namespace",
        why="The server drops a namespace without a word", raw={**SET, "metadata": {"name": "s", "namespace": "default"}},
    ),
    Difference(
        where=r"metadata\.(labels|annotations)\..*", says="must be a string, not null",
        why="The server reads a label or annotation that is null as empty text",
        raw={**SET, "metadata": {"name": "s", "labels": {"a": None}}},
    ),
    Difference(
        where=r"(spec|status)\..*", says=r"must be a whole number, not the number -?[0-9.e+]+",
        why="The server takes a float that is whole for a whole number",
        raw={**JOB, "spec": {**JOB["spec"], "firstRung": 1.0}},
    ),
    Difference(
        where=r"spec\..*", says=r"must be a number or a percentage, not the number -?[0-9]+\.0$",
        why="The server takes a float that is whole for a whole number",
        raw={**POLICY, "spec": {"limits": [{"scope": "zone", "max": 3.0}]}},
    ),
    Difference(
        where=r"spec\.(.*\.)?parameters\..*", says="is a number that does not fit 64 bits$",
        why="The server takes a whole number beyond 64 bits in `parameters`",
        raw={**_COMPONENT, "spec": {**_COMPONENT["spec"], "parameters": {"a": [2**63]}}},
    ),
    Difference(
        where=r"(spec|status)\..*", says=r"^offset must be a timedelta strictly between",
        why="The server takes a time that is a day or more from UTC",
        raw={**POLICY, "spec": {"freeze": [{"scope": "cluster", "reason": "x", "until": "2026-01-01T00:00:00+99:99"}]}},
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
    back = all(
        any(is_near(one, other) for other in ours.places)
        or is_beyond(one, theirs.problems.get(one, ""), ours)
        for one in theirs.places
    )
    return "" if near and back else "places"


def is_near(one: str, other: str) -> bool:
    """Tell whether two places are the same, or one lies in the other."""
    return (
        one == other or one.startswith((f"{other}.", f"{other}[")) or other.startswith((f"{one}.", f"{one}["))
    )


def rules(schema: m.Json) -> Iterator[tuple[str, str]]:
    """Give the rules of a schema that blame a field of their object for what another has: its path in there, and their words."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "fieldPath" in rule:
            yield rule["fieldPath"], rule["message"]
    for part in (
        *schema.get("properties", {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ):
        if isinstance(part, dict):
            yield from rules(part)


_RULES: Final = frozenset(rule for kind in m.KINDS for rule in rules(schema_of(kind)))


def is_beyond(place: str, said: str, ours: Verdict) -> bool:
    """Tell whether only a rule names a place, and core has found a fault in the object that is ruled: it judges rules of sound objects.

    A server does so too over a fault of the schema's; what a rule refuses, such as a key, keeps it from no other rule.
    """
    return any(
        said == f"\nInvalid value: {message}"
        and place.endswith(path)
        and any(one.startswith(f"{place.removesuffix(path)}.") for one in ours.places)
        for path, message in _RULES
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


@pytest.fixture
def kept(server: Server, cls: type[m.Object]) -> Iterator[m.Json]:
    """The object of `BASES` of a kind, on the server until the test is over."""
    with server.keeping(cls.KIND, BASES[cls]) as stored:
        yield stored


@pytest.mark.parametrize("cls", BASES, ids=lambda cls: cls.KIND.name)
@_OFTEN
@given(data=st.data())
def test_core_and_the_server_agree_on_statuses(
    server: Server, kept: m.Json, cls: type[m.Object], data: st.DataObject
) -> None:
    """A status that core calls good is one that a controller can write, and the other way round."""
    raw = data.draw(statuses(cls))
    ours, theirs = of_core(raw), server.judge_status(cls.KIND, kept, raw["status"])
    assert not disagreement(ours, theirs), f"{raw}\nserver: {theirs.said}\ncore: {ours.said}"


def test_every_kind_with_a_status_is_judged() -> None:
    """A kind that gets a status gets a base for it."""
    assert set(BASES) == {cls for cls in m.KINDS if "status" in schema_of(cls)["properties"]}
    assert all(not of_core(raw).refused for raw in BASES.values())


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
    body = json.dumps({**SET, "spec": {**SET["spec"], "surplus": 1}}).encode()
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
    body = json.dumps(SET).encode().replace(b'"replicas": 1', b'\n"replicas": ' + text)
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


def test_only_a_rule_of_an_object_with_a_fault_is_let_pass() -> None:
    """A rule that core misses elsewhere, or something else that only the server finds, is told."""
    path, message = (
        ".template",
        "must have every label of selector.matchLabels, or new machines would not be of the set",
    )
    assert (path, message) in _RULES

    def verdict(*places: str, said: str = message) -> Verdict:
        problems = dict.fromkeys(places, f"\nInvalid value: {said}")
        return Verdict(refused=True, problems=problems, places=frozenset(places))

    key = "spec.selector.matchLabels"
    both = verdict(key, "spec.template")
    assert not disagreement(verdict(f"{key}.A b"), both)
    assert disagreement(verdict(f"{key}.A b"), verdict(key, "spec.template", said="another")) == "places"
    assert disagreement(verdict(f"{key}.A b"), verdict(key, "spec.strategy")) == "places"
    assert disagreement(verdict("metadata.name"), verdict("metadata.name", "spec.template")) == "places"


def test_a_rule_beside_a_bad_key_is_told_by_the_server_alone(server: Server) -> None:
    """As it was found: the key is refused by a rule, which keeps no other from being run."""
    raw = {**SET, "spec": {**SET["spec"], "selector": {"matchLabels": {"pool": "general", "A b": "general"}}}}
    ours, theirs = of_core(raw), server.judge(m.MachineSet.KIND, json.dumps(raw).encode())
    assert (ours.places, theirs.places) == (
        {"spec.selector.matchLabels.A b"}, {"spec.selector.matchLabels", "spec.template"}
    )  # fmt: skip
    assert not disagreement(ours, theirs)
