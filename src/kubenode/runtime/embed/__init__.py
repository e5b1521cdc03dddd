"""kubenode inside your program: an Engine on a Store, with your plugins, your policy and your sinks.

    async with KubeStore.connect(context="prod") as store, Engine(store, plugins=plugins):
        await serve()  # kubenode works beside it

Nothing is global: no signal handler, no logging configuration, no event-loop policy, no environment. Several
engines may run in one process, and closing one leaves neither a task nor a thread.
"""

from typing import TYPE_CHECKING

from kubenode.runtime.embed.engine import Engine
from kubenode.runtime.embed.errors import EngineFailed, EngineMisused, NotSettled
from kubenode.runtime.embed.stores import EmbeddedStore
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Record, Sink
from kubenode.runtime.store.contract import Store

if TYPE_CHECKING:
    from kubenode.runtime.store.kube import KubeStore

__all__ = [
    "EmbeddedStore", "Engine", "EngineFailed", "EngineMisused", "KubeStore", "NotSettled", "Plugins", "Record", "Sink",
    "Store",
]  # fmt: skip

# Hidden from type checkers, which would else believe that every name exists.
if not TYPE_CHECKING:

    def __getattr__(name):
        """Load the store of real clusters when it is first used: it needs the extra `kube`."""
        if name != "KubeStore":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from kubenode.runtime.store.kube import KubeStore

        globals()[name] = KubeStore
        return KubeStore
