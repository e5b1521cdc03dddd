"""Each sentence of the design on drift and on what an agent does to its host, and the tests that would fail if one did not hold.

The words are those of api.md, sections 1, 3 and 4 ("Drift", "Component upgrade", "Hung node").
"""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Section 4, drift.
    (
        "The agent re-inspects periodically",
        (
            "core/host/test_drift.py::test_the_agent_re_inspects_periodically",
            "core/host/test_drift.py::test_the_period_is_bounded",
            "runtime/test_drift.py::test_an_agent_that_is_told_of_nothing_looks_again_by_itself",
        ),
    ),
    (
        "and on file or unit change",
        (
            "runtime/test_drift.py::test_a_changed_file_or_unit_is_seen_at_once",
            "runtime/agent/test_watch.py::test_a_change_of_a_file_asks_for_a_look",
            "runtime/agent/test_watch.py::test_a_unit_that_stops_starts_or_dies_is_heard_of",
            "hosts/test_agent.py::test_what_is_changed_by_hand_is_heard_of_and_not_waited_for",
        ),
    ),
    (
        "Repair of class none or restart needs no permit",
        ("core/host/test_drift.py::test_repair_of_class_none_or_restart_needs_no_permit",),
    ),
    (
        "at most 3 a component and hour on a node",
        (
            "core/host/test_drift.py::test_at_most_3_a_component_and_hour_on_a_node",
            "core/host/test_drift.py::test_the_limit_is_of_a_component_and_outlives_its_revision",
            "core/host/test_drift.py::test_after_a_restart_of_the_agent_the_last_repairs_count_as_just_begun",
            "core/host/test_drift.py::test_no_hour_sees_more_than_three_repairs_of_a_component_whatever_happens",
        ),
    ),
    ("delayed by hash over 60 s", ("core/host/test_drift.py::test_delayed_by_hash_over_60_s",)),
    (
        "one component at a time",
        ("core/host/test_drift.py::test_one_component_at_a_time", "core/host/test_decide.py::test_one_component_at_a_time"),
    ),
    (
        "when more than max(3, 5 %) of a set report the same drift within 10 minutes the controller holds repair of that component and says why",
        (
            "core/drift/test_drift.py::test_when_more_than_max_3_or_5_percent_of_a_set_report_the_same_drift_the_repair_is_held",
            "core/drift/test_drift.py::test_within_10_minutes_is_exact",
            "core/drift/test_drift.py::test_drift_of_another_component_of_the_set_is_another_drift",
            "core/drift/test_drift.py::test_repaired_drifts_of_the_last_ten_minutes_count",
            "core/drift/test_drift.py::test_at_rest_either_all_who_drift_are_held_or_nobody",
            "core/host/test_drift.py::test_what_the_controller_holds_is_not_repaired_and_why_is_said",
            "core/host/test_drift.py::test_repair_waits_until_the_controller_can_know_of_the_drift",
            "runtime/test_drift.py::test_a_bad_actor_changes_a_file_on_20_of_100_machines_and_most_are_held_until_a_person_speaks",
        ),
    ),
    (
        "Class drain or reboot always asks",
        (
            "core/host/test_drift.py::test_class_drain_or_reboot_always_asks_and_is_never_repaired_without_a_permit",
            "core/host/test_drift.py::test_another_try_of_class_drain_or_reboot_would_take_a_permit",
            "core/host/test_operation.py::test_class_drain_or_reboot_is_repaired_when_the_operation_says_so_and_not_before",
            "core/host/test_operation.py::test_no_agent_repairs_class_drain_or_reboot_but_by_an_operation",
            "core/remedy/test_repair.py::test_it_asks_and_with_its_permit_the_agent_repairs_and_the_drift_is_proven_gone",
            "runtime/test_repair.py::test_drift_of_class_drain_or_reboot_is_repaired_with_a_permit_one_machine_after_another",
        ),
    ),
    # How a hold ends, as decided in docs/decisions/0034.
    (
        "a hold ends when no machine drifts, by a person's word, or by a new revision; never by time alone",
        (
            "core/drift/test_drift.py::test_a_hold_does_not_end_by_time_alone",
            "core/drift/test_drift.py::test_a_hold_ends_when_no_machine_drifts",
            "core/drift/test_drift.py::test_a_person_releases_as_many_as_the_word_names_and_no_more",
            "runtime/test_drift.py::test_a_new_revision_ends_a_hold",
        ),
    ),
    # Section 1: desired state.
    (
        "Desired state of a component means version, configuration and running state, each reported apart",
        ("core/host/test_drift.py::test_desired_state_means_version_configuration_and_running_state",),
    ),
    (
        "state: Absent does (mean uninstall)",
        ("core/host/test_decide.py::test_what_should_be_absent_is_at_target_when_it_is",),
    ),
    # Section 4, hung node: the agent's part.
    (
        "the agent journals, acts, answers in status.agent.operation",
        (
            "core/host/test_decide.py::test_the_answer_is_read_from_the_journal",
            "core/host/test_decide.py::test_a_new_operation_is_acknowledged_and_begun_once",
            "core/host/test_decide.py::test_all_is_done_once_whatever_fails_and_crashes",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
