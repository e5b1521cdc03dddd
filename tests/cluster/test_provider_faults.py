"""A MachineSet whose machines a provider makes and ends, while something is wrong: judged by the provider's own log."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.runtime.documents import to_yaml
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from tests.cluster.access import MERGE, admin, grant_second
from tests.cluster.faults.proxy import Asked, Proxy
from tests.cluster.faults.rack import Done, Rack
from tests.cluster.faults.stage import LEASE, Controller
from tests.cluster.faults.wrong import WHEN, Killing, Losing
from tests.cluster.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

POOL: Any = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineSet", "metadata": {"name": "pool"},
    "spec": {
        "replicas": 0, "selector": {"matchLabels": {"pool": "rack"}},
        "template": {"labels": {"pool": "rack"}, "spec": {
            "infrastructure": {"provider": "rack", "parameters": {"row": "r1"}}, "deletionPolicy": "Terminate",
        }},
    },
}  # fmt: skip
SIZES = (5, 1, 4, 0)
"""To what the set is scaled, one after the other: so many machines are made, and as many are ended."""
MADE = 8


@attrs.frozen
class Pool:
    """A cluster with a set, its controllers, and the rack behind them."""

    plane: ControlPlane
    controllers: list[Controller]
    rack: Rack

    def machines(self) -> list[Any]:
        """Give the Machines as stored."""
        items: list[Any] = json.loads(self.plane.kubectl("get", "machines", "-o", "json"))["items"]
        return items

    def told(self) -> str:
        """Give the ends of all logs."""
        logs = "\n".join(f"--- {one.user}\n{one.said()[-4000:]}" for one in self.controllers)
        return f"{logs}\n{self.rack.done()[-20:]}\n{json.dumps(self.machines())[:4000]}"

    def is_at(self, size: int) -> bool:
        """Tell whether there are so many Machines, each with the instance that the rack has for it, and no instance else."""
        found = self.machines()
        ids = {one.get("status", {}).get("instance", {}).get("id") for one in found}
        return len(found) == size and ids == alive(self.rack.done())

    def play(self) -> None:
        """Scale up and down."""
        for size in SIZES:
            self.plane.kubectl("scale", "machineset", "pool", f"--replicas={size}")
            until(f"{size} machines", lambda size=size: self.is_at(size), 120.0, logs=self.told, every=0.5)


def alive(done: list[Done]) -> set[str]:
    """Give what was made and is not gone."""
    left = Counter(one.made for one in done if one.made)
    left.subtract(one.gone for one in done if one.gone)
    return set(+left)


def judge(done: list[Done]) -> list[str]:
    """Give what must not be: a second machine for a Machine or a token, an end without a beginning, one that is left."""
    made, gone = [one for one in done if one.made], [one for one in done if one.gone]
    counts = (
        *((f"Machine {uid}: made", count) for uid, count in Counter(one.uid for one in made).items()),
        *((f"token {path}: made", count) for path, count in Counter(one.path for one in made).items()),
        *((f"{name}: ended", count) for name, count in Counter(one.gone for one in gone).items()),
    )
    wrong = [f"{what} {count} times" for what, count in counts if count > 1]
    return [*wrong, *(f"{name}: left" for name in alive(done))]


@contextmanager
def pool(binaries: Path, folder: Path, *, controllers: int = 1, proxied: bool = True) -> Iterator[Pool]:
    """Give a set of no machines yet on a control plane of its own; the controllers run."""
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane.start(binaries, folder))
        install(plane)
        grant_second(plane)
        rack = Rack(folder, stack, seed=1)
        made = [Controller(number, plane, folder, stack, proxied=proxied) for number in range(controllers)]
        for one in made:
            one.path = rack.path
            one.options = [*rack.options, *(["--lease-seconds", "3"] if controllers > 1 else [])]
        yield Pool(plane, made, rack)


def begin(stage: Pool) -> None:
    """Start the controllers, and make the set."""
    for one in stage.controllers:
        one.start()
    stage.plane.kubectl("apply", "-f", "-", input=to_yaml((POOL,)))


def test_the_judge_sees_what_is_doubled_and_left() -> None:
    """A second machine for a Machine under another token, one that is ended twice, and one that stays."""

    def made(name: str, token: str, uid: str) -> Done:
        return Done(method="PUT", path=f"/hosts/{token}", status=200, lost=False, made=name, gone="", uid=uid)

    def gone(name: str, uid: str) -> Done:
        return Done(
            method="DELETE", path=f"/hosts/{name}", status=200, lost=False, made="", gone=name, uid=uid
        )

    good = [made("m0", "t0", "u0"), gone("m0", "u0")]
    assert judge(good) == []
    assert judge([*good, made("m1", "t1", "u0"), gone("m1", "u0")]) == ["Machine u0: made 2 times"]
    assert judge([*good, made("m1", "t0", "u1"), gone("m1", "u1")]) == ["token /hosts/t0: made 2 times"]
    assert judge([*good, gone("m0", "u0")]) == ["m0: ended 2 times"]
    assert judge([*good, made("m1", "t1", "u1")]) == ["m1: left"]


def test_nothing_is_wrong(control_plane_folder: Path, tmp_path: Path) -> None:
    """Each machine is made once and ended once."""
    with pool(control_plane_folder, tmp_path) as stage:
        begin(stage)
        stage.play()
        assert not judge(stage.rack.done())
        assert sum(bool(one.made) for one in stage.rack.done()) == MADE


def free_lease(plane: ControlPlane) -> None:
    """End the Lease of whoever is dead."""
    code, answer = admin(plane).call("PATCH", LEASE, {"spec": {"holderIdentity": None}}, MERGE)
    assert code == 200, answer


def test_the_controller_is_killed_around_its_writes(control_plane_folder: Path, tmp_path: Path) -> None:
    """Before the intent is written, between it and the call, between the call and what it gave, and behind that."""
    kills = 15
    with pool(control_plane_folder, tmp_path, controllers=2) as stage:
        by = {one.proxy: one for one in stage.controllers}

        def kill(proxy: Proxy) -> None:
            by[proxy].kill()
            free_lease(stage.plane)
            by[proxy].start()

        fault = Killing(1, kills, kill, writes={"pool": 50}, story=_of_a_machine)
        for one in stage.controllers:
            one.forks = True
            one.proxy.fault = fault
        begin(stage)
        stage.play()
        assert not judge(stage.rack.done())
        assert fault.of("pool") == kills
        assert min(fault.killed["pool", when] for when in WHEN) > 0, fault.killed


def _of_a_machine(asked: Asked) -> str:
    return "pool" if "/machines/" in asked.path else ""


def test_answers_are_lost(control_plane_folder: Path, tmp_path: Path) -> None:
    """Of the server and of the provider, after what was asked is done."""
    with pool(control_plane_folder, tmp_path) as stage:
        stage.rack.lose(0.3)
        fault = stage.controllers[0].proxy.fault = Losing(seed=1)
        begin(stage)
        stage.play()
        done = stage.rack.done()
        assert not judge(done)
        assert (
            min(
                sum(one.lost and bool(one.made) for one in done),
                sum(one.lost and bool(one.gone) for one in done),
            )
            > 0
        )
        assert fault.count("lost") > 10, fault.struck


def test_two_controllers_act_at_once(control_plane_folder: Path, tmp_path: Path) -> None:
    """Neither keeps a lease; both call the provider."""
    with pool(control_plane_folder, tmp_path, controllers=2, proxied=False) as stage:
        for one in stage.controllers:
            one.options += ["--lease", "none"]
        begin(stage)
        stage.play()
        assert not judge(stage.rack.done())
        called = [one.log.read_text().count("provider=rack machine=pool-") for one in stage.controllers]
        assert min(called) > 0, called


def test_the_leader_is_paused_and_wakes(control_plane_folder: Path, tmp_path: Path) -> None:
    """In the middle of making machines; another one leads on, and the one that wakes makes and ends nothing twice."""
    with pool(control_plane_folder, tmp_path, controllers=2, proxied=False) as stage:
        begin(stage)
        until("a leader", lambda: any(one.leads() for one in stage.controllers), 60.0, logs=stage.told)
        leader, other = sorted(stage.controllers, key=Controller.leads, reverse=True)
        stage.plane.kubectl("scale", "machineset", "pool", "--replicas=5")
        until(
            "a machine",
            lambda: stage.rack.done() and alive(stage.rack.done()),
            60.0,
            logs=stage.told,
            every=0.01,
        )
        leader.signal(signal.SIGSTOP)
        paused = time.monotonic()
        until("the other leads", other.leads, 60.0, logs=stage.told)
        until("five machines", lambda: stage.is_at(5), 120.0, logs=stage.told, every=0.5)
        stage.plane.kubectl("scale", "machineset", "pool", "--replicas=1")
        until("one machine", lambda: stage.is_at(1), 120.0, logs=stage.told, every=0.5)
        until("forty seconds", lambda: time.monotonic() > paused + 40)
        leader.signal(signal.SIGCONT)
        stage.play()
        assert not judge(stage.rack.done())
