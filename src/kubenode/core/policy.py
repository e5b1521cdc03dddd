"""Policy: all that one may want to try another version of."""

from collections.abc import Iterable
from datetime import timedelta

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.meta import Object, ObjectMeta
from kubenode.core.model.quantity import IntOrPercent
from kubenode.core.model.remedy import ConditionMatch, NodeRemedier, NodeRemedierSpec, Rung
from kubenode.core.model.risk import NODE_WINDOW, Limit, RiskPolicy, RiskPolicySpec, Scope, SuccessGate

BUILT_IN = RiskPolicy(
    metadata=ObjectMeta(name="built-in"),
    spec=RiskPolicySpec(
        limits=(
            Limit(scope=Scope.CLUSTER, max=IntOrPercent(5, percent=True)),
            Limit(scope=Scope.ZONE, max=IntOrPercent(5, percent=True)),
            Limit(scope=Scope.CLUSTER, window=timedelta(minutes=1), max=IntOrPercent(1, percent=True)),
            Limit(scope=Scope.CLUSTER, window=timedelta(hours=1), max=IntOrPercent(10, percent=True)),
            Limit(scope=Scope.CLUSTER, window=timedelta(days=1), max=IntOrPercent(100, percent=True)),
            Limit(scope=Scope.NODE, window=NODE_WINDOW, max=IntOrPercent(10)),
        ),
        success_gate=SuccessGate(),
    ),
)
"""What holds where nobody wrote a RiskPolicy: strict, never unlimited.

The hour's tenth takes ten minutes at least, so that who watches sees the first before the last; and in a day a rollout of
everything ends, but nobody turns the cluster over twice.
"""

HUNG_TASK = NodeRemedier(
    metadata=ObjectMeta(name="hung-task"),
    spec=NodeRemedierSpec(
        condition=ConditionMatch(type="KernelDeadlock", lasting=timedelta(seconds=90)),
        ladder=(Rung(action="reboot", timeout=timedelta(minutes=10)),),
    ),
)
"""What `Policy.default()` heals: a kernel that says for 90 s that it is stuck."""


@attrs.frozen(kw_only=True)
class Policy:
    """Rules of remedy and limits of risk, as one value for decide, Engine and simulation.

    Attributes:
        remediers: what to do about node conditions.
        risk: limits; every one must allow. `BUILT_IN` joins them where they hold no limit.
    """

    remediers: tuple[NodeRemedier, ...] = ()
    risk: tuple[RiskPolicy, ...] = ()

    @classmethod
    def default(cls) -> "Policy":
        """Give what is shipped, to try things with: hung tasks are rebooted, within the built-in limits."""
        return cls(remediers=(HUNG_TASK,), risk=(BUILT_IN,))

    @classmethod
    def of(cls, objects: Iterable[Object]) -> "Policy":
        """Make a policy of NodeRemediers and RiskPolicies, in any order, as `kubenode.load` reads them from files.

        Raises:
            InvalidObjectError: with every object that is of another kind, or there twice.
        """
        remediers: list[NodeRemedier] = []
        risk: list[RiskPolicy] = []
        problems: list[Problem] = []
        there: set[str] = set()
        for obj in objects:
            where = f"{obj.KIND.name} {obj.metadata.name}"
            if where in there:
                problems.append(Problem(where=where, what="is there twice", fix="take one of the two out"))
            elif isinstance(obj, NodeRemedier):
                remediers.append(obj)
            elif isinstance(obj, RiskPolicy):
                risk.append(obj)
            else:
                what = "is no part of a policy, which is made of NodeRemediers and RiskPolicies"
                problems.append(Problem(where=where, what=what, fix="leave it out"))
            there.add(where)
        if problems:
            raise InvalidObjectError(tuple(problems))
        return cls(remediers=tuple(remediers), risk=tuple(risk))

    @property
    def limits(self) -> tuple[RiskPolicy, ...]:
        """The policies that bind, by name; with the built-in one where none of them limits anything.

        One that allows everything is no limit: whoever wrote only that is as unlimited as if it were not there.
        """
        named = tuple(sorted(self.risk, key=lambda policy: policy.metadata.name))
        return named if any(map(bounds, self._limits_of(named))) else (*named, BUILT_IN)

    @property
    def attempt_limits(self) -> tuple[Limit, ...]:
        """How many remedies may be tried on one machine; the built-in limit where nobody wrote one."""
        found = tuple(limit for limit in self._limits_of(self.limits) if limit.scope is Scope.NODE)
        return found or tuple(limit for limit in BUILT_IN.spec.limits if limit.scope is Scope.NODE)

    @staticmethod
    def _limits_of(policies: tuple[RiskPolicy, ...]) -> Iterable[Limit]:
        return (limit for policy in policies for limit in policy.spec.limits)


def bounds(limit: Limit) -> bool:
    """Tell whether a limit forbids anything to the fleet: not one of a single node, and not 100 % at once."""
    everything = limit.max.percent and limit.max.amount == 100 and limit.window is None
    return limit.scope is not Scope.NODE and not everything
