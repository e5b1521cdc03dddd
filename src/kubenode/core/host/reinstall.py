"""What a reinstallation installs: the component that was last found whole on the host, as if nothing of it were there.

It is asked for where a look finds nothing wrong: a file that no driver compares is damaged, a program hangs in a way that a
restart does not mend.
"""

from kubenode.core.errors import Problem, refusal
from kubenode.core.health.held import allows_drift
from kubenode.core.host.drift import INSTALL_FAILED, was_at_target
from kubenode.core.host.plan import anew
from kubenode.core.host.snapshot import NodeSnapshot
from kubenode.core.model.entry import ComponentEntry, ComponentReport, Running
from kubenode.core.step import Step


def last_good(before: ComponentReport, entry: ComponentEntry) -> str:
    """Name the MachineComponent of an entry that was last found whole.

    Returns:
        What the entry wants, if it was at target; what was there before, if its revision failed. Empty while another
        revision is being brought in, and where nothing was found whole yet.
    """
    if was_at_target(before, entry):
        return entry.component
    failed = before.revision == entry.revision and before.reason == INSTALL_FAILED
    return before.component if failed else ""


def reinstallation(seen: NodeSnapshot, name: str) -> tuple[Step, ...] | str:
    """Give the steps that install an entry's component again; else why there are none."""
    entry = seen.machine.spec.components.get(name)
    if entry is None:
        return "nothing says how it should be"
    if entry.state is Running.ABSENT:
        return "it is to be absent"
    if allows_drift(seen.machine, name):
        return "a person has changed it, and its label lets that be"
    if not last_good(seen.before.components.get(name, ComponentReport()), entry):
        return "no revision of it was found whole here"
    plan = seen.afresh.get(name, ())
    if isinstance(plan, Problem):
        return ": ".join(refusal(plan))
    return anew(plan) or "its driver has no steps"
