"""What real hosts have to show, sentence by sentence, and the tests that would fail if one did not hold.

A sentence about a host names a test on one, and where a host cannot show it, those that do. The last ones are figures:
they name the benchmark that prints them, and docs/performance.md has what it printed.
"""

from typing import Final

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

STORY: Final = "hosts/test_endtoend.py::"
AGENT: Final = "hosts/test_agent.py::"
WISHES: Final = "hosts/test_drivers.py::test_drivers_and_probes_on_a_real_host"
WRONG: Final = "hosts/test_bad_input.py::test_what_is_wrong_is_told_and_changes_nothing"
IMPORT: Final = "hosts/test_import.py::test_a_running_node_is_imported_whole"
ITSELF: Final = "hosts/test_self_upgrade.py::test_an_agent_exchanges_itself_and_comes_back_by_itself"
LADDER: Final = "hosts/test_remedies.py::test_the_ladder_is_climbed_on_a_real_host_by_its_agent"
HANGS: Final = f"{STORY}test_6_side_by_side_a_network_is_cut_a_disk_is_full_and_a_task_hangs"
HEALED: Final = f"{STORY}test_4_what_is_broken_by_hand_is_healed_and_reported"
ANYWHERE: Final = "test_cut_short_anywhere_it_reaches_what_is_wanted_or_what_was"

DESIGN: tuple[tuple[str, tuple[str, ...]], ...] = (
    # In the words of api.md, section 4.
    ("-> the agent is installed on the host (SSH; cloud run-command; one-line script to paste)", (IMPORT, "hosts/test_import.py::test_a_line_that_is_pasted_imports_a_host", "cluster/test_user_data.py::test_an_agent_enrols_from_the_bytes_that_its_cloud_was_sent")),
    (
        "A dry run prints the plan; a failed step says what to do, is resumable, and leaves the host as it was.",
        (
            IMPORT, "runtime/bootstrap/test_importing.py::test_a_dry_run_changes_nothing_and_says_the_same_steps",
            "runtime/bootstrap/test_importing.py::test_whatever_fails_the_host_is_as_it_was_and_the_next_run_goes_on",
            "runtime/bootstrap/test_importing.py::test_a_host_that_is_not_reached_any_more_is_taken_up_by_the_next_run",
            "runtime/bootstrap/test_importing_again.py::test_what_another_import_of_the_host_has_done_meanwhile_is_not_undone",
            "runtime/bootstrap/test_importing_again.py::test_a_new_bundle_that_does_not_run_is_not_believed_for_the_report_of_the_one_before",
        ),
    ),
    (
        "at rest it renews one Lease every few minutes (10,000 agents at 10 s would cost the API server three cores).",
        ("runtime/agent/test_lease.py::test_it_is_made_and_renewed", "runtime/agent/test_report_rate.py::test_looks_that_find_nothing_new_write_nothing"),
    ),
    ("Seconds on top of the detector's own time.", (HANGS, "benchmarks/lines.py::rows")),
)  # fmt: skip
SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    *DESIGN,
    # The agent.
    (
        "enrols by CSR with a key made on the host",
        (IMPORT, "cluster/test_agent.py::test_a_host_enrols_and_is_kept_as_its_machine_says", "runtime/agent/test_enrol.py::test_cut_short_anywhere_it_goes_on_with_the_same_key"),
    ),
    ("watches one object by name, its own Machine", ("cluster/test_access.py::test_what_it_reads_is_its_machine_and_what_all_machines_share",)),
    ("reads MachineComponents by name", ("cluster/test_agent.py::test_an_agent_reads_the_components_that_its_machine_names", "cluster/test_access.py::test_what_it_reads_is_its_machine_and_what_all_machines_share")),
    ("never a job", ("cluster/test_access.py::test_what_it_reads_is_its_machine_and_what_all_machines_share",)),
    (
        "inspect -> plan (pure: steps as data, each with its undo)",
        ("components/test_drivers.py::test_a_driver_is_pure", "components/test_drivers.py::test_plan_is_empty_after_its_own_steps", "runtime/agent/test_work.py::test_every_kind_of_step_is_undone"),
    ),
    ("execute -> verify -> report in status.agent", (f"{AGENT}test_a_running_node_is_imported_upgraded_and_healed", HEALED)),
    (
        "An operation whose op-id is in its journal is not run again",
        (f"{STORY}test_5_an_upgrade_is_cut_short_at_each_step", "runtime/agent/test_work.py::test_steps_are_done_in_order_and_once", "core/host/test_decide.py::test_a_lost_journal_runs_nothing_twice"),
    ),
    (
        "from SIGKILL or power cut at any step a restart reaches desired or last-known-good",
        (
            f"{STORY}test_5_an_upgrade_is_cut_short_at_each_step",
            f"runtime/agent/test_crashes.py::{ANYWHERE}", f"runtime/agent/test_artifact_crashes.py::{ANYWHERE}",
            f"runtime/agent/test_kernel_crashes.py::{ANYWHERE}", f"runtime/agent/test_step_crashes.py::{ANYWHERE}",
            "runtime/agent/test_upgrade_crashes.py::test_cut_short_one_of_both_runs_and_is_told",
            "runtime/agent/test_crashes.py::test_the_enumeration_notices",
            "runtime/agent/test_work.py::test_a_reboot_that_was_asked_for_cuts_nothing_short",
            "runtime/agent/test_journal.py::test_nobody_goes_on_with_an_operation_of_which_a_line_is_lost",
        ),
    ),
    ("without the API server", ("runtime/agent/test_serve.py::test_what_was_cut_short_is_made_good_without_the_server",)),
    (
        "Status writes coalesced",
        ("runtime/agent/test_report_rate.py::test_reports_to_a_slow_server_are_coalesced", "cluster/test_agent.py::test_a_change_is_heard_of_and_a_flood_of_them_is_not_a_flood_of_reports"),
    ),
    ("It never imports the kubernetes package", ("cluster/test_agent.py::test_it_never_imports_the_kubernetes_package",)),
    (
        "API server away: keeps the last applied state and heals drift",
        (
            HANGS, "runtime/agent/test_kept.py::test_drift_is_healed_while_the_server_is_away",
            "runtime/agent/test_kept.py::test_all_of_it_is_kept_however_much_that_is",
            "runtime/agent/test_address.py::test_an_address_that_nobody_can_tell_any_more_is_still_known",
        ),
    ),
    ("spools bounded status", (HANGS, "runtime/agent/test_kept.py::test_what_is_kept_does_not_grow_while_the_server_is_away")),
    ("returns with jitter", ("runtime/agent/test_kept.py::test_a_hundred_agents_do_not_return_at_once",)),
    ("One bundle that runs on a host without Python, as a hardened systemd unit", (ITSELF, IMPORT)),
    ("upgrades itself as a component, and falls back by itself when the new one does not come up", (ITSELF, "runtime/agent/test_upgrade_crashes.py::test_cut_short_one_of_both_runs_and_is_told")),
    # Drivers.
    (
        "artifact (URL + sha256, tar or binary; staged, verified, fsynced, switched atomically, old version kept)",
        (
            "hosts/test_artifact.py::test_a_kubelet_is_adopted_exchanged_and_mended", ITSELF,
            "runtime/agent/test_artifacts.py::test_a_tar_is_unpacked_and_led_to", "runtime/agent/test_artifacts.py::test_the_path_never_leads_nowhere",
            "runtime/agent/test_artifacts.py::test_the_version_before_is_kept_and_older_ones_go", "runtime/agent/test_artifact_crashes.py::test_the_enumeration_notices",
        ),
    ),
    ("Debian packages (exact version, held", (f"{STORY}test_2_containerd_and_the_kubelet_are_upgraded_by_batches", WISHES)),
    ("dpkg interrupted and repaired", (f"{AGENT}test_an_upgrade_that_is_cut_short_comes_to_its_end_once", "runtime/agent/test_packages.py::test_an_interrupted_dpkg_is_repaired_first",)),
    ("systemd unit (enable, start, reload, drop-ins)", (WISHES, "components/test_systemd.py::test_the_steps")),
    ("config file (content, mode, owner; effect none, reload, restart, drain, reboot)", (WISHES, "components/test_drivers.py::test_the_effect_of_a_file", "runtime/test_draining.py::test_a_component_that_drains_or_reboots_waits_for_the_drain")),
    ("kernel settings (sysctl, modules)", ("hosts/test_kernel.py::test_a_setting_is_set_mended_and_there_after_a_boot", "runtime/agent/test_kernel.py::test_a_module_is_loaded_once")),
    (
        "containerd and kubelet (with version-skew rules, configuration as fields)",
        (WISHES, f"{STORY}test_5_an_upgrade_is_cut_short_at_each_step", "components/test_daemons.py::test_a_kubelet_goes_with_its_api_server", "components/test_daemons.py::test_every_field_of_a_kubelet_has_its_name"),
    ),
    ("Dependencies order the steps", (WISHES, "core/host/test_dependencies.py::test_every_order_is_respected_and_brought_to_its_end")),
    ("a disruption class asks for restart, drain or reboot through permits", ("runtime/test_draining.py::test_a_component_that_drains_or_reboots_waits_for_the_drain", "runtime/test_repair.py::test_drift_of_class_drain_or_reboot_is_repaired_with_a_permit_one_machine_after_another")),
    ("RPM as far as it can be tested without an RPM host", ("runtime/agent/test_rpm.py::test_a_package_is_brought_to_an_exact_version_up_and_down", "runtime/agent/test_rpm.py::test_a_transaction_that_was_cut_short_is_repaired")),
    ("A conformance kit for third-party drivers", ("components/test_conformance.py::test_a_planted_fault_is_found", "third_party/test_planted.py::test_every_law_has_a_planted_fault")),
    # Version, configuration, running state.
    ("inspected and reported apart", ("core/host/test_drift.py::test_desired_state_means_version_configuration_and_running_state", WISHES)),
    ("by watching files and units plus a periodic full look", (f"{AGENT}test_what_is_changed_by_hand_is_heard_of_and_not_waited_for", "runtime/agent/test_watch.py::test_a_unit_that_stops_starts_or_dies_is_heard_of", "core/host/test_drift.py::test_the_agent_re_inspects_periodically")),
    ("drift is healed on the node within the limits of api.md", (HEALED, "core/host/test_drift.py::test_no_hour_sees_more_than_three_repairs_of_a_component_whatever_happens", "core/host/test_drift.py::test_delayed_by_hash_over_60_s")),
    ("the check lies on every node", ("stories/test_lying.py::test_the_check_lies_on_every_node",)),
    ("a person's deliberate change can be allowed by label", ("core/host/test_drift.py::test_a_persons_deliberate_change_is_allowed_by_label", "runtime/test_drift.py::test_what_people_change_by_intent_is_left_alone_by_label_and_counts_for_no_hold")),
    ("Probes: exec, HTTP, TCP, unit state, version command", (WISHES, "core/host/test_probes.py::test_what_a_probe_makes_of_it", "runtime/agent/test_look.py::test_what_cannot_be_asked_is_no_answer")),
    # Import.
    (
        "kubenode machine import HOST... over SSH",
        (f"{STORY}test_1_three_bare_hosts_become_three_ready_nodes", IMPORT, "runtime/bootstrap/test_ssh.py::test_a_host_is_reached_by_its_name_and_known_by_any_of_its_keys"),
    ),
    ("host keys checked", (IMPORT, "runtime/bootstrap/test_ssh.py::test_a_host_is_believed_by_its_key_or_by_a_persons_word_only")),
    ("or a pasted one-liner", ("hosts/test_import.py::test_a_line_that_is_pasted_imports_a_host", "runtime/bootstrap/test_paste.py::test_a_terminal_takes_it_whole_for_the_simplest_of_shells")),
    ("Progress on screen", (IMPORT, "runtime/test_cli_import.py::test_hosts_are_imported_with_progress_and_adopted_again")),
    ("An already running node is adopted without restarting anything that is already right", (IMPORT, "hosts/test_artifact.py::test_a_kubelet_is_adopted_exchanged_and_mended")),
    # The detector.
    ("kernel log (kmsg and journald and file)", (LADDER, "hosts/test_remedies.py::test_the_provider_acts_for_an_agent_that_says_nothing_and_once", HANGS)),
    ("hung task in both wordings plus the kernel's own counter", ("core/detect/test_decide.py::test_real_lines", "core/detect/test_decide.py::test_node_problem_detector_misses_the_new_wording", "core/detect/test_recovery.py::test_a_hang_is_over_when_the_counter_stands_still")),
    ("read-only filesystem", ("core/detect/test_recovery.py::test_a_file_system_that_can_be_written_again", LADDER, "cluster/test_agent.py::test_a_line_of_a_log_is_a_condition_of_the_node")),
    ("OOM storm", ("core/detect/test_recovery.py::test_a_storm_is_five_in_ten_minutes", LADDER, "cluster/test_agent.py::test_a_line_of_a_log_is_a_condition_of_the_node")),
    ("kubelet and containerd health", (LADDER, "core/detect/test_facts.py::test_how_a_service_is_ill")),
    ("node-problem-detector's JSON rule files load unchanged", (LADDER, "core/detect/test_npd.py::test_what_a_file_says", "runtime/detector/test_npd_files.py::test_every_file_for_logs_on_linux_is_taken", "runtime/detector/test_npd_files.py::test_each_of_its_rules_finds_something")),
    ("conditions recover", (LADDER, "core/detect/test_recovery.py::test_every_fault_that_can_be_over_is")),
    ("a restart neither resets nor replays", ("runtime/detector/test_detector.py::test_a_restart_neither_resets_nor_replays", "runtime/detector/test_detector.py::test_a_kill_loses_nothing", "runtime/detector/test_boots_and_sources.py::test_a_power_cut_replays_nothing")),
    ("only facility 0 is believed", (LADDER, "core/detect/test_decide.py::test_only_the_kernel_is_believed")),
    ("floods are survived and counted", ("runtime/detector/test_detector.py::test_a_flood_is_survived_and_counted", "runtime/detector/test_floods.py::test_a_flood_that_a_log_keeps_is_read_to_its_end", "runtime/detector/test_floods.py::test_lines_that_nobody_can_keep_are_lost_and_counted")),
    # Remedies on the host.
    ("restart unit, reinstall component (last-good), reboot by the agent", (LADDER, "runtime/test_reinstall.py::test_where_the_wanted_version_failed_the_one_before_is_put_down")),
    ("verification by condition clear + Node Ready + dwell", (LADDER, HANGS)),
    ("silent agent -> hand-over to the provider", ("hosts/test_remedies.py::test_the_provider_acts_for_an_agent_that_says_nothing_and_once",)),
    # End to end.
    ("import three bare Debian hosts until kubectl get nodes shows three Ready nodes", (f"{STORY}test_1_three_bare_hosts_become_three_ready_nodes",)),
    ("upgrade containerd by an exact Debian version and the kubelet by an artifact over batches 1, then 2, with inspection", (f"{STORY}test_2_containerd_and_the_kubelet_are_upgraded_by_batches",)),
    ("a bad kubelet configuration stops the rollout at the first host and rolls back there", (f"{STORY}test_3_a_bad_configuration_ends_at_the_first_host",)),
    ("break version, config, unit, binary by hand and see each healed and reported", (HEALED,)),
    ("kill the agent at every step index of an upgrade; power-cut the host in the middle", (f"{STORY}test_5_an_upgrade_is_cut_short_at_each_step",)),
    ("cut the network; fill the disk; serve truncated, wrong-digest, endless and redirecting artifacts; hung-task line -> condition -> permit -> remedy -> verified; the other two hosts never disturbed", (HANGS,)),
    ("Everything a test starts is gone afterwards", ("hosts/test_stage.py::test_nothing_is_left_after_a_stage", "hosts/test_stage.py::test_nothing_is_left_after_the_tests_were_killed")),
    # Safety of the host.
    ("argv only, never a shell", ("runtime/agent/test_commands.py::test_an_argument_is_an_argument", "runtime/agent/test_packages.py::test_what_is_no_package_reaches_no_program", "runtime/agent/test_units.py::test_what_is_no_unit_reaches_no_program")),
    ("paths cannot leave their root", ("runtime/agent/test_tree.py::test_what_is_no_plain_path_is_refused", "runtime/agent/test_tree.py::test_no_link_in_a_path_is_followed", "runtime/agent/test_tree.py::test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere")),
    ("symlink, device, hard-link, bomb and redirect attacks on artifacts refused (fuzz test)", ("runtime/agent/test_untar.py::test_what_is_hostile_is_refused", "runtime/agent/test_untar.py::test_no_tar_does_anything_else", "runtime/agent/test_download.py::test_a_server_that_is_broken_or_hostile_is_given_up_on", HANGS)),
    ("secrets never in status, logs or journal", (WISHES, "runtime/agent/test_journal.py::test_contents_are_in_no_line_and_not_kept_longer_than_needed", "runtime/agent/test_artifacts.py::test_a_token_is_nowhere")),
    ("files written with fsync of file and folder", ("runtime/agent/test_crashes.py::test_the_enumeration_notices",)),
    ("nothing removed that the agent did not install", ("runtime/agent/test_artifacts.py::test_a_removal_takes_what_is_ours", "components/test_drivers.py::test_a_file_that_somebody_has_changed_is_not_removed", "runtime/agent/test_work.py::test_what_was_there_before_us_is_not_removed_and_nothing_is_stopped_for_it")),
    ("Step enumeration with a fake host and on a real filesystem", (f"runtime/agent/test_crashes.py::{ANYWHERE}", f"runtime/agent/test_step_crashes.py::{ANYWHERE}")),
    # Bad input.
    ("a component whose unit never starts, whose version command lies, whose package does not exist, whose dependency forms a circle; a host with no space, foreign package holds, a running apt", (WRONG,)),
    ("whose artifact server is slow or hostile", (HANGS, "runtime/agent/test_download.py::test_the_whole_has_a_time_limit", "runtime/agent/test_slow_server.py::test_a_server_that_is_too_slow_pauses_the_rollout")),
    ("a host with a read-only root", (WRONG, "runtime/agent/test_tree.py::test_a_read_only_disk_is_told_with_what_to_do", "hosts/test_unwritable.py::test_an_agent_that_cannot_write_its_journal_finds_and_reports")),
    ("wrong clock", ("cluster/test_agent.py::test_a_wrong_clock_is_told_until_it_is_right", "cluster/test_agent.py::test_a_clock_that_is_further_ahead_than_a_certificate_lasts_ends_nothing")),
    # Figures.
    ("agent RSS < 60 MiB and < 1 % of a core at rest with 12 components", ("benchmarks/agent.py::main",)),
    ("detector <= 1 % of a core at 1,000 log lines/s (ratio to a bare read loop)", ("benchmarks/detector.py::main",)),
    ("log line -> condition written p99", ("benchmarks/lines.py::rows", "benchmarks/test_conditions.py::test_lines_become_conditions_and_each_part_is_told")),
    ("API writes per component upgrade on one node", ("runtime/test_upgrade_writes.py::test_an_upgrade_on_a_node_takes_so_many_writes",)),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_run_by_default(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed, removed or left to the night takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
