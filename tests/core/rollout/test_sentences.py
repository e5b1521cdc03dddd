"""Each sentence of the design that the rollout decider can break, and the tests that would fail if one did.

The words are those of api.md, sections 1 to 3 where they bind a rollout, and section 4, "Component upgrade".
"""

import pytest

from tests.sentences import FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Sections 1 and 2.
    ("Only a changed spec.component starts a rollout", ("core/rollout/test_upgrade.py::test_only_a_changed_component_starts_a_rollout",)),
    (
        "an entry that names another set is left alone and both sets get condition Conflict",
        (
            "core/rollout/test_story.py::test_an_entry_of_another_set_is_left_alone",
            "core/rollout/test_story.py::test_a_member_that_another_set_takes_is_gone",
            "core/rollout/test_properties.py::test_one_decision_touches_a_batch_and_those_who_join",
        ),
    ),
    ("A missing entry never means uninstall", ("core/rollout/test_story.py::test_a_machine_that_lost_its_entry_gets_a_further_batch",)),
    (
        "An unknown phase (a newer version's): hands off",
        ("core/rollout/test_story.py::test_a_set_in_a_phase_of_a_newer_version_is_left_alone", "core/rollout/test_story.py::test_a_set_of_a_newer_version_is_left_alone"),
    ),
    # Section 3.
    (
        "an open batch is the request; who finds its op-id among the holds may act",
        (
            "core/rollout/test_upgrade.py::test_no_machine_that_has_run_is_touched_without_its_permit",
            "core/rollout/test_story.py::test_an_unwritten_entry_is_written_again_while_the_permit_is_open",
            "core/rollout/test_story.py::test_waiting_for_permits_is_told",
        ),
    ),
    (
        "Needs none: class none, whatever happens to a machine before it was first Running",
        ("core/rollout/test_story.py::test_class_none_asks_for_no_permit", "core/rollout/test_story.py::test_the_first_revision_is_given_to_joining_machines"),
    ),
    (
        "On a bare host the entries its Node needs are written and installed while Importing, before the Node registers",
        ("core/rollout/test_story.py::test_on_a_bare_host_the_entries_its_node_needs_are_written_before_the_node_registers",),
    ),
    ("A rollback waits for no inspection", ("core/rollout/test_story.py::test_going_back_is_a_new_revision", "core/rollout/test_upgrade.py::test_a_way_back_waits_for_no_inspection")),
    (
        "A freeze switch, honoured within one decision",
        (
            "core/rollout/test_hands.py::test_a_freeze_between_permit_and_start_stops_the_start",
            "core/rollout/test_hands.py::test_a_freeze_ends_exactly",
            "core/rollout/test_hands.py::test_what_has_begun_goes_on_in_a_freeze",
            "runtime/test_rollout_controller.py::test_a_freeze_and_its_end_wake_the_sets_with_an_open_batch",
        ),
    ),
    (
        "label kubenode.dev/hold on Machine or Node",
        (
            "core/rollout/test_hands.py::test_a_rollout_does_not_start_on_a_held_machine",
            "core/rollout/test_hands.py::test_a_machine_held_between_permit_and_start_is_not_touched",
            "core/rollout/test_hands.py::test_what_has_begun_on_a_held_machine_goes_on",
            "runtime/test_rollout_controller.py::test_a_rollout_passes_over_who_is_held_until_the_label_goes",
        ),
    ),
    ("70 % of a zone NotReady: nothing is drained there", ("core/rollout/test_hands.py::test_unavailable_machines_are_not_touched_in_a_scope_whose_breaker_is_open",)),
    # Section 4, component upgrade.
    (
        "Sizes are increments (200 machines: 1, 5, 10, 50, 100, 34); the last repeats",
        (
            "core/rollout/test_story.py::test_two_hundred_machines_in_six_batches",
            "core/rollout/test_properties.py::test_batches_are_increments",
            "core/rollout/test_batch.py::test_batch_size",
        ),
    ),
    (
        "a percentage is of the machines selected when the revision began, rounded up",
        ("core/rollout/test_upgrade.py::test_a_percentage_is_of_the_machines_selected_when_the_revision_began", "core/rollout/test_batch.py::test_batch_size"),
    ),
    (
        "A batch is a gate, not a concurrency: inside it machines start as maxUnavailable and permits allow",
        ("core/rollout/test_upgrade.py::test_a_batch_is_a_gate_not_a_concurrency", "core/rollout/test_properties.py::test_unavailable_never_exceeds_what_may_be"),
    ),
    (
        "Members are fixed when it opens (revision and batch in the entry are the record)",
        (
            "core/rollout/test_upgrade.py::test_members_are_fixed_when_it_opens",
            "core/rollout/test_batch.py::test_an_entry_bears_the_state_that_the_set_wants",
            "core/rollout/test_properties.py::test_from_every_prefix_of_effects_the_end_is_the_same",
        ),
    ),
    (
        "ordered by zone, then stable hash",
        ("core/rollout/test_upgrade.py::test_members_are_ordered_by_zone_then_stable_hash", "core/rollout/test_tally.py::test_candidates_in_order"),
    ),
    (
        "It closes when every member is Updated, Failed or gone",
        (
            "core/rollout/test_upgrade.py::test_it_closes_when_every_member_is_updated_failed_or_gone",
            "core/rollout/test_upgrade.py::test_a_member_that_is_gone_does_not_hold_up_its_batch",
            "core/rollout/test_story.py::test_a_machine_replaced_under_its_name_is_gone",
        ),
    ),
    (
        "Updated (all three states at target for minReadySeconds)",
        (
            "core/rollout/test_tally.py::test_at_target_means_all_three_states",
            "core/rollout/test_story.py::test_flapping_starts_the_ready_time_anew_and_ends_at_the_deadline",
            "core/rollout/test_properties.py::test_ready_reports_of_an_older_revision_do_not_count",
            "core/rollout/test_properties.py::test_at_rest_and_exact_deadlines",
        ),
    ),
    ("Failed", ("core/rollout/test_story.py::test_a_silent_agent_fails_at_the_progress_deadline", "core/rollout/test_properties.py::test_failures_are_counted_once")),
    (
        "then inspections; inconclusive pauses",
        ("core/rollout/test_story.py::test_an_unavailable_updated_machine_makes_the_inspection_inconclusive", "core/rollout/test_upgrade.py::test_an_inspection_pauses_at_once_and_the_observation_goes_on"),
    ),
    (
        "condition rate of updated against not-yet-updated machines",
        (
            "core/rollout/test_control.py::test_chance_by_hand",
            "core/rollout/test_control.py::test_a_worse_rate_pauses_with_its_numbers",
            "core/rollout/test_control.py::test_too_few_machines_pause_only_if_the_spec_says_so",
            "core/rollout/test_tally.py::test_the_fold_equals_a_recount",
        ),
    ),
    ("then the observation time; then the next", ("core/rollout/test_story.py::test_a_closed_batch_is_observed_before_the_next_opens",)),
    (
        "failureThreshold (0) counts the revision's failures",
        (
            "core/rollout/test_story.py::test_a_bad_machine_pauses_and_an_excuse_goes_on",
            "core/rollout/test_story.py::test_failures_within_the_threshold_are_borne",
            "core/rollout/test_batch.py::test_a_revision_begins_with_nothing_counted",
            "core/rollout/test_properties.py::test_no_more_starts_once_the_failures_exceed",
        ),
    ),
    (
        "resume excuses those so far",
        ("core/rollout/test_upgrade.py::test_an_excuse_covers_the_failures_so_far_and_no_later_one", "core/rollout/test_story.py::test_an_excuse_of_another_revision_excuses_nothing"),
    ),
    (
        "they keep last-good and retry with back-off, and the rollout ends Complete, excused: 1",
        (
            "core/rollout/test_upgrade.py::test_an_excused_machine_keeps_its_entry_so_that_its_agent_retries",
            "core/host/test_decide.py::test_a_failed_component_keeps_the_old_one_and_is_tried_again_after_a_growing_pause",
            "core/host/test_plan.py::test_no_hour_sees_more_than_three_tries",
            "runtime/test_excused.py::test_resume_excuses_those_so_far_they_keep_last_good_and_retry_with_back_off",
            "runtime/test_excused.py::test_a_try_that_succeeds_ends_the_retries_and_the_machine_counts_as_updated",
        ),
    ),
    ("Already unavailable machines go first", ("core/rollout/test_story.py::test_unavailable_machines_go_first",)),
    ("and cost no maxUnavailable", ("core/risk/test_decide.py::test_max_unavailable",)),
    ("but count in batch size and windows", ("core/rollout/test_upgrade.py::test_unavailable_machines_count_in_batch_size", "core/risk/test_decide.py::test_machine_that_is_down_already_counts_in_windows")),
    (
        "are not touched in a scope whose breaker is open",
        (
            "core/risk/test_decide.py::test_no_grant_in_a_zone_that_is_down",
            "core/rollout/test_hands.py::test_unavailable_machines_are_not_touched_in_a_scope_whose_breaker_is_open",
        ),
    ),
    (
        "a batch needs one formerly healthy member to count as proof",
        (
            "core/rollout/test_people.py::test_batches_grow_only_after_proof",
            "core/rollout/test_batch.py::test_only_an_updated_machine_that_was_available_is_proof",
            "core/rollout/test_batch.py::test_members_record_whether_they_were_available",
        ),
    ),
    ("Pause, resume", ("core/rollout/test_story.py::test_a_paused_rollout_touches_nobody", "core/rollout/test_story.py::test_an_open_permit_starts_nobody_while_paused")),
    ("approve", ("core/rollout/test_people.py::test_a_closed_batch_waits_for_a_person", "core/rollout/test_people.py::test_a_word_before_the_end_does_not_shorten_the_observation")),
    ("skip", ("core/rollout/test_people.py::test_a_skipped_machine_is_left_alone_as_long_as_the_word_stands", "core/rollout/test_properties.py::test_who_is_kept_or_skipped_is_not_touched")),
    ("roll back", ("core/rollout/test_people.py::test_going_back_leaves_alone_who_never_left", "core/rollout/test_properties.py::test_going_back_leaves_who_never_left")),
    ("partition", ("core/rollout/test_people.py::test_a_partition_keeps_the_last_machines_until_it_is_lowered", "core/rollout/test_tally.py::test_the_partition_keeps_the_last_in_the_fixed_order")),
    ("a spec change in the middle", ("core/rollout/test_story.py::test_a_change_in_the_middle_converges_to_the_last", "core/rollout/test_properties.py::test_every_machine_ends_at_the_last_revision")),
    ("machines that join (current stable revision)", ("core/rollout/test_story.py::test_joining_machines_get_the_stable_revision",)),
    (
        "A second change to a machine joins its open hold before the first disruptive step, else waits",
        (
            "core/risk/test_joint.py::test_a_second_change_to_a_machine_joins_its_open_hold_before_the_first_disruptive_step",
            "core/risk/test_joint.py::test_else_it_waits_whoever_comes_when_the_hold_is_open_already",
            "core/risk/test_joint.py::test_released_only_when_all_that_joined_are_over",
            "core/risk/test_joint.py::test_a_machine_has_one_row_and_nobody_acts_without_a_live_place_in_it",
            "runtime/test_joint.py::test_changes_of_one_machine_that_wait_together_are_one_disruption",
            "runtime/test_joint.py::test_a_change_that_comes_after_the_first_has_begun_waits_for_its_own_permit",
            "core/rollout/test_upgrade.py::test_a_change_that_comes_while_a_machine_is_under_way_waits_for_its_own_permit",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION)
