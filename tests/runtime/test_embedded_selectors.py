"""Selectors as text: each answer was first given by kube-apiserver 1.36."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import attrs
import pytest

from kubenode.core.crd import schema_of
from kubenode.core.errors import Refused
from kubenode.core.model import Json, Machine
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.selectable import NAME, by_name
from kubenode.runtime.store.selector import FieldTerm, Selection, parse_fields, parse_labels

OBJECTS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("pa", {"a": "1", "b": "2"}), ("pb", {"a": "3", "example.com/c": ""}), ("pc", {}),
)  # fmt: skip


def selected(labels: str, fields: str = "") -> list[str]:
    """Give the names of the objects that are selected."""
    chosen = Selection.of(labels, fields, {NAME: by_name})
    objects: list[Json] = [{"metadata": {"name": name, "labels": held}} for name, held in OBJECTS]
    return [obj["metadata"]["name"] for obj in objects if chosen.has(obj)]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ("", "pa pb pc"), ("a", "pa pb"), ("!a", "pc"), ("a=1", "pa"), ("a==1", "pa"), ("a!=1", "pb pc"),
        ("a in (1,3)", "pa pb"), ("a notin (1)", "pb pc"), ("a notin (1),b", ""), ("a in ()", ""), ("a in (,1)", "pa"),
        ("a in (1,,2)", "pa"), ("a>1", "pb"), ("a<3", "pa"), (" a = 1 , b ", "pa"), ("a=", ""), ("a in (1, 3 )", "pa pb"),
        ("in", ""), ("in in (in)", ""), ("a notin(1)", "pb pc"), ("a in(1,3)", "pa pb"), ("a==", ""), ("a!=", "pa pb pc"),
        ("a=1,a=3", ""), ("example.com/c=", "pb"), ("a = in", ""), ("a=1,!c", "pa"), ("a in (1),b in (2)", "pa"),
        ("a=notin", ""), ("a\\tin\\n(1)", "pa"),
    ],
)  # fmt: skip
def test_labels(labels: str, names: str) -> None:
    """What the server selects."""
    assert selected(labels.encode().decode("unicode_escape")) == names.split()


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ("=1", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"), ("a=1=", "found '=', expected: ',' or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"), ("a in (1),", "found '', expected: identifier after ','"),
        ("a in (1),(2)", "found '(', expected: identifier after ','"),
        ("a!", "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in (1,=", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("a<", "unable to parse requirement: values[0]: Invalid value: \"\": for 'Gt', 'Lt' operators, the value must be"),
        ("a>1.5", 'unable to parse requirement: values[0]: Invalid value: "1.5": for'),
        ("a>-1", 'unable to parse requirement: values[0][a]: Invalid value: "-1": a valid label must be'),
        ("a>_", "unable to parse requirement: [values[0]: Invalid value"),
        ("é=1", 'unable to parse requirement: <nil>: Invalid value: "é": name part must consist'),
        ("a/b/c", 'unable to parse requirement: <nil>: Invalid value: "a/b/c": a valid label key must'),
        ("x/", 'unable to parse requirement: <nil>: Invalid value: "x/": name part must be non-empty; name part must con'),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_read(labels: str, fault: str) -> None:
    """400 in the server's words."""
    with pytest.raises(Refused) as refused:
        parse_labels(labels)
    assert refused.value.code == 400
    assert refused.value.status["message"].startswith(fault)


def test_fields() -> None:
    """Escapes are undone, empty parts left out; `=` alone is no requirement."""
    assert parse_fields(r"metadata.name=a\,b\=c\\,,x!=y,=") == (
        FieldTerm("metadata.name", "a,b=c\\"),
        FieldTerm("x", "y", equal=False),
    )
    assert selected("", "metadata.name=pa,") == ["pa"]
    assert selected("a", "metadata.name!=pa") == ["pb"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("metadata.name=pa\\", "invalid field selector: invalid escape sequence: \\"),
        ("metadata.name=p\\a", "invalid field selector: invalid escape sequence: \\a"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_fields_that_cannot_be_read(fields: str, fault: str) -> None:
    """400 in the server's words."""
    with pytest.raises(Refused) as refused:
        parse_fields(fields)
    assert refused.value.status["message"] == fault


@pytest.mark.parametrize("text", ["", "a", "=", "a=1", "in", "(", ")", "!", ",", " ", ">1", "é", "a in (1)"])
@pytest.mark.parametrize("more", ["", "a", "=", "!", ",", "(", ")", "in", "notin", " b", "<2"])
def test_no_text_breaks_the_reader(text: str, more: str) -> None:
    """A selector is read or refused."""
    for read in (parse_labels, parse_fields):
        with suppress(Refused):
            read(text + more)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("metadata.name", "must not point to fields in metadata"),
        ("spec.nope", "is an invalid path: does not refer to a valid field"),
        ("spec.labels", "must point to a field of type string, boolean or integer."),
    ],
)
def test_fields_that_cannot_be_selectable(path: str, fault: str) -> None:
    """A kind that declares one is not served."""
    kind = attrs.evolve(Machine.KIND, selectable=(path,))
    with pytest.raises(ValueError, match=rf"the schema of Machine: \.{path} {fault}"):
        EmbeddedStore([(kind, schema_of(Machine))], clock=lambda: datetime.now(UTC))


def test_a_namespace_is_for_kinds_that_have_them() -> None:
    """Ours have none."""
    with pytest.raises(ValueError, match="Machine is cluster-scoped"):
        Machine.KIND.within("default")
