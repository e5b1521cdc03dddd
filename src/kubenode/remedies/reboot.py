"""`reboot`: the agent reboots its host. What a hung kernel thread holds, nothing milder frees."""

import attrs

from kubenode.core.hookspecs import Case
from kubenode.core.model.component import Disruption
from kubenode.core.step import Reboot, Step


@attrs.frozen(kw_only=True)
class NoParams:
    """For an action that has nothing to set; any parameter is refused."""


class RebootRemedy:
    """Reboot the host. A new boot id is the proof that it was done."""

    name = "reboot"
    params = NoParams
    disruption = Disruption.REBOOT

    def plan(self, case: Case[NoParams], /) -> tuple[Step, ...]:
        """Give the one step."""
        return (Reboot(),)
