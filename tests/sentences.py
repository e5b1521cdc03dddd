"""Indexes of sentences: each names the tests that would fail if it did not hold, and those run by default.

The tests named are looked for in the text of their files, so an index costs no import of what it names.
"""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

TESTS = Path(__file__).resolve().parent
FUNCTION, CLASS = r"^def {}\(", r"^class {}\b"
ASSIGNED = r"^{} = "
"""A state machine of Hypothesis: its unittest case is assigned."""
_MARK: Final = "mark.nightly"


def check_shown(sentence: str, tests: tuple[str, ...], *forms: str) -> None:
    """Check that tests are named, and each is there in one of the forms and is not left to the nightly profile.

    Raises:
        AssertionError: none is named, or one is not there: it was renamed, removed, or made nightly.
    """
    assert tests, sentence
    for test in tests:
        path, _, name = test.partition("::")
        text, nightly = _file(path)
        found = any(re.search(form.format(name), text, re.MULTILINE) for form in forms)
        assert found, f"{sentence!r} names {test}, which is not there"
        assert not {"", name} & nightly, f"{sentence!r} names {test}, which runs only at night"


@cache
def _file(path: str) -> tuple[str, set[str]]:
    """Give the text of a file of tests, and the names in it that are marked as nightly; an empty one is the whole file."""
    text = (TESTS / path).read_text()
    nightly = set()
    for statement in ast.parse(text).body:
        match statement:
            case (
                ast.FunctionDef(name=name, decorator_list=marks)
                | ast.ClassDef(name=name, decorator_list=marks)
            ):
                marked = any(ast.unparse(mark).endswith(_MARK) for mark in marks)
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                name, marked = "", _MARK in ast.unparse(value)
            case _:
                continue
        nightly |= {name} if marked else set()
    return text, nightly
