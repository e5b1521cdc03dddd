"""Bad input of policies and ledgers: refused at its path, whatever reads it; what arithmetic could spoil is bounded."""

import json
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError

HUGE = 10**400


def policy(**spec: Any) -> m.Json:
    """Make a policy as it stands on the wire."""
    meta = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "RiskPolicy", "metadata": {"name": "p"}}
    return {**meta, "spec": spec}


def limits(**limit: Any) -> m.Json:
    """Make a policy of one limit."""
    return policy(limits=[{"scope": "zone", "max": 1, **limit}])


def own(*given: m.Json, **spec: Any) -> m.Json:
    """Make a remedier with limits of its own."""
    meta = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "NodeRemedier", "metadata": {"name": "r"}}
    ladder = [{"action": "reboot"}]
    return {**meta, "spec": {"condition": {"type": "X"}, "ladder": ladder, "limits": list(given), **spec}}


def held(**hold: Any) -> m.Json:
    """Make a ledger with one row."""
    row = {
        "opID": "o",
        "machine": "m",
        "machineUID": "u",
        "cause": "Remedy",
        "scopes": ["cluster"],
        "since": 1,
    }
    meta = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "RiskLedger", "metadata": {"name": "cluster"}}
    return {**meta, "status": {"checkpoint": 1, "holds": [{**row, **hold}]}}


NUMBERS = [float("nan"), float("inf"), -1, HUGE, True, 1.5, [], {}]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: str(value)[:6])
@pytest.mark.parametrize(
    ("made", "path"),
    [
        (lambda value: limits(max=value), "spec.limits[0].max"),
        (lambda value: own({"scope": "zone", "max": value}), "spec.limits[0].max"),
        (lambda value: policy(zoneBreaker={"notReadyPercent": value}), "spec.zoneBreaker.notReadyPercent"),
        (lambda value: policy(zoneBreaker={"minNotReady": value}), "spec.zoneBreaker.minNotReady"),
        (lambda value: policy(successGate={"minAttempts": value}), "spec.successGate.minAttempts"),
        (lambda value: policy(repairWidth={"first": value}), "spec.repairWidth.first"),
        (lambda value: held(since=value), "status.holds[0].since"),
    ],
    ids=["max", "own", "percent", "minNotReady", "minAttempts", "first", "since"],
)
def test_a_number_that_is_none_huge_or_negative_is_refused_at_its_path(
    value: Any, made: Any, path: str
) -> None:
    """NaN, infinity, below zero, beyond every bound, a truth, a fraction, a list."""
    with pytest.raises(InvalidObjectError) as raised:
        wire.load(made(value))
    assert {problem.where for problem in raised.value.problems} == {path}


@pytest.mark.parametrize("value", ["", "soon", "-1h", "1d", "9999999h", "1h\\n", "１h", "1.5h", "NaN"])
@pytest.mark.parametrize(
    ("made", "path"),
    [
        (lambda value: limits(window=value), "spec.limits[0].window"),
        (lambda value: policy(zoneBreaker={"cooldown": value}), "spec.zoneBreaker.cooldown"),
        (lambda value: policy(successGate={"window": value}), "spec.successGate.window"),
        (lambda value: policy(repairWidth={"window": value}), "spec.repairWidth.window"),
    ],
    ids=["limit", "cooldown", "gate", "width"],
)
def test_a_duration_that_is_none_is_refused_at_its_path(value: str, made: Any, path: str) -> None:
    """And the rules over durations have a guard: one problem a place, not an error of the rule."""
    with pytest.raises(InvalidObjectError) as raised:
        wire.load(made(value))
    assert [problem.where for problem in raised.value.problems] == [path]


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (limits(scope="node", window="1h", max="10%"), "spec.limits[0].scope"),
        (limits(scope="node"), "spec.limits[0].scope"),
        (limits(scope="node", window="169h"), "spec.limits[0].window"),
        (limits(window="25h"), "spec.limits[0].window"),
        (limits(max="0%"), "spec.limits[0].max"),
        (limits(max="101%"), "spec.limits[0].max"),
        (policy(freeze=[{"scope": "node", "reason": "r"}]), "spec.freeze[0].name"),
        (policy(freeze=[{"scope": "fleet", "name": "x", "reason": "r"}]), "spec.freeze[0].name"),
        ({**held(), "metadata": {"name": "other"}}, "metadata"),
        (own({"scope": "zone", "max": 1}, {"scope": "node", "window": "1h", "max": 1}), "spec.limits"),
        (own({"scope": "fleet", "max": 1}), "spec.limits"),
        (own({"scope": "rack", "max": 1}), "spec.limits[0].scope"),
        (own({"scope": "zone", "max": 1, "window": "25h"}), "spec.limits[0].window"),
        (own({"scope": "zone", "max": "0%"}), "spec.limits[0].max"),
        (own(*[{"scope": "zone", "max": 1}] * 9), "spec.limits"),
        (own(dryRun="yes"), "spec.dryRun"),
        (held(scopes=["x" * 577]), "status.holds[0].scopes[0]"),
    ],
)
def test_a_law_that_is_broken_is_told_at_its_path(raw: m.Json, path: str) -> None:
    """A node limit is a number in a window; a freeze names what has a name; there is one ledger; a remedier limits no node."""
    with pytest.raises(InvalidObjectError) as raised:
        wire.load(raw)
    assert [problem.where for problem in raised.value.problems] == [path]


def test_good_neighbours_of_the_bad_are_taken() -> None:
    """The same objects within their bounds."""
    for raw in (
        limits(scope="node", window="168h"), limits(window="24h"), limits(max=0), limits(max="100%"), held(),
        own({"scope": "cluster", "max": 0}, {"scope": "set", "window": "24h", "max": "100%"}, dryRun=True),
        own(*[{"scope": "zone", "max": 1}] * 8), held(scopes=["cluster", "remedier=r", "remedier=r/zone=b"]),
        policy(freeze=[{"scope": "region", "reason": "r"}, {"scope": "node", "name": "m", "reason": "r"}]),
    ):  # fmt: skip
        assert wire.load(json.loads(json.dumps(raw)))
