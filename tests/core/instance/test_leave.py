"""An instance whose end is wanted: found out first, permitted, asked for once, and gone on evidence."""

import pytest

from kubenode.core import model as m
from kubenode.core.decision import TerminateInstance
from kubenode.core.hookspecs import InstanceState
from kubenode.core.instance.dispose import RARELY, STUCK
from kubenode.core.instance.evidence import ABSENCE, VISIBLE
from kubenode.core.instance.intent import own, terminate_op_id
from kubenode.core.instance.keep import keep
from kubenode.core.instance.leave import leave
from kubenode.core.instance.seen import MACHINE_UID_TAG, Case, FrozenProvider, ProviderAnswer
from kubenode.core.instance.turn import PERSON, POLL, Turn, due, spread
from kubenode.core.model.meta import Switch
from tests.core.instance.given import (
    MINUTE,
    SECOND,
    TOKEN,
    UID,
    WALL,
    answer,
    case,
    instance,
    machine,
    status,
)

S = m.InstanceStep
OP = terminate_op_id(UID, 1)
MADE, ENDING = status(S.MADE), status(S.TERMINATING)


def gone(seen: Case, *, permitted: bool = True, barred: str = "") -> Turn:
    """What is next for an instance that is to go."""
    turn = leave(seen, permitted=permitted, barred=barred)
    assert turn is not None
    return turn


def ended(error: str = "", at: int = 0, **given: object) -> ProviderAnswer:
    """What the provider said to the termination."""
    return answer(error, at, op_id=OP, **given)


@pytest.mark.parametrize("instance", [None, status(S.GONE)])
def test_nothing_is_left_of_what_was_never_asked_for_or_is_no_more(instance: m.InstanceStatus | None) -> None:
    """So the object may go."""
    assert leave(case(instance), permitted=False, barred="no") is None


class TestMade:
    """One whose id is known."""

    def test_its_end_is_intended_before_it_is_asked_for(self) -> None:
        """S9; and who wrote the intent knows that nobody has asked yet. It needs no look: the status has the id."""
        for known in (instance(), None):
            turn = gone(case(MADE, known=known))
            assert (turn.effects, turn.instance) == ((), ENDING)
            assert own(OP) in turn.sightings

    def test_one_that_ran_waits_for_its_permit_and_one_that_never_ran_does_not(self) -> None:
        """Terminate needs a permit."""
        ran = machine(MADE, first_running=WALL)
        waits = gone(case(one=ran, known=instance()), permitted=False)
        assert (waits.claim.reason, waits.instance, waits.deferred) == ("TerminateWaits", MADE, True)
        assert gone(case(one=ran, known=instance()), permitted=True).instance == ENDING
        assert gone(case(MADE, known=instance()), permitted=False).instance == ENDING

    def test_after_a_mass_delete_nothing_is_terminated(self) -> None:
        """Whatever permits there are (api.md section 4)."""
        turn = gone(case(MADE, known=instance()), barred="lost 20 machines")
        assert (turn.claim.message, turn.instance, turn.effects) == ("lost 20 machines", MADE, ())

    def test_one_that_is_dead_already_needs_neither(self) -> None:
        """There is nothing left to disrupt."""
        turn = gone(
            case(one=machine(MADE, first_running=WALL), known=instance(state=InstanceState.TERMINATED)),
            permitted=False,
        )
        assert turn.instance == status(S.GONE)

    @pytest.mark.parametrize(
        "given",
        [
            {"known": instance(tags={})},
            {"known": instance(tags={MACHINE_UID_TAG: "x"})},
            {"known": instance(), "rivals": ("c2",)},
        ],
    )
    def test_what_is_not_certainly_its_own_is_not_terminated(self, given: dict[str, object]) -> None:
        """Nor is its end intended (S12)."""
        turn = gone(case(MADE, **given))  # type: ignore[arg-type]
        assert (turn.instance, turn.effects, turn.deferred) == (MADE, (), True)


class TestAsked:
    """One whose end is intended."""

    def test_who_wrote_the_intent_asks_at_once(self) -> None:
        """One call, and no look before it."""
        (effect,) = gone(case(ENDING, known=instance(), sightings={own(OP): 0})).effects
        assert isinstance(effect, TerminateInstance)
        assert (effect.instance, effect.op_id, effect.provider, effect.tries) == ("i-1", OP, "cloud", 0)

    def test_what_was_said_to_its_creation_is_no_answer_to_its_end(self) -> None:
        """Else nobody would ask for it."""
        made = answer(instance=instance())
        assert len(gone(case(ENDING, known=instance(), answer=made, sightings={own(OP): 0})).effects) == 1

    @pytest.mark.parametrize(
        ("seen", "look"),
        [
            ({"known": instance()}, 5),
            ({"known": instance(), "looked": 4}, 5),
            ({"known": instance(), "looked": 5}, None),
            ({"known": instance(), "looked": 5, "missing": True}, 5 + POLL),
            ({"known": instance(state=InstanceState.DELETING), "looked": 5}, 5 + POLL),
            ({"looked": 5}, 5 + POLL),
            ({"looked": 5, "missing": True}, 5 + POLL),
        ],
    )
    def test_a_process_that_has_just_begun_asks_when_a_look_shows_it(
        self, seen: dict[str, object], look: int | None
    ) -> None:
        """The one before it may have asked (F06): a look that begins now, and the end has not begun by it."""
        turn = gone(case(ENDING, at=5))
        assert (turn.effects, turn.look, turn.claim.holds) == ((), 5, Switch.UNKNOWN)
        then = gone(case(ENDING, at=6, sightings=turn.sightings, **seen))  # type: ignore[arg-type]
        assert [effect.tries for effect in then.effects] == ([0] if look is None else [])
        assert then.look == look

    def test_one_that_this_process_intended_but_never_saw_is_looked_for(self) -> None:
        """Whose it is has to be certain."""
        assert gone(case(ENDING, sightings={own(OP): 0})).effects == ()

    def test_what_was_accepted_is_not_asked_again_and_counts_until_it_is_gone(self) -> None:
        """Looks, and a condition when it takes too long (F31)."""
        said = ended(at=SECOND)
        turn = gone(case(ENDING, at=SECOND, known=instance(), answer=said, sightings={own(OP): 0}))
        assert (turn.effects, turn.claim.reason) == ((), "Terminating")
        assert (turn.look, turn.wake_at) == (SECOND + 1, SECOND + STUCK)
        assert own(OP) in turn.sightings
        for looked in (SECOND - 1, SECOND):
            before = gone(case(ENDING, at=MINUTE, looked=looked, known=instance(), answer=said))
            assert (before.effects, before.look) == ((), SECOND + 1)
        going = instance(state=InstanceState.DELETING)
        later = gone(case(ENDING, at=MINUTE, looked=MINUTE, known=going, answer=said))
        assert later.look == MINUTE + POLL
        stuck = gone(case(ENDING, at=SECOND + STUCK, looked=MINUTE, known=instance(), answer=said))
        assert (stuck.effects, stuck.claim.reason) == ((), "TerminationStuck")
        assert (stuck.look, stuck.wake_at) == (MINUTE + RARELY, None)

    @pytest.mark.parametrize("error", ["Ambiguous", "NotFound", "Odd"])
    def test_an_answer_that_proves_nothing_is_settled_by_a_look(self, error: str) -> None:
        """Lost, or of a cloud that does not know yet what it made: asked again only if it is still there."""
        lost = ended(error, at=SECOND)
        at = due(lost)
        waits = gone(case(ENDING, at=at - 1, looked=SECOND + 1, known=instance(), answer=lost))
        assert (waits.effects, waits.wake_at, waits.look, waits.claim.reason) == (
            (),
            at,
            SECOND + 1,
            "TerminateAmbiguous",
        )
        assert gone(case(ENDING, at=at, looked=SECOND, known=instance(), answer=lost)).effects == ()
        (effect,) = gone(case(ENDING, at=at, looked=SECOND + 1, known=instance(), answer=lost)).effects
        assert isinstance(effect, TerminateInstance)
        assert effect.tries == 1

    @pytest.mark.parametrize(
        ("error", "reason"),
        [("Throttled", "Throttled"), ("Unavailable", "ProviderUnavailable"), ("Busy", "InstanceBusy")],
    )
    def test_what_was_refused_for_now_is_asked_again_after_a_pause(self, error: str, reason: str) -> None:
        """To the nanosecond."""
        said = ended(error, at=SECOND, retry_after=9 * SECOND)
        at = due(said)
        before = gone(case(ENDING, at=at - 1, known=instance(), answer=said))
        assert (before.effects, before.claim.reason, before.wake_at) == ((), reason, at)
        assert len(gone(case(ENDING, at=at, known=instance(), answer=said)).effects) == 1

    def test_what_is_protected_stays_and_is_tried_again_after_an_hour(self) -> None:
        """No loop."""
        said = ended("Protected")
        at = spread(PERSON, OP, "1")
        before = gone(case(ENDING, at=at - 1, known=instance(), answer=said))
        assert (before.effects, before.claim.reason, before.wake_at) == ((), "InstanceProtected", at)
        assert len(gone(case(ENDING, at=at, known=instance(), answer=said)).effects) == 1

    def test_without_credentials_nothing_is_concluded(self) -> None:
        """It waits until they are taken again (F35)."""
        frozen = FrozenProvider(text="who?", until=MINUTE)
        waits = gone(case(ENDING, at=1, known=instance(), answer=ended("AuthFailed"), frozen=frozen))
        assert (waits.effects, waits.claim.reason, waits.instance) == ((), "ProviderFrozen", ENDING)
        assert (
            len(
                gone(
                    case(ENDING, at=MINUTE, known=instance(), answer=ended("AuthFailed"), frozen=frozen)
                ).effects
            )
            == 1
        )


class TestEvidence:
    """When it is gone."""

    def test_when_the_provider_says_so(self) -> None:
        """Terminated is terminated."""
        assert gone(case(ENDING, known=instance(state=InstanceState.TERMINATED))).instance == status(S.GONE)

    @pytest.mark.parametrize("said", [ended(), ended("NotFound"), None])
    @pytest.mark.parametrize("blind", [None, MINUTE, 2 * VISIBLE])
    def test_when_two_looks_do_not_show_it_after_it_had_time_to_show(
        self, blind: int | None, said: ProviderAnswer | None
    ) -> None:
        """NotFound is evidence, not proof; of one that was just made a late cloud says it too (F26), whatever it answered."""
        shows = max(VISIBLE, blind or 0)
        turn = gone(case(MADE, known=instance(), sightings=keep(case(MADE, known=instance())).sightings))
        for looked, is_gone in (
            (MINUTE, False),
            (MINUTE + ABSENCE, False),
            (shows - 1, False),
            (shows, False),
            (shows + ABSENCE - 1, False),
            (shows + ABSENCE, True),
        ):
            seen = {"known": instance(), "looked": looked, "missing": True, "blind": blind, "answer": said}
            turn = gone(case(ENDING, at=looked, sightings=turn.sightings, **seen))  # type: ignore[arg-type]
            assert turn.instance == status(S.GONE if is_gone else S.TERMINATING)

    def test_how_old_it_is_is_remembered_while_it_waits_for_its_permit(self) -> None:
        """Drained for an hour, and gone a minute after its end."""
        turn = gone(case(one=machine(MADE, first_running=WALL), known=instance()), permitted=False)
        turn = gone(case(MADE, at=VISIBLE, known=instance(), sightings=turn.sightings))
        for looked, step in ((VISIBLE + 1, S.TERMINATING), (VISIBLE + 1 + ABSENCE, S.GONE)):
            turn = gone(case(ENDING, at=looked, looked=looked, missing=True, sightings=turn.sightings))
            assert turn.instance == status(step)

    def test_what_is_shown_is_not_gone(self) -> None:
        """However often."""
        turn = gone(case(ENDING, known=instance()))
        for looked in range(VISIBLE, 2 * VISIBLE, MINUTE):
            seen = {"known": instance(), "looked": looked, "answer": ended()}
            turn = gone(case(ENDING, at=looked, sightings=turn.sightings, **seen))  # type: ignore[arg-type]
            assert (turn.instance, turn.claim.reason) == (ENDING, "Terminating")

    def test_a_doubted_look_lets_nothing_go(self) -> None:
        """A wrong empty list would leave instances that nobody looks for (F22, S22). What it shows is there."""
        turn = gone(
            case(
                ENDING,
                at=VISIBLE * 2,
                looked=VISIBLE * 2,
                missing=True,
                doubt="all",
                answer=ended(),
                sightings={"made:i-1": 0, "missed:i-1": VISIBLE},
            )
        )
        assert (turn.claim.reason, turn.instance) == ("LookDoubted", ENDING)
        shown = gone(case(ENDING, at=1, looked=1, known=instance(), doubt="all", sightings={own(OP): 0}))
        assert len(shown.effects) == 1

    def test_an_attempt_that_is_given_up_says_why_while_it_goes(self) -> None:
        """And the machine that is wanted begins another one after it."""
        ending = status(S.TERMINATING, reason="JoinTimeout")
        turn = keep(case(ending, known=instance(), sightings={own(OP): 0}))
        assert (turn.claim.reason, len(turn.effects)) == ("JoinTimeout", 1)
        throttled = keep(case(ending, known=instance(), answer=ended("Throttled")))
        assert throttled.claim.reason == "Throttled"
        over = keep(case(ending, known=instance(state=InstanceState.TERMINATED))).instance
        assert over == status(S.GONE, reason="JoinTimeout")
        plain = keep(case(ENDING, known=instance(), answer=ended()))
        assert plain.claim.reason == "Terminating"


class TestUnsettled:
    """A machine that is deleted while its creation is not settled (F32): it is never asked for again to find out."""

    def test_what_was_made_is_taken_first(self) -> None:
        """Then it is terminated like any other."""
        for known in ({"mine": (instance(),)}, {"answer": answer(instance=instance())}):
            turn = gone(case(status(), **known))  # type: ignore[arg-type]
            assert turn.instance is not None
            assert (turn.instance.step, turn.instance.id, turn.effects) == (S.MADE, "i-1", ())

    @pytest.mark.parametrize(
        ("blind", "shows"), [(None, VISIBLE), (MINUTE, VISIBLE), (2 * VISIBLE, 2 * VISIBLE)]
    )
    def test_what_may_have_been_made_is_looked_for_for_as_long_as_it_may_take_to_show(
        self, blind: int | None, shows: int
    ) -> None:
        """Two looks after that; then nothing was made."""
        turn = gone(case(status(), blind=blind))
        assert (turn.effects, turn.claim.reason, turn.look) == ((), "CreateAmbiguous", shows)
        for looked, look in ((shows - 1, shows), (shows, shows + ABSENCE)):
            seen = {"blind": blind, "looked": looked, "missing": True, "sightings": turn.sightings}
            turn = gone(case(status(), at=looked, **seen))  # type: ignore[arg-type]
            assert (turn.instance, turn.look) == (status(), look)
        late = shows + ABSENCE
        assert gone(
            case(status(), at=late, blind=blind, looked=late, missing=True, sightings=turn.sightings)
        ).instance == status(S.GONE, id="")

    @pytest.mark.parametrize(
        "seen", [{"missing": True, "doubt": "all"}, {"mine": (instance(state=InstanceState.TERMINATED),)}]
    )
    def test_a_look_that_says_nothing_is_followed_by_another(self, seen: dict[str, object]) -> None:
        """A doubted one, or one that shows what an earlier attempt left."""
        sightings = gone(case(status())).sightings
        for looked in (VISIBLE, VISIBLE + ABSENCE):
            turn = gone(case(status(), at=looked, looked=looked, sightings=sightings, **seen))  # type: ignore[arg-type]
            assert (turn.instance, turn.claim.reason, turn.look) == (status(), "CreateAmbiguous", looked + 1)
            sightings = turn.sightings

    @pytest.mark.parametrize(
        "error",
        [
            None, "AuthFailed", "CapacityExhausted", "Invalid", "Protected", "QuotaExceeded", "Throttled", "Unsupported",
        ],
    )  # fmt: skip
    def test_what_was_never_asked_for_or_was_refused_needs_one_look(self, error: str | None) -> None:
        """In case that another controller has asked."""
        said = None if error is None else answer(error)
        turn = gone(case(status(), at=3, answer=said, sightings={own(TOKEN): 0}))
        assert (turn.instance, turn.look) == (status(), 3)
        assert own(TOKEN) in turn.sightings
        before = gone(case(status(), at=4, answer=said, looked=2, missing=True, sightings=turn.sightings))
        assert (before.instance, before.look) == (status(), 3)
        assert gone(
            case(status(), at=4, answer=said, looked=3, missing=True, sightings=turn.sightings)
        ).instance == status(S.GONE, id="")

    @pytest.mark.parametrize(
        "said", [answer("Ambiguous"), answer("Unavailable"), answer("Busy"), answer("Throttled", tries=2)]
    )
    def test_one_refusal_after_another_try_says_nothing_of_that(self, said: ProviderAnswer) -> None:
        """The first may have made it."""
        turn = gone(case(status(), at=3, answer=said, looked=3, missing=True, sightings={own(TOKEN): 0}))
        assert (turn.instance, turn.claim.reason) == (status(), "CreateAmbiguous")
