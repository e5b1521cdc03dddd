"""Recordings of the four stories of the demo, as small as they can be and still be told whole.

Run as a program it plays one, so that it can be played under another PYTHONHASHSEED.
"""

import sys
from pathlib import Path

from kubenode.runtime.record import Record, recorder
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, examples

MACHINES = 12


def record(story: str, path: Path) -> int:
    """Play a story, write its recording, and give the number of its decisions."""
    cast = Cast.read([examples() / f"{story}.yaml"])
    with recorder(path) as kept:
        told = STORIES[story](
            cast.with_machines(MACHINES) if story == "upgrade" else cast, 0, lambda _: None,
            lambda simulation: simulation.listen(lambda decided: kept(Record.of(decided))),
        )  # fmt: skip
        assert kept.records == told.decisions
    return told.decisions


if __name__ == "__main__":
    record(sys.argv[1], Path(sys.argv[2]))
