"""Questions and answers of inspections, as values."""

from typing import Any

import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.core.inspection import Fail, Inconclusive, Pass


@pytest.mark.parametrize("answer", [Pass, Fail, Inconclusive])
@pytest.mark.parametrize("text", [None, 7, b"bytes", ["lines"], ValueError("what was raised")])
def test_an_answer_is_told_in_text(answer: Any, text: object) -> None:
    """What is none is told where it is made, and not where it is written."""
    with pytest.raises(InvalidObjectError, match=r"text: .* is no text"):
        answer(text=text)


def test_only_a_pass_may_say_nothing() -> None:
    """Whoever is paged for the others reads why."""
    assert Pass().text == ""
    for answer in (Fail, Inconclusive):
        with pytest.raises(TypeError, match="text"):
            answer()
