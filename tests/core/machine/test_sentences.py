"""Each sentence of the design on a Machine and its Node, and the tests that would fail if one did not hold.

The words are those of api.md, section 2, and of sections 1 and 4 ("Import") where they bind the machine decider.
"""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Section 2, phases.
    (
        "Pending -> Provisioning (no instance yet) or Importing (host given) -> Initializing (Node registered) -> Running (all components healthy)",
        (
            "core/machine/test_decide.py::test_import_story",
            "core/machine/test_signals.py::test_signal",
            "core/machine/test_phase.py::test_reachable",
            "core/machine/test_phase.py::test_not_running_before_healthy",
        ),
    ),
    (
        "Running <-> Updating or Repairing, by the kind of the open hold",
        (
            "core/machine/test_signals.py::test_signal",
            "core/machine/test_signals.py::test_every_cause_of_a_hold_has_its_signal",
            "runtime/test_repair.py::test_the_machine_is_repairing_while_its_hold_is_open",
        ),
    ),
    (
        "deletionTimestamp: any -> Draining if a Node exists, else Deleting",
        ("core/machine/test_phase.py::test_deletion_is_for_all", "core/machine/test_phase.py::test_deletion_cannot_be_taken_back"),
    ),
    (
        "Failed waits for a spec change or a person; what is retried keeps its phase",
        (
            "core/machine/test_phase.py::test_failed_waits",
            "core/machine/test_decide.py::test_failed_until_the_spec_changes",
            "core/machine/test_phase.py::test_running_stays_running",
        ),
    ),
    (
        "Unknown (node and agent silent) is left to whatever phase the signals then name: no memory",
        ("core/machine/test_phase.py::test_unknown_has_no_memory",),
    ),
    ("Deleted is not stored", ("core/machine/test_phase.py::test_deleted_is_not_stored",)),
    (
        "An unknown phase (a newer version's): hands off; so phase is no enum in the schema",
        ("core/machine/test_decide.py::test_newer_version", "core/test_crd.py::test_a_phase_is_no_enumeration"),
    ),
    (
        "One table phase x signal is the law, total over all phases and signals",
        ("core/machine/test_phase.py::test_total", "core/machine/test_signals.py::test_every_signal_is_shown"),
    ),
    (
        "Phase is for people; conditions with fixed reasons for programs; every reason has a page with meaning, cause, fix",
        (
            "core/machine/test_reasons.py::test_explained",
            "core/machine/test_reasons.py::test_nothing_else_is_explained",
            "core/machine/test_decide.py::test_reasons_and_bounds",
            "core/machine/test_decide.py::test_ready_only_in_running",
        ),
    ),
    # Section 1, who writes what.
    (
        "Machine.status.agent is the agent's alone; the rest of the status, all conditions included, is the machine controller's",
        (
            "core/machine/test_decide.py::test_the_agents_part_is_kept_as_read",
            "runtime/test_controllers.py::test_the_controllers_never_write_the_agents_part_and_the_agent_writes_no_other",
        ),
    ),
    (
        "the agent reports them in status.agent.conditions, the controller mirrors them onto the Node",
        (
            "core/node/test_mirror.py::test_effect",
            "core/node/test_mirror.py::test_kubelets_own",
            "core/machine/test_decide.py::test_conditions_of_another_node_are_not_mirrored",
        ),
    ),
    ("fights are reported, not fought", ("core/node/test_sync.py::test_claim_of_another_is_a_conflict",)),
    (
        "Taints are one atomic list: read, change only keys recorded in our annotation, patch with resourceVersion",
        ("core/node/test_sync.py::test_taint", "core/node/test_sync.py::test_spoilt_record", "core/machine/test_decide.py::test_what_is_foreign_is_never_touched"),
    ),
    (
        "Machine and Node names are independent: status.nodeRef {name, uid}",
        ("core/machine/test_decide.py::test_node_ref_is_kept_when_the_node_goes", "core/machine/test_decide.py::test_reimaged", "core/machine/test_decide.py::test_rival"),
    ),
    ("finalizers from creation", ("core/machine/test_decide.py::test_finalizer_comes_first_and_alone",)),
    # Section 4, import.
    (
        "the agent reports: Importing -> the Node is Ready: labels, annotations, taints synced -> all healthy: Running",
        ("core/machine/test_decide.py::test_import_story", "core/node/test_sync.py::test_label", "core/node/test_sync.py::test_annotation",
            "core/node/test_sync.py::test_effects"),
    ),
    (
        "deletionPolicy: Release (default when imported: host, agent and components stay, our labels and finalizer go)",
        (
            "core/machine/test_decide.py::test_release",
            "core/machine/test_decide.py::test_release_without_a_node",
            "core/machine/test_decide.py::test_release_leaves_the_node_of_a_rival",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
