"""Recordings of the four stories of the demo, of drift, of drains, of replacements, of a MachineSet and of a cloud, each played once: with its small cast where it has one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.policy import Policy
from kubenode.runtime.record import Record, Recorder, recorded
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.story import Cast, examples
from tests.stories import clouding, draining, drifting, replacing, scaling
from tests.stories.disturbing import PLAYS

MACHINES: Final = {
    "import": 0,
    "upgrade": 20,
    "hung": 0,
    "outage": 0,
    "drift": 0,
    "machineset": 0,
    "drain": 0,
    "replacement": 0,
    **dict.fromkeys(clouding.PLAYS, 0),
}
"""How many machines are added; 0 where the file has its own."""
MADE: Final = {
    "drift": lambda: drifting.cast_of(3),
    "drain": lambda: draining.cast_of(2),
    "machineset": lambda: scaling.cast_of(1, zones="ab"),
    "replacement": lambda: replacing.cast_of(3),
    **dict.fromkeys(clouding.PLAYS, lambda: clouding.cast_of(6, zones="ab")),
}


@attrs.frozen
class Recorded:
    """A story in a file, and what the recorder was told."""

    path: Path
    told: tuple[Record, ...]


def record(story: str, path: Path) -> Recorded:
    """Play a story and record it."""
    told: list[Record] = []
    cast = MADE[story]() if story in MADE else Cast.read([examples() / f"{story}.yaml"])
    cast = cast.with_machines(MACHINES[story]) if MACHINES[story] else cast
    policy = Policy.of((*cast.of(m.NodeRemedier), *cast.of(m.RiskPolicy)))

    def attend(simulation: Simulation) -> None:
        simulation.listen(lambda decided: told.append(recorded(decided)))
        simulation.listen(lambda decided: recorder(recorded(decided)))

    with Recorder(path, policy) as recorder:
        PLAYS[story](cast, 0, lambda _: None, attend)
    return Recorded(path, tuple(told))


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Recorded]:
    """All of them."""
    folder = tmp_path_factory.mktemp("recordings")
    return {story: record(story, folder / f"{story}.knrec") for story in PLAYS}


@pytest.fixture
def hung(recordings: Mapping[str, Recorded], tmp_path: Path) -> Callable[[], Path]:
    """Give a copy of the recording of `hung`, to spoil."""

    def copy() -> Path:
        path = tmp_path / "hung.knrec"
        path.write_bytes(recordings["hung"].path.read_bytes())
        return path

    return copy
