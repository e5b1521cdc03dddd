"""The four stories on a real cluster while something is wrong: every run ends as the embedded one does."""

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kubenode.core import model as m
from tests.cluster.faults import plot
from tests.cluster.faults.judge import WORDS, WRITES, unled
from tests.cluster.faults.plot import STORIES
from tests.cluster.faults.proxy import Proxy
from tests.cluster.faults.stage import Controller, staged
from tests.cluster.faults.wrong import WHEN, Breaking, Killing, Losing, Refusing, Striking, story_in_log

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_nothing_is_wrong(control_plane_folder: Path, tmp_path: Path) -> None:
    """The stories themselves, through a proxy that does nothing; each host is a process of its own."""
    with staged(control_plane_folder, tmp_path, apart=True) as stage:
        assert len({one.pid for one in stage.host_processes}) == len(plot.cast().of(m.Machine)) == 14
        stage.prepare()
        stage.begin()
        stage.finish()


def test_answers_are_lost_after_the_write(control_plane_folder: Path, tmp_path: Path) -> None:
    """Three of ten writes, and the first of each story, are done and look as if they were not."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        fault = stage.controllers[0].proxy.fault = Losing(seed=1)
        stage.begin()
        stage.finish()
        assert not fault.missed(), fault.struck
        assert fault.count("lost") > 20, fault.struck


def test_the_server_is_overloaded_and_fails(control_plane_folder: Path, tmp_path: Path) -> None:
    """One of five requests, and the first three writes of each story, are answered 429, 500 or 503."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        fault = stage.controllers[0].proxy.fault = Refusing(seed=1)
        stage.begin()
        stage.finish()
        assert not fault.missed(), fault.struck
        assert min(map(fault.count, fault.REASONS)) > 6, fault.struck


def kills(binaries: Path, folder: Path, *, seed: int) -> None:
    """Kill the leader around the writes of each story, 25 times on each; the other one takes over at once.

    A hundred kills in minutes: who is killed is started again in that moment, by a fork, and its Lease is ended by hand.
    """
    count = 25
    with staged(binaries, folder, controllers=2) as stage:
        for one in stage.controllers:
            one.forks = True
            one.options = ["--lease-seconds", "3"]  # also how often the other one looks
        stage.prepare()
        by = {one.proxy: one for one in stage.controllers}

        def kill(proxy: Proxy) -> None:
            by[proxy].kill()
            stage.free_lease()
            by[proxy].start()

        fault = Killing(seed, count, kill)
        for proxy in by:
            proxy.fault = fault
        stage.begin()
        stage.finish(patience=720)
        assert {story: fault.of(story) for story in STORIES} == dict.fromkeys(STORIES, count)
        assert min(fault.killed[story, when] for story in STORIES for when in WHEN) > 0, fault.killed


def test_the_controller_is_killed_around_its_writes(control_plane_folder: Path, tmp_path: Path) -> None:
    """Twenty-five times on each story, at points drawn by a seed."""
    kills(control_plane_folder, tmp_path, seed=1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_the_controller_is_killed_a_hundred_times(
    control_plane_folder: Path, tmp_path: Path, seed: int
) -> None:
    """A hundred times on each story: twenty-five with each of four other seeds."""
    kills(control_plane_folder, tmp_path, seed=seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("fault", [Losing, Refusing, Breaking])
def test_other_seeds(
    control_plane_folder: Path, tmp_path: Path, fault: Callable[[int], Striking], seed: int
) -> None:
    """Other requests are struck."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        struck = stage.controllers[0].proxy.fault = fault(seed)
        stage.begin()
        stage.finish()
        assert not struck.missed(), struck.struck


def test_two_controllers_act_at_once(control_plane_folder: Path, tmp_path: Path) -> None:
    """Neither keeps a lease, both write on each story: preconditions and the ledger alone keep them from doing anything twice."""
    with staged(control_plane_folder, tmp_path, controllers=2, proxied=False) as stage:
        for one in stage.controllers:
            one.options = ["--lease", "none"]
        stage.prepare()
        begun = time.time_ns()
        stage.begin()
        stage.finish()
        told = [entry for entry in stage.audited() if entry.at > begun and entry.verb in WRITES]
        tried = Counter((entry.user, story_in_log(entry)) for entry in told if entry.resource not in WORDS)
        assert min(tried[one.user, story] for one in stage.controllers for story in STORIES) > 5, tried
        written = [sum(entry.user == one.user and entry.wrote for entry in told) for one in stage.controllers]
        assert min(written) > 20, written


def test_the_leader_is_paused_and_wakes(control_plane_folder: Path, tmp_path: Path) -> None:
    """Forty seconds: another one has led since, and the one that wakes writes nothing."""
    with staged(control_plane_folder, tmp_path, controllers=2, proxied=False) as stage:
        stage.prepare()
        leader, other = sorted(stage.controllers, key=Controller.leads, reverse=True)
        assert leader.leads()
        stage.begin()
        before = stage.written(leader)
        stage.until("the leader's writes", lambda: stage.written(leader) > before + 20)
        leader.signal(signal.SIGSTOP)
        paused = time.monotonic()
        stage.until("the other leads", other.leads)
        stage.until("forty seconds", lambda: time.monotonic() > paused + 40)
        leader.signal(signal.SIGCONT)
        stage.finish()
        late = [entry for entry in unled(stage.audited()) if entry.user == leader.user]
        assert not late, late


def test_the_server_is_restarted_and_etcd_compacted(control_plane_folder: Path, tmp_path: Path) -> None:
    """One that has just started refuses with 403 what it will allow; after a compaction each watch is refused with 410."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        stage.begin()
        time.sleep(3)
        stage.plane.restart_apiserver()
        time.sleep(5)
        one = stage.controllers[0]
        # Not before the server is ready, or the 403 would hide the 410.
        one.proxy.away(is_away=True)
        stage.plane.compact()
        stage.plane.restart_apiserver()
        one.proxy.away(is_away=False)
        stage.finish()
        assert one.log.read_text().count("error=Expired") > 3


def test_the_server_is_away(control_plane_folder: Path, tmp_path: Path) -> None:
    """For thirty seconds no connection is taken, and after the first that fails at most two are tried in any second."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        proxy = stage.controllers[0].proxy
        stage.begin()
        time.sleep(3)
        proxy.away(is_away=True)
        before = len(proxy.connections)
        time.sleep(30)
        first, *tried = proxy.connections[before:]
        proxy.away(is_away=False)
        stage.finish()
        assert len(tried) > 5
        crowded = [at for at in tried if sum(at <= other < at + 1 for other in tried) > 2]
        assert not crowded, [round(at - first, 2) for at in tried]


def test_connections_are_reset_and_stall(control_plane_folder: Path, tmp_path: Path) -> None:
    """Requests of each story and watches are reset, some stand still for ever, and once nothing comes through for twelve seconds."""
    with staged(control_plane_folder, tmp_path) as stage:
        stage.prepare()
        proxy = stage.controllers[0].proxy
        fault = proxy.fault = Breaking(seed=1)
        stage.begin()
        for _ in range(3):
            time.sleep(2)
            proxy.reset()
        proxy.stall(is_stalled=True)
        time.sleep(12)
        proxy.stall(is_stalled=False)
        stage.finish()
        assert not fault.missed(), fault.struck
        assert fault.count("reset") > 10, fault.struck


def test_an_older_controller_beside_a_new_one(control_plane_folder: Path, tmp_path: Path) -> None:
    """They hand the lease to each other in the middle of all stories; the older one begins, and goes first."""
    with staged(control_plane_folder, tmp_path, controllers=2, proxied=False) as stage:
        new, old = stage.controllers
        old.program = [sys.executable, "-m", "tests.cluster.faults.older"]
        stage.controllers.reverse()
        old.start()
        stage.until("the older one leads", old.leads)
        stage.prepare()
        stage.begin()
        for _ in range(4):
            time.sleep(5)
            leader, other = sorted(stage.controllers, key=Controller.leads, reverse=True)
            leader.stop()
            stage.until("the other leads", other.leads)
            leader.start()
        old.stop()
        stage.until("the new one leads", new.leads)
        stage.finish()
        assert min(stage.written(one) for one in stage.controllers) > 20
