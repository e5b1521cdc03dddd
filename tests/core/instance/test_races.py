"""Whatever is lost, crashes and is shown late: never two instances of a machine, and none is left behind."""

from datetime import UTC, datetime
from typing import Literal

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import CloudEffect, CreateInstance
from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.evidence import VISIBLE
from kubenode.core.instance.keep import keep
from kubenode.core.instance.leave import leave
from kubenode.core.instance.seen import Case, InstanceSight, ProviderAnswer
from kubenode.core.instance.turn import Turn
from tests.core.instance.given import HERE, MINUTE, SECOND, THERE, WALL, instance, machine

SPACING = 5 * SECOND
"""Between two looks, at least."""
Crash = Literal["never", "before the write", "before the call", "before the answer"]
Fault = Literal["none", "lost", "refused"]
CRASHES: tuple[Crash, ...] = ("never", "never", "before the write", "before the call", "before the answer")
FAULTS: tuple[Fault, ...] = ("none", "none", "lost", "refused")


@attrs.define
class Made:
    """An instance as it is in truth."""

    id: str
    token: str
    at: int
    ended: int | None = None


@attrs.frozen
class Nature:
    """What a cloud is like.

    Attributes:
        blind: it takes no tokens, and says that it shows late for so long; None: it takes tokens.
        late: it shows what it made, and knows its id, so long after that.
        ended: it shows what is terminated for so long.
    """

    blind: int | None
    late: int
    ended: int


@attrs.define
class Cloud:
    """Instances of one machine."""

    nature: Nature
    made: list[Made] = attrs.field(factory=list)

    @property
    def alive(self) -> list[Made]:
        """Those that there are, whoever is shown them."""
        return [one for one in self.made if one.ended is None]

    def shown(self, now: int) -> dict[str, Instance]:
        """What a look shows."""
        return {
            one.id: instance(one.id, InstanceState.RUNNING if one.ended is None else InstanceState.TERMINATED)
            for one in self.made
            if now >= one.at + self.nature.late and (one.ended is None or now < one.ended + self.nature.ended)
        }

    def create(self, token: str, now: int) -> Instance | None:
        """Make an instance, or give that of the token; None when that is terminated."""
        known = [one for one in self.made if one.token == token and self.nature.blind is None]
        if not known:
            known = [Made(f"i-{len(self.made)}", token, now)]
            self.made += known
        return instance(known[0].id) if known[0].ended is None else None

    def end(self, id: str, now: int) -> bool:
        """Terminate an instance; False when it is not known yet, or any more."""
        for one in self.alive:
            if one.id == id and now >= one.at + self.nature.late:
                one.ended = now
                return True
        return False


class World:
    """A cloud, a machine, and a controller that dies at times."""

    def __init__(self, nature: Nature) -> None:
        self.cloud = Cloud(nature)
        self.machine = machine()
        self.now = 0
        self.is_gone = self.is_joined = False
        self.restart()

    def restart(self) -> None:
        """Begin another process, which knows what is written."""
        self.sightings: dict[str, int] = {}
        self.answer: ProviderAnswer | None = None
        self.told: dict[str, Instance] = {}
        self.shown: dict[str, Instance] = {}
        self.looked: int | None = None
        self.missing = False

    def wait(self, length: int) -> None:
        """Let time go by."""
        self.now += length

    def delete(self) -> None:
        """Have somebody delete the machine."""
        self.machine = attrs.evolve(
            self.machine, metadata=attrs.evolve(self.machine.metadata, deletion_timestamp=WALL)
        )

    def lose(self) -> None:
        """Have somebody terminate what runs."""
        for one in self.cloud.alive:
            one.ended = self.now

    def look(self) -> None:
        """Look at all instances."""
        self.shown, self.looked = self.cloud.shown(self.now), self.now
        self.told = {key: one for key, one in self.told.items() if key not in self.shown}
        self.missing = not self.shown

    def decide(self, crash: Crash = "never", fault: Fault = "none") -> Turn | None:
        """Decide, write, call; die in between."""
        case = self._case()
        is_deleted = self.machine.metadata.deletion_timestamp is not None
        turn = leave(case, permitted=True, barred="") if is_deleted else keep(case)
        if turn is None:
            assert not self.cloud.alive
            self.is_gone = True
            return None
        if crash != "before the write":
            status = attrs.evolve(self.machine.status, instance=turn.instance)
            self.machine, self.sightings = attrs.evolve(self.machine, status=status), dict(turn.sightings)
            for effect in turn.effects if crash != "before the call" else ():
                self.answer = self._call(effect, fault)
        if crash != "never":
            self.restart()
        assert len(self.cloud.alive) <= 1
        return turn

    def rest(self) -> None:
        """Decide again after every write, at the time that a decision names, and after the look that it wants."""
        self.is_joined = True
        for _ in range(1000):
            before = self.machine
            turn = None if self.is_gone else self.decide()
            if turn is None:
                return
            moments = [at for at in (turn.wake_at, turn.look) if at is not None]
            if self.machine != before or turn.effects:
                continue
            if not moments:
                return
            self.now = max(self.now, min(moments))
            if turn.look is not None and turn.look <= self.now:
                self.now = max(self.now, SPACING + (self.looked or 0))
                self.look()
        raise AssertionError("it does not come to rest")

    def _case(self) -> Case:
        status, entries = self.machine.status.instance, {**self.shown, **self.told}
        sight = InstanceSight(
            wanted=(HERE, THERE), pinned=(HERE, THERE), blind=self.cloud.nature.blind, mine=tuple(entries.values()),
            known=None if status is None else entries.get(status.id), looked=self.looked, missing=self.missing,
            answer=self.answer,
        )  # fmt: skip
        now = m.Now(wall=datetime(2026, 7, 1, tzinfo=UTC), elapsed=self.now)
        return Case(
            machine=self.machine, sight=sight, joined=self.is_joined, now=now, sightings=self.sightings
        )

    def _call(self, effect: CloudEffect, fault: Fault) -> ProviderAnswer:
        given: Instance | None = None
        error = {"none": "", "lost": "Ambiguous", "refused": "Throttled"}[fault]
        if fault != "refused":
            if isinstance(effect, CreateInstance):
                given = self.cloud.create(effect.token, self.now)
                error = error or ("" if given is not None else "TokenConflict")
                self.missing = False
            else:
                known = self.cloud.end(effect.instance, self.now)
                error = error or ("" if known else "NotFound")
        given = None if error else given
        if given is not None:
            self.told[given.id] = given
        op_id = effect.token if isinstance(effect, CreateInstance) else effect.op_id
        return ProviderAnswer(op_id=op_id, at=self.now, instance=given, error=error, tries=effect.tries + 1)


def natures() -> st.SearchStrategy[Nature]:
    """Clouds that are as late as they may be, or less."""
    blind = st.sampled_from([None, MINUTE, 8 * MINUTE])
    ended = st.sampled_from([0, 60 * MINUTE])
    return blind.flatmap(
        lambda told: st.builds(
            Nature, st.just(told), st.sampled_from([0, MINUTE // 2, VISIBLE if told is None else told]), ended
        )
    )


DECIDE = st.tuples(st.just("decide"), st.sampled_from(CRASHES), st.sampled_from(FAULTS))
WAIT = st.tuples(st.just("wait"), st.integers(0, 16).map(lambda halves: halves * MINUTE // 2))
OTHER = st.sampled_from([("look",), ("look",), ("restart",), ("delete",), ("lose",)])
STORY = st.lists(DECIDE | DECIDE | WAIT | OTHER, max_size=50)


def played(nature: Nature, story: list[tuple[str, ...]]) -> World:
    """Play a story, up to the end of the machine."""
    world = World(nature)
    for what, *how in story:
        if not world.is_gone:
            getattr(world, what)(*how)
    return world


@given(natures(), STORY)
def test_there_are_never_two_and_none_is_left_behind(nature: Nature, story: list[tuple[str, ...]]) -> None:
    """After every decision, and when the machine is let go: `World.decide` says so (S4, S22)."""
    played(nature, story)


@given(natures(), STORY, st.booleans())
def test_it_comes_to_rest(nature: Nature, story: list[tuple[str, ...]], is_deleted: bool) -> None:
    """When nobody dies any more, by what each decision asks for: one instance that runs, or none and no machine."""
    world = played(nature, story)
    if is_deleted:
        world.delete()
    world.rest()
    assert world.is_gone is (world.machine.metadata.deletion_timestamp is not None)
    assert len(world.cloud.alive) == (0 if world.is_gone else 1)
