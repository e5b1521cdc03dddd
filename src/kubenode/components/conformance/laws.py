"""The laws of a component driver, each with the text that says what to do when it is broken."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from kubenode.components.conformance.host import FakeHost
from kubenode.components.conformance.kit import Kit, changed, difference
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import Desired, Seen
from kubenode.core.law import BrokenLaw, check_driver, check_functions
from kubenode.core.model.entry import Running
from kubenode.core.model.meta import matches
from kubenode.core.naming import (
    is_account,
    is_module,
    is_package,
    is_path,
    is_sha256,
    is_sysctl,
    is_sysctl_value,
    is_unit,
    is_url,
)
from kubenode.core.probe import Probe
from kubenode.core.step import (
    ArtifactFormat,
    EnableUnit,
    InstallArtifact,
    InstallPackage,
    ReloadUnit,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    SetKernel,
    Step,
    StopUnit,
    UpgradeAgent,
    WriteFile,
)

STEPS = (
    RestartUnit,
    ReloadUnit,
    EnableUnit,
    StopUnit,
    WriteFile,
    RemoveFile,
    InstallPackage,
    RemovePackage,
    InstallArtifact,
    RemoveArtifact,
    SetKernel,
    UpgradeAgent,
)
VERSION = r"^[A-Za-z0-9][-A-Za-z0-9.+:~_]*$"
WORDS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("unit", is_unit, "one unit, such as kubelet.service"),
    ("owner", lambda text: not text or is_account(text), "one user, such as root, or nothing"),
    ("group", lambda text: not text or is_account(text), "one group, such as root, or nothing"),
    ("path", is_path, "one absolute path without . and .."),
    ("package", is_package, "one package, such as kubelet"),
    ("url", is_url, "one http or https URL without a user"),
    ("sha256", is_sha256, "64 small hexadecimal digits"),
    ("member", lambda text: not text or is_path(f"/{text}"), "one plain path such as bin/tool, or nothing"),
    ("format", lambda form: isinstance(form, ArtifactFormat), "one ArtifactFormat"),
    ("version", lambda text: matches(VERSION, text), "one exact version"),
)


def check_names(kit: Kit[Any]) -> None:
    """Check the name, the class of the parameters, and that the methods are plain functions."""
    check_driver(kit.driver, kit.want.params)
    check_functions(kit.driver, ("probes", "judge", "plan"))


def check_pure(kit: Kit[Any]) -> None:
    """Check that the same question has the same answer, and that asking changes nothing."""
    driver, want = kit.driver, kit.want
    for host in kit.starts(want):
        have = kit.judge(want, host)
        found = host.look(driver.probes(want))
        seen = Seen(
            files=dict(found.files), units=dict(found.units), packages=dict(found.packages),
            artifacts=dict(found.artifacts), access=dict(found.access), enabled=dict(found.enabled),
            held=dict(found.held),
        )  # fmt: skip
        _ask_twice("probes", driver.probes, want)
        _ask_twice("judge", driver.judge, want, seen)
        _ask_twice("plan", driver.plan, want, have)


def _ask_twice(name: str, method: Callable[..., object], *arguments: object) -> None:
    before = copy.deepcopy(arguments)
    first = copy.deepcopy(method(*arguments))
    if arguments != before:
        raise BrokenLaw(f"{name}() changed what it was given; make a new value")
    second = method(*before)
    if first != second:
        raise BrokenLaw(
            f"{name}() gave {first!r}, then {second!r} for the same; keep no state and read no clock"
        )


def check_judge(kit: Kit[Any]) -> None:
    """Check that judge reads what probes ask for and nothing else, and stands a host where nothing is."""
    probes: object = kit.driver.probes(kit.want)
    if not isinstance(probes, tuple) or not all(isinstance(one, Probe) for one in probes):
        raise BrokenLaw(
            f"probes() returned {probes!r}; return a tuple of ReadFile, UnitState, PackageVersion and the like"
        )
    for want in kit.wants():
        for host in kit.starts(want):
            kit.judge(want, host)


def check_words(kit: Kit[Any]) -> None:
    """Check that what steps name is one name each, which no shell has to take apart."""
    for want in kit.wants():
        for host in kit.starts(want):
            for step in kit.plan(want, host):
                _check_step(step)


def _check_step(step: object) -> None:
    kind = type(step).__name__
    if not isinstance(step, STEPS):
        raise BrokenLaw(
            f"plan() gave a {kind}; a component may give {', '.join(one.__name__ for one in STEPS)}"
        )
    for name, sound, write in WORDS:
        text = getattr(step, name, None)
        if hasattr(step, name) and not (isinstance(text, str | ArtifactFormat) and sound(text)):
            shown = "of another form" if name == "url" else repr(text)
            raise BrokenLaw(f"{kind}.{name} is {shown}; write {write}: no shell takes it apart")
    if isinstance(step, SetKernel):
        _check_kernel(step)
    if isinstance(step, WriteFile | RemoveFile) and not isinstance(step.content, bytes):
        raise BrokenLaw(f"{kind}.content is a {type(step.content).__name__}; write bytes: text.encode()")
    if isinstance(step, WriteFile | RemoveFile | InstallPackage | InstallArtifact) and step.then is not None:
        loads = (RestartUnit, ReloadUnit) if isinstance(step, WriteFile | RemoveFile) else (RestartUnit,)
        if not isinstance(step.then, loads):
            raise BrokenLaw(
                f"{kind}.then is a {type(step.then).__name__}; write RestartUnit(unit=...) or None"
            )
        _check_step(step.then)


def _check_kernel(step: SetKernel) -> None:
    for path in step.files:
        if not is_path(path) or path.count("/") != 3:
            raise BrokenLaw(f"SetKernel.name is {step.name!r}; write the plain name of a file, without .conf")
    for module in step.modules:
        if not is_module(module):
            raise BrokenLaw(f"SetKernel.modules has {module!r}; write one module, such as br_netfilter")
    for key, value in step.sysctl:
        if not (is_sysctl(key) and is_sysctl_value(value)):
            raise BrokenLaw(
                f"SetKernel.sysctl has {key!r}; write one setting, such as net.ipv4.ip_forward, and one line"
            )


def check_own_steps(kit: Kit[Any]) -> None:
    """Check that a plan reaches its target, and that there is nothing to do then."""
    for want in kit.wants():
        for host in kit.starts(want):
            start = host.copy()
            host.apply(*kit.plan(want, host))
            _check_done(kit, want, host, f"after its own steps, from {start}")


def _check_done(kit: Kit[Any], want: Desired[Any], host: FakeHost, when: str) -> None:
    left = kit.plan(want, host)
    if left:
        raise BrokenLaw(f"plan() is not empty {when}: it gives {left!r}")
    if not kit.at_target(want, host):
        found, wanted = kit.judge(want, host), f"{want.state} of version {want.version!r}"
        raise BrokenLaw(f"judge() says {found!r} {when}, where {wanted} is wanted; plan() has to lead there")


def check_repairs(kit: Kit[Any]) -> None:
    """Check that what its steps have set is set again when somebody changes or loses it."""
    for want in kit.wants():
        ready = kit.ready(want)
        for host in changed(ready, kit.driver.probes(want)):
            wrong = difference(host, ready)
            steps = kit.plan(want, host)
            if wrong and not steps:
                raise BrokenLaw(f"plan() does nothing about {wrong}; probe it, and compare it in judge()")
            host.apply(*steps)
            left = difference(host, ready)
            if left:
                raise BrokenLaw(f"plan() leaves {left}; repair it, by the same steps that set it first")


def _interrupted(kit: Kit[Any]) -> Iterator[tuple[Desired[Any], FakeHost, FakeHost, str]]:
    """Give hosts where a plan was cut short and another one was made, beside hosts where it was not."""
    for want in kit.wants():
        for start in kit.starts(want):
            steps: tuple[Step, ...] = kit.plan(want, start)
            whole = start.copy()
            whole.apply(*steps)
            for number in range(1, len(steps)):
                host = start.copy()
                host.apply(*steps[:number])
                host.apply(*kit.plan(want, host))
                yield want, host, whole, f"killed after step {number} of {steps!r}"


def check_interrupted(kit: Kit[Any]) -> None:
    """Check that a plan that was cut short anywhere is finished by the next one."""
    for want, host, whole, when in _interrupted(kit):
        _check_done(kit, want, host, f"when {when} and planned anew")
        left = difference(host, whole)
        if left:
            raise BrokenLaw(
                f"plan() leaves {left}, when {when} and planned anew; judge() must not take a part for the whole"
            )


def check_then(kit: Kit[Any]) -> None:
    """Check that what has to be loaded again is part of the step that changes it."""
    for _, host, whole, when in _interrupted(kit):
        late = host.stale() - whole.stale()
        if late:
            raise BrokenLaw(
                f"{', '.join(sorted(late))} runs with what was there before when {when}, and looks well; "
                "put the restart into the step that writes or installs, as its then="
            )


def check_absent(kit: Kit[Any]) -> None:
    """Check that Absent removes, or is refused by name when no step can."""
    want = attrs.evolve(kit.want, state=Running.ABSENT)
    steps = kit.plan(want, FakeHost())
    if steps:
        raise BrokenLaw(f"plan() for Absent gives {steps!r} on an empty host; there is nothing to remove")
    ready = kit.ready(kit.want)
    for host in (ready.copy(), *changed(ready, kit.driver.probes(want))):
        if kit.judge(want, host).state is Running.ABSENT:
            continue  # what is lost already may leave a process behind, which ends with its unit's file
        try:
            removal = kit.plan(want, host)
        except InvalidObjectError:
            continue  # what somebody has changed is not ours to remove: a driver that says so is honest
        host.apply(*removal)
        go_on = {step.then.unit for step in removal if isinstance(step, RemoveFile) and step.then is not None}
        left = [
            *sorted(host.active() & ready.active() - go_on), *sorted(host.packages.keys() & ready.packages.keys()),
            *sorted(host.artifacts.keys() & ready.artifacts.keys()), *_ours(host, ready),
            *(unit for unit, state in sorted(host.enabled.items()) if state == ready.enabled.get(unit) == "enabled"),
        ]  # fmt: skip
        state = kit.judge(want, host).state
        if state is not Running.ABSENT or left:
            raise BrokenLaw(
                f"after the steps for Absent judge() says {state}, and there is {', '.join(left) or 'nothing'} left; "
                "remove it, or raise InvalidObjectError that says why it cannot be"
            )
        _check_done(kit, want, host, "after the steps for Absent")


def _ours(host: FakeHost, ready: FakeHost) -> list[str]:
    """Name the files that are left as they were written; what the kernel shows is none."""
    return [
        path
        for path, content in sorted(ready.files.items())
        if host.files.get(path) == content and not path.startswith(("/proc/", "/sys/"))
    ]


def check_change(kit: Kit[Any]) -> None:
    """Check that one leads to the other, and back."""
    changes = () if kit.other is None else ((kit.other, kit.want), (kit.want, kit.other))
    for old, new in changes:
        host = kit.ready(old)
        host.apply(*kit.plan(new, host))
        wrong = difference(host, kit.ready(new))
        if wrong:
            raise BrokenLaw(f"plan() from {old!r} to {new!r} leaves {wrong}")
        _check_done(kit, new, host, f"after the change from {old!r}")
