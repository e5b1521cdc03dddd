"""The laws of a provider, each with the text that says what to do when it is broken."""

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from kubenode.core.errors import (
    Ambiguous,
    KubenodeError,
    NotFound,
    ProviderError,
    Retry,
    TokenConflict,
    Unavailable,
    Unsupported,
)
from kubenode.core.hookspecs import Instance, InstanceState, Power, SupportsPower
from kubenode.core.law import BrokenLaw, check_driver, check_functions
from kubenode.providers.conformance.further import calls_of, methods_of
from kubenode.providers.conformance.looking import (
    KEY,
    Kit,
    causes,
    did,
    error_of,
    eventually,
    logged,
    named,
    nobody,
    only,
    shown,
    walk,
)
from kubenode.providers.conformance.wire import Wire

RACERS = 8
SECRET = b"kubenode-planted-secret-d41b7c"
METHODS = ("create", "get", "find", "delete")


def check_names(kit: Kit[Any]) -> None:
    """Check the name, and the class of the parameters."""
    check_driver(kit.begin()[1], kit.params)


def check_plain(kit: Kit[Any]) -> None:
    """Check that kubenode can call the methods from a thread."""
    cloud = kit.begin()[1]
    check_functions(cloud, (*METHODS, *methods_of(cloud)))


def check_double_create(kit: Kit[Any]) -> None:
    """Check that a create repeated with its token makes one instance."""
    cloud, request = kit.begin()[1], kit.request()
    first, second = cloud.create(request).id, cloud.create(request).id
    if first != second:
        raise BrokenLaw(f"create() with token {request.token!r} twice made {first} and {second}; {KEY}")
    only(cloud, request, "create() with one token twice")


def check_racing_creates(kit: Kit[Any]) -> None:
    """Check that creates at once with one token make one instance."""
    cloud, request = kit.begin()[1], kit.request()
    gate, made, errors = threading.Barrier(RACERS), list[str](), list[Exception]()

    def race() -> None:
        gate.wait()
        try:
            made.append(cloud.create(request).id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=race, daemon=True) for _ in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        # "Try again" is an honest answer to the loser of a race; anything else is not.
        if not isinstance(error, ProviderError) or error.retry is Retry.NEVER:
            raise BrokenLaw(f"create() raised {named(error)} in a race with itself; {KEY}") from error
    made.append(cloud.create(request).id)
    if len(set(made)) != 1:
        raise BrokenLaw(f"{RACERS} creates at once with one token made {', '.join(sorted(set(made)))}; {KEY}")
    only(cloud, request, f"{RACERS} creates at once with one token")


def check_lost_answer(kit: Kit[Any]) -> None:
    """Check that a lost answer is told as Ambiguous, and that the repeat finds what was made."""
    for step in range(kit.steps):
        wire, cloud = kit.begin()
        request = kit.request()
        with wire.losing(after=step):
            error = error_of(partial(cloud.create, request))
        if not wire.calls:
            raise BrokenLaw(
                "create() made no call through the wire; in make(), pass the function that sends as wire(send)"
            )
        if not isinstance(error, Ambiguous) and wire.calls > step:
            raise BrokenLaw(
                f"create() {did(error)} when its answer was lost; raise Ambiguous: the instance may exist"
            )
        cloud.create(request)
        only(cloud, request, "a create whose answer was lost, and its repeat,")


def check_conflict(kit: Kit[Any]) -> None:
    """Check that a token is not given what was made with other parameters."""
    cloud, request = kit.begin()[1], kit.request()
    cloud.create(request)
    error = error_of(lambda: cloud.create(attrs.evolve(request, params=kit.other)))
    if not isinstance(error, TokenConflict):
        raise BrokenLaw(
            f"create() {did(error)} for a token used before with other parameters; raise TokenConflict: "
            "else the old instance is taken for the new one"
        )


def check_nobody(kit: Kit[Any]) -> None:
    """Check that NotFound is what is said of an instance that does not exist."""
    cloud = kit.begin()[1]
    real = cloud.create(kit.request()).id
    error = error_of(lambda: cloud.get(nobody(real)))
    if not isinstance(error, NotFound):
        raise BrokenLaw(
            f"get() {did(error)} for an instance that does not exist; raise NotFound, and only then"
        )


def check_find(kit: Kit[Any]) -> None:
    """Check that every instance that carries the tags is found, once, and no other."""
    cloud = kit.begin()[1]
    made = {cloud.create(kit.request(number)).id for number in range(kit.many)}
    stranger = cloud.create(kit.request(group="stranger")).id
    tags = kit.request().tags

    def found() -> set[str]:
        return set(walk(cloud, tags))

    ids = eventually(found, lambda seen: made <= seen)
    if stranger in ids:
        raise BrokenLaw(
            f"find() gave {stranger}, which does not carry the tags asked for; filter by all of them"
        )
    if made - ids:
        raise BrokenLaw(
            f"find() gave {len(made & ids)} of {len(made)} instances over all its pages; "
            "give the next cursor of your API as Page.cursor, and send the cursor you are given"
        )


def check_delete(kit: Kit[Any]) -> None:
    """Check that delete may be repeated, and that what is deleted ends."""
    cloud = kit.begin()[1]
    made = cloud.create(kit.request()).id
    for time in ("once", "twice"):
        error = error_of(lambda: cloud.delete(made))
        if error is not None and not (time == "twice" and isinstance(error, NotFound)):
            raise BrokenLaw(
                f"delete() {did(error)} when called {time}; an instance that is gone is NotFound, or no error"
            )

    def look() -> InstanceState:
        try:
            return cloud.get(made).state
        except NotFound:
            return InstanceState.TERMINATED

    state = eventually(look, lambda state: state is InstanceState.TERMINATED)
    if state is not InstanceState.TERMINATED:
        raise BrokenLaw(f"get() says {state} after delete(); raise NotFound or say InstanceState.TERMINATED")


def check_states(kit: Kit[Any]) -> None:
    """Check that a state is one of ours."""
    cloud = kit.begin()[1]
    made = cloud.create(kit.request())
    given: list[tuple[str, Any]] = [("create", made), ("get", shown(cloud, made.id))]
    given += [("find", one) for one in eventually(lambda: walk(cloud, kit.request().tags), bool).values()]
    for name, one in given:
        if not isinstance(one, Instance) or not isinstance(one.state, InstanceState):
            raise BrokenLaw(f"{name}() gave {one!r}; give an Instance whose state is an InstanceState")


def check_strange(kit: Kit[Any]) -> None:
    """Check that a state that nobody knows is not guessed."""
    cloud = (kit.strange or kit.make)(Wire(kit.lost))
    made: list[Instance] = []
    error = error_of(lambda: made.append(cloud.create(kit.request())))
    states = [one.state for one in made] + [shown(cloud, one.id).state for one in made]
    wrong = [state for state in states if state is not InstanceState.UNKNOWN]
    if error is not None or wrong:
        said = did(error) if error is not None else f"said {wrong[0]}"
        raise BrokenLaw(f"create() or get() {said} for a state that nobody knows; say InstanceState.UNKNOWN")


def check_late(kit: Kit[Any]) -> None:
    """Check that what a cloud does not show yet is neither gone nor made again."""
    if kit.late is None:
        raise BrokenLaw("no late= cloud")
    request = kit.request()
    cloud = kit.late(Wire(kit.lost))
    cloud.create(request)
    if walk(cloud, request.tags):
        raise BrokenLaw(
            "find() shows at once what late() makes; give a cloud that does not for its first three looks"
        )
    for losing in (False, True) if kit.lost is not None else (False,):
        wire = Wire(kit.lost)
        cloud = kit.late(wire)
        if losing:
            with wire.losing():
                error_of(lambda cloud=cloud: cloud.create(request))  # type: ignore[misc]
        else:
            cloud.create(request)
        made = cloud.create(request).id
        error = error_of(lambda cloud=cloud, made=made: cloud.get(made))  # type: ignore[misc]
        if error is not None and not isinstance(error, NotFound | Unavailable):
            raise BrokenLaw(
                f"get() {did(error)} for an instance that the cloud does not show yet; raise NotFound or Unavailable"
            )
        shown(cloud, made)
        only(cloud, request, "a create that is repeated before the cloud shows what it made")


def check_strange_code(kit: Kit[Any]) -> None:
    """Check that a refusal that nobody knows is no finding: nothing was made, is gone, or was done because of it."""
    if kit.refusing is None:
        raise BrokenLaw("no refusing= cloud")
    made = kit.begin()[1].create(kit.request()).id
    cloud = kit.refusing(Wire(kit.lost))
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: cloud.create(kit.request()), "get": lambda: cloud.get(made),
        "find": lambda: cloud.find(kit.request().tags, None), "delete": lambda: cloud.delete(made),
    }  # fmt: skip
    for name, call in calls.items():
        error = error_of(call)
        # What a provider does not map counts as the one in create, and as the other elsewhere.
        honest = isinstance(error, Ambiguous | Unavailable) or (
            error is not None and not isinstance(error, KubenodeError)
        )
        if not honest:
            raise BrokenLaw(
                f"{name}() {did(error)} for a code that nobody knows; raise {'Ambiguous' if name == 'create' else 'Unavailable'}, "
                "or let an error through that is not kubenode's: what it means is not known"
            )


def check_one_call(kit: Kit[Any]) -> None:
    """Check that each method is one wire call, and that nothing is repeated behind our back."""
    wire, cloud = kit.begin()
    request = kit.request()
    made = cloud.create(request).id
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: cloud.create(request), "get": lambda: cloud.get(made), "find": lambda: cloud.find(request.tags, None),
    }  # fmt: skip
    if isinstance(cloud, SupportsPower):
        calls["power"] = lambda: cloud.power(made, Power.REBOOT, "t-reboot")
    calls |= calls_of(cloud, made)
    calls["delete"] = lambda: cloud.delete(made)
    for name, call in calls.items():
        before = wire.calls
        with wire.losing():
            error_of(call)
        if wire.calls - before > 1:
            raise BrokenLaw(
                f"{name}() made {wire.calls - before} wire calls when the answer was lost; kubenode repeats"
            )
        before = wire.calls
        error_of(call)
        if not 1 <= wire.calls - before <= kit.steps:
            raise BrokenLaw(
                f"{name}() made {wire.calls - before} wire calls; make one, which kubenode can count and limit"
            )


def check_secret(kit: Kit[Any]) -> None:
    """Check that user_data is told nowhere."""
    wire, cloud = kit.begin()
    request = attrs.evolve(kit.request(), user_data=SECRET)
    with logged() as said:
        made = cloud.create(request)
        errors = [error_of(lambda: cloud.create(attrs.evolve(request, params=kit.other, tags={})))]
        with wire.losing():
            errors += [error_of(lambda: cloud.create(request)), error_of(lambda: cloud.get(made.id))]
    told = [("the log", text) for text in said]
    told += [("repr() of the instance", repr(made)), ("repr() of the provider", repr(cloud))]
    told += [
        (f"the text of {type(error).__name__}", f"{error} {error!r} {getattr(error, '__notes__', '')}")
        for error in causes(errors)
    ]
    for form in (SECRET.decode(), base64.b64encode(SECRET).decode(), SECRET.hex()):
        for where, text in told:
            if form in text:
                raise BrokenLaw(f"user_data is told in {where}; it holds keys: leave it out")


def check_import(kit: Kit[Any]) -> None:
    """Check that the module of the entry point loads no SDK."""
    code = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*(sys.modules.keys() & set(sys.argv[2:])))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, kit.module, *kit.sdk]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if result.returncode:
        raise BrokenLaw(f"importing {kit.module} failed: {result.stderr.strip().splitlines()[-1]}")
    if result.stdout.strip():
        raise BrokenLaw(
            f"importing {kit.module} loads {result.stdout.strip()}; import it in the method that needs it"
        )


def check_power(kit: Kit[Any]) -> None:
    """Check that an act on the power is done once for its token."""
    cloud = kit.begin()[1]
    made = cloud.create(kit.request()).id
    if not isinstance(cloud, SupportsPower):
        raise BrokenLaw("make() gives providers with power() and without; give one kind")
    try:
        cloud.power(made, Power.OFF, "t-off")
        cloud.power(made, Power.ON, "t-on")
    except Unsupported:
        for _ in range(2):
            cloud.power(made, Power.REBOOT, "t-reboot")
        return
    before = eventually(lambda: shown(cloud, made).state, lambda state: state is InstanceState.RUNNING)
    cloud.power(made, Power.OFF, "t-off")
    after = cloud.get(made).state
    if after is not before:
        raise BrokenLaw(
            f"power() repeated with a token used before made {before} {after}; a token is one act: {KEY}"
        )


def check_unused_wire(kit: Kit[Any]) -> None:
    """Check what leaving out `lost` says: that nothing of it goes over the wire."""
    wire, cloud = kit.begin()
    shown(cloud, cloud.create(kit.request()).id)
    if wire.calls:
        raise BrokenLaw(
            "the provider has a wire; give lost=, what its transport raises when an answer is lost"
        )
