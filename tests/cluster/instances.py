"""Hosts of the instances of fake regions: one comes up with each instance that runs, as an image would bring it, and goes with it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.live import LiveHosts
from tests.providers.regions import Region, Shown

TICK = 0.2
BOOT = timedelta(seconds=2)


class Images:
    """Boots what runs: a kubelet that registers with the instance's providerID, and an agent.

    Args:
        regions: whose instances they are; they live by this.
        live: the hosts of this process.
    """

    def __init__(self, regions: Sequence[Region], live: LiveHosts) -> None:
        self._regions = regions
        self._live = live
        self._up: dict[str, str] = {}
        self._restarted: dict[Region, int] = {}

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            for region in self._regions:
                region.tick()
                self._restart(region)
            running = {
                key: one for region in self._regions for key, one in region.there().items() if one.runs
            }
            for key in self._up.keys() - running.keys():
                self._live.drop(self._up.pop(key))
            for key in running.keys() - self._up.keys():
                self._boot(running[key])
            await asyncio.sleep(TICK)

    def _restart(self, region: Region) -> None:
        """Restart the hosts whose instances their cloud has restarted."""
        done = self._restarted.get(region, 0)
        for own, _ in region.hands.restarted[done:]:
            for key in (key for key in self._up if key.endswith(own)):
                self._live.hosts[self._up[key]].reboot()
            done += 1
        self._restarted[region] = done

    def _boot(self, one: Shown) -> None:
        self._up[one.id] = one.machine
        spec = HostSpec(
            machine=one.machine,
            node=f"{one.machine}-{one.id[-4:]}",
            zone=one.zone,
            provider_id=one.provider_id,
            boot_time=BOOT,
        )
        self._live.add({one.machine: spec})
        self._live.hosts[one.machine].link(up=True)
