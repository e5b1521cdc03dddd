"""The ledger over time: who held a permit when, and how full each limit came to be.

Counted from the ledger's holds and the policies as written; nothing of `kubenode.core.risk` is asked, so
that a limit which is not kept is seen.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from kubenode.core import model as m
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.runtime.controller.facts import SHOULD_BE_UP
from kubenode.runtime.report.data import Bound, Permit


class Usage:
    """Folds ledgers, policies and who should be up."""

    def __init__(self) -> None:
        self._policies: dict[str, m.RiskPolicy] = {}
        self._permits: dict[str, Permit] = {}
        self._open: dict[str, tuple[str, ...]] = {}
        self._starts: dict[str, list[int]] = {}
        self._bounds: dict[tuple[str, str, int], Bound] = {}
        self._up: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._selectors: dict[str, m.Selector] = {}

    def policy(self, name: str, policy: m.RiskPolicy | None) -> None:
        """Note a policy, or that it is no more."""
        if policy is None:
            self._policies.pop(name, None)
        else:
            self._policies[name] = policy

    def counted(self, machine: m.Machine, zone: str) -> None:
        """Note whether a machine is one of those of which percentages are."""
        name = machine.metadata.name
        if machine.status.first_running is not None and machine.status.phase in SHOULD_BE_UP:
            self._up[name] = (zone, machine.metadata.labels)
        else:
            self._up.pop(name, None)

    def forgotten(self, name: str) -> None:
        """Note that a machine is no more."""
        self._up.pop(name, None)

    def selects(self, one: m.MachineComponentSet) -> None:
        """Note which machines a set selects."""
        self._selectors[one.metadata.name] = one.spec.selector

    def ledger(self, holds: Iterable[m.Hold], at: int) -> None:
        """Note the ledger as it stands from now on."""
        now = {hold.op_id: hold for hold in holds}
        for op_id in [one for one in self._open if one not in now]:
            del self._open[op_id]
            self._permits[op_id] = attrs.evolve(self._permits[op_id], closed=at)
        begun = [hold for op_id, hold in now.items() if op_id not in self._permits]
        for hold in begun:
            self._open[hold.op_id] = hold.scopes
            self._permits[hold.op_id] = Permit(
                machine=hold.machine, cause=hold.cause.value, op_ids=(hold.op_id, *hold.joined), scopes=hold.scopes,
                opened=at,
            )  # fmt: skip
            for scope in hold.scopes:
                self._starts.setdefault(scope, []).append(at)
        if begun:
            self._fill({scope for hold in begun for scope in hold.scopes}, at)

    def _fill(self, scopes: set[str], at: int) -> None:
        """Look how full each limit is in the scopes of what was granted just now."""
        in_flight = Counter(scope for held in self._open.values() for scope in held)
        for policy in Policy(risk=tuple(self._policies.values())).limits:
            for limit in policy.spec.limits:
                for scope in scopes:
                    if scope == limit.scope.value or scope.startswith(f"{limit.scope.value}="):
                        self._fuller(policy.metadata.name, limit, scope, in_flight[scope], at)

    def _fuller(self, policy: str, limit: m.Limit, scope: str, in_flight: int, at: int) -> None:
        window = 0 if limit.window is None else nanoseconds(limit.window)
        starts = self._starts[scope]
        # A start counts in (at - window, at].
        reached = bisect_right(starts, at) - bisect_right(starts, at - window) if window else in_flight
        most = max(1, limit.max.scaled(self._size(scope))) if limit.max.percent else limit.max.amount
        key = (policy, scope, window)
        before = self._bounds.get(key)
        if before is None or reached * before.limit > before.reached * most:
            self._bounds[key] = Bound(
                policy=policy, scope=scope, window=limit.window, limit=most, reached=reached, at=at
            )

    def _size(self, scope: str) -> int:
        kind, _, name = scope.partition("=")
        if kind == "zone":
            return sum(zone == name for zone, _ in self._up.values())
        if kind == "set":
            selector = self._selectors.get(name)
            return sum(selector is not None and selector.selects(labels) for _, labels in self._up.values())
        return len(self._up)

    def permits(self) -> tuple[Permit, ...]:
        """Give all permits, by grant."""
        return tuple(sorted(self._permits.values(), key=lambda one: (one.opened, one.machine)))

    def bounds(self) -> tuple[Bound, ...]:
        """Give the fullest moments, fullest limit first."""
        return tuple(
            sorted(
                self._bounds.values(),
                key=lambda one: (-one.reached / max(one.limit, 1), one.scope, one.window is not None),
            )
        )
