"""What a single agent asks a server for: its own Machine and the components that it names, each by name; no more of either may it read."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final, Self, TypeVar

import attrs

from kubenode.core.model import Json, Kind, Machine, MachineComponent
from kubenode.runtime.agent.named import Named, states
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.contract import Listing, Watch, WatchEvent
from kubenode.runtime.store.following import Followed
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Backoff, Limits, Timing

T = TypeVar("T")
FIELD_MANAGER = "kubenode-agent"
_AGAIN: Final = Limits(first_pause=timedelta(seconds=1), longest_pause=timedelta(seconds=30))
"""How soon a component that is not there is asked for again, and how rarely at last."""


class OwnMachine(KubeStore):
    """The store of an agent: there is one Machine in it, and the components that this one names; of other kinds all that there are."""

    _machine = ""
    _named: Named

    @classmethod
    def of(
        cls, machine: str, load: Callable[[], Connection], *, again: Limits = _AGAIN, timing: Timing | None = None,
        **more: Any,
    ) -> Self:  # fmt: skip
        """Give the store of the agent of a machine; inert until entered.

        Args:
            machine: its name.
            load: gives how to reach the server, with the agent's credentials.
            again: with the pauses after which a component that is not there is asked for again.
            timing: time and chance.
            more: limits, as of a KubeStore.
        """
        timing = timing or Timing()
        made = cls(load, field_manager=FIELD_MANAGER, timing=timing, **more)
        made._machine = machine
        made._named = Named(machine, partial(KubeStore.get, made), Backoff(again, timing))
        return made

    def _narrow(self, kind: Kind) -> Kind:
        is_machine = kind.name == Machine.KIND.name
        return attrs.evolve(kind, only=f"metadata.name={self._machine}") if is_machine else kind

    async def get(self, kind: Kind, name: str) -> Json:
        """Give one object; a component as it was read if it was, since nothing in it changes. Raises ObjectNotFound."""
        is_component = kind.name == MachineComponent.KIND.name
        return await (self._named.get(name) if is_component else super().get(kind, name))

    async def find(self, kind: Kind, **options: Any) -> Listing:
        """Give all objects of a kind that are there, of components those that the Machine names; options are a KubeStore's."""
        if kind.name == MachineComponent.KIND.name and not options:
            return await self._named.find()
        return await super().find(self._narrow(kind), **options)

    async def follow(self, kind: Kind, read: Callable[[Json], T]) -> tuple[Followed[T], Watch]:
        """Give all objects of a kind that are there, each as `read` gives it, and a watch of what happens after that.

        Of components these are those that the Machine names. Who follows both is told of a component before its entry.
        """
        if kind.name == MachineComponent.KIND.name:
            return await self._named.follow(read)
        if kind.name != Machine.KIND.name:
            return await super().follow(kind, read)
        seen: list[Json] = []

        def noted(raw: Json) -> T:
            seen[:] = [raw]
            return read(raw)

        found, watch = await super().follow(self._narrow(kind), noted)
        try:
            await self._named.note(seen[0] if found.items else None)
        except BaseException:
            await watch.close()
            raise
        return found, _Naming(watch, self._named)


class _Naming:
    """A watch of the Machine that sees to it that what it names is known before it is told."""

    def __init__(self, watch: Watch, named: Named) -> None:
        self._watch = watch
        self._named = named

    async def events(self) -> tuple[WatchEvent, ...]:
        """Wait for events. Raises ApiError, also when what the Machine names cannot be known."""
        self._named.forget()
        found = await self._watch.events()
        if after := states(found):
            await self._named.note(after[-1])
        return found

    async def close(self) -> None:
        """Stop watching."""
        await self._watch.close()
