"""One key a request for a remedy, behind its namespace: what others ask for, and the machine that it is about."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.external.decide import ExternalSnapshot, decide
from kubenode.core.external.subject import MACHINE_TAG, wants_of
from kubenode.core.policy import Policy
from kubenode.core.remedy.grounds import claimed
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.store.cache import Cache, Change


class ExternalController:
    """Which requests a change concerns, and their snapshots."""

    name = "external"

    def __init__(self, cache: Cache, inventory: Inventory, instances: Instances) -> None:
        self._cache = cache
        self._inventory = inventory
        self._instances = instances
        self._about: dict[str, str] = {}

    def concerns(self, change: Change) -> Iterable[str]:
        """A request and the others about its machine; those about a machine, its Node and its episodes; all, of a new rule."""
        if change.kind is m.KubenodeRemediation:
            yield change.name
            machine = self._about.get(change.name, "")
            yield from (key for key, known in self._about.items() if machine and known == machine)
        elif change.kind is m.NodeRemedier:
            yield from tuple(self._about)
        else:
            touched = set(self._inventory.episodes_touched(change))
            yield from (key for key, machine in self._about.items() if not machine or machine in touched)

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one request; its subject is the request."""
        request = self._cache.get(m.KubenodeRemediation, key)
        if request is None:
            self._about.pop(key, None)
            return None
        machine = self._machine(request)
        name = self._about[key] = "" if machine is None else machine.metadata.name
        others = (
            self._cache.get(m.KubenodeRemediation, other)
            for other, known in sorted(self._about.items())
            if name and known == name and other != key
        )
        snapshot = ExternalSnapshot(
            request=request, others=tuple(one for one in others if one is not None), machine=machine,
            node=None if machine is None else claimed(machine, self._inventory.node_of(machine)),
            jobs=() if machine is None else self._inventory.jobs(machine.metadata.uid), now=now, sightings=sightings,
        )  # fmt: skip
        return Question(snapshot=snapshot, subject=request, stored=request.status)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/external."""
        return decide(snapshot, policy)

    def _machine(self, request: m.KubenodeRemediation) -> m.Machine | None:
        """Find the machine that a request is about; of several that say they are that Node, none."""
        wanted = wants_of(request)
        if wanted.machine:
            return next((one for one in self._cache.all(m.Machine) if self._is(one, wanted.machine)), None)
        names = self._inventory.claimants(wanted.node)
        return self._cache.get(m.Machine, names[0]) if len(names) == 1 else None

    def _is(self, machine: m.Machine, name: str) -> bool:
        """Tell whether a machine is that one of Cluster API, by what its provider shows."""
        sight = self._instances.sight(machine)
        known = None if sight is None else sight.known
        return known is not None and known.tags.get(MACHINE_TAG) == name
