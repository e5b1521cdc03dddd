"""Each sentence of the design on cordons and drains, and the tests that would fail if one did not hold.

The words are those of api.md, sections 1 to 4 where they speak of a drain or a cordon.
"""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Draining means for deletion only",
        (
            "core/machine/test_phase.py::test_draining_is_for_deletion_only",
            "core/machine/test_phase.py::test_deletion_is_for_all",
            "runtime/test_draining.py::test_deletion_drains_the_node",
            "runtime/test_draining.py::test_a_drain_for_an_update_or_a_reboot_is_a_condition_inside_updating_or_repairing",
        ),
    ),
    (
        "a drain for an update or a reboot is the condition Drained inside Updating or Repairing",
        (
            "runtime/test_draining.py::test_a_drain_for_an_update_or_a_reboot_is_a_condition_inside_updating_or_repairing",
        ),
    ),
    (
        "or we cordoned it",
        (
            "runtime/test_draining.py::test_a_machine_whose_node_we_cordoned_counts_as_unavailable",
        ),
    ),
    (
        "A person's cordon is never undone; ours carries kubenode.dev/cordoned-by",
        (
            "core/node/test_cordon.py::test_standing",
            "core/node/test_cordon.py::test_cordon_writes",
            "core/node/test_cordon.py::test_uncordon_leaves_alone",
            "core/node/test_drain.py::test_a_node_that_a_person_cordoned_is_drained_without_a_mark",
            "runtime/test_draining.py::test_a_persons_cordon_is_never_undone",
            "runtime/test_draining.py::test_a_cordon_that_somebody_undoes_is_not_fought_over",
        ),
    ),
    (
        "drain and reboot: a rung that reboots drains first",
        (
            "runtime/test_draining.py::test_a_reboot_drains_first",
            "runtime/test_draining.py::test_a_budget_that_blocks_ends_the_rung_when_its_time_is_over",
            "core/node/test_drain.py::test_a_drained_node_has_no_pod_that_could_be_evicted",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
