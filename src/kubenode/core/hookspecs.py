"""The manual for plugin authors: hooks register, Protocols act.

A distribution declares an entry point in the group `kubenode`; the module it names has functions
marked `@kubenode.hookimpl`. Each hook is called once, at start, alone, so that a fault is blamed on
its plugin. What a hook returns are drivers: plain objects with the methods of a Protocol below.
Component drivers and remedies are pure: they say what to look at, what it means and which steps mend
it. The agent looks and acts.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import attrs
import pluggy

from kubenode.core.inspection import Answer, InspectionRequest
from kubenode.core.model.component import Disruption
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.probe import Access, Check, CheckAnswer, Probe
from kubenode.core.review import Reviewer
from kubenode.core.step import RemedyStep, Step

PROJECT = "kubenode"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

P = TypeVar("P")
T_co = TypeVar("T_co", covariant=True)


class InstanceState(enum.Enum):
    """What a provider says of an instance."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    """Its end has begun; it counts until it is TERMINATED."""
    TERMINATED = "terminated"
    UNKNOWN = "unknown"


class Power(enum.Enum):
    """A power act."""

    REBOOT = "reboot"
    OFF = "off"
    ON = "on"


@attrs.frozen(kw_only=True)
class CreateRequest(Generic[P]):
    """What to create. Sent twice with one token it makes one instance."""

    token: str
    machine: str
    params: P
    tags: Mapping[str, str]
    user_data: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen(kw_only=True)
class Guard:
    """What an infrastructure that heals and deletes instances by itself is to leave to kubenode.

    Attributes:
        hands_off: it does not remedy the instance by itself, since kubenode works on it.
        holds_end: when somebody asks it to delete the instance, it waits until kubenode has drained the Node.
    """

    hands_off: bool = False
    holds_end: bool = False


@attrs.frozen(kw_only=True)
class Instance:
    """An instance as a provider shows it.

    Attributes:
        id: what the methods of its provider take.
        state: UNKNOWN for a word that the provider does not know.
        zone: the failure domain it is in.
        tags: all its tags.
        addresses: of it, private ones first.
        provider_id: what `Node.spec.providerID` of its node is, as the cloud's controller manager writes it; empty when
            the provider has no such form.
        created_at: when it was asked for; aware; None when the cloud does not say.
        guard: of `SupportsGuard`: what it leaves to kubenode now; None when it does nothing by itself, or is not there yet.
    """

    id: str
    state: InstanceState
    zone: str
    tags: Mapping[str, str] = attrs.field(factory=dict)
    addresses: tuple[str, ...] = ()
    provider_id: str = ""
    created_at: datetime | None = None
    guard: Guard | None = None


@attrs.frozen(kw_only=True)
class Page(Generic[T_co]):
    """One page of an answer; `cursor` asks for the next, None when this is the last."""

    items: tuple[T_co, ...]
    cursor: str | None = None


class Provider(Protocol[P]):
    """Creates and destroys machines. One method call is one wire call; plain functions, run in a worker thread.

    Raise the errors of `kubenode.providers`. An exception of another kind counts as Ambiguous in
    `create` and as Unavailable elsewhere. What only some clouds can do is in `kubenode.core.capability`.
    """

    @property
    def name(self) -> str:
        """What `spec.infrastructure.provider` says."""

    @property
    def params(self) -> type[P]:
        """The attrs class of `spec.infrastructure.parameters`."""

    def create(self, request: CreateRequest[P], /) -> Instance:
        """Create an instance, or give the one that this token made before."""

    def get(self, instance_id: str, /) -> Instance:
        """Look at one instance; NotFound when there is none."""

    def find(self, tags: Mapping[str, str], cursor: str | None, /) -> Page[Instance]:
        """Give the instances that carry all these tags, a page at a time."""

    def delete(self, instance_id: str, /) -> None:
        """Terminate an instance; NotFound when the cloud does not know it, which is looked into, or no error if it is sure."""


@runtime_checkable
class SupportsPower(Protocol):
    """A provider that can power-cycle: it has this method, and need not say so otherwise."""

    def power(self, instance_id: str, action: Power, token: str, /) -> None:
        """Act on the power of an instance; the same token twice is one act."""


@attrs.frozen(kw_only=True)
class Desired(Generic[P]):
    """What a component should be on this machine.

    Attributes:
        disruption: what its MachineComponent says that a change does to the node's work; a permit was given for no more.
    """

    version: str
    params: P
    state: Running = Running.RUNNING
    disruption: Disruption = Disruption.RESTART


@attrs.frozen(kw_only=True)
class Seen:
    """What the agent found for the probes: what is absent, or gave no answer, has no entry."""

    files: Mapping[str, bytes] = attrs.field(factory=dict)
    access: Mapping[str, Access] = attrs.field(factory=dict)
    units: Mapping[str, str] = attrs.field(factory=dict)
    enabled: Mapping[str, str] = attrs.field(factory=dict)
    packages: Mapping[str, str] = attrs.field(factory=dict)
    held: Mapping[str, bool] = attrs.field(factory=dict)
    artifacts: Mapping[str, str] = attrs.field(factory=dict)
    answers: Mapping[Check, CheckAnswer] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Have:
    """What a component is: version, configuration and running state, each apart.

    Attributes:
        version: what is installed; empty when nothing is.
        drifted: which parts of a configuration are Drifted, in words of the driver's own, where its steps depend on
            that: for its `plan` alone, reported to nobody.
    """

    version: str
    config: ConfigState
    state: Running
    drifted: tuple[str, ...] = ()


class ComponentDriver(Protocol[P]):
    """Pure: says what to look at, what it means, and which steps mend it. Does no I/O."""

    @property
    def name(self) -> str:
        """What `MachineComponent.spec.driver` says."""

    @property
    def params(self) -> type[P]:
        """The attrs class of `MachineComponent.spec.parameters`."""

    def probes(self, want: Desired[P], /) -> tuple[Probe, ...]:
        """Say what to look at."""

    def judge(self, want: Desired[P], seen: Seen, /) -> Have:
        """Say what was found. A probe that found nothing has no entry in `seen`."""

    def plan(self, want: Desired[P], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from `have` to `want`; empty when there is nothing to do."""


@attrs.frozen(kw_only=True)
class Case(Generic[P]):
    """One attempt at one machine."""

    machine: str
    node: str
    condition: str
    params: P
    attempt: int = 1


class RemedyAction(Protocol[P]):
    """Pure: the steps of one remedy. Permits, time limits and verification are kubenode's."""

    @property
    def name(self) -> str:
        """What a rung's `action` says."""

    @property
    def params(self) -> type[P]:
        """The attrs class of the rung's `parameters`."""

    @property
    def disruption(self) -> Disruption:
        """What it does to the node's work; its permit is for that."""

    def plan(self, case: Case[P], /) -> tuple[RemedyStep, ...]:
        """Give the steps; the agent refuses kinds of step that an operation cannot carry. RestartInstance, ConfirmMaintenance and ReplaceMachine, which no agent does, are alone."""


class Inspector(Protocol[P]):
    """Inspects a closed batch of a rollout, from outside. A plain function, run in a thread, with a time limit."""

    @property
    def name(self) -> str:
        """What a hook's `inspector` says."""

    @property
    def params(self) -> type[P]:
        """The attrs class of the hook's `parameters`."""

    def inspect(self, request: InspectionRequest[P], /) -> Answer:
        """Say whether the updated machines do well. It only looks: the same question may be asked more than once."""


class Settings(Protocol):
    """What the operator wrote for one plugin, read into the plugin's own attrs class."""

    def of(self, name: str, shape: type[P], /) -> P:
        """Give the section `name` of kubenode.toml as a `shape`; every problem at once when it is wrong."""


class Hooks(Protocol):
    """Each hook is called once, at start, alone. Parameters are positional; an implementation may take fewer."""

    @hookspec
    def register_providers(self, settings: Settings) -> Iterable[Provider[Any]]:
        """Give the providers of this distribution. Import the SDK inside the driver, not here."""

    @hookspec
    def register_components(self, settings: Settings) -> Iterable[ComponentDriver[Any]]:
        """Give the component drivers of this distribution."""

    @hookspec
    def register_remedies(self, settings: Settings) -> Iterable[RemedyAction[Any]]:
        """Give the remedy actions of this distribution."""

    @hookspec
    def register_inspections(self, settings: Settings) -> Iterable[Inspector[Any]]:
        """Give the inspections of this distribution, which look at a rollout's batch before the next one opens."""

    @hookspec
    def register_reviewers(self, settings: Settings) -> Mapping[str, Reviewer]:
        """Give functions by name that are asked before a permit is granted; they veto or narrow."""

    @hookspec
    def register_sinks(self, settings: Settings) -> Mapping[str, Callable[[Any], None]]:
        """Give functions by name that are told every decision: a `kubenode.Record` each."""
