"""What a clause of the design is: its words, and the sentences of the indexes that show it, or the issue that will."""

from typing import Final

import attrs


@attrs.frozen
class Clause:
    """Some words of api.md, as they stand there.

    Attributes:
        words: they, without marks of emphasis and code.
        shown: how the sentences of the indexes begin that show them.
        later: the issue that brings them; 0 when they are shown.
        why: why none of this issue's deciders can break them.
    """

    words: str
    shown: tuple[str, ...] = ()
    later: int = 0
    why: str = ""


def shown(words: str, *by: str) -> Clause:
    """Give a clause that an index shows: by the sentence that is these words, or by those that begin as given."""
    return Clause(words, by or (words,))


FLEETS: Final = -1
"""An issue that is not written yet; api.md, section 1, says so of the kinds that it needs."""


def later(words: str, issue: int, why: str) -> Clause:
    """Give a clause that belongs to a later issue."""
    return Clause(words, later=issue, why=why)
