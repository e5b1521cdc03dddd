"""A hook that gives a driver whose method is async."""

from typing import Any

from kubenode.providers import MemoryProvider, hookimpl


class AsyncCloud(MemoryProvider):
    """A cloud of coroutines."""

    name = "async-cloud"

    async def get(self, instance_id: str) -> Any:  # type: ignore[override]
        """Do nothing."""


@hookimpl
def register_providers() -> Any:
    """Register it."""
    return [AsyncCloud()]
