"""Two that believe to lead and whose looks differ: who looked last is heard of orphans, and neither writes for ever."""

from collections.abc import Iterable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.heard import heard
from kubenode.core.instance.evidence import ABSENCE
from kubenode.core.instance.seen import ProviderAnswer
from kubenode.core.machineset.claims import Reason
from kubenode.core.machineset.crew import MachineSetSnapshot
from kubenode.core.machineset.decide import decide
from kubenode.core.machineset.heed import Heeded, heed
from kubenode.core.machineset.orphans import Orphans, judge_orphans, orphans_claim
from kubenode.core.model.condition import Claim, stated
from kubenode.core.policy import Policy
from tests.core.machineset.test_ending import record, sight
from tests.core.machineset.world import START, owner

Said = tuple[Claim, ...]
NOTHING: Said = ()


def word(*ids: str) -> Said:
    """What is said of these."""
    return orphans_claim(Orphans(ids=ids, sightings={}), Reason.ORPHANS_FOUND, "nothing is done")


ONE, TWO = word("i-1"), word("i-1", "i-2")


def snapshot(stands: Said, at: int, looked: int | None, *ids: str, **given: Any) -> MachineSetSnapshot:
    """A set that says something, and what a look has shown."""
    conditions = stated((), stands, wall=START, generation=0)
    one = attrs.evolve(owner(0), status=m.MachineSetStatus(conditions=conditions))
    shown = {} if looked is None else dict.fromkeys(ids, looked)
    return MachineSetSnapshot(
        set=one, orphans=shown, looked=looked, now=m.Now(wall=START, elapsed=at), **given
    )


def heeded(
    says: Said, stands: Said, at: int, looked: int | None, *, acts: bool = False, **given: Any
) -> Heeded:
    """What is said where that stands, by who has looked then."""
    seen = snapshot(stands, at, looked, **given)
    return heed(seen, judge_orphans(seen), says, acts=acts)


@pytest.mark.parametrize(("says", "stands"), [(NOTHING, ONE), (ONE, NOTHING), (ONE, TWO)])
@pytest.mark.parametrize("looked", [0, 4, 5, 6])
def test_a_look_that_began_before_what_stands_was_seen_is_not_written(
    says: Said, stands: Said, looked: int
) -> None:
    """Nor that there is none; a look that began after it is."""
    first = heeded(says, stands, 5, min(looked, 5))
    assert first.claims == stands
    assert heeded(says, stands, 8, looked, sightings=first.sightings).claims == (
        says if looked > 5 else stands
    )


def test_ones_own_word_is_overwritten_by_whatever_one_learns() -> None:
    """Of one process each look is newer than the one before; a restart makes it another's word."""
    first = heeded(NOTHING, NOTHING, 2, 1)
    own = heeded(ONE, NOTHING, 5, 3, sightings=first.sightings)
    assert own.claims == ONE
    assert heeded(NOTHING, ONE, 5, 3, sightings=own.sightings).claims == NOTHING
    assert heeded(NOTHING, ONE, 5, 3).claims == ONE


def test_what_says_the_same_is_remembered_as_it_was_seen_first() -> None:
    """At rest one thing is remembered, also where the message was cut off."""
    first = heeded(ONE, ONE, 5, 5)
    assert (first.claims, heeded(ONE, ONE, 9, 7, sightings=first.sightings)) == (ONE, first)
    assert len(first.sightings) == 1
    (long,) = (attrs.evolve(one, message="x" * 2049) for one in ONE)
    assert len(heeded((long,), (long,), 5, 5).sightings) == 1
    other = attrs.evolve(long, message="x" * 2047 + "yy")
    assert heeded((other,), (long,), 5, 5).claims == (attrs.evolve(long, message="x" * 2048),)


def test_each_part_of_a_word_is_one() -> None:
    """Whether it holds, why, and the text."""
    (one,) = ONE
    for change in ({"holds": m.Switch.FALSE}, {"reason": "OrphansHeld"}, {"message": "another"}):
        assert heeded((attrs.evolve(one, **change),), ONE, 5, 5).claims == ONE


def test_who_acts_says_it() -> None:
    """An end that is recorded or asked for is news."""
    assert heeded(ONE, TWO, 5, 2, acts=True).claims == ONE


def test_where_nobody_looks_nothing_is_heeded() -> None:
    """Every controller says the same there, and remembers nothing."""
    assert heeded(NOTHING, ONE, 5, None) == Heeded(claims=NOTHING)


@pytest.mark.parametrize(("at", "says"), [(5, TWO), (6, ONE)])
def test_an_answer_is_news_too(at: int, says: Said) -> None:
    """To this process, and as new as it came; the newest counts."""
    first = heeded(ONE, TWO, 5, 2)
    news = {
        key: sight(key, answer=None if key == "i-2" else ProviderAnswer(op_id="o", at=when, error="Busy"))
        for key, when in (("i-0", 1), ("i-1", at), ("i-2", 9))
    }
    assert heeded(ONE, TWO, 8, 3, orphan_sights=news, sightings=first.sightings).claims == says


def test_who_has_seen_one_once_does_not_say_that_there_is_none() -> None:
    """Who was started anew lets stand what the one before has proven; its own word it takes back."""

    def seen(at: int, sightings: dict[str, int], stands: Said, *ids: str) -> Heeded:
        given = snapshot(stands, at, at, *ids, sightings=sightings)
        found = judge_orphans(given)
        told = heed(given, found, word(*found.ids) if found.ids else NOTHING, acts=False)
        return attrs.evolve(told, sightings={**told.sightings, **found.sightings})

    first = seen(5, {}, ONE, "i-1")
    again = seen(6, dict(first.sightings), ONE, "i-1")
    assert (first.claims, again.claims) == (ONE, ONE)
    assert seen(6, dict(first.sightings), ONE).claims == NOTHING, "a look that shows none proves that"
    own = seen(7, dict(heeded(ONE, NOTHING, 6, 6, acts=True).sightings), ONE, "i-2")
    assert own.claims == NOTHING
    some = seen(6 + ABSENCE, dict(first.sightings), TWO, "i-1", "i-3")
    later = seen(7 + ABSENCE, dict(some.sightings), TWO, "i-1", "i-3")
    assert (some.claims, later.claims) == (TWO, TWO), "i-3 was seen once"
    assert seen(6 + 2 * ABSENCE, dict(later.sightings), TWO, "i-1", "i-3").claims == word("i-1", "i-3")


def test_a_decision_says_it_at_once_when_it_records_or_asks() -> None:
    """Else it keeps what stands, and remembers that."""
    given = {"policy": m.OrphanPolicy.TERMINATE}
    ids = ("i-1",)
    looks = {"orphan:i-1": 1}
    for spec, records, kept in ((m.OrphanPolicy.REPORT, (), True), (given["policy"], (), False)):
        seen = snapshot(TWO, 1 + ABSENCE, 1 + ABSENCE, *ids, sightings=looks, orphan_sights={"i-1": sight()})
        one = attrs.evolve(
            seen.set, spec=attrs.evolve(seen.set.spec, orphans=spec),
            status=attrs.evolve(seen.set.status, orphans_ended=records),
        )  # fmt: skip
        decision = decide(attrs.evolve(seen, set=one), Policy())
        assert decision.status is not None
        [said] = [each for each in decision.status.conditions if each.type == "Orphans"]
        assert ((said.message == TWO[0].message), len(decision.sightings) > 1) == (kept, True)
    asks = attrs.evolve(one, status=attrs.evolve(one.status, orphans_ended=(record(),)))
    decision = decide(attrs.evolve(seen, set=asks), Policy())
    assert decision.effects
    assert decision.status is not None
    [said] = [each for each in decision.status.conditions if each.type == "Orphans"]
    assert said.message.endswith("is being terminated")
    word_of = heard("x", 0, decision.sightings)
    assert (word_of.own, len([key for key in decision.sightings if key.startswith("said:")])) == (False, 1)


# Two at once.


@attrs.define
class Leader:
    """A process that believes to lead: what its last look showed, and what it remembers."""

    looked: int = 0
    shown: tuple[str, ...] = ()
    sightings: dict[str, int] = attrs.field(factory=dict)

    def decide(self, one: m.MachineSet, at: int, *, heeds: bool = True) -> m.MachineSet:
        """Decide, and give the set as it is wanted."""
        seen = MachineSetSnapshot(
            set=one, orphans=dict.fromkeys(self.shown, self.looked), looked=self.looked if heeds else None,
            now=m.Now(wall=START, elapsed=at), sightings=self.sightings,
        )  # fmt: skip
        decision = decide(seen, Policy())
        self.sightings = dict(decision.sightings)
        return attrs.evolve(one, status=decision.status)


@attrs.define
class Race:
    """Two leaders of one set; each decides until neither wants to write, and no time goes by meanwhile."""

    set: m.MachineSet = attrs.field(factory=lambda: owner(0))
    leaders: tuple[Leader, Leader] = attrs.field(factory=lambda: (Leader(), Leader()))
    now: int = 0
    heeds: bool = True

    @property
    def said(self) -> str:
        """What stands."""
        found = [one.message for one in self.set.status.conditions if one.type == "Orphans"]
        return found[0].partition("; ")[0] if found else ""

    def settle(self, first: int) -> None:
        """Let both write against each other, which is never for long."""
        writes, quiet, turn = 0, 0, first
        while quiet < 2:
            wanted = self.leaders[turn % 2].decide(self.set, self.now, heeds=self.heeds)
            quiet = quiet + 1 if wanted == self.set else 0
            writes += wanted != self.set
            assert writes <= 4, "they write against each other"
            self.set, turn = wanted, turn + 1

    def look(self, who: int, ids: Iterable[str], after: int = ABSENCE) -> None:
        """Let one of them look, a while later."""
        self.now += after
        self.leaders[who].looked, self.leaders[who].shown = self.now, tuple(sorted(ids))


IDS = st.sets(st.sampled_from(["i-1", "i-2", "i-3"]))
AFTER = st.sampled_from([1, ABSENCE // 2, ABSENCE])
LOOKS = st.lists(st.tuples(st.integers(0, 1), IDS, AFTER, st.integers(0, 1)), max_size=10)


@given(LOOKS)
def test_two_whose_looks_differ_come_to_rest(looks: list[tuple[int, set[str], int, int]]) -> None:
    """After each look, in no time: who has not looked since lets stand what the other said."""
    two = Race()
    for who, ids, after, first in looks:
        two.look(who, ids, after)
        two.settle(first)


@given(LOOKS, IDS, st.integers(0, 1))
def test_who_looked_last_is_heard(
    looks: list[tuple[int, set[str], int, int]], truth: set[str], who: int
) -> None:
    """Two looks of one of them, and what stands is the truth; the other's change nothing of that."""
    two = Race()
    for one, ids, after, first in looks:
        two.look(one, ids, after)
        two.settle(first)
    for one in (who, who, 1 - who, 1 - who):
        two.look(one, truth)
        two.settle(one)
        if one != who:
            assert two.said.endswith(", ".join(sorted(truth)))
            assert bool(two.said) is bool(truth)


def test_without_it_they_would_write_for_ever() -> None:
    """The race can fail: one has seen it twice, and the other not at all."""
    for heeds in (True, False):
        two = Race(heeds=heeds)
        two.look(0, {"i-1"})
        two.settle(0)
        two.look(0, {"i-1"})
        if heeds:
            two.settle(0)
            assert two.said.endswith("i-1")
        else:
            with pytest.raises(AssertionError, match="against each other"):
                two.settle(0)
