"""Policy: all that one may want to try another version of."""

from datetime import timedelta

import attrs

from kubenode.core.model.meta import ObjectMeta
from kubenode.core.model.quantity import IntOrPercent
from kubenode.core.model.remedy import NodeRemedier
from kubenode.core.model.risk import Limit, RiskPolicy, RiskPolicySpec, Scope

BUILT_IN = RiskPolicy(
    metadata=ObjectMeta(name="built-in"),
    spec=RiskPolicySpec(
        limits=(
            Limit(scope=Scope.CLUSTER, max=IntOrPercent(5, percent=True)),
            Limit(scope=Scope.ZONE, max=IntOrPercent(5, percent=True)),
            Limit(scope=Scope.CLUSTER, window=timedelta(hours=1), max=IntOrPercent(10, percent=True)),
        )
    ),
)
"""What holds where nobody wrote a RiskPolicy: strict, never unlimited."""


@attrs.frozen(kw_only=True)
class Policy:
    """Rules of remedy and limits of risk, as one value for decide, Engine and simulation.

    Attributes:
        remediers: what to do about node conditions.
        risk: limits; every one must allow. `BUILT_IN` joins them where they hold no limit.
    """

    remediers: tuple[NodeRemedier, ...] = ()
    risk: tuple[RiskPolicy, ...] = ()

    @property
    def limits(self) -> tuple[RiskPolicy, ...]:
        """The policies that bind, by name; with the built-in one where none of them limits anything."""
        named = tuple(sorted(self.risk, key=lambda policy: policy.metadata.name))
        return named if any(policy.spec.limits for policy in named) else (*named, BUILT_IN)
