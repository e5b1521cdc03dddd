"""A machine on a cloud whose real SDK speaks to a fake, with the controllers as they are, on virtual time."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.hookspecs import Provider
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.embedded import now_or_never

NODE = "node-c1"
SOON = timedelta(minutes=2)


class Ward:
    """One machine, its instance and its Node."""

    def __init__(self, provider: Provider[Any], parameters: Mapping[str, Any]) -> None:
        plugins = attrs.evolve(Plugins.discover(), providers={provider.name: provider})
        self.sim = Simulation(plugins=plugins)
        wanted = m.Infrastructure(provider=provider.name, parameters=parameters)
        self.sim.create(
            m.Machine(metadata=m.ObjectMeta(name="c1"), spec=m.MachineSpec(infrastructure=wanted))
        )
        assert self.sim.run_until(lambda: self.made is not None, limit=SOON)
        node = {"metadata": {"name": NODE}, "spec": {"providerID": self.instance.provider_id}}
        now_or_never(self.sim.store.create(m.Node.KIND, {"apiVersion": "v1", "kind": "Node", **node}))
        self.go(SOON)

    @property
    def machine(self) -> m.Machine:
        """The machine as it stands."""
        return wire.read(now_or_never(self.sim.store.get(m.Machine.KIND, "c1")), m.Machine)

    @property
    def made(self) -> m.InstanceStatus | None:
        """Its instance, once it was made."""
        found = self.machine.status.instance
        return found if found is not None and found.step is m.InstanceStep.MADE else None

    @property
    def instance(self) -> m.InstanceStatus:
        """Its instance."""
        assert self.made is not None
        return self.made

    def go(self, length: timedelta) -> None:
        """Let time pass."""
        self.sim.run_until(lambda: False, limit=length)

    def said(self) -> dict[str, tuple[str, str]]:
        """What its Node says by the cloud's word: status and reason, by type."""
        node = wire.read(now_or_never(self.sim.store.get(m.Node.KIND, NODE)), m.Node)
        return {one.type: (one.status.value, one.reason) for one in node.status.conditions}

    def recorded(self) -> list[tuple[str, str]]:
        """The ids and states of what is recorded as open."""
        told = self.machine.status.cloud_events
        return [] if told is None else [(one.id, one.state) for one in told.open]
