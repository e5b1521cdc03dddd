"""Infrastructure providers: what an author of one imports, and the one that is shipped.

A provider creates and destroys machines. One method call is one wire call, made in plain functions;
its errors are meanings, so that nobody compares a vendor's codes.
"""

from collections.abc import Iterable
from typing import Any

from kubenode.core.capability import (
    CloudEvent,
    CommandResult,
    CommandState,
    EventState,
    Finding,
    Impact,
    SupportsChecks,
    SupportsConfirmEvent,
    SupportsConsoleLog,
    SupportsEndedEvents,
    SupportsEvents,
    SupportsFallback,
    SupportsGuard,
    SupportsProviderId,
    SupportsRedeploy,
    SupportsReimage,
    SupportsRunCommand,
    SupportsTags,
    WithoutTokens,
)
from kubenode.core.errors import (
    Ambiguous,
    AuthFailed,
    Busy,
    CapacityExhausted,
    Invalid,
    NotFound,
    Protected,
    ProviderError,
    QuotaExceeded,
    Throttled,
    TokenConflict,
    Unavailable,
    Unsupported,
)
from kubenode.core.hookspecs import (
    CreateRequest,
    Guard,
    Instance,
    InstanceState,
    Page,
    Power,
    Provider,
    Settings,
    SupportsPower,
    hookimpl,
)
from kubenode.providers.memory import MemoryProvider

__all__ = [
    "Ambiguous", "AuthFailed", "Busy", "CapacityExhausted", "CloudEvent", "CommandResult", "CommandState",
    "CreateRequest", "EventState", "Finding", "Guard", "Impact", "Instance", "InstanceState", "Invalid", "MemoryProvider", "NotFound",
    "Page", "Power", "Protected", "Provider", "ProviderError", "QuotaExceeded", "Settings", "SupportsChecks", "SupportsConfirmEvent",
    "SupportsConsoleLog", "SupportsEndedEvents", "SupportsEvents", "SupportsFallback", "SupportsGuard", "SupportsPower",
    "SupportsProviderId", "SupportsRedeploy", "SupportsReimage", "SupportsRunCommand", "SupportsTags", "Throttled",
    "TokenConflict", "Unavailable", "Unsupported", "WithoutTokens", "hookimpl", "register_providers",
]  # fmt: skip


@hookimpl
def register_providers(settings: Settings) -> Iterable[Provider[Any]]:
    """Register what is shipped: instances in memory, for try-outs."""
    return [MemoryProvider()]
