"""A remedy: reset a GPU, by the unit that does it."""

from collections.abc import Iterable
from typing import Any

import attrs

from kubenode.remedies import Case, Disruption, RemedyAction, RestartUnit, Settings, Step, hookimpl


@attrs.frozen(kw_only=True)
class GpuParams:
    """What a rung's `parameters` say."""

    gpu: int


class GpuReset:
    """Reset one GPU. What runs on it has to go first, so its permit is for a drain."""

    name = "gpu-reset"
    params = GpuParams
    disruption = Disruption.DRAIN

    def plan(self, case: Case[GpuParams], /) -> tuple[Step, ...]:
        """Give the one step."""
        return (RestartUnit(unit=f"nvidia-gpu-reset@{case.params.gpu}.service"),)


@hookimpl
def register_remedies(settings: Settings) -> Iterable[RemedyAction[Any]]:
    """Register the reset."""
    return [GpuReset()]
