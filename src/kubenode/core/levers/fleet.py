"""What refuses a permit, and what would let it be granted."""

import attrs

from kubenode.core.decision import Note
from kubenode.core.health.freeze import spelled
from kubenode.core.levers.change import Change, zone_outage
from kubenode.core.model.risk import RiskPolicy
from kubenode.core.policy import Policy
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.reach import named, own_scopes, scopes
from kubenode.core.snapshots import FleetSnapshot

_IN_FLIGHT = frozenset({"InFlight", "StormCooldown"})


def change(
    seen: FleetSnapshot, policy: Policy, note: Note, ask: Ask, first: FleetSnapshot
) -> Change[FleetSnapshot] | None:
    """Give the world in which this note would not refuse this ask; None when no observation of ours decides that.

    What frees by time alone is not here: see `waited`.
    """
    if note.code in ("ZoneOutage", "ClusterOutage"):
        return zone_outage(seen, policy, note, ask.zone, first)
    if note.code == "Frozen":
        return _lifted(seen, policy, note)
    if note.code == "MachineBusy":
        there = _on_machine(seen, ask)
        return _ended(seen, policy, there, f"{' and '.join(there)} had ended")
    if note.limit is None or note.observed is None or note.limit < 1:
        return None
    most = note.limit - 1
    if note.code in _IN_FLIGHT:
        running = _in_scope(seen, policy, note.scope)
        text = f"{note.scope} in flight <= {most} (now {note.observed})"
        return _ended(seen, policy, running[: note.observed - most], text)
    if note.code == "MaxUnavailable":
        return _available(seen, policy, note, most)
    return None


def _lifted(seen: FleetSnapshot, policy: Policy, note: Note) -> Change[FleetSnapshot] | None:
    """Let a person take away the freezes of a scope that have no end; the others end by themselves."""
    risk = tuple(_thawed(one, note.scope) for one in policy.risk)
    if risk == policy.risk:
        return None
    return Change(
        seen=seen, policy=attrs.evolve(policy, risk=risk), text=f"the freeze of {note.scope} were lifted"
    )


def _thawed(policy: RiskPolicy, scope: str) -> RiskPolicy:
    kept = tuple(one for one in policy.spec.freeze if one.until is not None or spelled(one) != scope)
    return attrs.evolve(policy, spec=attrs.evolve(policy.spec, freeze=kept))


def _in_scope(seen: FleetSnapshot, policy: Policy, scope: str) -> tuple[str, ...]:
    """Name what is in flight in a scope, as a note spells it: held, or under way without a hold."""
    rows = () if seen.ledger is None else seen.ledger.status.holds
    held = [row.op_id for row in rows if scope in map(named, row.scopes)]
    joined = {op_id for row in rows for op_id in row.joined}
    known = {row.op_id for row in rows}
    own = {one.metadata.name: one for one in policy.remediers}
    # A row may be older than its remedier's own limits; its owner's scopes count beside it.
    acting = [
        (one.op_id, own_scopes(one, own) if one.waiting else scopes(one, own))
        for one in seen.asks
        if one.op_id not in joined and (not one.waiting or one.op_id in known)
    ]
    loose = [op_id for op_id, where in acting if scope in map(named, where)]
    return tuple(dict.fromkeys([*held, *loose]))


def _on_machine(seen: FleetSnapshot, ask: Ask) -> tuple[str, ...]:
    rows = () if seen.ledger is None else seen.ledger.status.holds
    held = [row.op_id for row in rows if row.machine_uid == ask.machine.uid]
    loose = [one.op_id for one in seen.asks if not one.waiting and one.machine.uid == ask.machine.uid]
    return tuple(dict.fromkeys([*held, *loose]))


def _ended(
    seen: FleetSnapshot, policy: Policy, op_ids: tuple[str, ...], text: str
) -> Change[FleetSnapshot] | None:
    """Let what is in flight be recorded as ended by its owners."""
    if not op_ids:
        return None
    rows = () if seen.ledger is None else seen.ledger.status.holds
    every = {*op_ids, *(op_id for row in rows if row.op_id in op_ids for op_id in row.joined)}
    asks = tuple(ask for ask in seen.asks if ask.op_id not in every)
    return Change(seen=attrs.evolve(seen, asks=asks, ended=seen.ended | every), policy=policy, text=text)


def _available(seen: FleetSnapshot, policy: Policy, note: Note, most: int) -> Change[FleetSnapshot] | None:
    """Let machines of a set become available again: those that the world took first, then those in flight."""
    name = note.scope.removeprefix("set ")
    room, excess = seen.rooms[name], (note.observed or 0) - most
    running = _in_scope(seen, policy, note.scope)
    rows = () if seen.ledger is None else seen.ledger.status.holds
    ours = {row.machine_uid for row in rows if row.op_id in running} | {
        ask.machine.uid for ask in seen.asks if ask.op_id in running
    }
    back = sorted(room.unavailable - ours)[:excess]
    rooms = {**seen.rooms, name: attrs.evolve(room, unavailable=room.unavailable - set(back))}
    text = f"{note.scope} unavailable <= {most} (now {note.observed})"
    changed = attrs.evolve(seen, rooms=rooms)
    if len(back) < excess:
        rest = running[: excess - len(back)]
        uids = {row.machine_uid for row in rows if row.op_id in rest}
        rooms[name] = attrs.evolve(rooms[name], unavailable=rooms[name].unavailable - uids)
        return _ended(attrs.evolve(changed, rooms=rooms), policy, rest, text)
    return Change(seen=changed, policy=policy, text=text)
