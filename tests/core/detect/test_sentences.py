"""Each sentence of the design on the detector, and the tests that would fail if one did not hold.

The words are those of api.md, section 4 ("Hung node").
"""

import pytest

from tests.sentences import FUNCTION, check_shown

SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "The detector sees task X blocked for more than 120 seconds (also blocked in I/O wait for more than) -> condition",
        (
            "core/detect/test_decide.py::test_real_lines",
            "core/detect/test_decide.py::test_the_shipped_example",
            "core/detect/test_decide.py::test_node_problem_detector_misses_the_new_wording",
            "core/detect/test_decide.py::test_only_the_kernel_is_believed",
        ),
    ),
    (
        "also the kernel's own counter, because the log goes silent after ten",
        (
            "core/detect/test_recovery.py::test_the_counter_goes_on_when_the_log_is_silent",
            "core/detect/test_recovery.py::test_a_hang_is_over_when_the_counter_stands_still",
            "core/detect/test_recovery.py::test_without_the_counter_a_hang_holds_until_the_boot",
            "core/detect/test_decide.py::test_first_line_stays",
            "core/detect/test_decide.py::test_reboot",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "tests"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_a_sentence_is_shown_by_tests_that_exist(sentence: str, tests: tuple[str, ...]) -> None:
    """A test that is renamed or removed takes its sentence with it, and this tells."""
    check_shown(sentence, tests, FUNCTION)
