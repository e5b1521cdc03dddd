"""node-problem-detector's own rule files, as its module has them: all for logs on Linux are taken unchanged, and find what they are for.

Go fetches the module, pinned by `npd/go.sum`, into its own cache, as it does those of the control plane.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from kubenode.core.detect.npd import Plugin, RuleFile
from kubenode.core.detect.record import LogRecord
from kubenode.core.detect.rules import DetectRule
from kubenode.core.errors import InvalidObjectError
from kubenode.core.model.condition import find
from kubenode.core.model.meta import Switch
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.detector.setting import Detecting, detector, read_rules
from tests.cluster.fixture import refuse
from tests.runtime.detector.logs import run

_MODULE: Final = Path(__file__).parent / "npd"
_OF_LOGS: Final = re.compile(r'"plugin":\s*"(kmsg|journald|filelog)"')
TAKEN: Final = {
    "abrt-adaptor.json", "docker-monitor.json", "docker-monitor-filelog.json", "kernel-monitor.json",
    "kernel-monitor-filelog.json", "readonly-monitor.json", "systemd-monitor.json",
}  # fmt: skip
NO_JSON: Final = "disk-log-message-filelog.json"
"""Has a comma too many in this version, so that node-problem-detector itself refuses it; ours is without."""

FOUND: Final = {
    "Killed process 4121 (java) total-vm:1024kB, anon-rss:512kB, file-rss:0kB, shmem-rss:0kB": {"OOMKilling"},
    "INFO: task docker:4121 blocked for more than 120 seconds.": {"TaskHung", "DockerHung"},
    "INFO: task dd:4121 blocked for more than 120 seconds.": {"TaskHung"},
    "unregister_netdevice: waiting for eth0 to become free. Usage count = 1": {"UnregisterNetDevice"},
    "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008": {"KernelOops"},
    "divide error: 0000 [#1] SMP": {"KernelOops"},
    "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2": {"Ext4Error"},
    "EXT4-fs warning (device sda1): ext4_dx_add_entry:2211: Directory index full!": {"Ext4Warning"},
    "Buffer I/O error on dev sdb, logical block 0, async page read": {"IOError"},
    "XFS (sda1): Corruption of in-memory data detected. Shutting down filesystem": {"XfsHasShutdown"},
    "EDAC MC0: 1 CE memory read error on CPU_SrcID#0": {"MemoryReadError"},
    "{1}[Hardware Error]: event severity: corrected": {"CperHardwareErrorCorrected"},
    "{1}[Hardware Error]: event severity: recoverable": {"CperHardwareErrorRecoverable"},
    "{1}[Hardware Error]: event severity: fatal": {"CperHardwareErrorFatal"},
    "{1}[Hardware Error]: event severity: fatal, or so": set(),
    "EXT4-fs (sda1): Remounting filesystem read-only": {"FilesystemIsReadOnly"},
    "Error trying v2 registry: failed to register layer: rename /var/lib/docker/image/a "
    "/var/lib/docker/image/b: directory not empty": {"CorruptDockerImage"},
    "x returned error: readlink /var/lib/docker/overlay2/l: invalid argument": {"CorruptDockerOverlay2"},
    "OCI runtime start failed: container process is already dead: unknown": {"DockerContainerStartupFailure"},
    "Started kubelet.service - Kubernetes kubelet.": {"KubeletStart"},
    "Starting docker.service - Docker Application Container Engine...": {"DockerStart"},
    "Starting containerd container runtime...": {"ContainerdStart"},
    "Process 12 (app) crashed in main()": {"CCPPCrash"},
    "Process 12 (app.py) of user 0 encountered an uncaught ValueError exception": {"UncaughtException"},
    "Display server Xorg crash in main": {"XorgCrash"},
    "System encountered a fatal error in main": {"VMcore"},
    "System encountered a non-fatal error in main": {"KernelOops"},
    "usb 1-1: new high-speed USB device number 2 using xhci_hcd": set(),
}  # fmt: skip
"""By a line: the reasons of the rules that find it."""


@pytest.fixture(scope="module")
def config() -> Path:
    """The folder of its rule files."""
    go = shutil.which("go")
    if go is None:
        refuse("there is no Go on PATH to fetch a module with", in_ci=bool(os.environ.get("CI")))
    pinned = next(
        line.removeprefix("require ").replace(" ", "@")
        for line in (_MODULE / "go.mod").read_text().splitlines()
        if line.startswith("require ")
    )
    done = subprocess.run(
        [go, "mod", "download", "-json", pinned], cwd=_MODULE, env={**os.environ, "GOWORK": "off"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if done.returncode:
        refuse(f"{pinned}: {done.stdout}{done.stderr}", in_ci=bool(os.environ.get("CI")))
    return Path(json.loads(done.stdout)["Dir"]) / "config"


@pytest.fixture(scope="module")
def files(config: Path) -> dict[str, RuleFile]:
    """Those that are taken, by name, as an agent reads them."""
    return {name: read_rules((config / name,))[0] for name in sorted(TAKEN)}


def test_every_file_for_logs_on_linux_is_taken(config: Path) -> None:
    """And no other: what runs programs, is Windows', or is no JSON is refused, by name."""
    for path in sorted(config.glob("*.json")):
        is_ours = _OF_LOGS.search(path.read_text()) and not path.name.startswith("windows")
        assert is_ours or path.name not in TAKEN
        if path.name in TAKEN:
            assert len(read_rules((path,))) == 1
        else:
            assert not is_ours or path.name == NO_JSON
            with pytest.raises(InvalidObjectError, match=re.escape(path.name)):
                read_rules((path,))


def test_the_one_that_is_no_json_is_taken_without_its_comma(config: Path, tmp_path: Path) -> None:
    """Nothing else is wrong with it."""
    mended = tmp_path / NO_JSON
    mended.write_text(re.sub(r",(\s*\])", r"\1", (config / NO_JSON).read_text()))
    (file,) = read_rules((mended,))
    (rule,) = file.rules
    assert (file.plugin, file.path, rule.condition) == (Plugin.FILE, "/var/log/messages", "DiskBadBlock")
    assert rule.finds(_record("smartd: 120 Currently unreadable (pending) sectors"))
    assert not rule.finds(_record("smartd: 12 Currently unreadable (pending) sectors"))


def test_nothing_that_a_file_says_is_dropped(config: Path, files: dict[str, RuleFile]) -> None:
    """Each rule is there, with its condition and its reason, in their order; and each condition with the words for a well host."""
    for name, file in files.items():
        raw = json.loads((config / name).read_text())
        for type, held in (("permanent", file.rules), ("temporary", file.events)):
            said = [
                (rule.get("condition", ""), rule["reason"]) for rule in raw["rules"] if rule["type"] == type
            ]
            assert [(rule.condition, rule.reason) for rule in held] == said, name
        well = {one["type"]: (one["reason"], one["message"]) for one in raw["conditions"]}
        assert {rule.condition: (rule.well, rule.well_message) for rule in file.rules} == well, name


@pytest.mark.parametrize("text", FOUND)
def test_what_its_rules_find(files: dict[str, RuleFile], text: str) -> None:
    """A line as the kernel, systemd or docker writes it."""
    assert {rule.reason for rule in _rules(files) if rule.finds(_record(text))} == FOUND[text]


def test_each_of_its_rules_finds_something(files: dict[str, RuleFile]) -> None:
    """So that none of them was taken for another pattern."""
    for rule in _rules(files):
        assert any(rule.finds(_record(text)) for text in FOUND), rule


def _rules(files: dict[str, RuleFile]) -> list[DetectRule]:
    return [rule for file in files.values() for rule in (*file.rules, *file.events)]


def _record(text: str) -> LogRecord:
    return LogRecord(facility=0, level=4, sequence=1, microseconds=1, text=text)


def test_an_agent_with_all_of_them(config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its logs are files of a host, in the forms that the rule files are written for: a condition, and a line of the agent's log."""
    logs = tmp_path / "root" / "var" / "log"
    logs.mkdir(parents=True)
    (tmp_path / "state").mkdir()
    for name in ("kern.log", "docker.log"):
        (logs / name).touch()
    wanted = Detecting(kernel_log="/var/log/none", rule_files=tuple(config / name for name in sorted(TAKEN)))
    made = detector(
        wanted, "b1", tmp_path / "state", SystemClock(), lambda: None, root=tmp_path / "root", unit=lambda _: None
    )  # fmt: skip

    async def main() -> None:
        task = asyncio.create_task(made.run())
        await _until(lambda: sum(known.position != "" for known in made._known.values()) == 2)
        _say(
            logs / "kern.log",
            "Nov 30 15:00:00 n1 kernel: [ 12.3] INFO: task docker:4121 blocked for more than 120 seconds.",
        )
        _say(
            logs / "docker.log",
            'time="2026-11-30T15:00:00.123456789+00:00" level=error msg="Error trying v2 registry: failed to '
            'register layer: rename /var/lib/docker/image/a /var/lib/docker/image/b: directory not empty"',
        )
        await _until(lambda: _reason("KernelDeadlock") == "DockerHung")
        await _until(lambda: "reason=CorruptDockerImage" in caplog.text)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def _reason(type: str) -> str:
        held = find(made.conditions, type)
        return held.reason if held is not None and held.status is Switch.TRUE else ""

    run(main)
    assert "event=bug" not in caplog.text
    assert {"XfsShutdown", "CperHardwareErrorFatal", "CorruptDockerOverlay2", "ReadonlyFilesystem"} <= {
        one.type for one in made.conditions
    }


def _say(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not so():
            await asyncio.sleep(0.01)
