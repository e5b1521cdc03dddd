"""`kubenode agent` against a real server: from a token to a host that is kept as its Machine says."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core.host.drift import delay
from kubenode.core.model import Machine, Now
from kubenode.runtime.agent.enrol import Enrolment, enrol, renew
from kubenode.runtime.agent.keys import valid
from kubenode.runtime.agent.own import OwnMachine
from kubenode.runtime.agent.serve import Serving, serve
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.testing.controlplane import ControlPlane
from tests.cluster.access import CSRS, MACHINES, MERGE, conditions, let_read
from tests.cluster.test_enrolment import KUBENODE, World
from tests.cluster.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

COMPONENTS = "/apis/kubenode.dev/v1alpha1/machinecomponents"


@pytest.fixture(scope="module")
def world(control_plane_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A control plane of its own, installed with enrolment, and a controller."""
    folder = tmp_path_factory.mktemp("agent")
    with ControlPlane.start(control_plane_folder) as running, World.on(running, folder) as made:
        yield made


class Agent:
    """A host: its folder, and the agent that runs there or does not."""

    def __init__(self, world: World, machine: str, folder: Path) -> None:
        self.world = world
        self.machine = machine
        self.folder = folder
        self.state = folder / "state"
        self.log = folder / "agent.log"
        self.token = folder / "token"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *more: str, token: bool = True) -> list[str]:
        """Give how it is started."""
        plane = self.world.plane
        given = ("--token-file", str(self.token)) if token else ()
        return [
            "agent", self.machine, "--server", plane.url, "--ca", str(plane.ca_file), *given, "--state-dir", str(self.state),
            "--node", f"node-{self.machine}", "--inspect-seconds", "10", *more,
        ]  # fmt: skip

    def start(self, *more: str, token: bool = True) -> None:
        """Start it."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [KUBENODE, *self.command("-v", *more, token=token)], stdout=out, stderr=subprocess.STDOUT
            )

    def end(self, how: signal.Signals) -> int:
        """End it; give how it exits."""
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(timeout=60)

    def tail(self) -> str:
        """Give the end of its log."""
        return self.log.read_text()[-4000:]

    def report(self) -> Any:
        """Give what it says of itself in the Machine."""
        return self.world.admin.get(f"{MACHINES}/{self.machine}").get("status", {}).get("agent", {})


def issue(world: World, agent: Agent) -> None:
    """Give a host its token, as a person does."""
    told = subprocess.run(
        [KUBENODE, "machine", "token", agent.machine, "--kubeconfig", str(world.plane.admin_kubeconfig)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    agent.token.touch(mode=0o600)
    agent.token.write_text(told.stdout)


def wants(world: World, machine: Any, path: Path, content: str) -> str:
    """Let a machine have a file; give the name of the entry, one whose repair is not put off for long."""
    name = next(
        n
        for n in (f"conf{i}" for i in range(1000))
        if delay(machine["metadata"]["uid"], n, 0) < 1_000_000_000
    )
    of = machine["metadata"]["name"]
    body = {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": f"{of}-conf"},
        "spec": {"driver": "file", "version": "1", "parameters": {"path": str(path), "content": content}},
    }  # fmt: skip
    status, made = world.admin.call("POST", COMPONENTS, body)
    assert status == 201, made
    entry = {"set": "by-hand", "component": f"{of}-conf", "revision": "1", "batch": 1, "state": "Running"}
    status, made = world.admin.call(
        "PATCH", f"{MACHINES}/{of}", {"spec": {"components": {name: entry}}}, MERGE
    )
    assert status == 200, made["message"]
    return name


@pytest.fixture
def host(world: World, tmp_path: Path) -> Iterator[Callable[[str], Agent]]:
    """Make hosts whose agents are gone afterwards."""
    made: list[Agent] = []

    def make(name: str) -> Agent:
        world.machine(name)
        agent = Agent(world, name, tmp_path)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        if agent._process is not None and agent._process.poll() is None:
            agent._process.kill()
            agent._process.wait(timeout=60)


def test_a_host_enrols_and_is_kept_as_its_machine_says(
    world: World, host: Callable[[str], Agent], tmp_path: Path
) -> None:
    """With a key that is made there; it writes what is wanted, heals it, and goes on where it was after a crash."""
    agent = host("a1")
    machine = world.admin.get(f"{MACHINES}/a1")
    path = tmp_path / "etc" / "app.conf"
    name = wants(world, machine, path, "right\n")
    issue(world, agent)
    agent.start()

    def at_target() -> bool:
        found = agent.report().get("components", {}).get(name, {})
        return (found.get("version"), found.get("config")) == ("1", "Current") and not found.get("drifting")

    until("the file", lambda: path.exists() and path.read_text() == "right\n", logs=agent.tail)
    until("the report", at_target, logs=agent.tail)
    said = agent.report()
    assert said["nodeName"] == "node-a1"
    assert said["bootID"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    identity = agent.state / "identity.pem"
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    assert not (agent.state / "next.key").exists()

    path.write_text("wrong\n")
    until("the repair", lambda: path.read_text() == "right\n", logs=agent.tail)
    until("the report", at_target, logs=agent.tail)
    assert agent.report()["components"][name]["driftedAt"]

    before = identity.read_bytes()
    agent.end(signal.SIGKILL)
    agent.token.unlink()
    path.write_text("wrong again\n")
    agent.start(token=False)
    until("the repair", lambda: path.read_text() == "right\n", logs=agent.tail)
    assert agent.end(signal.SIGTERM) == 0, agent.tail()
    assert identity.read_bytes() == before
    requests = world.admin.get(CSRS)["items"]
    ours = [one for one in requests if one["metadata"]["name"].startswith("kubenode-a1-")]
    assert [conditions(one) for one in ours] == [{"Approved": "Enrolled"}]
    key = identity.read_text().splitlines()[1]
    texts = (agent.log.read_text(), (agent.state / "journal").read_text(), json.dumps(requests))
    assert not any(key in text or "right" in text for text in texts)


def reports(world: World, machine: str) -> int:
    """Count what an agent has written of its Machine, by the server's own log."""
    mine = 0
    for line in world.plane.audit_log.read_text().splitlines():
        found = json.loads(line)
        of = found.get("objectRef", {})
        by = found["user"]["username"] == f"kubenode:agent:{machine}"
        mine += by and (of.get("resource"), found["verb"]) == ("machines", "patch")
    return mine


def test_a_change_is_heard_of_and_a_flood_of_them_is_not_a_flood_of_reports(
    world: World, host: Callable[[str], Agent], tmp_path: Path
) -> None:
    """An agent that looks once an hour by itself heals a file at once; one that flaps is looked at and told of now and then."""
    agent = host("a10")
    path = tmp_path / "etc" / "app.conf"
    name = wants(world, world.admin.get(f"{MACHINES}/a10"), path, "right\n")
    issue(world, agent)
    agent.start("--inspect-seconds", "3600", "--no-detect")

    def at_rest() -> bool:
        found = agent.report().get("components", {}).get(name, {})
        before = reports(world, "a10")
        time.sleep(2)
        told = found.get("config") == "Current" and not found.get("drifting")
        return told and before == reports(world, "a10")

    until("the report", at_rest, logs=agent.tail)
    before = reports(world, "a10")
    path.write_text("wrong\n")
    until("the repair", lambda: path.read_text() == "right\n", logs=agent.tail)
    until("the report", at_rest, logs=agent.tail)
    assert agent.report()["components"][name]["driftedAt"]
    assert 1 <= reports(world, "a10") - before <= 6

    before, end, flaps = reports(world, "a10"), time.monotonic() + 12, 0
    while time.monotonic() < end:
        path.write_text(("wrong\n", "right\n")[flaps % 2])
        flaps += 1
        time.sleep(0.005)
    told = reports(world, "a10") - before
    assert 1 <= told <= 16 < flaps / 20, (told, flaps)
    assert "not-watched" not in agent.tail()
    assert agent.end(signal.SIGTERM) == 0, agent.tail()


def component_reads(world: World) -> set[tuple[str, str, str]]:
    """Give who among the agents read which component how, by the server's own log."""
    found = set[tuple[str, str, str]]()
    for line in world.plane.audit_log.read_text().splitlines():
        told = json.loads(line)
        of, user = told.get("objectRef", {}), told["user"]["username"]
        if of.get("resource") == "machinecomponents" and user.startswith("kubenode:agent:"):
            found.add((user.removeprefix("kubenode:agent:"), told["verb"], of.get("name", "")))
    return found


def test_an_agent_reads_the_components_that_its_machine_names(
    world: World, host: Callable[[str], Agent], tmp_path: Path
) -> None:
    """Of 201 that are there the one, by its name; and one that comes later soon after. None is listed or watched by any agent."""
    agent = host("a11")

    def component(name: str, path: Path) -> None:
        parameters = {"path": str(path), "content": "right\n"}
        body = {
            "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": name},
            "spec": {"driver": "file", "version": "1", "parameters": parameters},
        }  # fmt: skip
        status, made = world.admin.call("POST", COMPONENTS, body)
        assert status == 201, made

    with world.admin.kept():
        for number in range(200):
            component(f"others-{number}", tmp_path / "others")
    path, late = tmp_path / "etc" / "app.conf", tmp_path / "etc" / "late.conf"
    wants(world, world.admin.get(f"{MACHINES}/a11"), path, "right\n")
    issue(world, agent)
    agent.start("--inspect-seconds", "3600", "--no-detect")

    def kept() -> list[str]:
        return sorted(json.loads((agent.state / "applied.json").read_text())["components"])

    until("the file", lambda: path.exists() and path.read_text() == "right\n", logs=agent.tail)
    until("what is kept", lambda: kept() == ["a11-conf"], logs=agent.tail)
    entry = {"set": "by-hand", "component": "a11-late", "revision": "1", "batch": 1, "state": "Running"}
    change = {"spec": {"components": {"late": entry}}}
    assert world.admin.call("PATCH", f"{MACHINES}/a11", change, MERGE)[0] == 200
    until(
        "a word of what is missing",
        lambda: agent.report()["components"].get("late", {}).get("reason") == "ComponentMissing",
        logs=agent.tail,
    )
    component("a11-late", late)
    until("the file of the one that came", late.exists, logs=agent.tail)
    until("what is kept", lambda: kept() == ["a11-conf", "a11-late"], logs=agent.tail)
    assert agent.end(signal.SIGTERM) == 0, agent.tail()
    found = component_reads(world)
    assert {one[1:] for one in found if one[0] == "a11"} == {("get", "a11-conf"), ("get", "a11-late")}
    assert {verb for _, verb, _ in found} == {"get"}, found
    assert not (tmp_path / "others").exists()


class _Wrong(SystemClock):
    """A clock that is off."""

    def __init__(self, off: timedelta) -> None:
        self.off = off

    def now(self) -> Now:
        """Read it."""
        found = super().now()
        return attrs.evolve(found, wall=found.wall + self.off)


@pytest.mark.parametrize(
    ("off", "reason"), [(timedelta(minutes=3), "ClockAhead"), (timedelta(minutes=-3), "ClockBehind")]
)
def test_a_wrong_clock_is_told_until_it_is_right(
    world: World, host: Callable[[str], Agent], tmp_path: Path, off: timedelta, reason: str
) -> None:
    """By the server's own; the agent does its work meanwhile. This machine's clock is not touched: the agent has another."""
    agent = host(f"clock-{reason[5:].lower()}")
    issue(world, agent)
    clock, plane = _Wrong(off), world.plane
    enrolment = Enrolment(
        machine=agent.machine,
        server=plane.url,
        authority=plane.ca_file,
        state=agent.state,
        token_file=agent.token,
    )
    wanted = Serving(
        machine=agent.machine, node=agent.machine, state=agent.state, enrolment=enrolment, version="1",
        inspect=timedelta(seconds=10),
    )  # fmt: skip

    def told() -> tuple[str, str]:
        found = {one["type"]: one for one in agent.report().get("conditions", ())}.get("ClockWrong", {})
        return found.get("status", ""), found.get("reason", "")

    async def comes(what: tuple[str, str]) -> None:
        while await asyncio.to_thread(told) != what:
            await asyncio.sleep(0.2)

    async def main() -> None:
        task = asyncio.ensure_future(serve(wanted, Plugins.given(), clock))
        await asyncio.wait_for(comes(("True", reason)), 60)
        clock.off = timedelta()
        machine = await asyncio.to_thread(world.admin.get, f"{MACHINES}/{agent.machine}")
        wants(world, machine, tmp_path / "asks", "")  # what it reports of it is answered with a date
        await asyncio.wait_for(comes(("False", "NoFault")), 60)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 30)

    asyncio.run(main())


def test_a_clock_that_is_further_ahead_than_a_certificate_lasts_ends_nothing(
    world: World, host: Callable[[str], Agent], tmp_path: Path
) -> None:
    """The server takes the certificate that is over by the host's clock: the host is kept, and the clock is what is told of. One new certificate, not many."""
    agent = host("a12")
    issue(world, agent)
    agent.state.mkdir(mode=0o700)
    plane, path = world.plane, tmp_path / "etc" / "app.conf"
    enrolment = Enrolment(
        machine="a12", server=plane.url, authority=plane.ca_file, state=agent.state, token_file=agent.token
    )
    wanted = Serving(
        machine="a12", node="a12", state=agent.state, enrolment=attrs.evolve(enrolment, token_file=None), version="1",
        inspect=timedelta(seconds=10),
    )  # fmt: skip
    wants(world, world.admin.get(f"{MACHINES}/a12"), path, "right\n")

    def told() -> bool:
        found = {one["type"]: one for one in agent.report().get("conditions", ())}.get("ClockWrong", {})
        return found.get("reason") == "ClockAhead" and path.exists()

    async def main() -> None:
        await enrol(enrolment, datetime.now(UTC))
        task = asyncio.ensure_future(serve(wanted, Plugins.discover(), _Wrong(timedelta(days=8))))
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(told):
                assert not task.done(), task.exception()
                await asyncio.sleep(0.2)
            path.write_text("wrong\n")
            while path.read_text() != "right\n":
                await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 30)

    asyncio.run(main())
    requests = [one["metadata"]["name"] for one in world.admin.get(CSRS)["items"]]
    assert len([name for name in requests if name.startswith("kubenode-a12-")]) <= 2


def test_a_line_of_a_log_is_a_condition_of_the_node(
    world: World, host: Callable[[str], Agent], tmp_path: Path
) -> None:
    """By what an agent may write and no more; a crash neither takes it back nor tells it anew. Its Lease says that it lives."""
    agent = host("a9")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a9"}}
    assert world.admin.call("POST", "/api/v1/nodes", node)[0] == 201
    log, rules = tmp_path / "kern.log", tmp_path / "rules.json"
    log.write_text("INFO: task old:1 blocked for more than 120 seconds.\n")
    rule = {
        "type": "permanent",
        "condition": "DiskGone",
        "reason": "DiskHasGone",
        "pattern": "nvme\\d+: gone",
    }
    rules.write_text(json.dumps({"plugin": "kmsg", "rules": [rule]}))
    options = ("--kernel-log", str(log), "--rules", str(rules))
    issue(world, agent)
    agent.start(*options)

    def told(type: str) -> Any:
        held = world.admin.get("/api/v1/nodes/node-a9")["status"].get("conditions", ())
        return next((one for one in held if one["type"] == type), None)

    def say(text: str) -> None:
        with log.open("a") as file:
            file.write(f"{text}\n")

    until("what is well", lambda: told("KernelDeadlock"), logs=agent.tail)
    assert (told("KernelDeadlock")["status"], told("DiskGone")["reason"]) == ("False", "NoFault")
    text = "INFO: task dd:4121 blocked in I/O wait for more than 120 seconds."
    say(text)
    until("the condition", lambda: told("KernelDeadlock")["status"] == "True", logs=agent.tail)
    before = told("KernelDeadlock")
    assert (before["reason"], before["message"]) == ("TaskHung", text)
    until("what is kept", lambda: "TaskHung" in (agent.state / "detector.json").read_text())
    agent.end(signal.SIGKILL)
    say("nvme1: gone")
    agent.start(*options)
    until(
        "the line that was written meanwhile", lambda: told("DiskGone")["status"] == "True", logs=agent.tail
    )
    assert told("KernelDeadlock") == before
    for number in range(4):
        say(f"Out of memory: Killed process {number} (java) total-vm:1kB, anon-rss:1kB")
    say("EXT4-fs (none1): Remounting filesystem read-only")
    until("the file system", lambda: told("ReadonlyFilesystem")["status"] == "True", logs=agent.tail)
    assert told("ReadonlyFilesystem")["reason"] == "FilesystemIsReadOnly"
    assert told("FrequentOOMKilling")["status"] == "False", "four are no storm"
    say(text.replace("in I/O wait ", ""))
    say("Memory cgroup out of memory: Killed process 5 (java) total-vm:1kB, anon-rss:1kB")
    until("the storm", lambda: told("FrequentOOMKilling")["status"] == "True", logs=agent.tail)
    assert told("FrequentOOMKilling")["reason"] == "OOMStorm"
    assert told("KernelDeadlock") == before, "the other wording is the same fault"
    leases = "/apis/coordination.k8s.io/v1/namespaces/kubenode-agents/leases"
    until("the Lease", lambda: world.admin.get(f"{leases}/a9"), logs=agent.tail)
    assert world.admin.get(f"{leases}/a9")["spec"]["holderIdentity"] == "kubenode:agent:a9"
    assert "lease-not-renewed" not in agent.log.read_text()
    assert agent.end(signal.SIGTERM) == 0, agent.tail()


def test_it_never_imports_the_kubernetes_package(
    world: World, host: Callable[[str], Agent], tmp_path: Path
) -> None:
    """Nor any cloud's: it enrols, does what is wanted, and says what it has loaded."""
    agent = host("a2")
    path = tmp_path / "once.conf"
    wants(world, world.admin.get(f"{MACHINES}/a2"), path, "once\n")
    issue(world, agent)
    code = (
        "import sys\nfrom kubenode.runtime.cli import main\n"
        "try:\n    main()\nfinally:\n    print('\\n'.join(sys.modules))\n"
        "    print(open('/proc/self/status').read())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *agent.command("--once")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert path.read_text() == "once\n"
    loaded = {line.partition(".")[0] for line in ran.stdout.splitlines()}
    assert "aiohttp" in loaded
    assert not loaded & {
        "kubernetes",
        "boto3",
        "botocore",
        "aliyunsdkcore",
        "aliyunsdkecs",
        "hypothesis",
        "plotly",
    }


def test_a_dry_run_says_what_would_be_done(
    world: World, host: Callable[[str], Agent], tmp_path: Path
) -> None:
    """Without doing it, and without showing what is in a file."""
    agent = host("a3")
    machine = world.admin.get(f"{MACHINES}/a3")
    path = tmp_path / "dry.conf"
    wants(world, machine, path, "secret\n")
    let_read(world.admin, machine)
    config = world.plane.kubeconfig(
        "kubenode:agent:a3", ("kubenode:agents", f"kubenode:uid:{machine['metadata']['uid']}")
    )
    command = [
        KUBENODE, "agent", "a3", "--kubeconfig", config, "--state-dir", agent.state, "--dry-run",
    ]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"    write {path}\n" in told.stdout
    found = json.loads(
        subprocess.run([*command, "-o", "json"], capture_output=True, check=True, timeout=60).stdout
    )
    assert [(step["act"], step["path"], step["bytes"]) for step in found["steps"]] == [
        ("WriteFile", str(path), 7)
    ]
    assert "secret" not in told.stdout + json.dumps(found)
    assert not path.exists()
    assert not agent.state.exists()
    assert agent.report() == {}


def test_a_token_that_is_none_ends_it_with_what_to_do(world: World, host: Callable[[str], Agent]) -> None:
    """Of another Machine: denied, with the reason; the key stays for the next try."""
    agent, other = host("a4"), host("a5")
    issue(world, other)  # both have one folder
    ran = subprocess.run(
        [KUBENODE, *agent.command()], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 3, ran.stderr
    assert "was denied: RequesterUnknown" in ran.stderr
    assert "fix: " in ran.stderr
    assert agent.token.read_text()[:23] not in ran.stderr
    assert not (agent.state / "identity.pem").exists()
    assert world.admin.get(f"{MACHINES}/a4").get("status", {}).get("enrolment") is None


def test_a_certificate_is_renewed_in_time(world: World, host: Callable[[str], Agent]) -> None:
    """With a new key, by the old certificate; the new one works."""
    agent = host("a6")
    issue(world, agent)
    agent.state.mkdir(mode=0o700)
    wanted = Enrolment(
        machine="a6", server=world.plane.url, authority=world.plane.ca_file, state=agent.state, token_file=agent.token
    )  # fmt: skip
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(min(seconds, 60.0))

    async def run() -> None:
        now = datetime.now(UTC)
        await enrol(wanted, now)
        first = agent.state.joinpath("identity.pem").read_bytes()
        begin, end = valid(first)
        assert timedelta(hours=1) < end - begin
        await enrol(attrs.evolve(wanted, token_file=None), now)  # it has one

        def later() -> datetime:
            """Let the time of the first one be nearly over, and the second be new."""
            held = agent.state.joinpath("identity.pem").read_bytes()
            return begin + (end - begin) * 0.8 if held == first else valid(held)[0]

        async with OwnMachine.of("a6", wanted.connection) as store:
            renewal = asyncio.create_task(renew(store, wanted, later, sleep))
            while agent.state.joinpath("identity.pem").read_bytes() == first:
                assert not renewal.done()
                await asyncio.sleep(0.1)
            renewal.cancel()
        assert slept[0] == 0.0
        async with OwnMachine.of("a6", wanted.connection) as store:
            assert (await store.get(Machine.KIND, "a6"))["metadata"]["name"] == "a6"

    asyncio.run(run())
    reasons = [
        conditions(one)
        for one in world.admin.get(CSRS)["items"]
        if one["metadata"]["name"].startswith("kubenode-a6-")
    ]
    assert sorted(map(str, reasons)) == ["{'Approved': 'Enrolled'}", "{'Approved': 'Renewed'}"]
