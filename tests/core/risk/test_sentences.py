"""Each sentence of the design that the deciders of risk, remedy and health can break, and the tests that would fail if one did.

The words are those of api.md, sections 3 and 4 ("Hung node", "Zone outage"). What other rooms decide (components'
upgrade and drift, the agent's detector, MachineSets) is shown in theirs.
"""

import pytest

from tests.sentences import ASSIGNED, CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Section 3, permits.
    (
        "Asking is state: a job in Waiting, an open batch is the request",
        ("core/risk/test_asks.py::test_members_ask_hold_or_have_ended", "core/risk/test_asks.py::test_last_attempt_speaks_for_a_job"),
    ),
    (
        "a Machine that is to go, is the request",
        (
            "core/risk/test_asks.py::test_a_machine_that_is_to_end_asks",
            "core/machine/test_draining.py::test_who_asks_to_go_is_being_deleted_and_terminated",
            "core/machine/test_draining.py::test_a_deletion_waits_for_its_permit",
            "runtime/test_draining.py::test_deletion_drains_the_node",
            "stories/test_cloud_enumeration.py::test_a_termination_without_a_permit_is_noticed",
        ),
    ),
    (
        "drift of class drain or reboot opens jobs",
        (
            "core/remedy/test_repair.py::test_drift_of_class_drain_or_reboot_opens_a_job_and_no_other_class_does",
            "core/remedy/test_repair.py::test_the_name_of_its_job_is_a_function_of_machine_component_and_number_of_closed_episodes",
            "core/remedy/test_repair_properties.py::test_every_decision_is_pure_bounded_and_within_its_permit",
            "core/remedy/test_repair.py::test_attempts_are_capped_then_a_human",
            "core/risk/test_asks.py::test_a_job_of_drift_asks_as_drift_and_has_to_prove_itself",
            "runtime/test_repair.py::test_repairs_begin_one_at_a_time_and_more_only_as_they_are_proven",
            "stories/test_enumeration.py::test_a_disturbance_of_any_effect_changes_nothing",
        ),
    ),
    (
        "No job is opened for a node in a scope whose breaker is open: the answer is a deferral with its note",
        (
            "core/remedy/test_repair.py::test_no_job_is_opened_in_a_scope_whose_breaker_is_open_or_that_people_stopped",
            "runtime/test_repair.py::test_no_job_is_opened_in_a_zone_that_is_down_and_the_drift_is_repaired_after_it",
            "core/remedy/test_stories.py::test_in_an_outage_nothing_is_opened_and_afterwards_all_timers_start_afresh",
            "core/remedy/test_people.py::test_in_a_frozen_scope_no_job_opens",
            "core/remedy/test_properties.py::test_every_decision_is_pure_and_bounded_and_rests",
        ),
    ),
    (
        "One risk decider orders all who wait: human, cloud deadline, remedy, drift, rollout; then oldest",
        ("core/risk/test_people.py::test_served_are_human_cloud_deadline_remedy_drift_rollout_then_oldest",),
    ),
    ("grants a round in one write to the ledger", ("core/risk/test_decide.py::test_who_asks_with_room_is_granted_in_one_write",)),
    (
        "who finds its op-id among the holds may act",
        ("core/remedy/test_stories.py::test_without_its_permit_in_the_ledger_no_operation_is_written",),
    ),
    (
        "open holds are rows, at most one a machine uid, whoever asked",
        (
            "core/risk/test_decide.py::test_one_hold_for_each_machine",
            "core/risk/test_people.py::test_a_human_waits_only_for_the_act_that_has_the_machine",
            "core/risk/test_two_deciders.py::TestTwoDeciders",
        ),
    ),
    (
        "closed grants are counters per scope and time bucket; the oldest bucket counts whole",
        (
            "core/risk/test_decide.py::test_closed_grants_free_with_their_whole_bucket",
            "core/risk/test_spoilt.py::test_a_window_never_counts_fewer_than_a_full_history_and_one_bucket_more_at_most",
            "core/risk/test_spoilt.py::test_the_size_of_a_ledger_does_not_depend_on_the_length_of_its_history",
        ),
    ),
    ("Windows slide, of any length", ("core/risk/test_properties.py::test_deadlines_are_exact", "core/risk/test_window.py::test_counts_no_less_than_the_window_holds")),
    (
        "minute, hour, day by default",
        (
            "core/test_policy_rows.py::test_what_is_built_in",
            "core/test_policy_rows.py::test_each_window_of_the_built_in_policy_binds_in_a_cluster_of_any_size",
        ),
    ),
    ("Scopes nest: node, set, zone, region, cluster, fleet", ("core/risk/test_people.py::test_scopes_nest",)),
    (
        "the node's own history (attempts, episodes) lives on its Machine",
        ("core/remedy/test_people.py::test_the_cap_counts_all_episodes_of_the_machine_whatever_remedier",),
    ),
    ("Every RiskPolicy that matches must allow", ("core/risk/test_decide.py::test_every_policy_must_allow",)),
    (
        "Without one a strict built-in policy holds, never unlimited",
        (
            "core/risk/test_decide.py::test_without_a_policy_the_built_in_one_holds",
            "core/test_policy.py::test_without_any_limit_the_built_in_one_binds",
            "core/test_policy.py::test_what_allows_everything_is_never_unlimited",
        ),
    ),
    (
        "A ledger that is missing or has a new uid is rebuilt from jobs and Machines",
        (
            "core/risk/test_decide.py::test_missing_ledger_is_made",
            "core/risk/test_decide.py::test_lost_ledger_is_rebuilt_before_anything_is_granted",
            "core/risk/test_spoilt.py::test_a_ledger_with_a_new_uid_is_rebuilt",
            "runtime/test_controllers.py::test_a_permit_outlives_a_progress_deadline_while_the_agent_may_still_work",
        ),
    ),
    ("what cannot be known counts as used", ("core/risk/test_decide.py::test_lost_history_counts_as_used_for_a_day", "core/risk/test_decide.py::test_unreadable_counter_is_full")),
    (
        "A hold is released by its owner when the machine is available for minReadySeconds or the act was abandoned; by the risk decider when the owner's uid is gone",
        (
            "runtime/test_permits.py::test_a_hold_is_released_by_its_owner_when_the_machine_is_available_for_min_ready_seconds",
            "runtime/test_permits.py::test_a_machine_that_flaps_keeps_its_hold_until_it_was_available_without_a_break",
            "runtime/test_permits.py::test_what_has_failed_is_given_back_by_its_owner_too",
            "core/rollout/test_release.py::test_a_batch_stays_until_the_permits_of_what_is_over_are_given_back",
            "core/risk/test_decide.py::test_recorded_end_closes_at_once",
            "core/risk/test_decide.py::test_orphan_is_closed_after_its_grace_and_not_before",
            "core/remedy/test_abandoned.py::test_cancelled_exactly_after_the_grace",
        ),
    ),
    (
        "never by time alone while the act may still run",
        (
            "core/risk/test_decide.py::test_owner_that_holds_outlives_any_record_and_any_time",
            "core/risk/test_asks.py::test_an_act_may_still_run_until_its_agent_has_reported_on_the_entry",
            "runtime/test_controllers.py::test_a_permit_outlives_a_progress_deadline_while_the_agent_may_still_work",
        ),
    ),
    (
        "Needs a permit: cordon, drain, restart class, reboot, power, reimage, replace, terminate",
        ("core/risk/test_needs.py::test_needs_a_permit", "core/risk/test_needs.py::test_a_rollout_follows_the_table"),
    ),
    (
        "Needs none: look, stage, class none, whatever happens to a machine before it was first Running, un-cordon, cancel, un-freeze",
        (
            "core/risk/test_needs.py::test_needs_a_permit",
            "core/risk/test_asks.py::test_no_batch_or_no_disruption_asks_for_nothing",
            "runtime/test_permits.py::test_needs_none_class_none_and_whatever_happens_before_a_machine_was_first_running",
        ),
    ),
    (
        "A rollback waits for no rate window but keeps maxUnavailable, in-flight limits and open breakers",
        (
            "core/risk/test_people.py::test_a_rollback_waits_for_no_rate_window",
            "core/risk/test_people.py::test_a_rollback_keeps_max_unavailable_in_flight_limits_and_open_breakers",
            "core/risk/test_asks.py::test_a_rollback_brings_back_what_was_last_complete",
        ),
    ),
    (
        "What a human forces is never refused, but recorded, and narrows what automation may do next",
        (
            "core/risk/test_people.py::test_what_a_human_forces_is_never_refused_but_recorded",
            "core/risk/test_people.py::test_what_a_human_forces_narrows_what_automation_may_do_next",
            "core/remedy/test_people.py::test_a_forced_episode_goes_on_whatever_stops_automation",
            "runtime/test_controllers.py::test_a_person_forces_an_episode_through_a_freeze",
        ),
    ),
    (
        "Unavailable: the Node is not Ready, or a hold is open",
        ("core/risk/test_decide.py::test_max_unavailable", "core/risk/test_decide.py::test_act_without_a_hold_still_has_its_machine"),
    ),
    (
        "Denominator: selected machines that should be up (Running, Updating, Repairing), from the snapshot",
        ("runtime/test_inventory.py::test_kept_by_single_changes_is_what_a_recount_finds", "core/risk/test_decide.py::test_limits_by_scope"),
    ),
    ("Every set that selects a machine counts it", ("core/risk/test_decide.py::test_every_set_of_a_machine_counts_it", "core/risk/test_decide.py::test_max_unavailable")),
    ("floor of one", ("core/risk/test_people.py::test_percentages_have_a_floor_of_one",)),
    ("zone states as kube-controller-manager's", ("core/health/test_zones.py::test_state_by_share_and_number", "core/risk/test_decide.py::test_no_grant_in_a_zone_that_is_down")),
    (
        "freeze of the cluster when every zone with more than one node is Full",
        ("core/health/test_zones.py::test_cluster_freezes_when_every_zone_is_down", "core/risk/test_decide.py::test_no_grant_anywhere_when_every_zone_is_down"),
    ),
    ("storm cooldown", ("core/risk/test_storm.py::test_one_at_a_time_after_an_outage",)),
    ("success-rate gate", ("core/risk/test_success.py::test_shuts_when_too_few_of_enough_succeeded", "core/risk/test_asks.py::test_what_was_withdrawn_is_no_outcome")),
    (
        "width grows only after proven repairs",
        (
            "core/risk/test_width.py::test_width_grows_only_after_proven_repairs",
            "core/risk/test_width.py::test_a_failure_never_widens_and_a_proven_repair_never_narrows",
            "core/risk/test_width.py::test_never_wider_than_the_limits_in_flight",
            "core/risk/test_width.py::test_it_is_a_function_of_stored_jobs",
            "core/risk/test_properties.py::test_width_is_never_wider_than_its_evidence",
        ),
    ),
    ("A freeze switch, honoured within one decision", ("core/risk/test_people.py::test_a_freeze_is_honoured_within_one_decision", "core/remedy/test_people.py::test_a_permit_that_a_freeze_overtakes_is_given_back")),
    (
        "label kubenode.dev/hold on Machine or Node",
        (
            "core/remedy/test_people.py::test_a_held_machine_opens_no_job_and_goes_no_rung_further",
            "core/risk/test_people.py::test_a_held_machine_is_not_disrupted",
            "runtime/test_controllers.py::test_a_held_machine_is_left_alone_until_the_label_goes",
        ),
    ),
    (
        "an observe-only mode that writes nothing but its lease and says what it would do",
        (
            "runtime/embed/test_leading.py::test_an_observer_writes_nothing_but_its_lease",
            "runtime/embed/test_clouds.py::test_an_engine_that_only_observes_asks_for_nothing",
            "cluster/test_controller.py::test_one_that_observes_writes_nothing_but_its_lease",
        ),
    ),
    # Section 4, hung node.
    ("NodeRemedier matches after its duration -> job Waiting -> permit -> operation -> verification -> Succeeded", ("core/remedy/test_stories.py::test_it_heals_on_the_first_rung",)),
    ("else the next rung", ("core/remedy/test_stories.py::test_a_rung_that_does_not_help_gives_way_to_the_next",)),
    (
        "restart unit -> drain and reboot -> hand to a human",
        (
            "core/remedy/test_stories.py::test_a_rung_that_does_not_help_gives_way_to_the_next",
            "core/remedy/test_stories.py::test_at_the_end_of_the_ladder_a_human_takes_over",
            "stories/test_enumeration.py::test_a_disturbance_of_any_effect_changes_nothing",
            "runtime/test_draining.py::test_a_reboot_drains_first",
            "runtime/test_draining.py::test_a_budget_that_blocks_ends_the_rung_when_its_time_is_over",
        ),
    ),
    (
        "not acknowledged within the time limit: the provider acts",
        (
            "core/remedy/test_silent.py::test_not_acknowledged_within_the_time_limit_the_provider_acts",
            "core/remedy/test_silent.py::test_wherever_the_controller_dies_the_host_is_restarted_once",
        ),
    ),
    (
        "reinstall component (last-good)",
        (
            "core/host/test_reinstall.py::test_what_looks_right_is_put_down_again",
            "core/host/test_reinstall.py::test_what_was_last_found_whole",
        ),
    ),
    (
        "replace: the Machine is deleted once its Node is drained",
        (
            "core/remedy/test_replace.py::test_the_node_is_drained_first",
            "core/remedy/test_replace.py::test_only_what_its_set_would_make_anew_is_replaced",
            "core/remedy/test_replace.py::test_it_has_succeeded_when_the_machine_is_gone",
        ),
    ),
    ("not acknowledged within the time limit: the agent is silent", ("core/remedy/test_stories.py::test_an_agent_that_does_not_do_it_costs_the_rung",)),
    ("condition clear and Node Ready for the dwell", ("core/remedy/test_stories.py::test_a_flapping_node_is_not_proven",)),
    ("hand to a human", ("core/remedy/test_stories.py::test_at_the_end_of_the_ladder_a_human_takes_over",)),
    (
        "An episode opens when a condition first meets a rule; rungs are its attempts",
        ("core/remedy/test_match.py::test_a_condition_lasts_from_its_first_sighting", "core/remedy/test_stories.py::test_a_rung_that_does_not_help_gives_way_to_the_next"),
    ),
    (
        "the controller writes the step to Machine.spec.operation; Agents never read jobs",
        ("core/remedy/test_stories.py::test_the_operation_says_what_was_planned", "runtime/test_permits.py::test_agents_never_read_jobs"),
    ),
    (
        "An episode ends when verified clear for the dwell, handed to a human, or the node uid is gone",
        ("core/remedy/test_stories.py::test_a_node_that_is_gone_or_another_ends_the_episode", "core/remedy/test_stories.py::test_after_a_human_mended_it_the_next_fault_is_a_new_episode"),
    ),
    ("every observer, however stale, computes the same name", ("core/remedy/test_ladder.py::test_a_name_depends_on_machine_remedier_and_episode",)),
    ("back within relapse it begins at the next rung", ("core/remedy/test_stories.py::test_a_relapse_begins_at_the_next_rung",)),
    ("attempts per machine and week are capped, then a human", ("core/remedy/test_people.py::test_attempts_per_machine_and_week_are_capped_then_a_human", "core/remedy/test_people.py::test_the_built_in_cap_is_ten_a_week")),
    # Section 4, zone outage.
    ("70 % of a zone NotReady: nothing is replaced, drained or rebooted there", ("core/risk/test_decide.py::test_no_grant_in_a_zone_that_is_down", "core/remedy/test_stories.py::test_a_waiting_attempt_waits_through_an_outage")),
    ("detection, un-cordon and human actions go on", ("core/remedy/test_stories.py::test_what_is_under_way_goes_on_in_an_outage", "core/remedy/test_people.py::test_a_forced_episode_goes_on_whatever_stops_automation")),
    ("other zones work", ("core/health/test_zones.py::test_breaker_of_one_zone_leaves_the_others",)),
    ("after recovery all health timers start afresh", ("core/remedy/test_stories.py::test_in_an_outage_nothing_is_opened_and_afterwards_all_timers_start_afresh",)),
    # Bad input, and what notes have.
    ("a policy that could never act, or that allows everything: named, with the fix", ("core/accept/test_decide.py::test_a_policy_that_could_never_act_or_allows_everything_is_named",)),
    ("NaN, huge and negative values are refused at the path", ("core/risk/test_bad_input.py::test_a_number_that_is_none_huge_or_negative_is_refused_at_its_path",)),
    (
        "a ledger that is corrupt, too large, missing or from a newer format: named, with the fix, and nothing unsafe done",
        (
            "core/risk/test_spoilt.py::test_a_corrupt_ledger_grants_nothing_and_names_its_row",
            "core/risk/test_spoilt.py::test_too_large_a_ledger_grants_nothing_but_can_always_be_closed",
            "core/risk/test_spoilt.py::test_a_newer_format_or_a_wrong_type_is_left_alone",
            "core/risk/test_spoilt.py::test_a_ledger_that_cannot_be_read_is_named_and_nothing_is_done",
        ),
    ),
    ("binding limit, scope, observed/limit, when it frees", ("core/risk/test_properties.py::test_every_note_of_a_refusal_has_scope_observed_limit",)),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS, ASSIGNED)
