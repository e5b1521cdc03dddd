"""`reboot-instance`: the provider restarts the instance. For a host whose agent is silent, and for what a cloud plans."""

from kubenode.core.hookspecs import Case
from kubenode.core.model.component import Disruption
from kubenode.core.step import RestartInstance
from kubenode.remedies.reboot import NoParams


class RebootInstanceRemedy:
    """Have the provider restart the instance. A reboot by the agent is no answer to a cloud that asks for one by its API."""

    name = "reboot-instance"
    params = NoParams
    disruption = Disruption.REBOOT

    def plan(self, case: Case[NoParams], /) -> tuple[RestartInstance, ...]:
        """Give the one step, which is the provider's."""
        return (RestartInstance(),)
