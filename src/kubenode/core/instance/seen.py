"""An instance as the controller last saw it: looks at a whole provider, and answers to what it was asked."""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Instance
from kubenode.core.model.instance import InstanceStatus
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import GROUP
from kubenode.core.model.now import Now

MANAGED_TAG = f"{GROUP}/managed"
"""On every instance that kubenode made: `true`. A look asks for these."""
MACHINE_TAG = f"{GROUP}/machine"
"""The name of its Machine, for people."""
MACHINE_UID_TAG = f"{GROUP}/machine-uid"
"""The uid of its Machine: whose instance it is."""
SET_UID_TAG = f"{GROUP}/machineset-uid"
"""The uid of the MachineSet of its Machine, if it has one."""
LOOKED_FOR: Mapping[str, str] = {MANAGED_TAG: "true"}
"""The tags by which a look finds them."""


@attrs.frozen(kw_only=True)
class ProviderAnswer:
    """What a provider answered to an act on the instance of a machine, in the life of this process.

    Attributes:
        op_id: of the act: the token of a create, the op-id of a termination.
        at: `Now.elapsed` when it came.
        instance: what a create gave.
        error: the name of the class of `kubenode.core.errors`; empty when it was done.
        text: what the provider says of it, for people.
        retry_after: for how long it wants to be left alone, nanoseconds.
        tries: how often the act was asked for by now.
    """

    op_id: str
    at: int
    instance: Instance | None = None
    error: str = ""
    text: str = ""
    retry_after: int = 0
    tries: int = 1


@attrs.frozen(kw_only=True)
class FrozenProvider:
    """Why nothing is asked of a provider: it does not take our credentials.

    Attributes:
        text: what it says.
        until: `Now.elapsed` from which one call tries whether it does again.
        at: `Now.elapsed` when it said so last.
    """

    text: str
    until: int
    at: int = 0


@attrs.frozen(kw_only=True)
class InstanceSight:
    """What is known of the instance of one machine.

    Attributes:
        wanted: by what `spec.infrastructure` says: a digest of the launch parameters of each placement, in order.
        problem: why the spec can ask nothing of a provider: no plugin, or wrong parameters.
        pinned: as `wanted`, by the parameters in the status; empty when they cannot be read any more.
        blind: the provider takes no tokens: for so long after a create, nanoseconds, a look may not show what was made,
            and nothing is asked for again; None: a token repeated makes one instance.
        mine: instances that bear the machine's uid as a tag, as they were last seen.
        known: the instance that the status names, as it was last seen, whatever its tags.
        looked: `Now.elapsed` when the last complete look began; None: this process has not looked.
        missing: that look showed none of the machine's, and the provider does not know the id either.
        answer: to the last act.
        frozen: the provider takes no credentials of ours.
        doubt: why what looks do not show is not taken for gone; empty when it may be.
        rivals: names of other Machines that say they have the same instance.
    """

    wanted: tuple[str, ...] = ()
    problem: Problem | None = None
    pinned: tuple[str, ...] = ()
    blind: int | None = None
    mine: tuple[Instance, ...] = ()
    known: Instance | None = None
    looked: int | None = None
    missing: bool = False
    answer: ProviderAnswer | None = None
    frozen: FrozenProvider | None = None
    doubt: str = ""
    rivals: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class OrphanSight:
    """What is known of an instance that was made for a machine of a set, and whose machine is not there.

    Attributes:
        instance: as the last look showed it.
        doubt: why that look is no ground to act on; empty when it was whole, and no later one failed.
        machine: name of a Machine whose uid it bears, or that says it has it, be it of another set or being deleted;
            empty: there is none. No provider shows tokens; what one made bears the uid.
        node: name of a Node that is it, or may be, because nobody knows what it is; empty: nothing runs on it.
        answer: to the last end that the set asked for.
        frozen: the provider takes no credentials of ours.
    """

    instance: Instance
    provider: str
    doubt: str = ""
    machine: str = ""
    node: str = ""
    answer: ProviderAnswer | None = None
    frozen: FrozenProvider | None = None


@attrs.frozen(kw_only=True)
class Case:
    """One machine and its instance: all that a turn is decided on.

    Attributes:
        joined: its Node is there, be it contested.
        well: and its kubelet says that it is Ready.
    """

    machine: Machine
    sight: InstanceSight
    joined: bool
    well: bool = True
    now: Now
    sightings: Mapping[str, int] = NOTHING_SEEN

    @property
    def uid(self) -> str:
        """The machine's uid."""
        return self.machine.metadata.uid

    @property
    def instance(self) -> InstanceStatus | None:
        """What the status says of the instance."""
        return self.machine.status.instance

    def since(self, what: str) -> int:
        """Give when this process first saw something, which is now if it never did."""
        return self.sightings.get(what, self.now.elapsed)

    def answer(self, op_id: str) -> ProviderAnswer | None:
        """Give the answer to an act; None when it was not asked for in the life of this process."""
        answer = self.sight.answer
        return answer if answer is not None and answer.op_id == op_id else None
