"""`confirm-event`: consent to maintenance that a cloud does not begin without a word. Once the workload is gone, it may."""

from kubenode.core.hookspecs import Case
from kubenode.core.model.component import Disruption
from kubenode.core.step import ConfirmMaintenance
from kubenode.remedies.reboot import NoParams


class ConfirmEventRemedy:
    """Consent to the most urgent event of the instance that waits for it. Where none does, the next rung is the answer."""

    name = "confirm-event"
    params = NoParams
    disruption = Disruption.REBOOT

    def plan(self, case: Case[NoParams], /) -> tuple[ConfirmMaintenance, ...]:
        """Give the one step, which is the provider's."""
        return (ConfirmMaintenance(),)
