"""Pages that are typed: their blocks of commands, and what they say that each prints."""

import re
from collections.abc import Iterator

import attrs

CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Step:
    """One command, and what the page says that it prints."""

    command: str
    output: str


def steps(page: str) -> Iterator[Step]:
    """Read the commands in their order."""
    for block in CONSOLE.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Step(command, output)
