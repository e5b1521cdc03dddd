"""What a single agent asks a server for: its own Machine, by name, which is all that it may read of Machines."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

import attrs

from kubenode.core.model import Json, Kind, Machine
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.contract import Listing
from kubenode.runtime.store.following import Followed
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.stream import KubeWatch

T = TypeVar("T")
FIELD_MANAGER = "kubenode-agent"


class OwnMachine(KubeStore):
    """The store of an agent: there is one Machine in it; of other kinds all that there are."""

    _machine = ""

    @classmethod
    def of(cls, machine: str, load: Callable[[], Connection], **more: Any) -> Self:
        """Give the store of the agent of a machine; inert until entered.

        Args:
            machine: its name.
            load: gives how to reach the server, with the agent's credentials.
            more: limits and timing, as of a KubeStore.
        """
        made = cls(load, field_manager=FIELD_MANAGER, **more)
        made._machine = machine
        return made

    def _narrow(self, kind: Kind) -> Kind:
        is_machine = kind.name == Machine.KIND.name
        return attrs.evolve(kind, only=f"metadata.name={self._machine}") if is_machine else kind

    async def find(self, kind: Kind, **options: Any) -> Listing:
        """Give all objects of a kind that are there; options are a KubeStore's."""
        return await super().find(self._narrow(kind), **options)

    async def follow(self, kind: Kind, read: Callable[[Json], T]) -> tuple[Followed[T], KubeWatch]:
        """Give all objects of a kind that are there, each as `read` gives it, and a watch of what happens after that."""
        return await super().follow(self._narrow(kind), read)
