"""The real agent, as a unit of a real host, with a real controller and a real server: import, upgrade, drift, crashes."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.host import Host
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]

LOG = logging.getLogger(__name__)

OLD: Final = "1.6.20~ds1-1+deb12u2"
NEW: Final = "1.6.20~ds1-1+deb12u3"
DROP_IN: Final = "/etc/systemd/system/containerd.service.d/50-platform.conf"
CONTENT: Final = "[Service]\nEnvironment=PLATFORM={name}\n"

# dpkg runs it before it unpacks and before it configures: a test says where it is to stand still, and is told.
_STANDS: Final = """#!/bin/sh
[ "$DPKG_HOOK_ACTION" = "$(cat /srv/stand-at 2>/dev/null)" ] || exit 0
rm /srv/stand-at
touch /srv/stands
sleep 60
"""


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


@pytest.fixture
def layers(kubelet: tuple[Path, ...], kubenode: tuple[Path, ...]) -> tuple[Path, ...]:
    """What a node with an agent has."""
    return (*kubelet, *kubenode)


def _imported(node: Kept, *options: str) -> tuple[str, str]:
    """Install the agent, and let it bring the node to the old containerd and a drop-in; give the names of both entries."""
    for version, name in ((OLD, "containerd-u2"), (NEW, "containerd-u3")):
        parameters = {"package": "containerd", "unit": "containerd.service"}
        node.apply(
            "MachineComponent", name, {"version": version, "driver": "package", "parameters": parameters}
        )
    content = CONTENT.format(name="${machine.name}")
    parameters = {"path": DROP_IN, "content": content, "unit": "containerd.service"}
    node.apply("MachineComponent", "platform-1", {"version": "1", "driver": "file", "parameters": parameters})
    node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 5}]})
    node.install_agent(*options)
    runtime, platform = node.entry("containerd"), node.entry("platform")
    node.runs(runtime, "containerd-u2")
    node.runs(platform, "platform-1")
    node.wait_running({runtime: OLD, platform: "1"})
    return runtime, platform


def _installed(host: Host) -> str:
    return host.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "containerd")


def _healed(node: Kept, entry: str, version: str, since: datetime) -> float:
    """Wait until an entry is at target again, with a drift that was reported after this moment; give how long it took."""
    begun = time.monotonic()

    def healed() -> bool:
        at = node.report(entry).get("driftedAt")
        return at is not None and datetime.fromisoformat(at) >= since and node.at_target(entry, version)

    until(f"the repair of {entry}", healed, 90, node.told)
    return time.monotonic() - begun


def _said(host: Host) -> str:
    return host.run("journalctl", "--no-pager", "-n", "40", "-u", UNIT)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def test_a_running_node_is_imported_upgraded_and_healed(
    stage: Stage, world: World, layers: tuple[Path, ...]
) -> None:
    """The agent enrols, brings it to what is wanted, upgrades it by a rollout, and mends what is broken by hand, with and without the server."""
    with kept(stage, world, "imported", *layers) as node:
        host, begun = node.host, time.monotonic()
        boot = host.boot_id
        runtime, platform = _imported(node)
        LOG.info("%s: %.1f s", "imported", time.monotonic() - begun)
        assert _installed(host) == f"installed {OLD}"
        assert host.read(DROP_IN) == CONTENT.format(name="imported")
        assert "PLATFORM=imported" in host.run("systemctl", "show", "-P", "Environment", "containerd")
        assert host.run("stat", "-c", "%a %U", "/var/lib/kubenode/identity.pem").split() == ["600", "root"]
        said = node.machine()["status"]["agent"]
        assert (said["bootID"], said["nodeName"]) == (boot, "imported")

        begun = time.monotonic()
        node.runs(runtime, "containerd-u3")
        node.wait_running({runtime: NEW, platform: "1"})
        node.wait_complete(runtime)
        LOG.info("%s: %.1f s", "upgraded", time.monotonic() - begun)
        assert _installed(host) == f"installed {NEW}"

        since = _now()
        host.write(DROP_IN, "[Service]\nEnvironment=PLATFORM=mine\n")
        LOG.info("%s: %.1f s", "file_healed", _healed(node, platform, "1", since))
        assert host.read(DROP_IN) == CONTENT.format(name="imported")
        assert "PLATFORM=imported" in host.run("systemctl", "show", "-P", "Environment", "containerd")

        since = _now()
        host.run("systemctl", "stop", "containerd")
        LOG.info("%s: %.1f s", "unit_healed", _healed(node, runtime, NEW, since))
        assert host.run("systemctl", "is-active", "containerd").strip() == "active"

        since = _now()
        host.run(
            "apt-get",
            "-q",
            "-y",
            "--allow-downgrades",
            "--allow-change-held-packages",
            "install",
            f"containerd={OLD}",
        )
        LOG.info("%s: %.1f s", "package_healed", _healed(node, runtime, NEW, since))
        assert _installed(host) == f"installed {NEW}"

        host.cut_network()
        begun = time.monotonic()
        host.write(DROP_IN, "")
        until("the repair without a server", lambda: host.read(DROP_IN), 150, lambda: _said(host))
        LOG.info("%s: %.1f s", "away_healed", time.monotonic() - begun)
        assert host.read(DROP_IN) == CONTENT.format(name="imported")
        assert not node.is_ready()
        host.restore_network()
        begun = time.monotonic()
        node.wait_running({runtime: NEW, platform: "1"})
        LOG.info("%s: %.1f s", "back", time.monotonic() - begun)
        assert host.boot_id == boot
        assert host.run("systemctl", "show", "-P", "NRestarts", UNIT).strip() == "0"
        assert host.run("dpkg", "--audit") == ""


def _rests(node: Kept, seconds: float = 6) -> None:
    """Wait until nobody has written the Machine for a while: a write is a look as well."""
    seen, since = "", time.monotonic()

    def rested() -> bool:
        nonlocal seen, since
        version = node.machine()["metadata"]["resourceVersion"]
        if version != seen:
            seen, since = version, time.monotonic()
        return time.monotonic() - since > seconds

    until("nothing written", rested, 90, node.told, every=0.5)


def _watches(host: Host) -> bool:
    """Tell whether the agent watches something of its host."""
    files = host.run("sh", "-c", "cat /proc/$(systemctl show -P MainPID kubenode-agent)/fdinfo/* || true")
    return "inotify wd:" in files


def _anew(node: Kept) -> None:
    """Let another agent keep the host, which has heard nothing yet: what flaps is looked at ever more rarely."""
    node.host.run("systemctl", "restart", UNIT)
    until("a watch on the host", lambda: _watches(node.host), 60, node.told)
    _rests(node, 3)


def test_what_is_changed_by_hand_is_heard_of_and_not_waited_for(
    stage: Stage, world: World, layers: tuple[Path, ...]
) -> None:
    """An agent that looks once an hour by itself mends a file, a unit and a hold at once: its host is watched."""
    with kept(stage, world, "watched", *layers) as node:
        host = node.host
        runtime, platform = _imported(node, "--inspect-seconds", "3600", "--no-detect")
        assert _watches(host)
        breaks = (
            (platform, "1", ("sh", "-c", f"echo '[Service]' >{DROP_IN}")),
            (runtime, OLD, ("systemctl", "stop", "containerd")),
            (runtime, OLD, ("apt-mark", "unhold", "containerd")),
        )
        for entry, version, argv in breaks:
            _rests(node)
            since = _now()
            host.run(*argv)
            LOG.info("%s: %.1f s", " ".join(argv[:2]), _healed(node, entry, version, since))
        assert host.read(DROP_IN) == CONTENT.format(name="watched")
        assert host.run("systemctl", "is-active", "containerd").strip() == "active"
        assert host.run("apt-mark", "showhold").split() == ["containerd"]
        assert "event=not-watched" not in _said(host)
        _apart(node, runtime, platform)


def _apart(node: Kept, entry: str, beside: str) -> None:
    """Version, configuration and running state: what is broken is told, and that alone; a label lets it be, and without it all is healed.

    The entry beside it has the same unit, and would start it again.
    """
    host = node.host
    labels = [f"allow-drift.kubenode.dev/{name}" for name in (entry, beside)]
    ops = [record["op"] for record in node.journal() if record["is"] == "began"]

    def found() -> tuple[str, str, str, bool]:
        report = node.report(entry)
        return report["version"], report["config"], report["state"], report.get("drifting", False)

    def told(version: str, config: str, state: str) -> None:
        wanted = (version, config, state, (version, config, state) != (OLD, "Current", "Running"))
        begun = time.monotonic()
        until(f"{wanted} of {entry}", lambda: found() == wanted, 60, node.told)
        LOG.info("told %s %s %s: %.1f s", version, config, state, time.monotonic() - begun)

    def install(version: str) -> tuple[str, ...]:
        by_hand = "apt-get -q -y --allow-downgrades --allow-change-held-packages install"
        return ("sh", "-c", f"{by_hand} containerd={version} && apt-mark hold containerd")

    node.mark(*(f"{label}=mine" for label in labels))
    states = (
        (
            ("systemctl", "stop", "containerd"),
            (OLD, "Current", "Stopped"),
            ("systemctl", "start", "containerd"),
        ),
        (
            ("apt-mark", "unhold", "containerd"),
            (OLD, "Drifted", "Running"),
            ("apt-mark", "hold", "containerd"),
        ),
        (install(NEW), (NEW, "Current", "Running"), install(OLD)),
    )
    for breaks, as_told, mends in states:
        _anew(node)
        host.run(*breaks)
        told(*as_told)
        host.run(*mends)
        told(OLD, "Current", "Running")
    _anew(node)
    for breaks, _, _ in reversed(states):
        host.run(*breaks)
    told(NEW, "Drifted", "Stopped")
    _rests(node)
    assert found() == (NEW, "Drifted", "Stopped", True)
    assert [record["op"] for record in node.journal() if record["is"] == "began"] == ops
    since = _now()
    node.mark(*(f"{label}-" for label in labels))
    node.wait_running({entry: OLD})
    assert datetime.fromisoformat(node.report(entry)["driftedAt"]) <= since
    assert _installed(host) == f"installed {OLD}"
    assert host.run("apt-mark", "showhold").split() == ["containerd"]
    assert host.run("systemctl", "is-active", "containerd").strip() == "active"


def _stands_at(node: Kept, action: str) -> None:
    """Let dpkg stand still before it does this, the next time: `unpack` or `configure`."""
    host = node.host
    host.write("/srv/stand", _STANDS, mode=0o755)
    host.write("/etc/dpkg/dpkg.cfg.d/stand", "pre-invoke=/srv/stand\n")
    host.write("/srv/stand-at", action)


def _upgraded_once(node: Kept, runtime: str, platform: str) -> None:
    host = node.host
    node.wait_running({runtime: NEW, platform: "1"})
    node.wait_complete(runtime)
    assert _installed(host) == f"installed {NEW}"
    assert host.run("dpkg", "--audit") == ""
    installs = [
        record for record in node.journal()
        if record["is"] == "began" and any(step.get("version") == NEW for step in record["steps"])
    ]  # fmt: skip
    assert len(installs) == 1
    ended = [
        record for record in node.journal() if record["is"] == "ended" and record["op"] == installs[0]["op"]
    ]
    assert [record["state"] for record in ended] == ["done"]


@pytest.mark.parametrize(
    ("how", "action"),
    [
        ("power", "configure"),
        pytest.param("power", "unpack", marks=pytest.mark.nightly),
        pytest.param("killed", "configure", marks=pytest.mark.nightly),
        pytest.param("killed", "unpack", marks=pytest.mark.nightly),
    ],
)
def test_an_upgrade_that_is_cut_short_comes_to_its_end_once(
    stage: Stage, world: World, layers: tuple[Path, ...], action: str, how: str
) -> None:
    """The agent is killed, or the host loses its power, while dpkg runs: what follows goes on where it was."""
    with kept(stage, world, f"{how}-{action[:4]}", *layers) as node:
        host = node.host
        runtime, platform = _imported(node)
        _stands_at(node, action)
        node.runs(runtime, "containerd-u3")
        until("dpkg in the middle", lambda: host.run("find", "/srv", "-name", "stands"), 120, node.told)
        boot, begun = host.boot_id, time.monotonic()
        if how == "killed":
            process = host.run("systemctl", "show", "-P", "MainPID", UNIT).strip()
            host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
            _upgraded_once(node, runtime, platform)
            assert host.run("systemctl", "show", "-P", "MainPID", UNIT).strip() != process
            assert host.boot_id == boot
        else:
            host.power_cut()
            host.power_on()
            _upgraded_once(node, runtime, platform)
            assert node.machine()["status"]["agent"]["bootID"] == host.boot_id != boot
        LOG.info("%s: %.1f s", "upgraded_after", time.monotonic() - begun)
        taken_up = host.run("journalctl", "--no-pager", "-u", UNIT, "--grep", "event=taken-up")
        assert taken_up.count("event=taken-up") == 1
