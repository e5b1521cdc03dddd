"""Remedy actions: ours, and all that the author of another needs.

    class ReloadNetwork:
        name = "reload-network"
        params = NoParams
        disruption = Disruption.RESTART

        def plan(self, case: Case[NoParams]) -> tuple[Step, ...]:
            return (RestartUnit(unit="systemd-networkd.service"),)

An action is pure: it gives the steps, and kubenode asks for the permit, writes the operation, waits for
the agent and verifies. The entry-point group is `kubenode`, the hook `register_remedies`.
"""

from collections.abc import Iterable
from typing import Any

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Case, RemedyAction, Settings, hookimpl
from kubenode.core.model.component import Disruption
from kubenode.core.naming import check_component, check_unit
from kubenode.core.review import Allow, Deny, Narrow, PermitRequest, Review, Reviewed, Reviewer
from kubenode.core.step import (
    ConfirmMaintenance,
    Reboot,
    ReinstallComponent,
    RemedyStep,
    ReplaceMachine,
    RestartInstance,
    RestartUnit,
    Step,
    Undo,
)
from kubenode.remedies.confirm_event import ConfirmEventRemedy
from kubenode.remedies.reboot import NoParams, RebootRemedy
from kubenode.remedies.reboot_instance import RebootInstanceRemedy
from kubenode.remedies.reinstall_component import (
    DRAINED_FIRST,
    ReinstallComponentParams,
    ReinstallComponentRemedy,
)
from kubenode.remedies.replace import ReplaceRemedy
from kubenode.remedies.restart_unit import RestartUnitParams, RestartUnitRemedy


@hookimpl
def register_remedies() -> Iterable[RemedyAction[Any]]:
    """Give the remedy actions that kubenode brings, mildest first."""
    return (
        RestartUnitRemedy(), ReinstallComponentRemedy(), DRAINED_FIRST, RebootRemedy(), ConfirmEventRemedy(), RebootInstanceRemedy(),
        ReplaceRemedy(),
    )  # fmt: skip


__all__ = [
    "Allow", "Case", "ConfirmEventRemedy", "ConfirmMaintenance", "Deny", "Disruption", "InvalidObjectError", "Narrow", "NoParams", "PermitRequest", "Problem", "Reboot", "RebootInstanceRemedy", "RebootRemedy", "ReinstallComponent",
    "ReinstallComponentParams", "ReinstallComponentRemedy", "RemedyAction", "RemedyStep", "ReplaceMachine", "ReplaceRemedy", "RestartInstance", "RestartUnit", "RestartUnitParams",
    "RestartUnitRemedy", "Review", "Reviewed", "Reviewer", "Settings", "Step", "Undo", "check_component", "check_unit", "hookimpl", "register_remedies",
]  # fmt: skip
