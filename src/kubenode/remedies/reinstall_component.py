"""`reinstall-component`: put a component down again, as it was last found whole. For what a restart does not mend and no look shows.

`drain-and-reinstall-component` is the same for a component whose class drains or reboots: its permit is for that.
"""

from typing import Final

import attrs

from kubenode.core.hookspecs import Case
from kubenode.core.model.component import Disruption
from kubenode.core.naming import check_component
from kubenode.core.step import ReinstallComponent


@attrs.frozen(kw_only=True)
class ReinstallComponentParams:
    """Which component.

    Attributes:
        component: the name of its entry on the Machine, such as kubelet.

    Raises:
        ValueError: `component` can name no entry.
    """

    component: str = attrs.field(validator=check_component)


@attrs.frozen(kw_only=True)
class ReinstallComponentRemedy:
    """Put the version and the configuration of one component down again, and restart what runs it.

    A machine that has no such component, or on which none of its revisions was found whole, fails the rung at once.
    """

    name: str = "reinstall-component"
    disruption: Disruption = Disruption.RESTART
    params = ReinstallComponentParams

    def plan(self, case: Case[ReinstallComponentParams], /) -> tuple[ReinstallComponent, ...]:
        """Give the one step; the agent's driver of the component knows what it takes."""
        return (ReinstallComponent(component=case.params.component),)


DRAINED_FIRST: Final = ReinstallComponentRemedy(
    name="drain-and-reinstall-component", disruption=Disruption.REBOOT
)
