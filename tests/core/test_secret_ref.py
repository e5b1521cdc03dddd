"""Secrets are named and never held: no part of kubenode reads one, and a misplaced one is not repeated."""

import json
import logging
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.manifests import install
from kubenode.runtime.record import codec

CONTENT = "hunter2-is-no-password"
REF: m.Json = {"namespace": "kubenode-system", "name": "cloud-credentials"}


def raw(ref: Any) -> m.Json:
    """Write a Machine whose provider has credentials in a Secret."""
    return {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "m1"},
        "spec": {"infrastructure": {"provider": "memory", "secretRef": ref}},
    }  # fmt: skip


def test_a_secret_is_named_by_namespace_and_name() -> None:
    """Both are read, and both are written."""
    machine = wire.load(raw(REF))
    assert isinstance(machine, m.Machine)
    assert machine.spec.infrastructure == m.Infrastructure(
        provider="memory", secret_ref=m.SecretRef(namespace="kubenode-system", name="cloud-credentials")
    )
    assert wire.dump(machine)["spec"]["infrastructure"]["secretRef"] == REF


AT = "spec.infrastructure.secretRef"


@pytest.mark.parametrize(
    ("ref", "places"),
    [
        ({}, {f"{AT}.namespace", f"{AT}.name"}),
        ({"name": "a"}, {f"{AT}.namespace"}),
        ({"namespace": "a"}, {f"{AT}.name"}),
        ({**REF, "name": ""}, {f"{AT}.name"}),
        ({**REF, "name": "a/b"}, {f"{AT}.name"}),
        ({**REF, "name": "../a"}, {f"{AT}.name"}),
        ({**REF, "name": "a..b"}, {f"{AT}.name"}),
        ({**REF, "name": "x" * 254}, {f"{AT}.name"}),
        ({**REF, "namespace": "a.b"}, {f"{AT}.namespace"}),
        ({**REF, "namespace": "x" * 64}, {f"{AT}.namespace"}),
        ({**REF, "name": 7}, {f"{AT}.name"}),
        (CONTENT, {AT}),
        ([REF], {AT}),
        ({**REF, "key": "token"}, {f"{AT}.key"}),
    ],
)
def test_what_is_no_name_is_refused(ref: Any, places: set[str]) -> None:
    """A path, a list, a key in the Secret: each at its place."""
    with pytest.raises(InvalidObjectError) as raised:
        wire.load(raw(ref))
    assert {problem.where for problem in raised.value.problems} == places


@pytest.mark.parametrize("field", ["data", "stringData", "token"])
def test_the_content_of_a_secret_is_refused_and_not_repeated(field: str) -> None:
    """Who writes it where the name belongs is told so without it."""
    ref = {**REF, field: {"password": CONTENT}}
    with pytest.raises(InvalidObjectError) as raised:
        wire.load(raw(ref))
    assert {problem.where for problem in raised.value.problems} == {f"{AT}.{field}"}
    assert CONTENT not in str(raised.value)


def test_the_content_of_a_secret_reaches_no_recording_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """What a server without our schema would serve: its place is kept, since we must not act on it; its value is not."""
    with caplog.at_level(logging.DEBUG):
        machine = wire.read(raw({**REF, "stringData": {"password": CONTENT}}), m.Machine)
        recorded = json.dumps(codec.write_object(machine))
    assert machine.metadata.unknown == (f"{AT}.stringData",)
    assert f"{AT}.stringData" in recorded
    assert CONTENT not in recorded + repr(machine) + caplog.text


def test_nobody_may_read_a_secret() -> None:
    """No role that is installed has a right to Secrets, by name or by wildcard."""
    rules = [rule for one in install() if one["kind"] == "ClusterRole" for rule in one["rules"]]
    assert rules
    for rule in rules:
        assert not {"secrets", "*"} & {*rule["resources"], *rule["verbs"]}
