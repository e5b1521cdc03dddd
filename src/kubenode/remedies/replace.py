"""`replace`: end the machine and let its MachineSet make another one. For what no restart mends."""

from kubenode.core.hookspecs import Case
from kubenode.core.model.component import Disruption
from kubenode.core.step import ReplaceMachine
from kubenode.remedies.reboot import NoParams


class ReplaceRemedy:
    """Delete the Machine once its Node is drained; the permit is the deletion's. One that nothing would make anew is a human's turn."""

    name = "replace"
    params = NoParams
    disruption = Disruption.REBOOT

    def plan(self, case: Case[NoParams], /) -> tuple[ReplaceMachine, ...]:
        """Give the one step, which is no agent's."""
        return (ReplaceMachine(),)
