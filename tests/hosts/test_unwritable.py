"""An agent whose own folder cannot be written when it starts: it lives, finds and reports, begins nothing, and goes on by itself."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import JOURNAL, UNIT, Kept, kept
from tests.hosts.host import Host
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

STATE: Final = "/var/lib/kubenode"
CONF: Final = "/etc/sealed.conf"
LOG: Final = "/run/kernel.log"
READ_ONLY: Final = "EXT4-fs (sda1): Remounting filesystem read-only"
_FILLER: Final = f"{STATE}/filler"
_RESTARTS_S: Final = 12.0
"""Longer than systemd waits to start an agent again that has ended."""


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


def _wants(node: Kept, version: str) -> None:
    """Let the host have its file in a version."""
    name = f"{node.name}-conf-{version}"
    parameters = {"path": CONF, "content": f"{version}\n"}
    node.apply("MachineComponent", name, {"version": version, "driver": "file", "parameters": parameters})
    node.runs("conf", name)


def _waits(node: Kept, *says: str) -> None:
    """Wait until the report says why the file is not brought."""

    def is_told() -> bool:
        found = node.report("conf")
        return found.get("reason") == "JournalUnwritable" and all(
            one in found.get("message", "") for one in says
        )

    until(f"{says} of {node.name}", is_told, 90, lambda: f"{node.report('conf')}\n{node.told()}")


def _comes(node: Kept, version: str) -> None:
    until(f"conf at {version}", lambda: node.at_target("conf", version), 120, node.told)
    assert node.host.read(CONF) == f"{version}\n"


def _lives_on(host: Host) -> None:
    """See that the agent is no unit that is started again and again."""
    time.sleep(_RESTARTS_S)
    assert host.run("systemctl", "show", "-P", "NRestarts", UNIT).strip() == "0"
    assert host.run("systemctl", "is-active", UNIT).strip() == "active"


def _condition(world: World, name: str, type: str) -> str:
    """Give the status of a condition of a Node; empty while there is none."""
    node = world.admin.get(f"/api/v1/nodes/{name}")
    return next((one["status"] for one in node["status"]["conditions"] if one["type"] == type), "")


def test_an_agent_that_cannot_write_its_journal_finds_and_reports(
    stage: Stage, world: World, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...]
) -> None:
    """On a read-only file system; then on a full one, with a line of the journal cut short. Mended, it begins what waited."""
    with kept(stage, world, "sealed", *kubelet, *kubenode) as node:
        host = node.host
        host.write(LOG, "")
        node.install_agent("--kernel-log", LOG)
        _wants(node, "1")
        _comes(node, "1")

        host.run("mount", "--bind", STATE, STATE)
        host.run("mount", "-o", "remount,bind,ro", STATE)
        before = host.read(JOURNAL)
        host.run("systemctl", "restart", UNIT)
        _wants(node, "2")
        _waits(node, "Read-only file system; find out why, and remount it")
        host.run("tee", "-a", LOG, input=f"{READ_ONLY}\n")
        until(
            "ReadonlyFilesystem",
            lambda: _condition(world, node.name, "ReadonlyFilesystem") == "True",
            60,
            node.told,
        )
        _lives_on(host)
        assert (host.read(JOURNAL), host.read(CONF)) == (before, "1\n")
        host.run("mount", "-o", "remount,bind,rw", STATE)
        _comes(node, "2")

        host.run("systemctl", "stop", UNIT)
        host.run("mkdir", "-p", "/mnt/small")
        host.run("mount", "-t", "tmpfs", "-o", "size=1M,mode=0700", "none", "/mnt/small")
        host.run("cp", "-a", f"{STATE}/.", "/mnt/small")
        host.run("mount", "--bind", "/mnt/small", STATE)
        host.run("tee", "-a", JOURNAL, input='00000000 {"is":"beg')
        host.run("dd", "if=/dev/zero", f"of={_FILLER}", "bs=4k", check=False)
        host.run("systemctl", "start", UNIT)
        _wants(node, "3")
        _waits(node, "No space left on device; make room")
        _lives_on(host)
        assert host.read(CONF) == "2\n"
        host.run("rm", _FILLER)
        _comes(node, "3")
        assert [one["is"] for one in node.journal()].count(
            "began"
        ) == 1  # of those that are over only the end is kept
