"""Everybody an engine asks beside what it watches: they answer when they can, and until then it is not at rest."""

import attrs

from kubenode.runtime.embed.clouds import Clouds
from kubenode.runtime.embed.definitions import Definitions
from kubenode.runtime.embed.inspections import Inspections
from kubenode.runtime.embed.panel import Panel
from kubenode.runtime.embed.workloads import Workloads
from kubenode.runtime.threads import Workers


@attrs.frozen(kw_only=True)
class Outside:
    """Those whom one engine asks while it runs.

    Attributes:
        panel: the reviewers of permits.
        inspections: the inspectors of rollouts.
        set_crd: of the CRD of MachineSets.
        machine_crd: of the CRD of Machines.
        workloads: of what runs on Nodes that are drained.
        clouds: the providers.
    """

    panel: Panel
    inspections: Inspections
    set_crd: Definitions
    machine_crd: Definitions
    workloads: Workloads
    clouds: Clouds

    def waits_for(self) -> tuple[str, ...]:
        """Say who has yet to answer."""
        asked = (
            ("reviewers", self.panel),
            ("inspections", self.inspections),
            ("CRDs", self.set_crd),
            ("CRDs", self.machine_crd),
            ("Nodes that are drained", self.workloads),
            ("providers", self.clouds),
        )
        return tuple(f"{who} have not answered yet" for who, one in asked if one.busy)

    def lost(self) -> tuple[str, ...]:
        """Say what may not be asked any more, with the fix."""
        return tuple(sorted({text for one in self._looking for text in one.lost()}))

    @property
    def _looking(self) -> tuple[Definitions, Definitions, Workloads]:
        return self.set_crd, self.machine_crd, self.workloads

    @property
    def workers(self) -> tuple[Workers, ...]:
        """The threads of all, to be ended with the engine."""
        asking = (self.panel.asking, self.inspections.asking)
        return (*(workers for one in asking for workers in one.workers.values()), *self.clouds.workers)

    async def end(self) -> None:
        """End all that is done in tasks."""
        await self.clouds.end()
        for one in self._looking:
            await one.end()
