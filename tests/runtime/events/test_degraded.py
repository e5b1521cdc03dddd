"""What a controller lost is a condition, and an Event when it changes; told by who leads, once."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from kubenode.core import model as m
from kubenode.runtime.events.degraded import LONGEST, Degraded, Word

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.wall = START

    def now(self) -> m.Now:
        """Give it."""
        return m.Now(wall=self.wall, elapsed=0)


class World:
    """What is lost, and what was said of it."""

    def __init__(self) -> None:
        self.lost: tuple[str, ...] = ()
        self.said: list[tuple[str, str, str]] = []
        self.clock = Clock()
        self.degraded = Degraded(lambda: self.lost, self.clock, self.say)

    def say(self, reason: Word, message: str, *, type: str) -> None:
        """Note it."""
        self.said.append((type, reason.value, message))


def test_a_loss_is_told_once_and_its_return_too() -> None:
    """Another loss beside it is told with it; the condition keeps the time of the first."""
    world = World()
    look: Callable[[], None] = lambda: world.degraded.look(leads=True)  # noqa: E731
    look()
    assert (world.said, world.degraded.condition()) == ([], "")
    world.lost = ("a",)
    look()
    look()
    world.clock.wall = START.replace(hour=10)
    world.lost = ("a", "b")
    look()
    assert world.said == [("Warning", "Degraded", "a"), ("Warning", "Degraded", "a; b")]
    assert json.loads(world.degraded.condition()) == {
        "type": "Degraded", "status": "True", "reason": "Lost", "message": "a; b",
        "lastTransitionTime": "2026-03-02T09:00:00Z",
    }  # fmt: skip
    world.lost = ()
    look()
    look()
    assert world.said[2:] == [("Normal", "Restored", "all that it needs is there again")]
    assert world.degraded.condition() == ""


def test_who_follows_tells_it_when_it_leads() -> None:
    """Two that lost the same say so once, and the next leader says so anew."""
    world = World()
    world.lost = ("a",)
    world.degraded.look(leads=False)
    assert world.said == []
    world.degraded.look(leads=True)
    world.degraded.look(leads=False)
    world.lost = ()
    world.degraded.look(leads=False)
    world.degraded.look(leads=True)
    assert [reason for _, reason, _ in world.said] == ["Degraded"]
    world.lost = ("x" * 9000,)
    assert len(json.loads(world.degraded.condition())["message"]) == LONGEST
