"""The four stories on a real cluster while something is wrong: every run ends as the embedded one does."""

from pathlib import Path

import pytest

from tests.cluster.faults.stage import staged

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_nothing_is_wrong(control_plane_folder: Path, tmp_path: Path) -> None:
    """The stories themselves, through a proxy that does nothing."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        stage.begin()
        stage.finish()
