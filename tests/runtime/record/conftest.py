"""Recordings of the stories, made once a session."""

from pathlib import Path

import pytest

from kubenode.runtime.record import Recording
from tests.runtime.record.stories import record


@pytest.fixture(scope="session")
def hung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a recording of the story `hung`."""
    path = tmp_path_factory.mktemp("recordings") / "hung.knrec"
    record("hung", path)
    return path


@pytest.fixture(scope="session")
def recording(hung: Path) -> Recording:
    """That recording, read."""
    return Recording.load(hung)
