"""A hook whose name is misspelt."""

from typing import Any

from kubenode.providers import MemoryProvider, hookimpl


@hookimpl
def register_provider() -> Any:
    """Register nothing, since nobody calls it."""
    return [MemoryProvider()]
