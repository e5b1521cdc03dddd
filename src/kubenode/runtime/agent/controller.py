"""One key a machine that has an agent here: look at the host, ask core/host, report, act.

A host is looked at whenever its key is asked: when its Machine changed, when whoever watches its files and units says
that one did (`Stirred`), and once a period though nothing was heard.

The same engine runs it: a real agent has one machine, a simulation has hundreds.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Decision, RunSteps
from kubenode.core.errors import InvalidObjectError, KubenodeError, Problem
from kubenode.core.hookspecs import ComponentDriver, Desired, Have, Seen
from kubenode.core.host.decide import HostSeen, NodeSnapshot, decide
from kubenode.core.host.inspection import period
from kubenode.core.host.plan import reinstalled
from kubenode.core.host.probes import looked_at, probed
from kubenode.core.host.reinstall import last_good
from kubenode.core.host.variables import filled, values
from kubenode.core.model.entry import ConfigState
from kubenode.core.policy import Policy
from kubenode.core.probe import Probe
from kubenode.core.step import Step
from kubenode.runtime.engine.loop import Engine, Fault, Question, Recorder, raised
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache, Change

LOG = logging.getLogger("kubenode.agent")


T = TypeVar("T")
_NOTHING: Final = Have(version="", config=ConfigState.UNKNOWN, state=m.Running.ABSENT)
"""A host on which there is nothing of a component; or of which nothing is known."""


class CannotLook(KubenodeError):
    """A host could not be looked at, so nothing is known of it now."""


class Hosts(Protocol):
    """The hosts whose agents run here."""

    def seen(self, machine: str) -> HostSeen | None:
        """Give what is known of a host; None when it has no agent, or the agent is down or cut off."""

    def foretell(self, machine: str, looks: Sequence[tuple[Probe, ...]]) -> None:
        """Be told for what `look` will be asked next, so that all of it can be looked at at the same time."""

    def look(self, machine: str, probes: tuple[Probe, ...]) -> Seen:
        """Look at a host. Raises CannotLook when nobody can tell how it is."""

    async def run(self, effect: RunSteps) -> None:
        """Start the steps under their op-id and journal them; what became of them is seen later."""


@attrs.frozen
class _Wanted:
    """What is wanted of one entry, by whom it is judged, and what both of them look at."""

    name: str
    component: m.MachineComponent
    state: m.Running
    driver: ComponentDriver[Any]
    want: Desired[Any]
    probes: tuple[Probe, ...] = ()


@attrs.frozen
class _Judged:
    """What was found of one entry, what is to be done, and which of its probes fails."""

    have: Have
    plan: tuple[Step, ...] | Problem
    failing: str = ""


class AgentController:
    """Which machines a change concerns, and what their hosts look like now."""

    name = "agent"

    def __init__(
        self, cache: Cache, hosts: Hosts, plugins: Plugins, inspect: timedelta | None = None
    ) -> None:
        self._inspect = 0 if inspect is None else period(inspect)
        self._cache = cache
        self._hosts = hosts
        self._plugins = plugins

    def concerns(self, change: Change) -> Iterable[str]:
        """A machine, and those that have an entry of a component that has just come."""
        if change.kind is m.Machine:
            yield change.name
        elif change.kind is m.MachineComponent:
            for machine in self._cache.all(m.Machine):
                if any(entry.component == change.name for entry in machine.spec.components.values()):
                    yield machine.metadata.name

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Look at the host through its drivers and make the snapshot."""
        machine = self._cache.get(m.Machine, key)
        host = None if machine is None else self._hosts.seen(key)
        if machine is None or host is None:
            return None
        components = self._components(machine)
        known = values(machine, host.address)
        wanted = {
            name: self._wanted(machine, name, components[entry.component], known)
            for name, entry in sorted(machine.spec.components.items())
            if entry.component in components
        }
        looks = tuple(one.probes for one in wanted.values() if isinstance(one, _Wanted))
        self._hosts.foretell(key, looks)
        looked = {name: self._judged(key, one) for name, one in wanted.items()}
        found = {name: one for name, one in looked.items() if one is not None}
        asked = reinstalled(machine.spec.operation)
        snapshot = NodeSnapshot(
            machine=machine,
            components=components,
            have={name: one.have for name, one in found.items()},
            failing={name: one.failing for name, one in found.items() if one.failing},
            plans={name: one.plan for name, one in found.items()},
            afresh={name: self._afresh(machine, name, known) for name in sorted(set(asked))},
            host=host,
            inspect=self._inspect,
            now=now,
            sightings=sightings,
        )
        return Question(snapshot=snapshot, subject=machine, stored=machine.status.agent, part="agent")

    def _components(self, machine: m.Machine) -> Mapping[str, m.MachineComponent]:
        names = {entry.component for entry in machine.spec.components.values()}
        found = {name: self._cache.get(m.MachineComponent, name) for name in sorted(names)}
        return {name: component for name, component in found.items() if component is not None}

    def _wanted(
        self, machine: m.Machine, name: str, component: m.MachineComponent, known: Mapping[str, str]
    ) -> "_Wanted | Problem":
        """Ask the driver of an entry what has to be looked at."""
        state = machine.spec.components[name].state

        def asked(one: _Wanted) -> _Wanted:
            probes = (*one.driver.probes(one.want), *looked_at(component.spec, state))
            hash(probes)  # what cannot be looked up is this driver's failure, and no other entry's
            return attrs.evolve(one, probes=probes)

        return self._asked(name, component, state, known, asked)

    def _judged(self, machine: str, wanted: "_Wanted | Problem") -> "_Judged | None":
        """Ask the driver of an entry, and the component's own probes, what is there and what is to be done.

        Returns:
            None where the host cannot be looked at: nothing is known then, and nothing is done.
        """
        if isinstance(wanted, Problem):
            return _Judged(_NOTHING, wanted)
        try:
            seen = self._hosts.look(machine, wanted.probes)
        except CannotLook as error:
            LOG.warning("event=not-looked entry=%s error=%s", wanted.name, error)
            return None
        found = _guarded(wanted.name, wanted.component, lambda: _found(wanted, seen))
        return _Judged(_NOTHING, found) if isinstance(found, Problem) else found

    def _afresh(self, machine: m.Machine, name: str, known: Mapping[str, str]) -> tuple[Step, ...] | Problem:
        """Ask the driver for the steps that install what was last found whole of an entry; none where nothing was."""
        entry, agent = machine.spec.components.get(name), machine.status.agent or m.AgentStatus()
        good = "" if entry is None else last_good(agent.components.get(name, m.ComponentReport()), entry)
        component = self._cache.get(m.MachineComponent, good) if good else None
        if entry is None or not good:
            return ()
        if component is None:
            return Problem(where=name, what=f"ComponentMissing: there is no MachineComponent {good}")
        return self._asked(name, component, entry.state, known, _from_nothing)

    def _asked(
        self, name: str, component: m.MachineComponent, state: m.Running, known: Mapping[str, str],
        ask: Callable[[_Wanted], T],
    ) -> T | Problem:  # fmt: skip
        """Ask the driver of an entry something; give the answer, or why it cannot be asked or has none."""
        where, spec = _where(component), component.spec
        driver = self._plugins.components.get(spec.driver)
        if driver is None:
            drivers = ", ".join(sorted(self._plugins.components)) or "none"
            what = f"PluginMissing: no component driver is named {spec.driver!r}"
            return Problem(where=where, what=what, fix=f"known: {drivers}")
        raw = filled(spec.parameters, known, f"{where}.spec.parameters")
        if isinstance(raw, Problem):
            return raw

        def asked() -> T:
            params = structured(raw, driver.params, f"{where}.spec.parameters")
            want = Desired(version=spec.version, params=params, state=state, disruption=spec.disruption)
            return ask(_Wanted(name, component, state, driver, want))

        return _guarded(name, component, asked)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/host."""
        return decide(snapshot, policy)


def _where(component: m.MachineComponent) -> str:
    return f"MachineComponent {component.metadata.name}"


def _guarded(name: str, component: m.MachineComponent, ask: Callable[[], T]) -> T | Problem:
    """Ask a driver; give why it has no answer, if it has none."""
    where = _where(component)
    try:
        return ask()
    except InvalidObjectError as error:
        return Problem(where=where, what=f"ParametersInvalid: {error}")
    except Exception as error:
        driver = component.spec.driver
        what = f"PluginFailed: driver {driver} of {name} raised {type(error).__name__}: {error}"
        return Problem(where=where, what=what)


def _found(wanted: _Wanted, seen: Seen) -> _Judged:
    """Judge how the host looks, by the driver and by the component's own probes."""
    have, failing = probed(wanted.driver.judge(wanted.want, seen), wanted.component.spec, wanted.state, seen)
    return _Judged(have, wanted.driver.plan(wanted.want, have), failing)


def _from_nothing(wanted: _Wanted) -> tuple[Step, ...]:
    return wanted.driver.plan(wanted.want, _NOTHING)


def agents(
    hosts: Hosts, plugins: Plugins, record: Recorder | None = None, fault: Fault = raised, *,
    inspect: timedelta | None = None,
) -> Engine:  # fmt: skip
    """Put the engine of the agents of `hosts` together.

    Args:
        hosts: where they are.
        plugins: the drivers.
        record: is told of every decision.
        fault: what becomes of a defect.
        inspect: how often every host is looked at though nothing was heard; None where every change is told.

    Raises:
        InvalidObjectError: `inspect` is too short or too long.
    """
    cache = Cache((m.Machine, m.MachineComponent))
    controller = AgentController(cache, hosts, plugins, inspect)
    return Engine(cache, (controller,), policy=Policy, record=record, fault=fault)
