"""The agent of a real node exchanges itself: for a good one; for such as end, hang or cannot run; and with the power cut in the middle."""

import io
import logging
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.artifacts import Artifacts, served
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

LOG = logging.getLogger(__name__)
LINK: Final = "/opt/kubenode/bin"
FALLBACK: Final = "kubenode-agent-fallback.service"
TRIAL: Final = "/var/lib/kubenode/upgrade.json"
HANGS_S: Final = 10
"""Seconds that one has which hangs: so long the test waits for it."""
SCRIPT: Final = b'#!/bin/sh\n[ "$1" = version ] && exec echo 1\n'
BAD: Final = {
    "ends": SCRIPT + b"exit 1\n",
    "hangs": SCRIPT + b"trap '' TERM\nwhile :; do sleep 1; done\n",
    "foreign": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00" + bytes(100),
}
"""What stands in bundles as a program that is none to keep: the last is of another machine type."""


PYTHON: Final = "/usr/bin/python3.11"
CAP_SYS_BOOT: Final = 22
TAKEN: Final = (CAP_SYS_BOOT, 17, 25, 32, 35, 36)
"""Numbers of the capabilities that no package needs: also raw I/O, the clock, MAC overrides, wake alarms, block suspend."""
CLOSED: Final = ("clock_settime", "iopl", "reboot")


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


@pytest.fixture(scope="module")
def bundles(agent_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Two bundles of what is checked out, bad ones, and as `first` a folder to lay over a host that has it from an import."""
    folder = tmp_path_factory.mktemp("bundles")
    first = folder / "first" / "opt" / "kubenode"
    with tarfile.open(agent_bundle) as tar:
        tar.extractall(first / "first", filter="data")
    (first / "bin").symlink_to("first/bin")
    made = {"first": folder / "first"}
    for name in ("good", "later", *BAD):
        made[name] = folder / f"{name}.tar"
        with tarfile.open(made[name], "w") as tar:
            if name in BAD:
                _add(tar, "bin/kubenode", BAD[name], 0o755)
            else:
                tar.add(first / "first" / "bin", "bin")
            _add(tar, "bin/which", name.encode(), 0o644)
    yield made
    shutil.rmtree(folder)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _runs(node: Kept) -> str:
    """Give the program that runs as the agent, by the kernel's word; empty while none does."""
    process = node.host.run("systemctl", "show", "-P", "MainPID", UNIT).strip()
    return node.host.run("readlink", f"/proc/{process}/exe", check=False).strip()


def _which(node: Kept) -> str:
    """Give which bundle the agent's link leads to."""
    return node.host.run("cat", f"{LINK}/which", check=False)


def _others(node: Kept) -> str:
    return node.host.run("systemctl", "show", "-P", "InvocationID", "kubelet", "containerd")


def _told(node: Kept) -> str:
    said = node.host.run("journalctl", "--no-pager", "-n", "60", "-u", FALLBACK) if node.host.is_on else ""
    return node.told() + said


def _wanted(node: Kept, entry: str, name: str) -> None:
    LOG.info("%s is wanted", name)
    node.runs(entry, f"{node.name}-{name}")


def _exchanged(node: Kept, entry: str, name: str) -> None:
    """Wait until a bundle is there, told and proven."""
    begun = time.monotonic()
    until(f"the agent {name}", lambda: node.at_target(entry, name), 120, lambda: _told(node))
    LOG.info("%s: %.1f s", name, time.monotonic() - begun)
    assert _which(node) == name
    assert _runs(node) == node.host.run("readlink", "-f", f"{LINK}/kubenode").strip()
    until("the end of the trial", lambda: not node.host.run("find", TRIAL, check=False), 10)


def _gone_back(node: Kept, entry: str, name: str, why: str, to: str) -> None:
    """Let a bundle be wanted that is bad, and see that the one before is there again, and says why."""
    _wanted(node, entry, name)
    begun = time.monotonic()
    until(
        f"the way back from {name}",
        lambda: why in node.report(entry).get("message", ""),
        120,
        lambda: _told(node),
    )
    LOG.info("back from %s: %.1f s", name, time.monotonic() - begun)
    found = node.report(entry)
    assert (found["reason"], found["component"]) == ("RolledBack", f"{node.name}-{to}")
    assert _which(node) == to
    assert _runs(node) == node.host.run("readlink", "-f", f"{LINK}/kubenode").strip()
    assert node.is_ready()


def _tries(node: Kept, server: Artifacts, name: str) -> int:
    """Count how often a bundle was begun with, by the journal."""
    steps = [step for record in node.journal() for step in record.get("steps", ())]
    return sum(step.get("sha256") == server.digest(name) for step in steps)


def test_an_agent_exchanges_itself_and_comes_back_by_itself(
    stage: Stage, world: World, kubelet: tuple[Path, ...], bundles: dict[str, Path]
) -> None:
    """A good one stays. One that ends, hangs or cannot run goes, without its help and once. The node's work never notices."""
    first = bundles["first"]
    files = {name: path for name, path in bundles.items() if name != "first"}
    with served(files) as server, kept(stage, world, "selfmade", *kubelet, first) as node:
        for name in files:
            within = {"within": HANGS_S} if name == "hangs" else {}
            parameters = {"url": server.url("good", name), "sha256": server.digest(name), **within}
            spec = {"version": name, "driver": "kubenode-agent", "parameters": parameters}
            node.apply("MachineComponent", f"{node.name}-{name}", spec)
        node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 5}]})
        node.host.run("mv", PYTHON, f"{PYTHON}.away")  # a bundle brings its own
        node.install_agent()
        entry, others = node.entry("agent"), _others(node)

        _wanted(node, entry, "good")
        _exchanged(node, entry, "good")
        _gone_back(node, entry, "foreign", "it does not run here", "good")
        _gone_back(node, entry, "ends", "it ended 3 times", "good")
        _gone_back(node, entry, "hangs", f"it did not come up within {HANGS_S} s", "good")
        assert _others(node) == others
        assert [_tries(node, server, name) for name in ("ends", "hangs")] == [1, 1]

        _wanted(node, entry, "later")
        until("the trial", lambda: _which(node) == "later", 60, lambda: _told(node), every=0.05)
        node.host.power_cut()
        node.host.power_on()
        _exchanged(node, entry, "later")
        until("Ready", node.is_ready, 60, lambda: _told(node))
        assert len(node.host.run("ls", "/opt/kubenode/artifacts").split()) == 2
        _hardened(node)


def _hardened(node: Kept) -> None:
    """See that what the unit takes away is taken away from the process that runs, and how exposed systemd says both units are."""
    wanted = {
        "KeyringMode": "private", "LockPersonality": "yes", "RestrictRealtime": "yes", "SystemCallArchitectures": "native",
        "SystemCallErrorNumber": "1", "StateDirectoryMode": "0700", "KillMode": "mixed", "OOMPolicy": "continue",
    }  # fmt: skip
    assert {name: _shown(node, name) for name in wanted} == wanted
    assert set(_shown(node, "RestrictAddressFamilies").split()) == {
        "AF_UNIX",
        "AF_INET",
        "AF_INET6",
        "AF_NETLINK",
    }
    denied = _shown(node, "SystemCallFilter")
    assert denied.startswith("~")
    assert set(CLOSED) <= set(denied.removeprefix("~").split())
    process = _shown(node, "MainPID")
    status = dict(line.split(":", 1) for line in node.host.read(f"/proc/{process}/status").splitlines())
    first = dict(line.split(":", 1) for line in node.host.read("/proc/1/status").splitlines())
    assert status["Seccomp"].strip() == "2"
    held, possible = (int(one["CapBnd"], 16) for one in (status, first))
    assert possible >> CAP_SYS_BOOT & 1
    assert [one for one in TAKEN if held >> one & 1] == []
    for unit, most in ((UNIT, 8.0), (FALLBACK, 2.0)):
        said = node.host.run("systemd-analyze", "security", "--no-pager", unit, check=False)
        exposed = float(said.rpartition(f"for {unit}:")[2].split()[0])
        LOG.info("%s: %.1f", unit, exposed)
        assert exposed <= most, said


def _shown(node: Kept, name: str) -> str:
    return node.host.run("systemctl", "show", "-P", name, UNIT).strip()
