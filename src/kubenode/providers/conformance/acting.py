"""The laws of capabilities that act on an instance or tell of it: what they say they do is done, once for a token.

A kit cannot see into a cloud. The author's fake tells what it did, by `wire.did("redeploy", instance_id)`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from kubenode.core.capability import (
    CloudEvent,
    CommandResult,
    SupportsConsoleLog,
    SupportsEndedEvents,
    SupportsRedeploy,
    SupportsReimage,
    SupportsRunCommand,
)
from kubenode.core.errors import Busy, NotFound
from kubenode.core.hookspecs import InstanceState, Power, Provider, SupportsPower
from kubenode.core.law import BrokenLaw
from kubenode.providers.conformance.looking import (
    Kit,
    able,
    causes,
    did,
    error_of,
    eventually,
    logged,
    nobody,
    shown,
)
from kubenode.providers.conformance.wire import Wire

IMAGE = "kubenode-kit-image"
SCRIPT = b"#!/bin/sh\n# kubenode-planted-script-5f20c1\ntrue\n"
LIMIT = timedelta(minutes=1)
UNKNOWN_EVENT = "kubenode-kit-no-such-event"


def check_redeploy(kit: Kit[Any]) -> None:
    """Check that a move is made, and once for its token."""
    wire, cloud, made = _running(kit, SupportsRedeploy)
    _once(wire, "redeploy", made, lambda token: cloud.redeploy(made, token))


def check_reimage(kit: Kit[Any]) -> None:
    """Check that a system disk is replaced, and once for its token; it may have to be off."""
    wire, cloud, made = _running(kit, SupportsReimage)
    switched: object = cloud
    busy = isinstance(error_of(lambda: cloud.reimage(made, IMAGE, "t-reimage")), Busy)
    if busy and isinstance(switched, SupportsPower):
        switched.power(made, Power.OFF, "t-off")
        eventually(lambda: shown(cloud, made).state, lambda state: state is InstanceState.STOPPED)
    _once(wire, "reimage", made, lambda token: cloud.reimage(made, IMAGE, token))


def _running(kit: Kit[Any], kind: type) -> tuple[Wire, Any, str]:
    wire, cloud = able(kit, kind)
    made = cloud.create(kit.request()).id
    shown(cloud, made)
    return wire, cloud, made


def _once(wire: Wire, act: str, made: str, call: Callable[[str], object]) -> None:
    """Check that one token is one act, and another token another."""
    for token, want in ((f"t-{act}", 1), (f"t-{act}", 1), (f"t-{act}-2", 2)):
        error = error_of(lambda token=token: call(token))  # type: ignore[misc]
        if error is not None:
            raise BrokenLaw(f"{act}() {did(error)} for a running instance")
        acts = wire.acts.count((act, made))
        if not acts:
            raise BrokenLaw(
                f"{act}() did nothing: do it, and let your fake tell that it was done, by wire.did({act!r}, instance_id)"
            )
        if acts != want:
            raise BrokenLaw(
                f"{act}() did {acts} acts for {want} token(s); a token is one act, and another token another"
            )


def check_command(kit: Kit[Any]) -> None:
    """Check that a script is run on its instance, its end is told under its id, and it is in no log, error or repr."""
    wire, cloud, made = _running(kit, SupportsRunCommand)
    with logged() as said:
        ran = cloud.run_command(made, SCRIPT, "t-command", LIMIT)
        errors = [error_of(lambda: cloud.run_command(_nobody(kit), SCRIPT, "t-command-2", LIMIT))]
    if not isinstance(ran, str) or not ran:
        raise BrokenLaw(
            f"run_command() gave {ran!r}; give the id of the command, by which command() finds it"
        )
    if not wire.acts.count(("run_command", made)):
        raise BrokenLaw(
            "run_command() ran nothing: run it, and let your fake tell so, by wire.did('run_command', instance_id)"
        )
    if errors[0] is None:
        raise BrokenLaw("run_command() returned for an instance that does not exist; raise NotFound")
    result = cloud.command(made, ran)
    if not isinstance(result, CommandResult):
        raise BrokenLaw(f"command() gave a {type(result).__name__}; give a CommandResult")
    error = error_of(lambda: cloud.command(made, nobody(ran)))
    if not isinstance(error, NotFound):
        raise BrokenLaw(f"command() {did(error)} for a command that does not exist; raise NotFound")
    told = [*said, repr(cloud), repr(result), *(f"{one} {one!r}" for one in causes([*errors, error]))]
    if any("planted-script" in text for text in told):
        raise BrokenLaw("the script is told in a log, an error or a repr; it holds keys: leave it out")


def check_console(kit: Kit[Any]) -> None:
    """Check that the console is that of the instance: bytes, and NotFound of nobody."""
    _, cloud, made = _running(kit, SupportsConsoleLog)
    log = cloud.console_log(made)
    if not isinstance(log, bytes):
        raise BrokenLaw(f"console_log() gave a {type(log).__name__}; give the bytes, which need be no text")
    error = error_of(lambda: cloud.console_log(_nobody(kit)))
    if not isinstance(error, NotFound):
        raise BrokenLaw(f"console_log() {did(error)} for an instance that does not exist; raise NotFound")


def check_ended(kit: Kit[Any]) -> None:
    """Check that what became of events is told: of those that are over, and of no others."""
    if kit.ended is None:
        raise BrokenLaw("ended_events() needs ended=, a cloud with events that are over, and their ids")
    cloud, ids = kit.ended(Wire(kit.lost))
    if not isinstance(cloud, SupportsEndedEvents):
        raise BrokenLaw("make() gives providers with ended_events() and ended() without; give one kind")
    found = _ended(cloud, (*ids, UNKNOWN_EVENT))
    if missing := set(ids) - {event.id for event in found}:
        raise BrokenLaw(
            f"ended_events() does not tell of {sorted(missing)[0]}, which is over; ask for it by its id"
        )
    if strange := {event.id for event in found} - set(ids):
        raise BrokenLaw(
            f"ended_events() gave {sorted(strange)[0]}, which was not asked for or does not exist"
        )
    if kit.eventful is None:
        return
    planning: Any = kit.eventful(Wire(kit.lost))
    made = planning.create(kit.request()).id
    planned = eventually(lambda: [one for one in planning.events(None).items if one.instance == made], bool)
    for event in _ended(planning, tuple(one.id for one in planned)):
        raise BrokenLaw(f"ended_events() gave {event.id}, which is not over: what it gives is closed")


def _ended(cloud: SupportsEndedEvents, ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
    found: Any = cloud.ended_events(ids)
    if not isinstance(found, tuple) or not all(isinstance(one, CloudEvent) for one in found):
        raise BrokenLaw("ended_events() gave something else; give a tuple of CloudEvents")
    for event in found:
        if not event.state.over:
            raise BrokenLaw(f"ended_events() gave {event.id} as {event.state}; give only what is over")
    return tuple(found)


def _nobody(kit: Kit[Any]) -> str:
    """Give the id of an instance that is in no cloud of this kit's."""
    cloud: Provider[Any] = kit.begin()[1]
    return nobody(cloud.create(kit.request()).id)
