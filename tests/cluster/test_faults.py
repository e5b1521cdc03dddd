"""The four stories on a real cluster while something is wrong: every run ends as the embedded one does."""

import signal
from pathlib import Path

import pytest

from tests.cluster.faults.stage import Controller, staged
from tests.cluster.faults.wrong import Killing, Losing, Refusing

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_nothing_is_wrong(control_plane_folder: Path, tmp_path: Path) -> None:
    """The stories themselves, through a proxy that does nothing."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        stage.begin()
        stage.finish()


def test_answers_are_lost_after_the_write(control_plane_folder: Path, tmp_path: Path) -> None:
    """Three of ten writes are done and look as if they were not."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        fault = stage.controllers[0].proxy.fault = Losing(seed=1)
        stage.begin()
        stage.finish()
        assert sum(fault.lost.values()) > 20, fault.lost


def test_the_server_is_overloaded_and_fails(control_plane_folder: Path, tmp_path: Path) -> None:
    """One of five requests is answered 429, 500 or 503."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        fault = stage.controllers[0].proxy.fault = Refusing(seed=1)
        stage.begin()
        stage.finish()
        assert min(fault.said[code] for code in (429, 500, 503)) > 3, fault.said


def kills(binaries: Path, folder: Path, *, seed: int, count: int) -> None:
    """Kill the leader around its writes so often; another one waits, and each is started again at once."""
    with staged(binaries, folder, controllers=2) as stage:
        stage.prepare()
        faults = [_killing(one, seed, -(-count // 2)) for one in stage.controllers]

        def revive() -> None:
            for one in stage.controllers:
                if not one.is_alive():
                    one.start()

        stage.begin()
        stage.finish(patience=60 + 10 * count, during=revive)
        assert sum(fault.left for fault in faults) == 0, [fault.killed for fault in faults]


def _killing(one: Controller, seed: int, count: int) -> Killing:
    fault = Killing(seed, count, lambda: one.signal(signal.SIGKILL))
    one.proxy.fault = fault
    return fault


def test_the_controller_is_killed_around_its_writes(control_plane_folder: Path, tmp_path: Path) -> None:
    """Twenty-five times, at points drawn by a seed."""
    kills(control_plane_folder, tmp_path, seed=1, count=25)
