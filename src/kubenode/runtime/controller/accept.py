"""One key a remedier or policy, as `Kind/name`: is it understood, and so in force?"""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.accept.decide import AcceptSnapshot, accepted, decide
from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache, Change


class AcceptController:
    """Which ruling objects a change concerns."""

    name = "accept"

    def __init__(self, cache: Cache, plugins: Plugins) -> None:
        self._cache = cache
        self._plugins = plugins

    def concerns(self, change: Change) -> Iterable[str]:
        """The object itself."""
        if change.kind in (m.NodeRemedier, m.RiskPolicy):
            yield f"{change.kind.KIND.name}/{change.name}"

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one ruling object."""
        kind, _, name = key.partition("/")
        found: m.NodeRemedier | m.RiskPolicy | None = (
            self._cache.get(m.NodeRemedier, name)
            if kind == m.NodeRemedier.KIND.name
            else self._cache.get(m.RiskPolicy, name)
        )
        if found is None or found.metadata.deletion_timestamp is not None:
            return None
        snapshot = AcceptSnapshot(
            ruling=found, actions=frozenset(self._plugins.remedies), now=now, sightings=sightings
        )
        return Question(snapshot=snapshot, subject=found, stored=accepted(found))

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/accept."""
        return decide(snapshot, policy)
