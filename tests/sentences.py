"""Indexes of sentences of the design: each names the tests that would fail if it did not hold.

The tests named are looked for in the text of their files, so an index costs no import of what it names.
"""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
FUNCTION, CLASS = r"^def {}\(", r"^class {}\b"
ASSIGNED = r"^{} = "
"""A state machine of Hypothesis: its unittest case is assigned."""


def check_shown(sentence: str, tests: tuple[str, ...], *forms: str) -> None:
    """Check that tests are named, and each is there in one of the forms.

    Raises:
        AssertionError: none is named, or one is not there: it was renamed or removed.
    """
    assert tests, sentence
    for test in tests:
        path, _, name = test.partition("::")
        text = (TESTS / path).read_text()
        found = any(re.search(form.format(name), text, re.MULTILINE) for form in forms)
        assert found, f"{sentence!r} names {test}, which is not there"
