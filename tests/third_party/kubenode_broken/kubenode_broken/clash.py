"""A driver that is registered by two entry points."""

from typing import Any

from kubenode.remedies import RebootRemedy, hookimpl


class Twice(RebootRemedy):
    """A remedy of a name that is taken."""

    name = "twice"


@hookimpl
def register_remedies() -> Any:
    """Register it."""
    return [Twice()]
