"""Each sentence of the design on the instance of a machine, and the tests that would fail if one did not hold.

The words are those of api.md, section 4 ("Creation"), and of section 3 where they bind its end.
"""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "intent and token in the object first, then the call",
        (
            "core/instance/test_settle.py::test_the_intent_is_written_and_nothing_is_asked_in_the_same_decision",
            "core/instance/test_settle.py::test_the_call_is_what_the_intent_says",
            "core/instance/test_settle.py::test_who_wrote_the_intent_itself_remembers_that",
            "core/machine/test_instances.py::test_from_intent_to_running_step_by_step",
        ),
    ),
    (
        "then user data that enrols the agent.",
        (
            "core/instance/test_user_data.py::test_the_call_says_what_user_data_is_made_of",
            "userdata/test_render.py::test_it_is_files_and_one_program_with_arguments",
            "userdata/test_render.py::test_cloud_init_takes_it",
            "userdata/test_sent.py::test_a_call_that_is_repeated_by_another_process_is_the_same_call",
            "cluster/test_user_data.py::test_an_agent_enrols_from_the_bytes_that_its_cloud_was_sent",
        ),
    ),
    (
        "Token = hash(machine uid, attempt, all launch parameters including the zone)",
        (
            "core/instance/test_settle.py::test_the_token_is_of_uid_attempt_and_every_launch_parameter",
        ),
    ),
    (
        "a new attempt only after the old one is settled",
        (
            "core/instance/test_settle.py::test_what_is_not_settled_keeps_its_token_and_parameters",
            "core/instance/test_settle.py::test_another_attempt_needs_what_the_first_one_needed",
            "core/instance/test_settle.py::test_without_capacity_the_next_placement_is_tried_with_a_token_of_its_own",
            "core/instance/test_races.py::test_there_are_never_two_and_none_is_left_behind",
        ),
    ),
    (
        "A provider without idempotent create gets find-by-owner-tag and a grace time before every repeat",
        (
            "core/instance/test_repeat.py::TestWithoutTokens",
            "core/instance/test_settle.py::test_of_two_that_bear_its_uid_none_is_taken",
        ),
    ),
    (
        "terminate needs a permit; whatever happens to a machine before it was first Running needs none",
        (
            "core/instance/test_leave.py::TestMade",
            "core/machine/test_instances.py::TestDeletion",
            "stories/test_cloud_enumeration.py::test_a_termination_without_a_permit_is_noticed",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
