"""An instance that is asked for: intent, call, and what each answer and each look mean."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import CreateInstance
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import InstanceState
from kubenode.core.instance.evidence import VISIBLE
from kubenode.core.instance.intent import own, token_of
from kubenode.core.instance.keep import keep
from kubenode.core.instance.seen import (
    LOOKED_FOR,
    MACHINE_TAG,
    MACHINE_UID_TAG,
    MANAGED_TAG,
    SET_UID_TAG,
    FrozenProvider,
    ProviderAnswer,
)
from kubenode.core.instance.turn import PERSON, due, pause, spread
from kubenode.core.model.machine import SecretRef, SetRef
from kubenode.core.model.meta import Switch
from tests.core.instance.given import (
    HERE,
    MINUTE,
    SECOND,
    THERE,
    TOKEN,
    UID,
    WANTED,
    answer,
    asked,
    case,
    instance,
    machine,
    said,
    status,
)

S = m.InstanceStep


def test_the_intent_is_written_and_nothing_is_asked_in_the_same_decision() -> None:
    """Attempt, placement, parameters and token, before the call that they are for (S9)."""
    turn = keep(case())
    assert turn.effects == ()
    assert turn.instance == status()
    assert own(TOKEN) in turn.sightings


def test_the_token_is_of_uid_attempt_and_every_launch_parameter() -> None:
    """Another one for another machine, attempt or placement; the same for who computes it again."""
    tokens = {
        token_of(uid, attempt, launch) for uid in ("a", "b") for attempt in (1, 2) for launch in (HERE, THERE)
    }
    assert len(tokens) == 8
    assert token_of(UID, 1, HERE) == TOKEN


def test_the_call_is_what_the_intent_says() -> None:
    """Whatever the spec says by now; tagged with its owner, and its set if it has one."""
    one = machine(
        status(),
        infrastructure=attrs.evolve(WANTED, parameters={"size": 2}),
        set_ref=SetRef(name="s", uid="set-uid"),
    )
    effect = asked(keep(case(one=one)))
    assert (effect.token, effect.parameters, effect.choice, effect.launch) == (TOKEN, {"size": 1}, 0, HERE)
    assert effect.tags == {
        MANAGED_TAG: "true",
        MACHINE_TAG: "c1",
        MACHINE_UID_TAG: UID,
        SET_UID_TAG: "set-uid",
    }
    plain = asked(keep(case(status())))
    assert SET_UID_TAG not in plain.tags
    assert plain.tries == 0
    assert LOOKED_FOR == {MANAGED_TAG: "true"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"problem": Problem(where="p", what="PluginMissing: none"), "wanted": ()}, "PluginMissing"),
        ({"wanted": ()}, "Creating"),
        ({"frozen": FrozenProvider(text="no", until=9)}, "ProviderFrozen"),
    ],
)
def test_nothing_is_intended_that_cannot_be_asked_for(given: dict[str, object], expected: str) -> None:
    """And it is said why."""
    turn = keep(case(**given))  # type: ignore[arg-type]
    assert (turn.instance, turn.effects, turn.claim.reason, turn.deferred) == (None, (), expected, True)


def test_who_names_a_secret_is_not_made_with_other_credentials() -> None:
    """This version reads no Secret."""
    wanted = attrs.evolve(WANTED, secret_ref=SecretRef(namespace="a", name="b"))
    assert keep(case(one=machine(infrastructure=wanted))).claim.reason == "SecretUnsupported"


def test_an_answer_gives_the_id_and_what_it_does_in_one_write() -> None:
    """No further decision is needed to see that it runs."""
    turn = keep(case(status(), answer=answer(instance=instance(provider_id="cloud://i-1"))))
    assert turn.instance == status(S.MADE, provider_id="cloud://i-1", zone="a")
    assert said(turn) == (Switch.TRUE, "InstanceRunning")


def test_what_a_look_shows_is_taken_though_the_answer_was_lost() -> None:
    """Found by its owner's tag: F01, F02, F20."""
    for lost in (None, answer("Ambiguous")):
        turn = keep(case(status(), mine=(instance(),), answer=lost))
        assert turn.instance is not None
        assert (turn.instance.step, turn.instance.id) == (S.MADE, "i-1")


def test_of_two_that_bear_its_uid_none_is_taken() -> None:
    """Which one is the machine's, a person says (S12)."""
    turn = keep(case(status(), mine=(instance(), instance("i-2"))))
    assert (turn.instance, turn.effects, turn.claim.reason) == (status(), (), "InstanceTwice")
    alive = keep(case(status(), mine=(instance(state=InstanceState.TERMINATED), instance("i-2"))))
    assert alive.instance is not None
    assert alive.instance.id == "i-2"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("Throttled", "Throttled"),
        ("Unavailable", "ProviderUnavailable"),
        ("Busy", "InstanceBusy"),
        ("Ambiguous", "CreateAmbiguous"),
        ("Odd", "CreateAmbiguous"),
    ],
)
def test_the_same_is_asked_again_after_a_pause(error: str, reason: str) -> None:
    """With the same token and parameters, and not a nanosecond sooner than it says."""
    given = answer(error, at=MINUTE, retry_after=7 * SECOND)
    at = due(given)
    before = keep(case(status(), at=at - 1, answer=given))
    assert (before.effects, before.claim.reason, before.wake_at, before.instance) == (
        (),
        reason,
        at,
        status(),
    )
    effect = asked(keep(case(status(), at=at, answer=given)))
    assert (effect.token, effect.tries) == (TOKEN, 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("QuotaExceeded", "QuotaExceeded"),
        ("Invalid", "RequestInvalid"),
        ("Unsupported", "Unsupported"),
        ("Protected", "InstanceProtected"),
    ],
)
def test_what_a_person_has_to_mend_waits_for_a_change_or_an_hour(error: str, reason: str) -> None:
    """No loop; a changed spec is another attempt at once, since nothing was made by this one."""
    given = answer(error)
    at = spread(PERSON, TOKEN, "1")
    turn = keep(case(status(), at=at - 1, answer=given))
    assert (said(turn), turn.effects, turn.wake_at) == ((Switch.FALSE, reason), (), at)
    assert PERSON // 2 <= at <= PERSON * 3 // 2
    assert asked(keep(case(status(), at=at, answer=given))).token == TOKEN
    changed = machine(status(), infrastructure=attrs.evolve(WANTED, parameters={"size": 2}))
    another = keep(case(one=changed, answer=given, wanted=(THERE,))).instance
    assert another is not None
    assert (another.attempt, another.token, another.parameters) == (2, token_of(UID, 2, THERE), {"size": 2})
    assert another.choice == 0
    stands = keep(
        case(one=changed, answer=given, problem=Problem(where="", what="ParametersInvalid: no"), wanted=())
    )
    assert (stands.instance, stands.claim.reason) == (status(), reason)


@pytest.mark.parametrize(
    "error", [None, "Throttled", "Unavailable", "Busy", "Ambiguous", "Odd", "AuthFailed"]
)
def test_what_is_not_settled_keeps_its_token_and_parameters(error: str | None) -> None:
    """Whatever the spec says by now: a call that was lost may have made it (F36)."""
    changed = machine(status(), infrastructure=attrs.evolve(WANTED, parameters={"size": 2}))
    given = None if error is None else answer(error)
    for at in (0, PERSON * 2):
        turn = keep(case(at=at, one=changed, answer=given, wanted=(THERE,)))
        assert turn.instance == status()
        assert [effect.parameters for effect in turn.effects if isinstance(effect, CreateInstance)] == [
            {"size": 1} for _ in turn.effects
        ]


def test_without_capacity_the_next_placement_is_tried_with_a_token_of_its_own() -> None:
    """Then, when none has any, all of them again after a while."""
    turn = keep(case(status(), answer=answer("CapacityExhausted")))
    second = turn.instance
    assert second is not None
    assert (second.attempt, second.choice, second.token, turn.effects) == (2, 1, token_of(UID, 2, THERE), ())
    over = answer("CapacityExhausted", op_id=second.token)
    waiting = keep(case(second, answer=over))
    assert (waiting.claim.reason, waiting.instance, waiting.effects) == ("CapacityExhausted", second, ())
    assert waiting.wake_at is not None
    assert "of 2 placements none has capacity" in waiting.claim.message
    third = keep(case(second, at=waiting.wake_at, answer=over)).instance
    assert third is not None
    assert (third.attempt, third.choice) == (3, 0)
    alone = keep(case(status(), answer=answer("CapacityExhausted"), wanted=(HERE,), pinned=(HERE,)))
    assert "there is no capacity" in alone.claim.message
    changed = machine(status(), infrastructure=attrs.evolve(WANTED, parameters={"size": 2}))
    anew = keep(case(one=changed, answer=answer("CapacityExhausted"))).instance
    assert anew is not None
    assert (anew.attempt, anew.choice) == (2, 0)


DEAD = answer(at=MINUTE, instance=instance(state=InstanceState.TERMINATED))
SPENT = answer("TokenConflict", at=MINUTE)


@pytest.mark.parametrize(
    ("given", "shows", "text"),
    [
        (DEAD, MINUTE + 1, "what the token made is no more"),
        (SPENT, MINUTE + VISIBLE, "said TokenConflict"),
        (attrs.evolve(SPENT, tries=5), MINUTE + VISIBLE, "said TokenConflict"),
    ],
)
def test_a_spent_token_is_no_loop(given: ProviderAnswer, shows: int, text: str) -> None:
    """A look first, which shows that there is nothing of this machine; then another attempt, after a pause.

    Who says that a token was used has made something, and may not show it yet (F26).
    """
    for looked in (None, MINUTE, shows - 1):
        turn = keep(case(status(), at=VISIBLE * 2, answer=given, looked=looked))
        assert (turn.claim.reason, turn.claim.message, turn.look, turn.effects, turn.instance) == (
            "TokenConflict",
            text,
            shows,
            (),
            status(),
        )
    doubted = keep(case(status(), at=VISIBLE * 2, answer=given, looked=shows, doubt="all", missing=True))
    assert (doubted.claim.reason, doubted.instance) == ("LookDoubted", status())
    for choice, placements, then in ((0, (HERE, THERE), 0), (1, (HERE, THERE), 1), (1, (HERE,), 0)):
        one = status(choice=choice, token=token_of(UID, 1, (HERE, THERE)[choice]))
        told = attrs.evolve(given, op_id=one.token)
        another = keep(case(one, at=VISIBLE * 2, answer=told, looked=shows, wanted=placements)).instance
        assert another is not None
        assert (another.attempt, another.choice) == (2, then)


def test_after_a_spent_token_there_is_a_pause() -> None:
    """It grows with the attempts: what is terminated at once is no reason to ask ever faster."""
    for attempt in (1, 7):
        one = status(attempt=attempt, token=token_of(UID, attempt, HERE))
        at = MINUTE + pause(attempt, one.token)
        seen = {"answer": attrs.evolve(DEAD, op_id=one.token), "looked": MINUTE + 1}
        paused = keep(case(one, at=at - 1, **seen))  # type: ignore[arg-type]
        assert (paused.wake_at, paused.claim.message) == (at, "what the token made is no more")
        another = keep(case(one, at=at, **seen)).instance  # type: ignore[arg-type]
        assert another is not None
        assert another.attempt == attempt + 1


def test_without_credentials_the_attempt_stands_and_goes_on_when_they_are_taken() -> None:
    """The scope is frozen, and not the machine failed (F35)."""
    given = answer("AuthFailed", at=5)
    frozen = FrozenProvider(text="cloud: who are you?", until=MINUTE)
    turn = keep(case(status(), at=MINUTE - 1, answer=given, frozen=frozen))
    assert (turn.claim.reason, turn.wake_at, turn.effects, turn.instance) == (
        "ProviderFrozen",
        MINUTE,
        (),
        status(),
    )
    assert asked(keep(case(status(), at=MINUTE, answer=given, frozen=frozen))).tries == 1
    assert asked(keep(case(status(), at=6, answer=given))).tries == 1


def test_who_wrote_the_intent_itself_remembers_that() -> None:
    """Until it is settled; another attempt is another intent."""
    mine = {own(TOKEN): 3}
    assert keep(case(status(), sightings=mine)).sightings == mine
    assert (
        own(TOKEN) not in keep(case(status(), sightings=mine, answer=answer("CapacityExhausted"))).sightings
    )


def test_another_attempt_needs_what_the_first_one_needed() -> None:
    """A provider that is frozen, or a spec without infrastructure, begins none."""
    given = answer("CapacityExhausted")
    frozen = keep(case(status(), answer=given, frozen=FrozenProvider(text="", until=9)))
    assert (frozen.claim.reason, frozen.instance) == ("ProviderFrozen", status())
    none = machine(status(), infrastructure=None)
    assert keep(case(one=none, answer=given)).claim.reason == "InstanceGone"
    assert keep(case(one=machine(infrastructure=None))).claim.reason == "Creating"
