"""Whatever is lost, crashes and is shown late: never two instances of a machine, and none is left behind."""

from datetime import UTC, datetime
from typing import Literal

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import CloudEffect, CreateInstance
from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.evidence import VISIBLE
from kubenode.core.instance.keep import keep
from kubenode.core.instance.leave import leave
from kubenode.core.instance.seen import Case, InstanceSight, ProviderAnswer
from kubenode.core.instance.turn import Turn
from tests.core.instance.given import MINUTE, SECOND, WALL, WANTED, instance, machine

SPACING = 5 * SECOND
"""Between two looks, at least."""
Crash = Literal["never", "before the write", "before the call", "before the answer"]
Fault = Literal["none", "lost", "slow", "full", "denied", "wrong"]
CRASHES: tuple[Crash, ...] = ("never", "never", "before the write", "before the call", "before the answer")
FAULTS: tuple[Fault, ...] = ("none", "lost", "lost", "slow", "full", "denied", "wrong")
REFUSED = {"slow": "Throttled", "full": "CapacityExhausted", "denied": "AuthFailed", "wrong": "Invalid"}


@attrs.define
class Made:
    """An instance as it is in truth; `asked`: with which token and tags."""

    id: str
    asked: tuple[str, str]
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

    def create(self, token: str, tags: str, now: int, fault: Fault) -> Instance | str:
        """Make an instance, or give that of the token, whatever else there is no room for; or say why not."""
        known = [one for one in self.made if one.asked[0] == token and self.nature.blind is None]
        if fault in REFUSED and not (known and fault in ("full", "wrong")):
            return REFUSED[fault]
        if not known:
            known = [Made(f"i-{len(self.made)}", (token, tags), now)]
            self.made += known
        is_good = known[0].ended is None and known[0].asked == (token, tags)
        return instance(known[0].id) if is_good else "TokenConflict"

    def end(self, id: str, now: int, fault: Fault) -> str:
        """Terminate an instance, or say why not: it is not known yet, or any more."""
        if fault in REFUSED:
            return REFUSED[fault]
        for one in self.alive:
            if one.id == id and now >= one.at + self.nature.late:
                one.ended = now
                return ""
        return "NotFound"


class World:
    """A cloud, a machine, and a controller that dies at times."""

    def __init__(self, nature: Nature) -> None:
        self.cloud = Cloud(nature)
        self.machine = machine()
        self.now = 0
        self.is_gone = self.is_joined = False
        self.tags = self.plugin = "1"
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

    def change(self, size: int) -> None:
        """Have somebody write other parameters."""
        wanted = attrs.evolve(WANTED, parameters={"size": size})
        self.machine = attrs.evolve(self.machine, spec=attrs.evolve(self.machine.spec, infrastructure=wanted))

    def retag(self) -> None:
        """Have another set adopt the machine, so that its instance is asked for with other tags."""
        self.tags += "+"

    def reread(self) -> None:
        """Begin a process whose plugin reads the same parameters otherwise."""
        self.plugin += "+"
        self.restart()

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

    def attend(self, crash: Crash = "never", fault: Fault = "none") -> bool:
        """Decide; where nothing is written or called, go to the time that was named, or make the look that is wanted.

        Returns:
            Whether there is anything left to attend to.
        """
        before = self.machine
        turn = self.decide(crash, fault)
        if turn is None:
            return False
        if crash != "never" or self.machine != before or turn.effects:
            return True
        moments = [at for at in (turn.wake_at, turn.look) if at is not None]
        if not moments:
            return False
        self.now = max(self.now, min(moments))
        if turn.look is not None and turn.look <= self.now:
            self.now = max(self.now, SPACING + (self.looked or 0))
            self.look()
        return True

    def rest(self) -> None:
        """Attend to the machine until there is nothing left to do; what runs joins, and falls silent when it is no more."""
        self.is_joined = True
        assert self.is_gone or any(not self.attend() for _ in range(1000)), "it does not come to rest"

    def _case(self) -> Case:
        status = self.machine.status.instance
        if status is not None and status.step is m.InstanceStep.GONE:
            self.told.pop(status.id, None)
        entries = {**self.shown, **self.told}
        sight = InstanceSight(
            wanted=self._read(self.machine.spec.infrastructure), pinned=self._read(status), blind=self.cloud.nature.blind, mine=tuple(entries.values()),
            known=None if status is None else entries.get(status.id), looked=self.looked, missing=self.missing,
            answer=self.answer,
        )  # fmt: skip
        now = m.Now(wall=datetime(2026, 7, 1, tzinfo=UTC), elapsed=self.now)
        return Case(
            machine=self.machine,
            sight=sight,
            joined=self.is_joined,
            well=bool(self.cloud.alive),
            now=now,
            sightings=self.sightings,
        )

    def _read(self, one: m.Infrastructure | m.InstanceStatus | None) -> tuple[str, ...]:
        return () if one is None else tuple(f"{self.plugin} {zone} {one.parameters}" for zone in "ab")

    def _call(self, effect: CloudEffect, fault: Fault) -> ProviderAnswer:
        given: Instance | str
        if isinstance(effect, CreateInstance):
            op_id, given = effect.token, self.cloud.create(effect.token, self.tags, self.now, fault)
            self.missing = False
        else:
            op_id, given = effect.op_id, self.cloud.end(effect.instance, self.now, fault)
        given = "Ambiguous" if fault == "lost" else given
        made, error = (None, given) if isinstance(given, str) else (given, "")
        if made is not None:
            self.told[made.id] = made
        return ProviderAnswer(op_id=op_id, at=self.now, instance=made, error=error, tries=effect.tries + 1)


LATE = [(None, 0), (None, VISIBLE), (MINUTE, MINUTE), (8 * MINUTE, 8 * MINUTE)]
NATURES = st.builds(
    lambda late, ended: Nature(*late, ended), st.sampled_from(LATE), st.sampled_from([0, 60 * MINUTE])
)
STEP = ("attend", "never", "none")
LOST = ("attend", "never", "lost")
ATTEND = st.sampled_from([STEP, STEP, STEP, LOST]) | st.tuples(
    st.just("attend"), st.sampled_from(CRASHES), st.sampled_from(FAULTS)
)
WAIT = st.tuples(st.just("wait"), st.integers(0, 8).map(lambda halves: halves * MINUTE // 2))
CHANGE = st.tuples(st.just("change"), st.integers(1, 2))
OTHER = st.sampled_from([("look",), ("restart",), ("delete",), ("lose",), ("retag",), ("reread",)])
STORIES = st.lists(ATTEND | ATTEND | ATTEND | ATTEND | WAIT | OTHER | CHANGE, max_size=30)
LATER, LATEST = Nature(None, VISIBLE, 0), Nature(8 * MINUTE, 8 * MINUTE, 0)


def played(nature: Nature, story: list[tuple[str, ...]]) -> World:
    """Play a story, up to the end of the machine."""
    world = World(nature)
    for what, *how in story:
        if not world.is_gone:
            getattr(world, what)(*how)
    return world


@given(NATURES, STORIES)
@example(LATEST, [STEP] * 20)
@example(LATER, [STEP, LOST, ("retag",), *[STEP] * 9])
@example(LATER, [STEP, STEP, ("delete",), *[STEP] * 9])
def test_there_are_never_two_and_none_is_left_behind(nature: Nature, story: list[tuple[str, ...]]) -> None:
    """After every decision, and when the machine is let go: `World.decide` says so (S4, S22)."""
    played(nature, story)


@given(NATURES, STORIES)
@example(LATER, [STEP, STEP, ("lose",)])
@example(LATER, [STEP, STEP, ("delete",)])
def test_it_comes_to_rest(nature: Nature, story: list[tuple[str, ...]]) -> None:
    """When nobody dies any more, by what each decision asks for: one instance that runs, or none and no machine."""
    world = played(nature, story)
    world.rest()
    assert world.is_gone is (world.machine.metadata.deletion_timestamp is not None)
    assert len(world.cloud.alive) == (0 if world.is_gone else 1)
