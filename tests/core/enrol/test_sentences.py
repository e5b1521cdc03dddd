"""Each sentence of the design on how an agent gets its certificate, and the tests that would fail if one did not hold.

The words are those of api.md, section 4 ("Import of an existing node").
"""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "creates the Machine (Pending, spec.host) and its own bootstrap token",
        (
            "runtime/test_enrolment.py::test_a_token_comes_with_the_right_to_read_and_ends_the_one_before",
            "runtime/test_enrolment.py::test_a_token_is_random_and_hides_its_secret",
            "core/machine/test_decide.py::test_import_story",
        ),
    ),
    (
        "with a key made there",
        (
            "runtime/agent/test_enrol.py::test_a_token_becomes_a_certificate",
            "runtime/agent/test_enrol.py::test_a_certificate_for_another_key_is_not_taken",
        ),
    ),
    (
        "its CSR (identity kubenode:agent:<machine>) is approved only from that token",
        (
            "core/enrol/test_decide.py::test_a_request_is_for_the_machine_in_its_common_name",
            "core/enrol/test_decide.py::test_a_token_is_taken_for_a_key_before_anything_is_approved",
            "core/enrol/test_decide.py::test_what_is_nobodys_or_anothers_business_is_never_touched",
            "cluster/test_enrolment.py::test_the_token_of_one_machine_is_nothing_to_another",
        ),
    ),
    (
        "once",
        (
            "core/enrol/test_decide.py::test_one_token_is_approved_once",
            "core/enrol/test_decide.py::test_of_two_keys_that_race_for_one_token_the_first_request_has_it",
            "core/enrol/test_races.py::test_no_two_keys_are_ever_approved_from_one_token",
            "core/enrol/test_races.py::test_each_token_is_good_for_its_first_key_once",
        ),
    ),
    (
        "and only if all checks of the facts page hold",
        (
            "core/enrol/test_decide.py::test_one_fault_is_enough",
            "core/enrol/test_decide.py::test_what_is_just_good_is_approved",
            "core/enrol/test_decide.py::test_a_machine_that_is_not_there_or_goes_gets_no_agent",
        ),
    ),
    (
        "later renewals only from its own certificate",
        (
            "core/enrol/test_decide.py::test_a_renewal_is_approved_by_the_certificate_of_this_machine_alone",
            "cluster/test_enrolment.py::test_an_agent_renews_its_own_certificate_and_no_other",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
