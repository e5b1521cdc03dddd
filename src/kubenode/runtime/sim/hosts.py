"""Simulated hosts as their agents have them at hand."""

from collections.abc import Sequence

from kubenode.core.decision import RunSteps
from kubenode.core.hookspecs import Seen
from kubenode.core.host.decide import HostSeen
from kubenode.core.probe import Probe
from kubenode.runtime.sim.host import SimHost


class SimHosts:
    """Some hosts, by the names of their Machines; implements `Hosts` of `runtime/agent/controller.py`."""

    hosts: dict[str, SimHost]

    def seen(self, machine: str) -> HostSeen | None:
        """Give what the agent of a machine knows."""
        host = self.hosts.get(machine)
        return None if host is None else host.seen()

    def foretell(self, machine: str, looks: Sequence[tuple[Probe, ...]]) -> None:
        """Do nothing: a look takes no time here."""

    def look(self, machine: str, probes: tuple[Probe, ...]) -> Seen:
        """Look at a host."""
        return self.hosts[machine].look(probes)

    async def run(self, effect: RunSteps) -> None:
        """Run steps on a host."""
        self.hosts[effect.machine.name].start(effect)
