r"""Regular expressions as Go writes them, for Python: what both have means the same, and the rest is refused.

Go lets flags begin in the middle, until the end of their group: `a(?i)b|c`; Python wants them around what they are for:
`a(?i:b)|(?i:c)`. To Go `a{,3}` is that text, to Python up to three. Go's `\z` is `\Z`. Classes are ASCII in both, by `re.ASCII`.
"""

import re
import warnings
from typing import Final

_TOKEN: Final = re.compile(
    r"\\.|\{,[0-9]*\}|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|\(\?[imsU-]+\)|\(|\)|\||.", re.ASCII | re.DOTALL
)
_FLAGS: Final = re.compile(r"\(\?([ims]+)\)", re.ASCII)


def at_end(pattern: str) -> re.Pattern[str]:
    r"""Compile a pattern of a rule file so that it ends with the line; as there, of `a|b` only `b` has to.

    >>> at_end("(?i)oops.*").search("BUG: Oops: 0002")
    <re.Match object; span=(5, 15), match='Oops: 0002'>

    Raises:
        ValueError: it is none, or says what Python has no word for.
    """
    return compiled(f"{pattern}\\z")


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of Go. Raises ValueError."""
    text = _translated(pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as for [[:alpha:]], which Python takes for something else
        try:
            return re.compile(text, re.ASCII)
        except (re.error, FutureWarning, DeprecationWarning, OverflowError, RecursionError) as error:
            raise ValueError(f"{pattern!r}: {error}") from error


def _translated(pattern: str) -> str:
    made: list[str] = []
    groups: list[list[str]] = [[]]  # of each group that is open: the flags that have begun in it
    for part in _TOKEN.findall(pattern):
        begun = groups[-1]
        flags = _FLAGS.fullmatch(part)
        if flags is not None:
            begun.append(flags.group(1))
            made.append(f"(?{begun[-1]}:")
        elif part == "|":
            made.extend((")" * len(begun), part, *(f"(?{one}:" for one in begun)))
        elif part == "(":
            groups.append([])
            made.append(part)
        elif part == ")" and len(groups) > 1:
            made.extend((")" * len(groups.pop()), part))
        elif part.startswith("{,"):  # what it says to Go; to Python it is a number of times, none of them too
            made.append(re.escape(part))
        else:
            made.append(r"\Z" if part == r"\z" else part)
    return "".join((*made, ")" * sum(map(len, groups))))
