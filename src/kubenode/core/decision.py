"""What a decider answers: a Decision, its effects (a closed union) and its notes.

A Decision is data. Effects on the API come first, in order; the first failure ends the Decision.
No effect outside the API is in a Decision unless its intent (op-id, parameters) already stands in
the object that was read: one decision writes the intent, the next, seeing it, acts.
"""

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from kubenode.core.hookspecs import Guard
from kubenode.core.model.component import Disruption
from kubenode.core.model.entry import ComponentEntry
from kubenode.core.model.machine import SetRef, Taint
from kubenode.core.model.meta import Object, Ref
from kubenode.core.model.operation import Operation
from kubenode.core.model.world import NodeCondition
from kubenode.core.step import Step

S_co = TypeVar("S_co", covariant=True)

NOTHING_SEEN: Mapping[str, int] = MappingProxyType({})


class Verdict(enum.Enum):
    """A Decision in one word."""

    ACT = "act"
    """It has effects, or its status records something new; counts and conditions alone are no act."""
    DEFER = "defer"
    """It would act, but a limit, a deadline or another's turn forbids it now."""
    IGNORE = "ignore"
    """There is nothing to do."""


@attrs.frozen(kw_only=True)
class Note:
    """Why, or why not.

    Attributes:
        code: a fixed word for programs.
        text: one sentence for people.
        scope: what binds (`zone b`, `cluster`); empty where nothing does.
        observed: what was counted in that scope; None where nothing was.
        limit: what it may be at most; a note with a limit is a binding one.
        frees_at: `Now.elapsed` at which the limit frees by itself; None when it does not by time alone.
    """

    code: str
    text: str
    scope: str = ""
    observed: int | None = None
    limit: int | None = None
    frees_at: int | None = None


@attrs.frozen(kw_only=True)
class Create:
    """Create an object. Its name is deterministic: AlreadyExists means somebody was quicker, and that it is done."""

    object: Object


@attrs.frozen(kw_only=True)
class Delete:
    """Ask for the deletion of one incarnation of an object; its finalizers are others' business. Gone means done."""

    object: Ref


@attrs.frozen(kw_only=True)
class SetOwner:
    """Say to which MachineSet a Machine belongs, or that it belongs to none, if it is still what was read."""

    machine: Ref
    expect: SetRef | None
    owner: SetRef | None


@attrs.frozen(kw_only=True)
class SetEntry:
    """Write one component entry of a Machine, if the entry is still what was read."""

    machine: Ref
    name: str
    expect: ComponentEntry | None
    entry: ComponentEntry


@attrs.frozen(kw_only=True)
class SetOperation:
    """Write or clear a Machine's operation, if it is still what was read."""

    machine: Ref
    expect: Operation | None
    operation: Operation | None


@attrs.frozen(kw_only=True)
class SetFinalizers:
    """Replace an object's finalizers, if it is still at this resourceVersion."""

    object: Ref
    finalizers: tuple[str, ...]
    resource_version: str


@attrs.frozen(kw_only=True)
class PatchNode:
    """Change annotations of ours and, where not None, taints (the whole list) and cordon of a Node, at this resourceVersion.

    An annotation of value None is removed; those not named are left alone.
    """

    node: Ref
    resource_version: str
    annotations: Mapping[str, str | None] = attrs.field(factory=dict)
    taints: tuple[Taint, ...] | None = None
    unschedulable: bool | None = None


@attrs.frozen(kw_only=True)
class ApplyNode:
    """Apply all labels and annotations that a machine keeps on its Node, and what records them, at this resourceVersion.

    By server-side apply, never forced: one applied before and not named now goes, unless somebody else owns it too. A
    field that somebody else owns with another value is given up, and the rest is applied; a later look finds it contested.
    """

    node: Ref
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@attrs.frozen(kw_only=True)
class PatchNodeConditions:
    """Replace the conditions of a Node, at this resourceVersion."""

    node: Ref
    resource_version: str
    conditions: tuple[NodeCondition, ...]


@attrs.frozen(kw_only=True)
class AnswerRequest:
    """Approve or deny a request for a certificate, if it is still at this resourceVersion; it is the only answer."""

    request: Ref
    resource_version: str
    approved: bool
    reason: str
    message: str


@attrs.frozen(kw_only=True)
class DeleteToken:
    """Delete the bootstrap token that a machine enrolled with, then say so in the Machine's `status.enrolment`.

    The second is done only after the first, at this resourceVersion of the Machine; a token that is gone is deleted.

    Attributes:
        token_id: which is public; the secret half of a token is known to nobody here.
    """

    machine: Ref
    token_id: str
    resource_version: str


@attrs.frozen(kw_only=True)
class Evict:
    """Ask for the eviction of one incarnation of a Pod. Gone means done; a budget that allows none now is no failure.

    Attributes:
        grace: seconds that it is given to end; None as it says itself.
    """

    pod: Ref
    namespace: str
    grace: int | None = None


@attrs.frozen(kw_only=True)
class RunSteps:
    """Act on the host: the agent's alone.

    Attributes:
        op_id: the identity under which the host's journal knows it; run once, whoever repeats it.
        answers: the component whose report it belongs to, or empty for an operation.
    """

    machine: Ref
    op_id: str
    steps: tuple[Step, ...]
    answers: str = ""
    disruption: Disruption = Disruption.NONE


@attrs.frozen(kw_only=True)
class UserData:
    """What an instance is given at its first boot. It is made when the call is, since it may hold a token.

    Attributes:
        own: what the spec gives for cloud-init.
        agent: with what installs and enrols the agent.
        attempt: of the intent; each has a token of its own.
    """

    own: str = attrs.field(default="", repr=False)
    agent: bool = False
    attempt: int


@attrs.frozen(kw_only=True)
class CreateInstance:
    """Ask a provider for an instance. Its intent stands in `status.instance` of the Machine.

    Attributes:
        token: of the intent; asked twice with one token it is one instance.
        parameters: of the intent, with the number of the placement that is tried.
        launch: the digest of the launch parameters that the token was made of; what gives another one is not sent.
        tags: by which the instance is found again.
        tries: how often it was asked for before, as far as this process knows.
        user_data: None: none.
    """

    machine: Ref
    provider: str
    token: str
    parameters: Mapping[str, Any]
    choice: int
    launch: str
    tags: Mapping[str, str]
    tries: int = 0
    user_data: UserData | None = None


@attrs.frozen(kw_only=True)
class TerminateInstance:
    """Ask a provider to terminate an instance. Its intent stands in `status.instance` of the Machine.

    That of an orphan stands in `status.orphansEnded` of the MachineSet that it was made for.

    Attributes:
        machine: whose it is; of an orphan, that MachineSet.
        op_id: of the intent; the act may be repeated, and means the same.
        tries: how often it was asked for before, as far as this process knows.
    """

    machine: Ref
    provider: str
    op_id: str
    instance: str
    tries: int = 0


@attrs.frozen(kw_only=True)
class RebootInstance:
    """Ask a provider to restart an instance. Its intent is the attempt of a RemedyOperationJob that stands as Acting.

    Attributes:
        op_id: of the attempt; asked twice with it is one restart, as far as the provider's plugin remembers.
        tries: how often it was asked for before, as far as this process knows.
    """

    machine: Ref
    provider: str
    op_id: str
    instance: str
    tries: int = 0


@attrs.frozen(kw_only=True)
class GuardInstance:
    """Tell a provider what its infrastructure is to leave to kubenode. Its intent is the machine's open hold, or HandsOff.

    Attributes:
        op_id: of what is told; the act may be repeated, and means the same.
        tries: how often it was told before, as far as this process knows.
    """

    machine: Ref
    provider: str
    op_id: str
    instance: str
    guard: Guard
    tries: int = 0


@attrs.frozen(kw_only=True)
class ConfirmEvent:
    """Consent to an event that a provider has planned for an instance. Its intent is the attempt of a RemedyOperationJob that stands as Acting.

    Attributes:
        op_id: of the attempt. What does not wait for consent any more is NotFound, however often it is asked for.
        event: the id that the provider gave it.
        tries: how often it was asked for before, as far as this process knows.
    """

    machine: Ref
    provider: str
    op_id: str
    event: str
    tries: int = 0


ApiEffect: TypeAlias = (
    Create | Delete | SetOwner | SetEntry | SetOperation | SetFinalizers | ApplyNode | PatchNode | PatchNodeConditions
    | AnswerRequest | DeleteToken | Evict
)  # fmt: skip
CloudEffect: TypeAlias = CreateInstance | TerminateInstance | RebootInstance | ConfirmEvent | GuardInstance
"""What is asked of a provider. What came of it is observed."""
OutsideEffect: TypeAlias = RunSteps | CloudEffect
"""What is done outside the API."""
Effect: TypeAlias = ApiEffect | OutsideEffect


@attrs.frozen(kw_only=True)
class Decision(Generic[S_co]):
    """The answer of a decider.

    Attributes:
        status: the wanted status of the snapshot's subject; written before the effects when it differs.
            None: leave it alone.
        effects: API writes first.
        wake_at: `Now.elapsed` at which this Decision may change without any event; None when it cannot.
            Exact: one nanosecond earlier the Decision is the same.
        sightings: when things were first seen by this process, by `Now.elapsed`; the engine keeps them
            for the next snapshot of the same key. Those left out are forgotten.
        deferred: it would do (more), but something forbids it now.
        moved: `status` records something that the stored one does not. Filled in by `kubenode.decide`;
            a decider leaves it alone.
    """

    status: S_co | None = None
    effects: tuple[Effect, ...] = ()
    notes: tuple[Note, ...] = ()
    wake_at: int | None = None
    sightings: Mapping[str, int] = NOTHING_SEEN
    deferred: bool = False
    moved: bool = False

    @property
    def verdict(self) -> Verdict:
        """It in one word; of a Decision that `kubenode.decide` gave."""
        if self.effects or self.moved:
            return Verdict.ACT
        return Verdict.DEFER if self.deferred else Verdict.IGNORE

    @property
    def binding(self) -> Note | None:
        """The first note with a limit: what would have to change."""
        return next((note for note in self.notes if note.limit is not None), None)


def soonest(deadlines: Iterable[int | None]) -> int | None:
    """Give the earliest deadline, or None when there is none.

    >>> soonest([30, None, 20]), soonest([None])
    (20, None)
    """
    return min((deadline for deadline in deadlines if deadline is not None), default=None)
