"""The conformance kit of inspections: a pytest test with a case for every law.

def make(world: conformance.World) -> tuple[Incidents, IncidentParams]:
return Incidents(DESKS[world]), IncidentParams(severity=2)

test_incidents = conformance.inspection(make)
"""

import copy
import enum
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from kubenode.core.hookspecs import Inspector
from kubenode.core.inspection import Fail, Inconclusive, InspectionRequest, Pass
from kubenode.core.law import BrokenLaw, Law, check_driver, check_functions, law_test

__all__ = ["BrokenLaw", "World", "inspection"]

P = TypeVar("P")

TEXT_LIMIT: Final = 1024
THREADS: Final = 4
_CLOSED: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_ANSWERS: Final = "Pass(), Fail(...) or Inconclusive(...)"


class World(enum.Enum):
    """What there is to see."""

    WELL = "well"
    """The updated machines do well."""
    ILL = "ill"
    """They do harm."""
    BLIND = "blind"
    """Nothing can be seen: the source is down, or has no data."""


Make: TypeAlias = Callable[[World], tuple[Inspector[P], P]]


@attrs.frozen(kw_only=True)
class _Kit:
    """What the author gave."""

    make: Make[Any]

    def request(self, params: object, *, machines: int = 3, observed: bool = True) -> InspectionRequest[Any]:
        """Give a question about a batch of that many machines."""
        names = tuple(f"m{number}" for number in range(machines))
        return InspectionRequest(
            id=f"id-{machines}-{observed}", name="kit", params=params, set="kubelet", component="kubelet-2", revision=2,
            batch=1, machines=names, nodes=tuple(f"node-{name}" for name in names), opened_at=_CLOSED - timedelta(minutes=5),
            since=_CLOSED, observed=observed, now=_CLOSED + timedelta(minutes=1),
        )  # fmt: skip

    def asked(self, world: World, **how: Any) -> object:
        """Ask in a world."""
        inspector, params = self.make(world)
        return _asked(inspector, self.request(params, **how))

    def all(self) -> Iterator[tuple[World, object]]:
        """Give an answer of every world, to each size of batch."""
        for world in World:
            for machines in (3, 500):
                yield world, self.asked(world, machines=machines)


def _check_names(kit: _Kit) -> None:
    for world in World:
        inspector, params = kit.make(world)
        check_driver(inspector, params)
        check_functions(inspector, ("inspect",))


def _check_answers(kit: _Kit) -> None:
    for world, answer in kit.all():
        if not isinstance(answer, Pass | Fail | Inconclusive):
            kind = answer.__name__ if isinstance(answer, type) else type(answer).__name__
            raise BrokenLaw(
                f"inspect() answered with {kind} when all is {world.value}; answer with {_ANSWERS}"
            )


def _check_tells(kit: _Kit) -> None:
    for world, wanted in ((World.WELL, Pass), (World.ILL, Fail)):
        answer = kit.asked(world)
        if not isinstance(answer, wanted):
            raise BrokenLaw(
                f"inspect() answered {answer!r} when the machines are {world.value}; it has to tell {wanted.__name__}"
            )


def _check_blind(kit: _Kit) -> None:
    answer = kit.asked(World.BLIND)
    if isinstance(answer, Pass | Fail):
        raise BrokenLaw(
            f"inspect() answered {answer!r} when nothing can be seen; answer Inconclusive, or a broken source "
            "lets every batch through, or rolls every one back"
        )


def _check_text(kit: _Kit) -> None:
    for world, answer in kit.all():
        if not isinstance(answer, Fail | Inconclusive):
            continue
        if not answer.text.strip():
            raise BrokenLaw(
                f"inspect() gives no text when all is {world.value}; say what was seen, for who is paged"
            )
        if len(answer.text) > TEXT_LIMIT or not answer.text.isprintable():
            raise BrokenLaw(
                f"the text when all is {world.value} has {len(answer.text)} characters or some that cannot be printed; "
                f"give one line of at most {TEXT_LIMIT}"
            )


def _check_only_looks(kit: _Kit) -> None:
    for world in World:
        inspector, params = kit.make(world)
        request = kit.request(params)
        before = copy.deepcopy(request)
        answers = [_asked(inspector, request) for _ in range(3)]
        if request != before:
            raise BrokenLaw("inspect() changed the request it was given; make a new value")
        kinds = {type(answer) for answer in answers}
        if len(kinds) > 1:
            said = ", then ".join(type(answer).__name__ for answer in answers)
            raise BrokenLaw(
                f"inspect() gave {said} of one question in one world; a question may be asked more than once"
            )


def _check_threads(kit: _Kit) -> None:
    inspector, params = kit.make(World.WELL)
    answers: list[object] = []
    start = threading.Barrier(THREADS)

    def ask(number: int) -> None:
        request = kit.request(params, machines=number + 1)
        start.wait()
        answers.append(_asked(inspector, request))

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bad = next((answer for answer in answers if not isinstance(answer, Pass)), None)
    if bad is not None:
        raise BrokenLaw(
            f"inspect() answered {bad!r} to one of {THREADS} questions asked at once, when all is well; several sets "
            "ask one inspector at a time"
        )


def _asked(inspector: Inspector[Any], request: InspectionRequest[Any]) -> object:
    """Ask; an exception is what the engine makes of it."""
    try:
        return inspector.inspect(request)
    except Exception as error:
        return Inconclusive(text=f"raised {type(error).__name__}: {error}")


Check: TypeAlias = Callable[[_Kit], None]
LAWS: Mapping[str, Check] = MappingProxyType({
    "name-params-and-plain-functions": _check_names,
    "inspect-gives-an-answer": _check_answers,
    "inspect-tells-well-from-ill": _check_tells,
    "what-cannot-be-seen-is-inconclusive": _check_blind,
    "the-text-is-one-line-for-people": _check_text,
    "inspect-only-looks": _check_only_looks,
    "several-may-ask-at-once": _check_threads,
})  # fmt: skip


def inspection(make: Make[P]) -> Callable[..., None]:
    """Give a pytest test with a case for every law of an inspection.

    Args:
        make: gives the inspection and its parameters for a world: how it would be made where the machines do well,
            where they do harm, and where nothing can be seen. It is called many times.

    Raises:
        ImportError: pytest is not installed.
    """
    kit = _Kit(make=make)
    return law_test(Law(name=name, check=partial(check, kit)) for name, check in LAWS.items())
