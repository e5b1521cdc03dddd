"""Remedies on real hosts: the whole ladder by the agent, and the provider in the place of an agent that says nothing."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from kubenode import Engine, KubeStore, Plugins
from kubenode.core.hookspecs import Power
from kubenode.providers.memory import MemoryProvider
from kubenode.runtime.controller.rights import ENROL
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.detector.detector import GATHER
from kubenode.runtime.testing import install
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.host import Host
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

LOG = logging.getLogger(__name__)

HUNG: Final = "INFO: task dd:4121 blocked for more than 120 seconds."
"""The older wording; the story of three hosts has the newer."""
READONLY: Final = "EXT4-fs (none1): Remounting filesystem read-only"
KILLED: Final = "Out of memory: Killed process 4121 (java) total-vm:1024kB, anon-rss:512kB"
DEGRADED: Final = "md0: Disk failure on sdb, disabling device."
RULES: Final = "/etc/kubenode/rules.d"
SERVICES: Final = ("KubeletUnhealthy", "ContainerRuntimeUnhealthy")
_JOBS: Final = "/apis/kubenode.dev/v1alpha1/remedyoperationjobs"
_RULE_FILE: Final = {
    "plugin": "journald",
    "pluginConfig": {"source": "raidmon"},
    "logPath": "/var/log/journal",
    "lookback": "5m",
    "bufferSize": 10,
    "source": "raid-monitor",
    "metricsReporting": True,
    "conditions": [{"type": "RaidDegraded", "reason": "RaidIsWhole", "message": "all disks are there"}],
    "rules": [
        {
            "type": "permanent", "condition": "RaidDegraded", "reason": "DiskFailed",
            "pattern": "md\\d+: Disk failure on \\w+, disabling device\\.",
        },
        {"type": "temporary", "reason": "RaidCheck", "pattern": "md\\d+: data-check"},
    ],
}  # fmt: skip
"""As somebody wrote it for node-problem-detector."""


def _condition(world: World, name: str, type: str) -> Any:
    """Give a condition of a Node; empty while there is none."""
    found = world.admin.get(f"/api/v1/nodes/{name}")
    conditions = found["status"].get("conditions", ()) if found else ()
    return next((one for one in conditions if one["type"] == type), {})


def _says(world: World, name: str, type: str, status: str) -> Callable[[], bool]:
    return lambda: _condition(world, name, type).get("status") == status


def _attempts(world: World, name: str) -> list[Any]:
    """Give the attempts of the episodes of a machine, oldest first."""
    jobs = [one for one in world.admin.get(_JOBS)["items"] if one["spec"]["machine"]["name"] == name]
    return [attempt for job in jobs for attempt in job.get("status", {}).get("attempts", ())]


def _phases(world: World, name: str) -> list[str]:
    items = world.admin.get(_JOBS)["items"]
    return [one.get("status", {}).get("phase", "") for one in items if one["spec"]["machine"]["name"] == name]


def _told(world: World, node: Kept) -> Callable[[], str]:
    return lambda: json.dumps(world.admin.get(_JOBS)["items"], indent=1)[-6000:] + node.told()


def _kernel_log(host: Host) -> None:
    """Put something in the place of the kernel's log that gives a record a read, as that does, and that a test can write.

    A test host does not get the machine's own. Its kubelet has opened what was there before.
    """
    host.run("umount", "--lazy", "/dev/kmsg")
    host.run("rm", "-f", "/dev/kmsg")
    host.run("mkfifo", "-m", "600", "/dev/kmsg")
    # A pipe that nobody has open to write is at its end.
    host.run("systemd-run", "--unit=kernel-log", "sh", "-c", "exec sleep infinity 3<>/dev/kmsg")
    until("the pipe", lambda: "/dev/kmsg" in host.run("sh", "-c", "ls -l /proc/[0-9]*/fd/3", check=False), 20)


def _say(host: Host, number: int, text: str, facility: int = 0) -> None:
    """Let the kernel say something now, or a program with its facility; and let it be read, since a pipe keeps no records apart."""
    since_boot = time.monotonic_ns() // 1000  # the kernel's clock is the machine's
    host.run("tee", "/dev/kmsg", input=f"{facility << 3 | 4},{number},{since_boot},-;{text}\n")
    time.sleep(2 * GATHER)


def _digest(host: Host, path: str) -> str:
    return host.run("sha256sum", path).split()[0]


def _run_of(host: Host, unit: str) -> str:
    return host.run("systemctl", "show", "-P", "InvocationID", unit).strip()


def test_the_ladder_is_climbed_on_a_real_host_by_its_agent(
    stage: Stage, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...], tmp_path: Path
) -> None:
    """Detector as every agent has it; services that hang are told and recover; a hung task: restart, reinstall, reboot, verified."""
    with (
        World.on(stage.control_plane, tmp_path) as world,
        kept(stage, world, "climbed", *kubelet, *kubenode) as node,
    ):
        host, told = node.host, _told(world, node)
        version = host.run("dpkg-query", "-W", "-f", "${Version}", "containerd")
        parameters = {"package": "containerd", "unit": "containerd.service"}
        component = {"version": version, "driver": "package", "parameters": parameters}
        node.apply("MachineComponent", "climbed-runtime", component)
        node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 1}]})
        node.install_agent()
        # A host of the tests does not see the machine's own: that is no flood of it.
        until("a log that is hidden", _says(world, "climbed", "LogFlood", "Unknown"), 120, told, every=0.5)
        assert _condition(world, "climbed", "LogFlood")["reason"] == "LogUnreadable"
        _kernel_log(host)
        host.run("systemctl", "restart", UNIT)
        until("a log", _says(world, "climbed", "LogFlood", "False"), 60, told)
        node.runs("runtime", "climbed-runtime")
        node.wait_running({"runtime": version})

        begun = time.monotonic()
        for unit in ("kubelet.service", "containerd.service"):  # what is stopped in order is no fault
            host.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", unit)
        for one in SERVICES:
            until(one, _says(world, "climbed", one, "True"), 120, told, every=0.5)
        LOG.info("%s: %.1f s", "services_found", time.monotonic() - begun)
        begun = time.monotonic()
        for unit in ("containerd.service", "kubelet.service"):
            host.run("systemctl", "kill", "--kill-who=main", "--signal=CONT", unit)
        for one in SERVICES:
            until(f"not {one}", _says(world, "climbed", one, "False"), 120, told, every=0.5)
        LOG.info("%s: %.1f s", "services_recovered", time.monotonic() - begun)
        node.wait_running({"runtime": version})

        sound, damaged = _digest(host, "/usr/bin/ctr"), host.run("wc", "-c", "/usr/bin/ctr")
        host.run("sh", "-c", "echo damaged > /srv/ctr && cp --remove-destination /srv/ctr /usr/bin/ctr")
        assert host.run("wc", "-c", "/usr/bin/ctr") != damaged
        ladder = [
            {"action": "restart-unit", "parameters": {"unit": "containerd.service"}, "timeout": "1m"},
            {"action": "reinstall-component", "parameters": {"component": "runtime"}, "timeout": "3m"},
            {"action": "reboot", "timeout": "3m"},
        ]
        spec = {
            "condition": {"type": "KernelDeadlock", "status": "True", "for": "1s"}, "ladder": ladder,
            "verification": {"dwell": "2s", "timeout": "12s"},
        }  # fmt: skip
        node.apply("NodeRemedier", "climbed", spec)
        boot, run, begun = host.boot_id, _run_of(host, "containerd.service"), time.monotonic()
        _say(host, 1, HUNG, facility=1)
        _say(host, 2, "usb 1-1: new device")
        time.sleep(2)
        assert _attempts(world, "climbed") == [], "a program that calls itself the kernel is not believed"
        for number in range(3, 8):
            _say(host, number, KILLED)
        _say(host, 8, READONLY)
        for one in ("FrequentOOMKilling", "ReadonlyFilesystem"):
            until(one, _says(world, "climbed", one, "True"), 60, told)
        assert _condition(world, "climbed", "ReadonlyFilesystem")["message"] == READONLY
        assert _condition(world, "climbed", "KernelDeadlock")["status"] == "False"
        _say(host, 9, HUNG)

        def stands(number: int, state: str) -> Callable[[], bool]:
            return lambda: [one["state"] for one in _attempts(world, "climbed")][number - 1 :] == [state]

        until("the restart", stands(1, "Verifying"), 90, told)
        LOG.info("%s: %.1f s", "restarted", time.monotonic() - begun)
        assert _run_of(host, "containerd.service") not in ("", run)
        assert _condition(world, "climbed", "KernelDeadlock")["message"] == HUNG
        until("the reinstallation", stands(2, "Verifying"), 120, told)
        LOG.info("%s: %.1f s", "reinstalled", time.monotonic() - begun)
        assert _digest(host, "/usr/bin/ctr") == sound
        assert host.run("dpkg", "--audit") == ""
        assert host.boot_id == boot
        until("the reboot", lambda: not host.is_on, 120, told)
        _came_back(host)
        assert host.boot_id != boot
        until("the end", lambda: _phases(world, "climbed") == ["Succeeded"], 180, told, every=0.5)
        LOG.info("%s: %.1f s", "climbed", time.monotonic() - begun)
        assert [(one["action"], one["state"]) for one in _attempts(world, "climbed")] == [
            ("restart-unit", "Failed"), ("reinstall-component", "Failed"), ("reboot", "Succeeded"),
        ]  # fmt: skip
        for one in ("KernelDeadlock", "FrequentOOMKilling", "ReadonlyFilesystem"):
            assert _condition(world, "climbed", one)["status"] == "False", one
        asked = [one["op"] for one in node.journal() if one["is"] == "began" and _is_of(one, world)]
        assert len(asked) == len(set(asked)) == 3
        node.wait_running({"runtime": version})
        world.plane.kubectl("delete", "noderemediers", "-l", "test=climbed")


def _is_of(record: Any, world: World) -> bool:
    return record["op"] in {one["opID"] for one in _attempts(world, "climbed")}


def _came_back(host: Host) -> None:
    """Start a host again that has rebooted: of a machine its firmware does that."""
    host.power_off()
    host.power_on()


class Rack(MemoryProvider):
    """Instances in memory, but for one, which is a host: its power is the host's."""

    name = "rack"

    def __init__(self, host: Host) -> None:
        """Take a host, which is on."""
        super().__init__()
        self._host = host
        self.cycles: list[str] = []
        self.done = threading.Event()
        self.forgotten = threading.Event()

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Take its power and give it back; who asked is gone by then, and gets no answer."""
        super().power(instance_id, action, token)
        self.cycles.append(token)
        self._host.power_cut()
        self._host.power_on()
        self.done.set()
        self.forgotten.wait(60)


@contextmanager
def _deciding(world: World, rack: Rack) -> Iterator[Engine]:
    """Decide in this process, with a provider of the test."""
    store = KubeStore.connect(kubeconfig=world.plane.kubeconfig(CONTROLLER_USER))
    engine = Engine(store, plugins=Plugins.discover(providers=[rack]), controllers=(*NAMES, ENROL))
    thread = threading.Thread(target=engine.run, name="engine", daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop()
        thread.join(60)
        assert not thread.is_alive()


def test_the_provider_acts_for_an_agent_that_says_nothing_and_once(
    stage: Stage, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...], tmp_path: Path
) -> None:
    """What a rule file finds in a real journal; a frozen agent; a power cycle whose answer is lost with the controller; verified."""
    install(stage.control_plane, enrolment=True)
    world = World(stage.control_plane, tmp_path)
    world.log.write_text("")
    with kept(stage, world, "silent", *kubelet, *kubenode) as node:
        host, told, rack = node.host, _told(world, node), Rack(node.host)
        host.write(f"{RULES}/raid-monitor.json", json.dumps(_RULE_FILE))
        node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 1}]})
        with _deciding(world, rack):
            infrastructure = {"provider": "rack", "parameters": {"zone": "a"}}
            options = (f"--rules={RULES}", "--kernel-log=journald")
            node.install_agent(*options, spec={"infrastructure": infrastructure})
            until("Running", lambda: node.phase() == "Running", 120, told, every=0.5)
            until("the rule", _says(world, "silent", "RaidDegraded", "False"), 60, told)
            assert _condition(world, "silent", "RaidDegraded")["reason"] == "RaidIsWhole"
            until("a journal that is read", _says(world, "silent", "LogFlood", "False"), 60, told)

            forged = f"MESSAGE={HUNG}\nSYSLOG_FACILITY=0\nPRIORITY=4\n_TRANSPORT=kernel\nSYSLOG_IDENTIFIER=kernel\n"
            host.run("logger", "--journald", input=forged)
            nobody = ("setpriv", "--reuid=65534", "--clear-groups")
            host.run(*nobody, "logger", "--tag", "raidmon", DEGRADED)
            host.run("logger", "--tag", "other", DEGRADED)
            time.sleep(2)
            for one in ("RaidDegraded", "KernelDeadlock"):
                assert _condition(world, "silent", one)["status"] == "False", one
            host.run("systemd-cat", "--identifier=raidmon", "echo", DEGRADED)
            until("the finding", _says(world, "silent", "RaidDegraded", "True"), 60, told)
            found = _condition(world, "silent", "RaidDegraded")
            assert (found["reason"], found["message"]) == ("DiskFailed", DEGRADED)

            host.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", UNIT)
            ladder = [
                {"action": "restart-unit", "parameters": {"unit": "containerd.service"}, "timeout": "60s"}
            ]
            ladder[0]["timeout"] = "10s"
            spec = {
                "condition": {"type": "RaidDegraded", "status": "True", "for": "1s"}, "ladder": ladder,
                "verification": {"dwell": "3s", "timeout": "2m"},
            }  # fmt: skip
            boot, begun = host.boot_id, time.monotonic()
            run = _run_of(host, "containerd.service")
            node.apply("NodeRemedier", "silent", spec)
            until("the step", lambda: node.machine()["spec"].get("operation"), 60, told)
            assert _run_of(host, "containerd.service") == run
            assert rack.done.wait(90), told()
            LOG.info("%s: %.1f s", "power_cycled", time.monotonic() - begun)
        rack.forgotten.set()
        first, second = _attempts(world, "silent")
        assert (first["action"], first["state"]) == ("restart-unit", "Failed")
        assert first["verdict"].startswith("the agent did not answer")
        assert (second["action"], second["state"], second["bootID"]) == ("reboot-instance", "Acting", boot)
        assert rack.cycles == [second["opID"]]
        assert "operation" not in node.machine()["spec"]
        assert host.boot_id != boot

        with _deciding(world, rack):
            until("the end", lambda: _phases(world, "silent") == ["Succeeded"], 120, told, every=0.5)
            LOG.info("%s: %.1f s", "verified", time.monotonic() - begun)
            assert rack.cycles == [second["opID"]], "another boot proves that it was done"
            assert _condition(world, "silent", "RaidDegraded")["status"] == "False"
            assert node.is_ready()
            assert node.machine()["status"]["agent"]["bootID"] == host.boot_id
            assert not [one for one in node.journal() if one["is"] == "began"], "the step was taken back"
            world.plane.kubectl("delete", "noderemediers", "-l", "test=silent")
            node.apply("Machine", "silent", {"infrastructure": infrastructure, "deletionPolicy": "Release"})
            world.plane.kubectl("delete", "machine", "silent", "--timeout=60s")
