"""An instance that was made: what is said of each state, how long is waited, and what proves that it is no more."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.hookspecs import InstanceState
from kubenode.core.instance.evidence import ABSENCE, VISIBLE, dead, doubted, leaving
from kubenode.core.instance.intent import own, terminate_op_id, token_of
from kubenode.core.instance.keep import keep
from kubenode.core.instance.seen import MACHINE_UID_TAG
from kubenode.core.instance.turn import POLL, SLOW, pause
from kubenode.core.instance.watch import CREATION, JOIN
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import Switch
from tests.core.instance.given import HERE, MINUTE, TOKEN, UID, WALL, case, instance, machine, status

S = m.InstanceStep
MADE = status(S.MADE)
RAN = machine(MADE, first_running=WALL)


def standing(reason: str, holds: Switch = Switch.TRUE) -> tuple[Condition, ...]:
    """The condition that a process before this one left."""
    return (
        Condition(type="Ready", reason="AllReady", last_transition_time=WALL),
        Condition(
            type="InstanceReady", status=holds, reason=reason, message="as it was", last_transition_time=WALL
        ),
    )


@pytest.mark.parametrize(
    ("state", "holds", "reason", "look"),
    [
        (InstanceState.RUNNING, Switch.TRUE, "InstanceRunning", SLOW),
        (InstanceState.PENDING, Switch.FALSE, "InstanceStarting", POLL),
        (InstanceState.UNKNOWN, Switch.FALSE, "InstanceStarting", POLL),
        (InstanceState.STOPPING, Switch.FALSE, "InstanceStopped", None),
        (InstanceState.STOPPED, Switch.FALSE, "InstanceStopped", None),
        (InstanceState.DELETING, Switch.FALSE, "InstanceGone", POLL),
    ],
)
def test_what_is_said_of_each_state(
    state: InstanceState, holds: Switch, reason: str, look: int | None
) -> None:
    """And from when another look is of use."""
    turn = keep(case(MADE, looked=0, known=instance(state=state)))
    assert (turn.claim.holds, turn.claim.reason, turn.look) == (holds, reason, look)
    assert turn.effects == ()
    later = keep(case(MADE, at=5, known=instance(state=state)))
    assert later.look == (None if look is None else look + 5)


@pytest.mark.parametrize("given", [{"joined": True}, {"one": RAN}])
def test_one_that_runs_and_has_joined_wants_no_look(given: dict[str, object]) -> None:
    """At rest nobody looks."""
    turn = keep(case(MADE, known=instance(), **given))  # type: ignore[arg-type]
    assert (turn.look, turn.wake_at, turn.claim.reason) == (None, None, "InstanceRunning")


def test_one_whose_node_has_fallen_silent_is_looked_at_once() -> None:
    """It may be no more; when it is well again, or was seen since, nobody looks."""
    turn = keep(case(MADE, at=9, joined=True, well=False, looked=9, known=instance()))
    assert (turn.claim.reason, turn.look) == ("InstanceRunning", 10)
    seen = keep(
        case(MADE, at=99, joined=True, well=False, looked=10, known=instance(), sightings=turn.sightings)
    )
    assert (seen.look, seen.sightings) == (None, turn.sightings)
    assert keep(case(MADE, at=9, joined=True, well=False, known=instance())).look == 10
    well = keep(case(MADE, at=99, joined=True, looked=10, known=instance(), sightings=turn.sightings))
    assert "unwell:i-1" not in well.sightings
    stood = machine(MADE, conditions=standing("InstanceRunning"))
    assert keep(case(one=stood, at=7, well=False)).look == 7


def test_what_the_provider_says_later_is_written_and_not_forgotten() -> None:
    """Some give providerID and zone with the second look only."""
    turn = keep(case(MADE, known=instance(provider_id="p", zone="b")))
    assert turn.instance == attrs.evolve(MADE, provider_id="p", zone="b")
    known = attrs.evolve(MADE, provider_id="p", zone="b")
    assert keep(case(known, known=instance(zone=""))).instance == known


@pytest.mark.parametrize(
    ("state", "limit", "reason"),
    [(InstanceState.PENDING, CREATION, "CreationTimeout"), (InstanceState.RUNNING, JOIN, "JoinTimeout")],
)
def test_one_that_takes_too_long_is_given_up(state: InstanceState, limit: int, reason: str) -> None:
    """It never ran: its end is intended, then asked for; a nanosecond before the limit nothing is different (F30)."""
    turn = keep(case(MADE, known=instance(state=state)))
    assert turn.wake_at == limit
    before = keep(case(MADE, at=limit - 1, known=instance(state=state), sightings=turn.sightings))
    assert (before.claim, before.instance, before.wake_at) == (
        turn.claim,
        attrs.evolve(MADE, zone="a"),
        limit,
    )
    over = keep(case(MADE, at=limit, known=instance(state=state), sightings=before.sightings))
    assert over.instance == attrs.evolve(MADE, step=S.TERMINATING, reason=reason, zone="a")
    assert (over.claim.reason, over.effects) == (reason, ())
    assert own(terminate_op_id(UID, 1)) in over.sightings


def test_one_that_ran_is_not_given_up() -> None:
    """A restart of the cloud's own may take its time."""
    turn = keep(
        case(
            one=RAN,
            at=CREATION * 9,
            known=instance(state=InstanceState.PENDING),
            sightings={"starting:i-1": 0},
        )
    )
    assert turn.instance is not None
    assert (turn.instance.step, turn.wake_at) == (S.MADE, None)


def test_a_process_that_has_just_begun_says_what_stood() -> None:
    """10,000 machines do not change their condition since the controller was restarted."""
    known = keep(case(one=machine(MADE, conditions=standing("InstanceRunning"))))
    assert (known.claim.holds, known.claim.reason, known.claim.message, known.look) == (
        Switch.TRUE,
        "InstanceRunning",
        "as it was",
        None,
    )
    other = keep(case(one=machine(MADE, conditions=standing("InstanceStarting", Switch.FALSE)), at=7))
    assert (other.claim.reason, other.look) == ("InstanceStarting", 7)
    assert keep(case(MADE)).claim.holds is Switch.UNKNOWN


class TestGone:
    """What proves that an instance is no more."""

    def test_an_end_that_has_begun_is_none_yet(self) -> None:
        """It counts until the provider says terminated."""
        states = {state: instance(state=state) for state in InstanceState}
        assert {state for state, one in states.items() if dead(one)} == {InstanceState.TERMINATED}
        assert {state for state, one in states.items() if leaving(one)} == {
            InstanceState.DELETING,
            InstanceState.TERMINATED,
        }

    def test_the_providers_word(self) -> None:
        """Terminated is terminated."""
        turn = keep(case(MADE, known=instance(state=InstanceState.TERMINATED)))
        assert turn.instance == attrs.evolve(MADE, step=S.GONE)
        assert (turn.claim.reason, turn.effects) == ("InstanceGone", ())

    @pytest.mark.parametrize(
        ("blind", "shows"), [(None, VISIBLE), (MINUTE, VISIBLE), (2 * VISIBLE, 2 * VISIBLE)]
    )
    def test_two_looks_that_do_not_show_it_after_it_had_time_to_show(
        self, blind: int | None, shows: int
    ) -> None:
        """One is no proof, nor are two at once, nor any soon after it was made (F26), be it long by the provider's word."""
        sightings: dict[str, int] = {}
        for looked, gone in (
            (0, False),
            (shows - 1, False),
            (shows, False),
            (shows + ABSENCE - 1, False),
            (shows + ABSENCE, True),
        ):
            turn = keep(case(MADE, at=looked, looked=looked, missing=True, blind=blind, sightings=sightings))
            sightings = dict(turn.sightings)
            assert turn.instance is not None
            assert (turn.instance.step is S.GONE) is gone
            assert turn.effects == ()
        assert turn.claim.reason == "InstanceGone"

    def test_the_condition_says_that_it_is_looked_for(self) -> None:
        """And from when a look is of use."""
        turn = keep(case(MADE, looked=0, missing=True))
        assert (turn.claim.holds, turn.claim.reason, turn.look, turn.deferred) == (
            Switch.UNKNOWN,
            "InstanceMissing",
            VISIBLE,
            True,
        )

    def test_a_look_that_shows_it_again_begins_anew(self) -> None:
        """The first one is forgotten."""
        first = keep(case(MADE, at=VISIBLE * 2, looked=VISIBLE * 2, missing=True, sightings={"made:i-1": 0}))
        assert first.sightings["missed:i-1"] == VISIBLE * 2
        shown = keep(
            case(MADE, at=VISIBLE * 3, looked=VISIBLE * 3, known=instance(), sightings=first.sightings)
        )
        assert "missed:i-1" not in shown.sightings

    def test_of_one_that_was_just_made_the_answer_is_believed(self) -> None:
        """A cloud that is late does not show it, and knows it."""
        turn = keep(case(MADE, at=1, looked=1, known=instance(), missing=True, sightings={"made:i-1": 0}))
        assert turn.claim.reason == "InstanceRunning"
        late = keep(
            case(MADE, at=VISIBLE, looked=VISIBLE, known=instance(), missing=True, sightings={"made:i-1": 0})
        )
        assert late.claim.reason == "InstanceMissing"

    @pytest.mark.parametrize(
        ("well", "joined", "look"), [(True, True, VISIBLE), (False, True, VISIBLE), (True, False, 1 + SLOW)]
    )
    def test_one_that_no_look_has_shown_yet_is_looked_at_when_it_would(
        self, well: bool, joined: bool, look: int
    ) -> None:
        """It may have been terminated meanwhile, and at rest nobody looks."""
        seen = {"known": instance(), "missing": True, "sightings": {"made:i-1": 0, "unwell:i-1": 0}}
        turn = keep(case(MADE, at=1, looked=1, well=well, joined=joined, **seen))  # type: ignore[arg-type]
        assert (turn.claim.reason, turn.look) == ("InstanceRunning", look)

    def test_a_look_that_is_doubted_proves_nothing(self) -> None:
        """An empty list is no evidence that all are gone (F22)."""
        for at in (VISIBLE, VISIBLE * 9):
            turn = keep(
                case(
                    MADE,
                    at=at,
                    looked=at,
                    missing=True,
                    doubt="too many",
                    sightings={"made:i-1": 0, "missed:i-1": 0},
                )
            )
            assert (turn.claim.holds, turn.claim.reason, turn.claim.message) == (
                Switch.UNKNOWN,
                "LookDoubted",
                "too many",
            )
            assert turn.instance == MADE

    @pytest.mark.parametrize(
        ("known", "missing", "expected"),
        [
            (0, 0, False),
            (1, 1, False),
            (2, 1, False),
            (2, 2, True),
            (20, 5, False),
            (20, 6, True),
            (99, 9, False),
            (99, 10, True),
            (100, 10, False),
            (100, 11, True),
        ],
    )
    def test_more_than_are_borne_or_all_of_several_are_doubted(
        self, known: int, missing: int, expected: bool
    ) -> None:
        """The same bounds as for machines that somebody deletes."""
        assert doubted(known, missing) is expected


class TestStrangers:
    """What is not certainly the machine's is left alone: a condition with the fix, and nothing else."""

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({"known": instance(tags={})}, "InstanceUntagged"),
            ({"known": instance(tags={MACHINE_UID_TAG: "another's"})}, "InstanceForeign"),
            ({"known": instance(), "rivals": ("c2", "c3")}, "InstanceConflict"),
            ({"known": instance(), "mine": (instance(), instance("i-2"))}, "InstanceTwice"),
            ({"known": instance(state=InstanceState.TERMINATED, tags={})}, "InstanceUntagged"),
        ],
    )
    @pytest.mark.parametrize("step", [S.MADE, S.TERMINATING])
    def test_nothing_is_done(self, step: m.InstanceStep, given: dict[str, object], reason: str) -> None:
        """Neither another instance, nor the end of this one."""
        before = status(step)
        if step is S.TERMINATING and reason == "InstanceTwice":
            return  # one of them is certainly its own, by the id that its status names
        turn = keep(case(before, at=JOIN * 2, looked=JOIN * 2, sightings={"joining:i-1": 0}, **given))  # type: ignore[arg-type]
        assert (turn.effects, turn.instance, turn.claim.holds, turn.claim.reason) == (
            (),
            before,
            Switch.FALSE,
            reason,
        )
        assert turn.deferred

    def test_its_own_other_one_that_is_dead_does_not_count(self) -> None:
        """What an earlier attempt left."""
        mine = (instance(), instance("i-0", InstanceState.TERMINATED))
        assert keep(case(MADE, known=instance(), mine=mine)).claim.reason == "InstanceRunning"

    def test_one_that_is_dead_has_no_rival(self) -> None:
        """Its successor is there already, and the status does not name it yet: nothing for a person to say."""
        dead_one = instance(state=InstanceState.TERMINATED)
        turn = keep(case(MADE, known=dead_one, mine=(dead_one, instance("i-2"))))
        assert turn.instance is not None
        assert (turn.instance.step, turn.claim.reason, turn.deferred) == (S.GONE, "InstanceGone", False)


class TestAgain:
    """After one that is no more."""

    def test_one_that_had_come_up_is_asked_for_at_once(self) -> None:
        """Attempt and token are new."""
        turn = keep(case(status(S.GONE)))
        assert turn.instance is not None
        assert (turn.instance.step, turn.instance.attempt, turn.instance.token) == (
            S.CREATING,
            2,
            token_of(UID, 2, HERE),
        )

    def test_one_that_never_came_up_only_after_a_pause_that_grows(self) -> None:
        """No loop of instances that do not boot."""
        gone = status(S.GONE, reason="JoinTimeout", attempt=4)
        at = pause(4, TOKEN)
        turn = keep(case(gone))
        assert (turn.claim.reason, turn.wake_at, turn.instance) == ("BackingOff", at, gone)
        assert keep(case(gone, at=at - 1, sightings=turn.sightings)).wake_at == at
        another = keep(case(gone, at=at, sightings=turn.sightings)).instance
        assert another is not None
        assert (another.step, another.attempt, another.reason) == (S.CREATING, 5, "")
