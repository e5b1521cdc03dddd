"""The inspection kit passes what is sound, and finds each planted fault with the words that mend it."""

import threading
from typing import Any

import attrs
import pytest

from kubenode.inspections import (
    Answer,
    Fail,
    Inconclusive,
    InspectionRequest,
    Pass,
    PrometheusParams,
    conformance,
)
from kubenode.inspections.conformance import LAWS, World
from tests.third_party.kit import broken, laws
from tests.third_party.kubenode_incidents.kubenode_incidents import Incident, IncidentParams, Incidents


def down(_: Any) -> Any:
    """Have no desk."""
    raise ConnectionRefusedError


DESKS: Any = {
    World.WELL: lambda _: [Incident(title="the printer", node="node-p", grade=1)],
    World.ILL: lambda _: [Incident(title="no network", node="node-m1", grade=2)],
    World.BLIND: down,
}
test_incidents = conformance.inspection(lambda world: (Incidents(DESKS[world]), IncidentParams()))


@attrs.define
class Params:
    """Parameters that can be changed, which they should not be."""

    words: list[str] = attrs.field(factory=list)


class Sound:
    """A sound inspection, for its faults to derive from."""

    name = "sound"
    params: Any = Params

    def __init__(self, world: World) -> None:
        self.world = world

    def inspect(self, request: InspectionRequest[Any], /) -> Any:
        """Tell the truth."""
        answers = {World.WELL: Pass(), World.ILL: Fail(text="ill"), World.BLIND: Inconclusive(text="dark")}
        return answers[self.world]


class Raises(Sound):
    """Raises when it sees nothing, which is as good."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Tell, or raise."""
        if self.world is World.BLIND:
            raise TimeoutError("no answer")
        return Pass() if self.world is World.WELL else Fail(text="ill")


test_sound = conformance.inspection(lambda world: (Sound(world), Params()))
test_raises = conformance.inspection(lambda world: (Raises(world), Params()))


class BadName(Sound):
    """Its name cannot stand in an object."""

    name = "My Inspection"


class OtherClass(Sound):
    """The kit is given parameters of another class."""

    params = PrometheusParams


class Async(Sound):
    """It is a coroutine."""

    async def inspect(self, request: InspectionRequest[Any], /) -> Any:
        """Do nothing."""


class Boolean(Sound):
    """Answers yes or no."""

    def inspect(self, request: InspectionRequest[Any], /) -> bool:
        """Say yes."""
        return True


class Classy(Sound):
    """Answers with a class."""

    def inspect(self, request: InspectionRequest[Any], /) -> type:
        """Say what kind."""
        return Pass


class Kind(Sound):
    """Passes everything."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Pass."""
        return Inconclusive(text="dark") if self.world is World.BLIND else Pass()


class Strict(Sound):
    """Fails everything that it sees."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Fail."""
        return Inconclusive(text="dark") if self.world is World.BLIND else Fail(text="ill")


class Hopeful(Sound):
    """Takes no data for no errors."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Count what there is."""
        return Fail(text="ill") if self.world is World.ILL else Pass(text="0 errors")


class Fearful(Sound):
    """Takes no data for harm."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Fear the worst."""
        return Pass() if self.world is World.WELL else Fail(text="ill")


class Mute(Sound):
    """Says nothing."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Fail without a word."""
        return Fail(text=" ") if self.world is World.ILL else super().inspect(request)


class Long(Sound):
    """Names every machine of a large batch."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Tell it all."""
        return Fail(text=", ".join(request.machines)) if self.world is World.ILL else super().inspect(request)


class Lines(Sound):
    """Hands on what it was told."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Tell it as it is."""
        return Inconclusive(text="<html>\n503") if self.world is World.BLIND else super().inspect(request)


class Writes(Sound):
    """Changes its parameters."""

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Leave a note to itself."""
        request.params.words.append("x")
        return super().inspect(request)


class Once(Sound):
    """Fails but once."""

    asked = 0

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Count."""
        self.asked += 1
        return Pass() if self.asked > 1 else super().inspect(request)


class Alone(Sound):
    """Has one connection, and fails when two want it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.free = threading.Lock()

    def inspect(self, request: InspectionRequest[Any], /) -> Answer:
        """Ask, if nobody does."""
        if not self.free.acquire(blocking=False):
            raise RuntimeError("the connection is busy")
        try:
            threading.Event().wait(0.05)
            return super().inspect(request)
        finally:
            self.free.release()


@pytest.mark.parametrize(
    ("fault", "law", "words"),
    [
        (BadName, "name-params-and-plain-functions", "BadName.name is 'My Inspection'; write lower-case letters"),
        (OtherClass, "name-params-and-plain-functions", "OtherClass.params is PrometheusParams, but the kit was given a Params"),
        (Async, "name-params-and-plain-functions", "Async.inspect is async; write a plain def"),
        (Boolean, "inspect-gives-an-answer", "inspect() answered with bool when all is well; answer with Pass()"),
        (Classy, "inspect-gives-an-answer", "inspect() answered with Pass when all is well; answer with Pass()"),
        (Kind, "inspect-tells-well-from-ill", "inspect() answered Pass(text='') when the machines are ill; it has to tell Fail"),
        (Strict, "inspect-tells-well-from-ill", "inspect() answered Fail(text='ill') when the machines are well; it has to tell Pass"),
        (Hopeful, "what-cannot-be-seen-is-inconclusive", "inspect() answered Pass(text='0 errors') when nothing can be seen; answer Inconclusive"),
        (Fearful, "what-cannot-be-seen-is-inconclusive", "inspect() answered Fail(text='ill') when nothing can be seen"),
        (Mute, "the-text-is-one-line-for-people", "inspect() gives no text when all is ill"),
        (Long, "the-text-is-one-line-for-people", "the text when all is ill has 2888 characters"),
        (Lines, "the-text-is-one-line-for-people", "some that cannot be printed; give one line of at most 1024"),
        (Writes, "inspect-only-looks", "inspect() changed the request it was given"),
        (Once, "inspect-only-looks", "inspect() gave Fail, then Pass, then Pass of one question in one world"),
        (Alone, "several-may-ask-at-once", "to one of 4 questions asked at once, when all is well"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(fault: type[Sound], law: str, words: str) -> None:
    """One law is broken, and its text says by what and what to write."""
    assert words in broken(conformance.inspection(lambda world: (fault(world), Params())), law)


def test_every_law_has_a_planted_fault() -> None:
    """None is there that nothing could break."""
    (mark,) = test_a_planted_fault_is_found.pytestmark  # type: ignore[attr-defined]
    assert {law for _, law, _ in mark.args[1]} == set(LAWS) == set(laws(test_sound))
