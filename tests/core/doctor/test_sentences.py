"""Each sentence of the design on cloud maintenance, and the tests that would fail if one did not hold."""

import pytest

from tests.sentences import CLASS, FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "A central poller reads scheduled events and failures -> condition with the event's id, kind and time",
        (
            "providers/aliyun/test_doctor.py::test_a_quiet_poll_is_one_call_and_one_with_events_too",
            "cluster/test_maintenance.py::test_the_workload_goes_before_the_event_and_the_event_ends",
        ),
    ),
    (
        "a rule migrates workloads (cordon, drain) before the event, confirms or reboots through the provider, un-cordons",
        (
            "runtime/test_doctor.py::test_a_rule_moves_the_workload_before_the_event",
            "runtime/test_doctor.py::test_what_waits_for_consent_begins_when_the_workload_is_gone",
            "runtime/test_doctor.py::test_what_waits_for_nobody_is_the_next_rungs",
            "core/remedy/test_consent.py::test_the_node_is_drained_before_the_cloud_may",
            "cluster/test_maintenance.py::test_the_workload_goes_before_the_event_and_the_event_ends",
        ),
    ),
)


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION, CLASS)
