"""A call that may have been made: by a provider without tokens, or with parameters that nobody reads as they were."""

import pytest

from kubenode.core.instance.evidence import ABSENCE, VISIBLE
from kubenode.core.instance.intent import own
from kubenode.core.instance.keep import keep
from kubenode.core.instance.turn import due
from kubenode.core.model.meta import Switch
from tests.core.instance.given import (
    HERE,
    MINUTE,
    TOKEN,
    answer,
    asked,
    case,
    said,
    status,
)


class TestWithoutTokens:
    """A provider that takes no tokens is asked again only after looks that show nothing."""

    def test_the_first_call_needs_no_look_where_this_process_wrote_the_intent(self) -> None:
        """Nobody has asked before."""
        assert asked(keep(case(status(), blind=MINUTE, sightings={own(TOKEN): 0})))

    @pytest.mark.parametrize("lost", [None, answer("Ambiguous", at=0)])
    def test_a_repeat_waits_for_its_grace_and_two_looks(self, lost: object) -> None:
        """The answer was lost, or this process has just begun."""
        sightings: dict[str, int] = {}
        turn = keep(case(status(), blind=MINUTE, answer=lost))
        assert (turn.effects, said(turn), turn.look) == ((), (Switch.UNKNOWN, "CreateAmbiguous"), MINUTE)
        for looked, shown in (
            (MINUTE - 1, False),
            (MINUTE, False),
            (MINUTE + ABSENCE - 1, False),
            (MINUTE + ABSENCE, True),
        ):
            sightings = dict(turn.sightings)
            turn = keep(
                case(
                    status(),
                    at=looked,
                    blind=MINUTE,
                    answer=lost,
                    looked=looked,
                    missing=True,
                    sightings=sightings,
                )
            )
            assert bool(turn.effects) is shown
        assert asked(turn).token == TOKEN

    def test_credentials_that_are_not_taken_say_nothing_of_the_call_before(self) -> None:
        """It was lost: it is looked for once more before the next one."""
        given = answer("AuthFailed", tries=2)
        turn = keep(case(status(), blind=MINUTE, answer=given, sightings={own(TOKEN): 0}))
        assert (turn.effects, turn.claim.reason, turn.look) == ((), "CreateAmbiguous", MINUTE)

    def test_what_was_refused_is_asked_again_without_a_look(self) -> None:
        """Throttled says that nothing was done."""
        given = answer("Throttled")
        assert asked(keep(case(status(), at=due(given), blind=MINUTE, answer=given)))


@pytest.mark.parametrize(("blind", "shows"), [(None, VISIBLE), (MINUTE, VISIBLE), (2 * VISIBLE, 2 * VISIBLE)])
def test_what_cannot_be_repeated_as_it_was_is_looked_for(blind: int | None, shows: int) -> None:
    """The plugin reads the parameters otherwise now, so that the token would be of something else (F36)."""
    seen: dict[str, object] = {"pinned": ("something else",), "wanted": ("something else",), "blind": blind}
    turn = keep(case(status(), **seen))  # type: ignore[arg-type]
    looks = sorted({*range(0, shows + 3 * ABSENCE, MINUTE // 2), shows - 1})
    for looked in looks:
        assert (turn.effects, turn.claim.reason, turn.instance) == ((), "CreateAmbiguous", status())
        last = turn
        seen = {**seen, "looked": looked, "missing": True, "sightings": turn.sightings}
        turn = keep(case(status(), at=looked, **seen))  # type: ignore[arg-type]
        if turn.instance != status():
            break
    assert turn.instance is not None
    assert (turn.instance.attempt, turn.instance.choice, turn.effects) == (2, 0, ())
    assert looked >= shows + ABSENCE
    assert last.look is not None
    assert looked - MINUTE // 2 < last.look <= looked


def test_where_the_placement_is_no_more_nothing_is_asked_for() -> None:
    """The parameters have fewer of them, as the plugin reads them now; or it asks after a pause."""
    for choice in (1, 5):
        turn = keep(case(status(choice=choice), pinned=(HERE,)))
        assert (turn.effects, turn.claim.reason) == ((), "CreateAmbiguous")
    throttled = answer("Throttled")
    turn = keep(case(status(), at=due(throttled), answer=throttled, pinned=("something else",)))
    assert (turn.effects, turn.claim.reason) == ((), "CreateAmbiguous")
