"""Which zones' breakers are open, compared with the last look: who waits in a zone is asked anew when it flips."""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.core.health.zones import open_breaker
from kubenode.core.policy import Policy
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.store.cache import Change


class Breakers:
    """Remembers which were open; one for each controller, since each looks by itself."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._broken: frozenset[str] = frozenset()
        self._judged = (-1, Policy())

    def flipped(self, change: Change) -> Iterable[str]:
        """Name the machines of the zones whose breaker opened or closed since the last look; asked of each folded change."""
        if change.kind not in (m.Machine, m.Node, m.RiskPolicy):
            return
        judged = (self._inventory.changes, self._inventory.policy())
        if judged[0] == self._judged[0] and judged[1] is self._judged[1]:
            return
        self._judged = judged
        zones, limits = self._inventory.zones(), judged[1].limits
        broken = frozenset(zone for zone in zones if open_breaker(zone, zones, limits) is not None)
        if broken == self._broken:
            return
        flipped, self._broken = broken ^ self._broken, broken
        for machine in self._inventory.machines():
            facts = self._inventory.facts(machine)
            if facts is not None and facts.zone in flipped:
                yield machine
