"""The provider kit finds each planted fault in what acts on an instance, or tells of it: above all one that does nothing."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.providers import (
    Busy,
    CloudEvent,
    CommandResult,
    CommandState,
    CreateRequest,
    EventState,
    Instance,
    InstanceState,
    MemoryProvider,
    NotFound,
    Page,
    conformance,
)
from kubenode.providers.memory import MemoryParams
from tests.third_party.kit import broken, laws

MOVE = "one-redeploy-token-is-one-move"
DISK = "one-reimage-token-is-one-replacement"
COMMAND = "a-command-is-run-and-its-end-is-told"
CONSOLE = "the-console-is-that-of-the-instance"
ENDED = "ended-events-are-over"


class Acting(MemoryProvider):
    """A sound provider that can do all of it. It replaces the disk of what is off."""

    def __init__(self, wire: conformance.Wire) -> None:
        super().__init__()
        self.wire = wire
        self.seen: set[str] = set()
        self.over: set[str] = set()

    def once(self, act: str, instance_id: str, token: str) -> None:
        """Act, unless the token did."""
        self.get(instance_id)
        if token not in self.seen:
            self.seen.add(token)
            self.wire.did(act, instance_id)

    def redeploy(self, instance_id: str, token: str) -> None:
        """Move it."""
        self.once("redeploy", instance_id, token)

    def reimage(self, instance_id: str, image: str, token: str) -> None:
        """Replace its disk."""
        if self.get(instance_id).state is not InstanceState.STOPPED:
            raise Busy(instance_id)
        self.once("reimage", instance_id, token)

    def run_command(self, instance_id: str, script: bytes, token: str, limit: timedelta) -> str:
        """Run it; the id of the command is of the token."""
        self.once("run_command", instance_id, token)
        return f"c-{token}-0"

    def command(self, instance_id: str, command_id: str) -> CommandResult:
        """It has run."""
        if command_id.removeprefix("c-").removesuffix("-0") not in self.seen:
            raise NotFound(command_id)
        return CommandResult(state=CommandState.SUCCEEDED, exit_code=0)

    def console_log(self, instance_id: str) -> bytes:
        """Give the same for each."""
        return self.get(instance_id).id.encode()

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Give one event of each instance."""
        return Page(items=tuple(self.event(one.id) for one in self.find({}, None).items))

    def ended_events(self, event_ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
        """Give those that are over."""
        return tuple(self.event(one[2:]) for one in event_ids if one in self.over)

    def event(self, instance_id: str) -> CloudEvent:
        """Give the one of an instance."""
        name = f"e-{instance_id}"
        state = EventState.EXECUTED if name in self.over else EventState.SCHEDULED
        return CloudEvent(id=name, instance=instance_id, type="reboot", state=state)


Kind = Callable[[conformance.Wire], Acting]


def kit_of(kind: Kind) -> Callable[..., None]:
    """Give the kit for a kind."""

    def ended(wire: conformance.Wire) -> tuple[Acting, tuple[str, ...]]:
        cloud = kind(wire)
        request = CreateRequest(token="t", machine="m", params=MemoryParams(), tags={})
        ids = tuple(f"e-{cloud.create(attrs.evolve(request, token=token)).id}" for token in "abc")
        cloud.over |= {*ids[:2]}
        return cloud, ids[:2]

    return conformance.provider(kind, params=MemoryParams(), eventful=kind, ended=ended)


test_acting = kit_of(Acting)


class MovesNothing(Acting):
    """Says that it can."""

    def redeploy(self, instance_id: str, token: str) -> None:
        """Do nothing."""


class MovesAgain(Acting):
    """Forgets the token."""

    def redeploy(self, instance_id: str, token: str) -> None:
        """Act every time."""
        self.wire.did("redeploy", instance_id)


class MovesOnce(Acting):
    """Takes every token for the same act."""

    def redeploy(self, instance_id: str, token: str) -> None:
        """Act the first time."""
        self.once("redeploy", instance_id, "any")


class Refuses(Acting):
    """Cannot, whatever its methods say."""

    def redeploy(self, instance_id: str, token: str) -> None:
        """Refuse."""
        raise Busy(instance_id)


class KeepsDisk(Acting):
    """Says that it can."""

    def reimage(self, instance_id: str, image: str, token: str) -> None:
        """Do nothing."""


class RunsNothing(Acting):
    """Gives an id of no command."""

    def run_command(self, instance_id: str, script: bytes, token: str, limit: timedelta) -> str:
        """Do nothing."""
        self.seen.add(token)
        return f"c-{token}-0"


class NoId(Acting):
    """Keeps the id for itself."""

    def run_command(self, instance_id: str, script: bytes, token: str, limit: timedelta) -> Any:
        """Run it."""
        super().run_command(instance_id, script, token, limit)


class RunsOnNobody(Acting):
    """Does not look at whom it runs on."""

    def run_command(self, instance_id: str, script: bytes, token: str, limit: timedelta) -> str:
        """Run it."""
        self.wire.did("run_command", instance_id)
        return f"c-{token}-0"


class TellsScript(Acting):
    """Logs what it runs."""

    def run_command(self, instance_id: str, script: bytes, token: str, limit: timedelta) -> str:
        """Run it, and say so."""
        logging.getLogger("acting").info("running %s", script)
        return super().run_command(instance_id, script, token, limit)


class AnyCommand(Acting):
    """Every command has ended well."""

    def command(self, instance_id: str, command_id: str) -> CommandResult:
        """Say so."""
        return CommandResult(state=CommandState.SUCCEEDED)


class CommandWord(Acting):
    """Gives the cloud's own word."""

    def command(self, instance_id: str, command_id: str) -> Any:
        """Say so."""
        return "Success"


class Text(Acting):
    """Decodes the console."""

    def console_log(self, instance_id: str) -> Any:
        """Give text."""
        return super().console_log(instance_id).decode()


class NoConsole(Acting):
    """Says that it can."""

    def console_log(self, instance_id: str) -> bytes:
        """Give nothing."""
        return b""


class EndsNothing(Acting):
    """Knows of no end."""

    def ended_events(self, event_ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
        """Give nothing."""
        return ()


class EndsAll(Acting):
    """Gives what it is asked for, over or not."""

    def ended_events(self, event_ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
        """Give all that are there."""
        return tuple(self.event(one[2:]) for one in event_ids if one[2:] in self._instances)


class EndsUnasked(Acting):
    """Makes up an event for what it does not know."""

    def ended_events(self, event_ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
        """Give one for each."""
        return tuple(
            CloudEvent(id=f"{one}", instance="i", type="t", state=EventState.CANCELED) for one in event_ids
        )


class EndedRows(Acting):
    """Gives the answer of its cloud."""

    def ended_events(self, event_ids: tuple[str, ...]) -> Any:
        """Give a list."""
        return [*super().ended_events(event_ids)]


@pytest.mark.parametrize(
    ("fault", "law", "words"),
    [
        (MovesNothing, MOVE, "redeploy() did nothing: do it, and let your fake tell that it was done, by wire.did('redeploy', instance_id)"),
        (MovesAgain, MOVE, "redeploy() did 2 acts for 1 token(s); a token is one act"),
        (MovesOnce, MOVE, "redeploy() did 1 acts for 2 token(s)"),
        (Refuses, MOVE, "redeploy() raised Busy: i-00000000 for a running instance"),
        (KeepsDisk, DISK, "reimage() did nothing"),
        (RunsNothing, COMMAND, "run_command() ran nothing"),
        (NoId, COMMAND, "run_command() gave None; give the id of the command"),
        (RunsOnNobody, COMMAND, "run_command() returned for an instance that does not exist; raise NotFound"),
        (TellsScript, COMMAND, "the script is told in a log"),
        (AnyCommand, COMMAND, "command() returned for a command that does not exist; raise NotFound"),
        (CommandWord, COMMAND, "command() gave a str; give a CommandResult"),
        (Text, CONSOLE, "console_log() gave a str; give the bytes"),
        (NoConsole, CONSOLE, "console_log() returned for an instance that does not exist; raise NotFound"),
        (EndsNothing, ENDED, "ended_events() does not tell of e-i-00000000, which is over"),
        (EndsAll, ENDED, "ended_events() gave e-i-00000000 as EventState.SCHEDULED; give only what is over"),
        (EndsUnasked, ENDED, "ended_events() gave kubenode-kit-no-such-event, which was not asked for"),
        (EndedRows, ENDED, "ended_events() gave something else; give a tuple"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(fault: type[Acting], law: str, words: str) -> None:
    """One law is broken, and its text says by what and what to write."""
    assert words in broken(kit_of(fault), law)


def test_what_is_not_over_is_not_given() -> None:
    """Neither as over: the poll shows that it is not."""

    class Hasty(Acting):
        def ended_events(self, event_ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
            known = [one for one in event_ids if one[2:] in self._instances]
            return tuple(attrs.evolve(self.event(one[2:]), state=EventState.EXECUTED) for one in known)

    assert "ended_events() gave e-i-00000000, which is not over: what it gives is closed" in broken(
        kit_of(Hasty), ENDED
    )


def test_the_kit_asks_for_events_that_are_over_of_the_same_kind() -> None:
    """Nothing proves nothing; and without a poll of plans the rest is checked."""
    kit = conformance.provider(Acting, params=MemoryParams(), eventful=Acting)
    assert ENDED in laws(kit)
    assert "ended_events() needs ended=, a cloud with events that are over, and their ids" in broken(
        kit, ENDED
    )
    kit = conformance.provider(Acting, params=MemoryParams(), ended=lambda wire: (MemoryProvider(), ()))
    assert "give one kind" in broken(kit, ENDED)


def test_a_provider_is_of_one_kind() -> None:
    """What one of make() can, all can."""
    made: list[Instance | Acting] = []

    def make(wire: conformance.Wire) -> Any:
        made.append(Acting(wire))
        return made[0] if len(made) == 1 else MemoryProvider()

    kit = conformance.provider(make, params=MemoryParams())
    assert "make() gives providers that are SupportsRedeploy and such as are not" in broken(kit, MOVE)
