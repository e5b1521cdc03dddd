"""What clouds tell: events with times that can be compared, and which of them are over."""

from datetime import UTC, datetime

import pytest

from kubenode.core.capability import CloudEvent, CommandResult, CommandState, EventState, Impact, SupportsTags

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001


def test_what_is_over() -> None:
    """Whatever is not known to be over is not."""
    over = {state for state in EventState if state.over}
    assert over == {EventState.EXECUTED, EventState.AVOIDED, EventState.CANCELED, EventState.FAILED}


@pytest.mark.parametrize("field", ["not_before", "not_after"])
def test_times_have_a_zone(field: str) -> None:
    """Without one it could not be compared with the clock; an unknown time is none."""
    with pytest.raises(ValueError, match=f"{field} has no time zone"):
        CloudEvent(id="e", instance="i", type="x", **{field: NAIVE})
    assert getattr(CloudEvent(id="e", instance="i", type="x", **{field: NAIVE.replace(tzinfo=UTC)}), field)


def test_a_word_that_is_not_known_promises_nothing() -> None:
    """It is shown, counts as not over, and names no time."""
    event = CloudEvent(id="e", instance="i", type="NewWord")
    assert (event.impact, event.state.over, event.not_before, event.not_after) == (Impact.OTHER, False, None, None)  # fmt: skip


def test_output_of_a_command_is_in_no_repr() -> None:
    """It may hold keys."""
    assert "hunter2" not in repr(CommandResult(state=CommandState.SUCCEEDED, output=b"hunter2"))


def test_a_capability_is_a_method() -> None:
    """Nothing else has to be said."""

    class Cloud:
        def set_tags(self, instance_id: str, tags: dict[str, str], /) -> None: ...

    assert isinstance(Cloud(), SupportsTags)
    assert not isinstance(object(), SupportsTags)
