"""What Cluster API and kubenode are to each other, in the words of api.md, section 4, and the tests that show it."""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "CAPI creates clusters and machines; kubenode adopts its machines, manages components and heals; it can be a provider (clusterapi) and the external remediation of a MachineHealthCheck.",
        (
            "cluster/test_clusterapi.py::test_machines_of_cluster_api_are_adopted_made_remedied_and_ended",
            "core/external/test_decide.py::test_a_request_becomes_a_condition_of_the_node",
            "core/external/test_decide.py::test_what_became_of_it_is_told_when_the_episode_is_over",
            "core/external/test_subject.py::test_it_is_the_machine_that_owns_it_or_the_node_of_its_name",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
