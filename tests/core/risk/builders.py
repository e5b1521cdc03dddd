"""Hand-made worlds for the tests of the risk decider."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kubenode.core.decision import Decision
from kubenode.core.health.zones import ZoneTally
from kubenode.core.model import (
    Cause,
    Hold,
    IntOrPercent,
    Limit,
    Now,
    ObjectMeta,
    Ref,
    RiskLedger,
    RiskLedgerStatus,
    RiskPolicy,
    RiskPolicySpec,
    Scope,
)
from kubenode.core.policy import Policy
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.decide import FleetSnapshot, SetRoom, decide
from kubenode.core.risk.ledger import scopes_of

START = datetime(2025, 3, 1, tzinfo=UTC)
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
AGE = 100 * HOUR
"""Ledger time at which the tests begin."""


def now_at(elapsed: int = 0) -> Now:
    """Give a moment."""
    return Now(wall=START + timedelta(microseconds=elapsed // 1000), elapsed=elapsed)


def limit(scope: Scope, amount: int | str, window: timedelta | None = None) -> Limit:
    """Make a limit as people write it."""
    return Limit(scope=scope, max=IntOrPercent.parse(amount), window=window)


def policy_of(*limits: Limit, **meta: Any) -> Policy:
    """Make a policy of these limits; without any, one that never binds, so that nothing but breakers does."""
    spec = RiskPolicySpec(limits=limits or (Limit(scope=Scope.CLUSTER, max=IntOrPercent(1_000_000)),))
    return Policy(risk=(RiskPolicy(metadata=ObjectMeta(name="p", **meta), spec=spec),))


FREE = policy_of(limit(Scope.CLUSTER, 100_000))
"""A policy whose one limit never binds; without any, the built-in ones would."""


def ask(name: str, machine: str = "", **changes: Any) -> Ask:
    """Make an ask of a rollout for one machine, in zone a and set kubelet."""
    machine = machine or f"m-{name}"
    fields: dict[str, Any] = {
        "op_id": name, "machine": Ref(kind="Machine", name=machine, uid=f"uid-{machine}"), "cause": Cause.ROLLOUT,
        "zone": "a", "sets": ("kubelet",), "since": START, **changes,
    }  # fmt: skip
    return Ask(**fields)


def hold(
    name: str, machine: str = "", *, since: int = 1, zone: str = "a", sets: Iterable[str] = ("kubelet",)
) -> Hold:
    """Make the open hold of an ask."""
    machine = machine or f"m-{name}"
    return Hold(
        op_id=name, machine=machine, machine_uid=f"uid-{machine}", cause=Cause.ROLLOUT, scopes=scopes_of(zone, sets),
        since=since,
    )  # fmt: skip


def bare(row: Hold) -> Hold:
    """Give a hold without its record: when it was granted, for what, and what bound it then."""
    return attrs.evolve(row, granted_at=None, by="", limits="")


def ledger_of(*rows: Hold, version: str = "1", unknown: tuple[str, ...] = (), **status: Any) -> RiskLedger:
    """Make a ledger that was last written at AGE."""
    fields: dict[str, Any] = {"checkpoint": AGE, "holds": rows, **status}
    return RiskLedger(
        metadata=ObjectMeta(name="cluster", uid="L", resource_version=version, unknown=unknown),
        status=RiskLedgerStatus(**fields),
    )


LEDGER = ledger_of()


def world(*asks: Ask, ledger: RiskLedger | None = LEDGER, elapsed: int = 0, **changes: Any) -> FleetSnapshot:
    """Make a snapshot with plenty of room wherever the test does not say otherwise."""
    fields: dict[str, Any] = {
        "rooms": {name: SetRoom(max_unavailable=10_000) for each in asks for name in each.sets},
        "zones": {each.zone: ZoneTally(nodes=10) for each in asks},
        "up": {scope: 10 for each in asks for scope in each.scopes},
        "history": True,
        **changes,
    }
    return FleetSnapshot(ledger=ledger, asks=asks, now=now_at(elapsed), **fields)


def granted(decision: Decision[RiskLedgerStatus]) -> list[str]:
    """Name the open holds that a Decision wants."""
    assert decision.status is not None
    return [each.op_id for each in decision.status.holds]


def codes(decision: Decision[RiskLedgerStatus]) -> list[str]:
    """Give the codes of the notes."""
    return [note.code for note in decision.notes]


def written(
    seen: FleetSnapshot, decision: Decision[RiskLedgerStatus], *, elapsed: int | None = None
) -> FleetSnapshot:
    """Give the same world after the Decision was applied, as the same process sees it."""
    assert seen.ledger is not None
    assert decision.status is not None
    changed = decision.status != seen.ledger.status
    version = str(int(seen.ledger.metadata.resource_version) + changed)
    metadata = attrs.evolve(seen.ledger.metadata, resource_version=version)
    ledger = attrs.evolve(seen.ledger, metadata=metadata, status=decision.status)
    now = seen.now if elapsed is None else now_at(elapsed)
    return attrs.evolve(seen, ledger=ledger, now=now, sightings=decision.sightings)


def settled(seen: FleetSnapshot, policy: Policy) -> tuple[FleetSnapshot, Decision[RiskLedgerStatus]]:
    """Decide and apply until nothing changes; a lost ledger takes one write more than any other."""
    for _ in range(3):
        decision = decide(seen, policy)
        after = written(seen, decision)
        assert after.ledger is not None
        assert seen.ledger is not None
        if after.ledger.status == seen.ledger.status:
            return after, decision
        seen = after
    raise AssertionError("never at rest")
