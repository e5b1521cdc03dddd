"""What limits a round of grants, beside the ledger."""

from collections.abc import Mapping

import attrs

from kubenode.core.health.zones import ZoneTally
from kubenode.core.model.remedy import NodeRemedier
from kubenode.core.model.risk import RiskPolicy
from kubenode.core.review import Reviewed
from kubenode.core.risk.success import Outcome


@attrs.frozen(kw_only=True)
class SetRoom:
    """How much of a set may be unavailable, and what is.

    Attributes:
        max_unavailable: machines, already scaled from a percentage.
        unavailable: uids of its machines that should be up and are not available, by the world's
            doing. Open holds need not be among them.
    """

    max_unavailable: int
    unavailable: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Bounds:
    """All that limits a round, beside the ledger.

    Attributes:
        up: scope text -> machines that should be up.
        unavailable: uids of asking machines that are unavailable already.
        outcomes: of remedies that have ended.
        held: uids of asking machines that a person holds by label.
        reviews: by op-id, what reviewers said.
        cooling: zone -> `Now.elapsed` until which one disruption at a time begins there.
        thaws: sightings of the ends of freezes.
        own: the remediers by name; each may have limits of its own.
    """

    policies: tuple[RiskPolicy, ...]
    zones: Mapping[str, ZoneTally]
    up: Mapping[str, int]
    rooms: Mapping[str, SetRoom]
    unavailable: frozenset[str]
    outcomes: tuple[Outcome, ...]
    held: frozenset[str]
    reviews: Mapping[str, tuple[Reviewed, ...]]
    cooling: Mapping[str, int]
    thaws: Mapping[str, int]
    own: Mapping[str, NodeRemedier]
