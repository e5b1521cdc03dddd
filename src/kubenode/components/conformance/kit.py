"""What the author of a driver gave, and the hosts that its laws are tried on."""

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import attrs

from kubenode.components.conformance.host import FakeHost
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import ComponentDriver, Desired, Have
from kubenode.core.host.plan import is_at_target
from kubenode.core.law import BrokenLaw
from kubenode.core.model.component import MachineComponent, MachineComponentSpec
from kubenode.core.model.entry import ComponentEntry, Running
from kubenode.core.model.meta import ObjectMeta
from kubenode.core.probe import Access, FileAccess, PackageHeld, Probe
from kubenode.core.step import Step

P = TypeVar("P")

CHANGED = b"changed by hand\n"


@attrs.frozen(kw_only=True)
class Kit(Generic[P]):
    """A driver, what it should reach, and from what else."""

    driver: ComponentDriver[P]
    want: Desired[P]
    other: Desired[P] | None

    def judge(self, want: Desired[P], host: FakeHost) -> Have:
        """Ask what is found on a host."""
        seen = host.look(self.driver.probes(want))
        try:
            have = self.driver.judge(want, seen)
        except KeyError as error:
            raise BrokenLaw(
                f"judge() raised KeyError: {error} on {host}; what is not there has no entry, so use .get()"
            ) from error
        if not isinstance(have, Have):
            raise BrokenLaw(
                f"judge() returned a {type(have).__name__}; return Have(version=, config=, state=)"
            )
        return have

    def plan(self, want: Desired[P], host: FakeHost) -> tuple[Step, ...]:
        """Ask what is to be done on a host."""
        steps: object = self.driver.plan(want, self.judge(want, host))
        if not isinstance(steps, tuple):
            raise BrokenLaw(f"plan() returned a {type(steps).__name__}; return a tuple of steps")
        return steps

    def at_target(self, want: Desired[P], host: FakeHost) -> bool:
        """Tell whether the agent would call a host done."""
        done = MachineComponent(
            metadata=ObjectMeta(name="kit"), spec=MachineComponentSpec(version=want.version, driver="any")
        )
        entry = ComponentEntry(set="kit", component="kit", revision="1", state=want.state)
        return is_at_target(entry, done, self.judge(want, host))

    def ready(self, want: Desired[P]) -> FakeHost:
        """Give a host that was empty and had the steps done."""
        host = FakeHost()
        host.apply(*self.plan(want, host))
        return host

    def wants(self) -> Iterator[Desired[P]]:
        """Give what is wanted, running; and stopped, unless the driver refuses that by name."""
        yield self.want
        stopped = attrs.evolve(self.want, state=Running.STOPPED)
        try:
            self.plan(stopped, self.ready(self.want))
        except InvalidObjectError:
            return
        yield stopped

    def starts(self, want: Desired[P]) -> Iterator[FakeHost]:
        """Give hosts to begin with: empty, as wanted, running or not, changed by hand, and with `other`."""
        yield FakeHost()
        for state in (self.want, want):
            host = self.ready(state)
            yield host
            yield from changed(host, self.driver.probes(want))
        if self.other is not None:
            yield self.ready(self.other)


def changed(host: FakeHost, probes: Iterable[Probe]) -> Iterator[FakeHost]:
    """Give copies of a host, each with one thing changed or lost behind the driver's back.

    Whose a file is, and whether a package is held, is changed only where the driver asks for that: none has to care.
    """
    probes = tuple(probes)
    for package in sorted(
        {one.package for one in probes if isinstance(one, PackageHeld)} & host.packages.keys()
    ):
        one = host.copy()
        one.held[package] = not host.held.get(package, False)
        yield one
    for path in sorted({probe.path for probe in probes if isinstance(probe, FileAccess)} & host.files.keys()):
        one, other = host.copy(), host.copy()
        one.access[path] = attrs.evolve(host.access.get(path, Access()), mode=0o604)
        other.access[path] = attrs.evolve(host.access.get(path, Access()), owner="nobody", group="nogroup")
        yield from (one, other)
    for unit, state in host.enabled.items():
        one, other = host.copy(), host.copy()
        one.enabled[unit] = "disabled" if state == "enabled" else "enabled"
        del other.enabled[unit]
        yield from (one, other)
    for path in host.files:
        one, other = host.copy(), host.copy()
        one.files[path] = CHANGED
        del other.files[path]
        yield from (one, other)
    for package in host.packages:
        one, other = host.copy(), host.copy()
        one.packages[package] = "0-changed"
        del other.packages[package]
        yield from (one, other)
    for path in host.artifacts:
        one, other = host.copy(), host.copy()
        one.artifacts[path] = ""
        del other.artifacts[path]
        yield from (one, other)
    for unit, state in host.units.items():
        one, other = host.copy(), host.copy()
        one.units[unit] = "failed" if state == "active" else "active"
        del other.units[unit]
        yield from (one, other)


def difference(host: FakeHost, ready: FakeHost) -> str:
    """Say in what a host is not as one that is done; empty when it is. Who stops a unit need not install it."""
    pairs: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("file", dict(host.files), dict(ready.files)),
        ("access to file", dict(host.access), dict(ready.access)),
        ("hold of package", dict(host.held), dict(ready.held)),
        ("enablement of unit", dict(host.enabled), dict(ready.enabled)),
        ("package", dict(host.packages), dict(ready.packages)),
        ("artifact", dict(host.artifacts), dict(ready.artifacts)),
        ("unit", dict.fromkeys(host.active(), "active"), dict.fromkeys(ready.active(), "active")),
    )
    found = [
        f"{kind} {key} {have.get(key, 'not there')!r} where {want.get(key, 'not there')!r} is wanted"
        for kind, have, want in pairs
        for key in sorted(have.keys() | want.keys())
        if have.get(key) != want.get(key)
    ]
    return ", ".join(found)
