"""Two that believe to lead and looked at different times: who looked last is heard, and neither writes for ever."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import TerminateInstance
from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.heed import BY_ANSWER, BY_LOOK, heed
from kubenode.core.instance.keep import keep
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case, FrozenProvider, InstanceSight, ProviderAnswer
from kubenode.core.instance.turn import INSTANCE_READY, Turn, claim, unsure
from kubenode.core.model.condition import Claim, stated
from tests.core.instance.given import (
    MINUTE,
    SECOND,
    WALL,
    answer,
    case,
    instance,
    machine,
    sight,
    status,
)

MADE = status(m.InstanceStep.MADE)
STARTS = claim(False, InstanceReason.INSTANCE_STARTING, "i-1 is pending")
RUNS = claim(True, InstanceReason.INSTANCE_RUNNING, "i-1")
STAYS = Turn(instance=MADE, claim=RUNS)


def stands(said: Claim | None, one: m.InstanceStatus = MADE) -> m.Machine:
    """A machine whose InstanceReady says something."""
    claims = () if said is None else (said,)
    return machine(one, conditions=stated((), claims, wall=WALL, generation=0))


def heeded(turn: Turn, said: Claim | None, at: int = 0, **given: object) -> Turn:
    """The turn that is taken where that stands."""
    return heed(case(at=at, one=stands(said), **given), turn)  # type: ignore[arg-type]


class TestByLook:
    """What looks show."""

    @pytest.mark.parametrize(("looked", "says"), [(0, STARTS), (4, STARTS), (5, STARTS), (6, RUNS)])
    def test_a_look_that_began_before_what_stands_was_seen_is_not_written(
        self, looked: int, says: Claim
    ) -> None:
        """It is asked for another one, which begins after that; nothing else of the turn is changed."""
        first = heeded(STAYS, STARTS, 5, looked=min(looked, 5))
        assert (first.claim, first.look) == (STARTS, 6)
        turn = attrs.evolve(STAYS, sightings={"joining:i-1": 1}, wake_at=90)
        later = heeded(turn, STARTS, 8, looked=looked, sightings=first.sightings)
        assert later.claim == says
        assert later.look == (6 if says is STARTS else None)
        assert (later.wake_at, later.instance, later.sightings["joining:i-1"]) == (90, MADE, 1)

    @pytest.mark.parametrize(("wanted", "look"), [(None, 6), (3, 3), (6, 6), (7, 6)])
    def test_the_look_that_comes_first_is_asked_for(self, wanted: int | None, look: int) -> None:
        """The one that the turn wants, or the one that settles it."""
        turn = attrs.evolve(STAYS, look=wanted)
        assert heeded(turn, STARTS, 5, looked=5).look == look

    def test_ones_own_word_is_overwritten_by_whatever_one_learns(self) -> None:
        """Of one process each look is newer than the one before; a restart makes it another's word."""
        first = heeded(attrs.evolve(STAYS, claim=STARTS), None, 5, looked=5)
        assert first.claim == STARTS
        assert heeded(STAYS, STARTS, 5, looked=5, sightings=first.sightings).claim == RUNS
        assert heeded(STAYS, STARTS, 5, looked=5).claim == STARTS

    def test_what_says_the_same_asks_for_nothing(self) -> None:
        """At rest nobody looks; also where the message was cut off."""
        assert heeded(STAYS, RUNS, 5, looked=5).look is None
        long = attrs.evolve(RUNS, message="x" * 2049)
        assert heeded(attrs.evolve(STAYS, claim=long), long, 5, looked=5).look is None
        other = attrs.evolve(RUNS, message="x" * 2047 + "yy")
        assert heeded(attrs.evolve(STAYS, claim=long), other, 5, looked=5).look == 6

    def test_an_answer_is_news_too(self) -> None:
        """To this process, and as new as it came; the newer of the two counts."""
        news = answer(at=6, instance=instance())
        sightings = heeded(STAYS, STARTS, 5, looked=5).sightings
        assert heeded(STAYS, STARTS, 7, looked=2, answer=news, sightings=sightings).claim == RUNS
        assert heeded(STAYS, STARTS, 7, looked=6, answer=answer(at=2), sightings=sightings).claim == RUNS
        assert heeded(STAYS, STARTS, 7, answer=news, sightings=sightings).claim == RUNS
        assert heeded(STAYS, STARTS, 7, answer=answer(at=5), sightings=sightings).claim == STARTS

    @pytest.mark.parametrize(
        "change",
        [
            {"instance": attrs.evolve(MADE, step=m.InstanceStep.GONE)},
            {"instance": attrs.evolve(MADE, zone="b")},
            {
                "effects": (
                    TerminateInstance(machine=m.ref(machine()), provider="cloud", op_id="o", instance="i-1"),
                )
            },
        ],
    )
    def test_who_does_more_than_say_something_says_it(self, change: dict[str, object]) -> None:
        """A step is never taken back, and an act is news."""
        assert heeded(attrs.evolve(STAYS, **change), STARTS, 5, looked=2).claim == RUNS

    def test_who_has_looked_at_nothing_says_what_follows_from_what_is_written(self) -> None:
        """It is the same for everybody."""
        doubt = unsure(InstanceReason.INSTANCE_STARTING, "i-1 was made")
        assert heeded(attrs.evolve(STAYS, claim=doubt), RUNS, 5).claim == doubt


def test_whose_words_are_whose() -> None:
    """A reason that is new is given its place: what a look settles, what was answered to one alone, or what the API says."""
    assert {
        "CreationTimeout", "InstanceForeign", "InstanceGone", "InstanceMissing", "InstanceRunning", "InstanceStarting", "InstanceStopped",
        "InstanceTwice", "InstanceUntagged", "JoinTimeout", "LookDoubted", "Terminating", "TerminationStuck",
    } == BY_LOOK  # fmt: skip
    assert {
        "CapacityExhausted", "CreateAmbiguous", "InstanceBusy", "InstanceProtected", "ProviderUnavailable", "QuotaExceeded", "RequestInvalid",
        "TerminateAmbiguous", "Throttled", "TokenConflict", "Unsupported",
    } == BY_ANSWER  # fmt: skip
    rest = {one.value for one in InstanceReason} - BY_LOOK - BY_ANSWER
    assert rest == {
        "BackingOff", "Creating", "InstanceConflict", "ProviderFrozen", "SecretUnsupported", "TerminateWaits",
    }  # fmt: skip


def test_a_refusal_of_credentials_of_no_known_time_is_the_oldest() -> None:
    """As a recording has it that was made before the time was kept."""
    assert FrozenProvider(text="who?", until=MINUTE).at == 0


@pytest.mark.parametrize("reason", sorted(BY_LOOK | BY_ANSWER))
def test_each_word_of_looks_and_answers_may_be_late(reason: str) -> None:
    """What a look would settle asks for one; to what was answered to one alone a look says nothing."""
    said = Claim.of(INSTANCE_READY, False, reason, "one thing")
    turn = Turn(instance=MADE, claim=said)
    kept = heeded(turn, RUNS, 5, looked=5, answer=answer("Throttled", at=5))
    assert (kept.claim, kept.look) == (RUNS, 6 if reason in BY_LOOK else None)
    newer = heeded(turn, RUNS, 9, looked=2, answer=answer("Throttled", at=6), sightings=kept.sightings)
    assert (newer.claim, newer.look) == (said, None)


def test_what_was_answered_to_nobody_is_no_news() -> None:
    """A look does not make the refusal of an act newer, and without an answer it follows from what is written."""
    said = claim(False, InstanceReason.THROTTLED, "slow down")
    turn = Turn(instance=MADE, claim=said, look=9)
    sightings = heeded(STAYS, STARTS, 5, looked=5).sightings
    late = heeded(turn, STARTS, 8, looked=7, answer=answer("Throttled", at=4), sightings=sightings)
    assert (late.claim, late.look) == (STARTS, 9)
    assert heeded(turn, STARTS, 8, looked=7, sightings=sightings).claim == said


@pytest.mark.parametrize(("at", "says"), [(5, "InstanceStarting"), (6, "ProviderFrozen")])
def test_a_refusal_of_credentials_is_as_new_as_it_is(at: int, says: str) -> None:
    """Two whose keys are refused are told so in two ways."""
    frozen = FrozenProvider(text="cloud: who?", until=MINUTE, at=at)
    turn = Turn(instance=MADE, claim=claim(False, InstanceReason.PROVIDER_FROZEN, "cloud: who?"))
    sightings = heeded(STAYS, STARTS, 5, looked=5).sightings
    given = heeded(turn, STARTS, 8, looked=5, frozen=frozen, sightings=sightings)
    assert (given.claim.reason, given.look) == (says, None)


@pytest.mark.parametrize("reason", sorted({one.value for one in InstanceReason} - BY_LOOK - BY_ANSWER))
def test_what_the_api_says_is_said_at_once(reason: str) -> None:
    """The spec, other Machines, a permit: that needs no look, nor is it older than what stands."""
    said = Claim.of(INSTANCE_READY, False, reason, "by what is written")
    assert heeded(Turn(instance=MADE, claim=said), RUNS, 5, looked=2, answer=answer(at=2)).claim == said
    late = reason != InstanceReason.PROVIDER_FROZEN.value  # only that one is as old as the refusal
    frozen = FrozenProvider(text="who?", until=MINUTE, at=2 if late else 9)
    assert heeded(Turn(instance=MADE, claim=said), RUNS, 5, looked=2, frozen=frozen).claim == said


# Two at once.


@attrs.define
class Leader:
    """A process that believes to lead: what it saw last, and what it remembers."""

    looked: int | None = None
    known: Instance | None = None
    answer: ProviderAnswer | None = None
    sightings: dict[str, int] = attrs.field(factory=dict)
    wants: int | None = None

    def look(self, truth: InstanceState, at: int) -> None:
        """See how the instance is."""
        self.looked, self.known = at, instance(state=truth)

    def decide(self, one: m.Machine, at: int) -> m.Machine:
        """Decide, and give the machine as it is wanted."""
        seen: InstanceSight = sight(known=self.known, looked=self.looked, answer=self.answer)
        given = Case(
            machine=one, sight=seen, joined=True, now=m.Now(wall=WALL, elapsed=at), sightings=self.sightings
        )
        turn = heed(given, keep(given))
        self.sightings, self.wants = dict(turn.sightings), turn.look
        old = one.status
        wall = WALL + timedelta(microseconds=at // 1000)
        conditions = stated(old.conditions, (turn.claim,), wall=wall, generation=0)
        return attrs.evolve(one, status=attrs.evolve(old, instance=turn.instance, conditions=conditions))


@attrs.define
class Race:
    """Two leaders of one machine; each decides until neither wants to write, and no time goes by meanwhile."""

    machine: m.Machine
    leaders: tuple[Leader, Leader] = attrs.field(factory=lambda: (Leader(), Leader()))
    now: int = 0
    truths: dict[int, InstanceState] = attrs.field(factory=dict)

    @property
    def said(self) -> tuple[str, str]:
        """What stands."""
        [condition] = self.machine.status.conditions
        return condition.reason, condition.message

    def settle(self, first: int) -> int:
        """Let both write against each other; give how often they did, which is never for long."""
        writes, quiet, turn = 0, 0, first
        while quiet < 2:
            wanted = self.leaders[turn % 2].decide(self.machine, self.now)
            quiet = quiet + 1 if wanted == self.machine else 0
            writes += wanted != self.machine
            assert writes <= 4, "they write against each other"
            self.machine, turn = wanted, turn + 1
        return writes

    def look(self, who: int, truth: InstanceState) -> None:
        """Let one of them look, a while later."""
        self.now += 5 * SECOND
        self.leaders[who].look(truth, self.now)


STATES = st.sampled_from([
    InstanceState.PENDING, InstanceState.UNKNOWN, InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.DELETING,
])  # fmt: skip
LOOKS = st.lists(st.tuples(st.integers(0, 1), STATES, st.integers(0, 1)), max_size=8)


def race() -> Race:
    """An instance that runs, as one said who is no more."""
    return Race(attrs.evolve(stands(RUNS), status=attrs.evolve(stands(RUNS).status, first_running=WALL)))


@given(LOOKS)
def test_two_that_looked_at_different_times_come_to_rest(looks: list[tuple[int, InstanceState, int]]) -> None:
    """After each look, in no time: who has not looked since lets stand what the other said."""
    two = race()
    for who, truth, first in looks:
        two.look(who, truth)
        two.settle(first)


@given(LOOKS, STATES, st.integers(0, 1))
def test_who_looked_last_is_heard(
    looks: list[tuple[int, InstanceState, int]], truth: InstanceState, first: int
) -> None:
    """When each has made the looks that it asks for, what stands is the truth, by either."""
    two = race()
    for who, seen, begins in looks:
        two.look(who, seen)
        two.settle(begins)
    two.look(first, truth)
    two.settle(first)
    for _ in range(2):
        for who, leader in enumerate(two.leaders):
            if leader.wants is not None or leader.looked is None:
                two.look(who, truth)
                two.settle(who)
    mine = attrs.evolve(two.leaders[0], sightings={})
    alone = mine.decide(machine(two.machine.status.instance, first_running=WALL), two.now)
    [condition] = alone.status.conditions
    assert two.said == (condition.reason, condition.message)


def test_what_one_was_told_does_not_undo_what_the_other_saw() -> None:
    """The create gave one of them an instance of unknown state, and the other one saw it come up at the same moment."""
    two = Race(machine(MADE))
    told, looked = two.leaders
    told.known, told.answer = instance(state=InstanceState.UNKNOWN), answer(instance=instance())
    two.settle(0)
    assert two.said == ("InstanceStarting", "i-1 is unknown")
    looked.look(InstanceState.PENDING, two.now)
    assert two.settle(1) == 0, "which of the two is older nobody can tell"
    assert looked.wants == two.now + 1
    two.look(1, InstanceState.RUNNING)
    assert two.settle(0) == 1
    assert two.said == ("InstanceRunning", "i-1")
    assert told.wants == two.now + 1
