"""The schemas: bounded, complete, and the same as what the classes say."""

import copy
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.crd import (
    NAME_LIMITS,
    REVISION,
    crd_of,
    crds,
    remediation_crds,
    revision_of,
    schema_of,
    unbounded,
)
from kubenode.core.fields import fields_of
from kubenode.core.model.meta import Items, Keys, Kind, Text, Wire
from kubenode.core.schema import check_supported

KINDS = pytest.mark.parametrize("kind", m.KINDS, ids=lambda kind: kind.KIND.name)
SHORT = Annotated[str, Text(max=3)]


def _schemas(schema: m.Json, path: str = "") -> Iterator[tuple[str, m.Json]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from _schemas(part, f"{path}.{name}")
    for word, sign in (("items", "[]"), ("additionalProperties", ".*")):
        if word in schema:
            yield from _schemas(schema[word], path + sign)


@KINDS
def test_every_string_list_and_map_is_bounded(kind: type[m.Object]) -> None:
    """Nothing of any size can be stored but in free-form parameters, which the server bounds as a whole."""
    assert list(unbounded(schema_of(kind))) == []
    assert check_supported(schema_of(kind)) == ()
    for path, schema in _schemas(schema_of(kind)):
        if schema.get("type") == "integer" and not path.endswith("metadata"):
            assert {"minimum", "maximum"} <= set(schema), path


@attrs.frozen(kw_only=True)
class _Loose:
    """A class in which nothing is bounded."""

    KIND: ClassVar[Kind] = Kind(name="Loose", plural="looses")

    metadata: m.ObjectMeta
    text: str
    texts: tuple[SHORT, ...] = ()
    named: Mapping[str, SHORT] = attrs.field(factory=dict)
    deep: Annotated[tuple[str, ...], Items(max=1)] = ()
    wide: Annotated[Mapping[str, str], Keys(max=1)] = attrs.field(factory=dict)
    bounded: Annotated[tuple[SHORT, ...], Items(max=1)] = ()


def test_a_planted_unbounded_field_is_found() -> None:
    """The walk over the bounds finds strings, lists and maps without them, at any depth."""
    assert list(unbounded(schema_of(_Loose))) == ["text", "texts", "named", "deep[]", "wide.*"]


@attrs.frozen(kw_only=True)
class _Kept:
    """Says what is kept.

    Attributes:
        lasting: how long,
            in whole seconds.
    """

    lasting: Annotated[timedelta, Wire(name="for")] = timedelta(minutes=90)
    node_name: Annotated[SHORT, Text(max=2), "whose"] = "n"
    free: Annotated[Mapping[str, Any], "anything"] = attrs.field(factory=dict)
    maybe: SHORT | None = None
    share: m.IntOrPercent = m.IntOrPercent(5, percent=True)


@attrs.frozen(kw_only=True)
class _Keeper:
    """Keeps."""

    KIND: ClassVar[Kind] = Kind(name="Keeper", plural="keepers")

    metadata: m.ObjectMeta
    kept: _Kept = _Kept(node_name="m")


def test_a_class_is_written_as_a_schema() -> None:
    """Spelling, bounds, meaning and defaults of each field come from the class."""
    kept = schema_of(_Keeper)["properties"]["kept"]
    parts = kept["properties"]
    assert (kept["type"], kept["description"], "required" in kept) == ("object", "Says what is kept.", False)
    assert kept["default"] == {"for": "1h30m", "nodeName": "m", "free": {}, "share": "5%"}
    assert parts["for"]["description"] == "How long, in whole seconds."
    assert parts["for"]["default"] == "1h30m"
    assert parts["nodeName"] == {"type": "string", "maxLength": 2, "description": "Whose.", "default": "n"}
    assert parts["free"]["x-kubernetes-preserve-unknown-fields"]
    assert "default" not in parts["maybe"]
    assert parts["share"]["x-kubernetes-int-or-string"]
    assert parts["share"]["default"] == "5%"


def test_marks_become_keywords() -> None:
    """Lists are list-maps or atomic, subtrees of one writer are atomic, laws are rules with a place."""
    spec = schema_of(m.Machine)["properties"]["spec"]
    parts = spec["properties"]
    assert parts["taints"]["x-kubernetes-list-map-keys"] == ["key", "effect"]
    assert parts["operation"]["properties"]["steps"]["x-kubernetes-list-type"] == "atomic"
    assert parts["components"]["additionalProperties"]["x-kubernetes-map-type"] == "atomic"
    assert parts["components"]["maxProperties"] == 64
    assert "k.matches" in parts["components"]["x-kubernetes-validations"][0]["rule"]
    assert spec["x-kubernetes-validations"][1]["fieldPath"] == ".host"
    status = schema_of(m.Machine)["properties"]["status"]["properties"]
    assert status["agent"]["x-kubernetes-map-type"] == "atomic"
    assert status["firstRunning"]["format"] == "date-time"
    closed = schema_of(m.RiskLedger)["properties"]["status"]["properties"]["closed"]
    assert closed["x-kubernetes-map-type"] == "atomic"


@KINDS
def test_every_field_says_what_it_is(kind: type[m.Object]) -> None:
    """`kubectl explain` shows a sentence for each; none of it is Python's."""
    for path, schema in _schemas(schema_of(kind)):
        if (
            path in ("", ".apiVersion", ".kind")
            or path.startswith(".metadata")
            or path.endswith((".*", "[]"))
        ):
            continue
        text = schema.get("description", "")
        assert text[:1] != text[:1].lower(), path
        assert text.endswith("."), path
        assert not re.search(r"\bNone\b|[a-z]_[a-z]|\.py\b", text), f"{path}: {text}"


@attrs.frozen(kw_only=True)
class _Silent:
    """A class one of whose fields says nothing."""

    KIND: ClassVar[Kind] = Kind(name="Silent", plural="silents")

    metadata: m.ObjectMeta
    spec: str = ""


def test_a_planted_field_that_says_nothing_is_found() -> None:
    """A type's own docstring, such as that of str, is no description."""
    with pytest.raises(AssertionError, match=r"\.spec"):
        test_every_field_says_what_it_is(_Silent)


@KINDS
def test_columns_stand_as_people_look_for_them(kind: type[m.Object]) -> None:
    """Age ends the short table; what `-o wide` adds comes after it, so the left side never moves."""
    columns = kind.KIND.columns
    short = [column for column in columns if not column.wide]
    assert list(columns[: len(short)]) == short
    assert short[-1].name == "Age"
    assert "[*]" not in "".join(column.path for column in columns)  # the server would print the first alone


@KINDS
def test_a_phase_is_no_enumeration(kind: type[m.Object]) -> None:
    """A phase of a newer version must be storable."""
    status = schema_of(kind)["properties"].get("status", {}).get("properties", {})
    assert "enum" not in status.get("phase", {})


@KINDS
def test_a_status_is_not_there_by_default(kind: type[m.Object]) -> None:
    """A controller has spoken when there is a status."""
    assert "default" not in schema_of(kind)["properties"].get("status", {})


def test_names_of_machines_are_bounded() -> None:
    """They become label values and certificate names."""
    name = schema_of(m.Machine)["properties"]["metadata"]["properties"]["name"]
    assert name == {"type": "string", "maxLength": 63}
    assert schema_of(m.RiskPolicy)["properties"]["metadata"] == {"type": "object"}
    assert set(NAME_LIMITS) <= {kind.KIND.name for kind in m.KINDS}


@KINDS
def test_a_kind_is_written_as_a_definition(kind: type[m.Object]) -> None:
    """Names, columns that lead somewhere, and the status subresource exactly where there is a status."""
    made = crd_of(kind)
    (version,) = made["spec"]["versions"]
    assert made["metadata"]["name"] == f"{kind.KIND.plural}.kubenode.dev"
    assert made["metadata"]["annotations"] == {REVISION: revision_of(kind)}
    assert made["spec"]["names"]["categories"] == ["kubenode"]
    assert ("subresources" in version) == any(field.name == "status" for field in fields_of(kind))
    known = {path for path, _ in _schemas(version["schema"]["openAPIV3Schema"])}
    selectable = [each["jsonPath"] for each in version.get("selectableFields", ())]
    assert selectable == [f".{path}" for path in kind.KIND.selectable]
    assert set(selectable) <= known
    for column in version["additionalPrinterColumns"]:
        if not column["jsonPath"].startswith(".metadata"):
            plain = column["jsonPath"].replace("[0]", "[]").replace("[-1:]", "[]").replace("[*]", "[]")
            head, _, tail = plain.partition("[?(")
            assert head + ("[]" + tail.partition(")]")[2] if tail else "") in known


def test_a_set_can_be_scaled() -> None:
    """The scale subresource points at fields that there are; no other kind has one."""
    (version,) = crd_of(m.MachineSet)["spec"]["versions"]
    known = {path for path, _ in _schemas(version["schema"]["openAPIV3Schema"])}
    scale = version["subresources"]["scale"]
    assert set(scale) == {"specReplicasPath", "statusReplicasPath", "labelSelectorPath"}
    assert set(scale.values()) <= known
    scaled = [
        made["spec"]["names"]["kind"]
        for made in crds()
        if "scale" in made["spec"]["versions"][0].get("subresources", {})
    ]
    assert scaled == ["MachineSet"]


def test_short_names_are_used_once() -> None:
    """Two kinds of one short name would hide each other."""
    names = [name for made in crds() for name in made["spec"]["names"]["shortNames"]]
    assert len(names) == len(set(names))
    assert [made["spec"]["names"]["kind"] for made in crds()] == [kind.KIND.name for kind in m.KINDS]


def test_a_revision_is_of_what_is_accepted_not_of_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another description is the same schema; another bound or default is not."""
    before = revision_of(m.RiskPolicy)
    schema = copy.deepcopy(schema_of(m.RiskPolicy))
    monkeypatch.setattr("kubenode.core.crd.schema_of", lambda _: schema)
    schema["properties"]["spec"]["description"] = "Other words."
    assert revision_of(m.RiskPolicy) == before
    schema["properties"]["spec"]["properties"]["limits"]["maxItems"] += 1
    assert revision_of(m.RiskPolicy) != before


def test_a_definition_is_the_callers_to_change() -> None:
    """Changing what `crd_of` gave changes no schema."""
    made = crd_of(m.Machine)
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clear()
    assert schema_of(m.Machine)["properties"]


def test_what_others_ask_by_is_in_a_namespace_and_no_part_of_ours() -> None:
    """Requests stand where their askers put them; who does not want any installs none of it."""
    found = {one["spec"]["names"]["kind"]: one["spec"]["scope"] for one in remediation_crds()}
    assert found == {"KubenodeRemediation": "Namespaced", "KubenodeRemediationTemplate": "Namespaced"}
    assert not found.keys() & {one["spec"]["names"]["kind"] for one in crds()}
