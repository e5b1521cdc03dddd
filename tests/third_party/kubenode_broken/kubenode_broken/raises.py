"""A hook that raises, beside one that does not."""

from typing import Any

from kubenode.remedies import RebootRemedy, hookimpl


class Spare(RebootRemedy):
    """A sound remedy of a plugin that is otherwise broken."""

    name = "spare"


@hookimpl
def register_providers() -> Any:
    """Raise."""
    raise RuntimeError("no cloud today")


@hookimpl
def register_remedies() -> Any:
    """Register what is sound."""
    return [Spare()]
