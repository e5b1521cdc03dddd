"""Each sentence of the design on MachineSets, and the tests that would fail if one did not hold.

The words are those of api.md, sections 1, 2 and 4 ("Import", "Creation").
"""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "N machines of one template; selector, adoption",
        (
            "core/machineset/test_story.py::test_a_set_grows_over_its_zones",
            "core/machineset/test_story.py::test_machines_without_a_set_are_adopted_while_there_is_room",
            "core/machineset/test_story.py::test_a_machine_that_no_longer_matches_is_given_up",
            "core/machineset/test_story.py::test_what_two_sets_select_is_adopted_by_neither",
        ),
    ),
    (
        "delete order",
        (
            "core/machineset/test_order.py::test_who_goes_first",
            "core/machineset/test_order.py::test_the_order_is_total_and_of_arrival_independent",
        ),
    ),
    (
        "failure domains",
        (
            "core/machineset/test_order.py::test_the_emptiest_zone_is_next",
            "core/machineset/test_order.py::test_the_fullest_zone_loses_first",
        ),
    ),
    (
        "No ownerReference from Machine to MachineSet: label and spec.setRef {name, uid}, finalizers on both from creation",
        (
            "core/machineset/test_story.py::test_what_a_new_machine_is_like",
            "core/machineset/test_story.py::test_the_finalizer_comes_before_the_first_machine",
            "core/machineset/test_story.py::test_a_machine_of_an_earlier_set_of_that_name_is_another_sets",
        ),
    ),
    (
        "deletionPolicy: Release (default when imported) or Terminate (default when created)",
        ("core/machineset/test_replace.py::test_deletion_policy_is_release_by_default_when_imported_and_terminate_when_created",),
    ),
    (
        "Mass deletes (beyond max(5, 10 %) of a set in 10 minutes without lowered replicas) freeze terminations of that set until a person unfreezes it",
        (
            "core/machineset/test_story.py::test_a_mass_delete_holds_the_set_until_a_person_speaks",
            "core/machineset/test_story.py::test_slow_deletes_lower_replicas_and_our_own_are_no_mass_delete",
            "core/machineset/test_story.py::test_the_window_is_exact",
            "core/machineset/test_story.py::test_losses_that_are_not_stored_yet_are_not_forgotten",
            "core/machineset/test_story.py::test_a_set_that_goes_deletes_nothing_while_losses_are_not_acknowledged",
            "core/machineset/test_properties.py::test_only_the_surplus_is_deleted_and_nothing_while_held",
        ),
    ),
    (
        "(Mass deletes: or a CRD being deleted) that of Machines, which asks for all of them at once",
        (
            "core/machineset/test_losses.py::test_when_none_of_several_is_left_it_is_a_mass_delete_however_few_they_were",
            "core/machineset/test_story.py::test_a_deletion_of_every_machine_at_once_holds_the_smallest_set_too",
            "cluster/test_machineset.py::test_a_deleted_crd_leaves_machines_with_their_finalizers_and_holds_their_set",
        ),
    ),
    (
        "(Mass deletes: or a CRD being deleted) that of MachineSets: each set asks before it deletes its first machine",
        (
            "core/machineset/test_leaving_crd.py::test_only_a_no_lets_a_set_delete_its_machines",
            "core/machineset/test_leaving_crd.py::test_a_set_that_goes_with_its_crd_waits_for_a_person",
            "runtime/embed/test_definitions.py::test_nothing_is_deleted_before_the_server_has_said_no",
            "cluster/test_machineset.py::test_a_deleted_crd_of_machinesets_leaves_all_machines_until_a_person_speaks",
        ),
    ),
    (
        "Zone outage: nothing is replaced there; other zones work; a freeze switch, honoured within one decision; label kubenode.dev/hold",
        (
            "core/machineset/test_replace.py::test_in_a_zone_outage_nothing_is_replaced_there_and_other_zones_work",
            "core/machineset/test_replace.py::test_a_freeze_or_a_hold_stops_replacement_within_one_decision_and_its_end_is_exact",
            "runtime/test_outage.py::test_a_set_replaces_nothing_in_a_zone_that_is_down_and_goes_on_when_it_is_back",
        ),
    ),
    (
        "surge: replacement only when a strategy asks for it; of one waits for its successor",
        (
            "core/machineset/test_replace.py::test_by_default_outdated_machines_stay_until_somebody_deletes_them",
            "core/machineset/test_replace.py::test_replacement_of_one_waits_for_its_successor_running",
            "core/machineset/test_replace.py::test_surge_and_unavailable_are_what_the_strategy_says",
            "core/machineset/test_replace.py::test_never_more_than_replicas_and_surge_never_fewer_available_than_bounds_by_our_own_acts",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
