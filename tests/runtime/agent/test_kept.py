"""An agent whose API server goes away heals what it knows, also after a start, and tells of it when the server is back."""

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.crd import schema_of
from kubenode.core.errors import (
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    ServerFailed,
    Unauthorized,
    Unreachable,
)
from kubenode.core.host.drift import delay
from kubenode.core.model import Json
from kubenode.runtime.agent import tree
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.host import About, RealHost
from kubenode.runtime.agent.kept import KeptStore
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.engine.loop import Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.contract import JsonPatch, MergePatch
from kubenode.runtime.store.embedded import EmbeddedStore
from tests.runtime.agent.debian import Debian

PATIENCE = 30
CONF = "/etc/app.conf"
API = "kubenode.dev/v1alpha1"


class Line:
    """The way to a server, which can be cut; when it is silent, what is open does not hear of that.

    Attributes:
        before: what somebody else patches into the Machine just before each patch of ours.
        refuses: the server takes no patch.
        fault: what is met while it is cut.
        loses: the calls that are met by it at any time.
    """

    def __init__(
        self, api: EmbeddedStore, *, silent: bool = False, fault: type[ApiError] = Unreachable
    ) -> None:
        self._api = api
        self.fault = fault
        self.loses = set[str]()
        self._silent = silent
        self._cut = asyncio.Event()
        self.asked = 0
        self.before: list[Json] = []
        self.refuses = False

    def cut(self) -> None:
        """Let nothing through, and break what is open."""
        self._cut.set()

    def mend(self) -> None:
        """Let all through."""
        self._cut.clear()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **more: Any) -> Any:
            self.asked += 1
            if self._cut.is_set() or name in self.loses:
                await asyncio.sleep(0.01)
                raise self.fault("the way is cut")
            if name == "patch" and self.refuses:
                raise Forbidden("no")
            if name == "patch" and self.before:  # somebody else is quicker
                await self._api.patch(m.Machine.KIND, "m1", MergePatch(self.before.pop()))
            found = await getattr(self._api, name)(*args, **more)
            return Broken(found, self._cut, self.fault) if name == "watch" and not self._silent else found

        if name == "follow":
            raise AttributeError(name)
        return call


class Broken:
    """A watch that ends when the way is cut."""

    def __init__(self, watch: Any, cut: asyncio.Event, fault: type[ApiError]) -> None:
        self._fault = fault
        self._watch = watch
        self._cut = cut

    async def events(self) -> Any:
        """Wait for events, or for the end."""
        tasks = {asyncio.ensure_future(self._watch.events()), asyncio.create_task(self._cut.wait())}
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        if self._cut.is_set():
            for task in done:
                task.exception()
            raise self._fault("the way is cut")
        return done.pop().result()

    async def close(self) -> None:
        """End it."""
        await self._watch.close()


async def made(folder: Path, *, operation: bool = False, repairs: int = 2) -> tuple[EmbeddedStore, str]:
    """Make a store with a Machine that wants a file; give the entry's name, of which so many repairs are not put off for long."""
    kinds = [(kind.KIND, schema_of(kind)) for kind in m.KINDS]
    api = EmbeddedStore(kinds, clock=lambda: datetime.now(UTC))
    parameters = {"path": CONF, "content": "right"}
    await api.create(m.MachineComponent.KIND, {
        "apiVersion": API, "kind": "MachineComponent", "metadata": {"name": "conf-1"},
        "spec": {"driver": "file", "version": "1", "parameters": parameters},
    })  # fmt: skip
    machine = await api.create(m.Machine.KIND, {
        "apiVersion": API, "kind": "Machine", "metadata": {"name": "m1"}, "spec": {"host": {"address": "10.0.0.1"}},
    })  # fmt: skip
    uid = machine["metadata"]["uid"]
    name = next(
        n
        for n in map("conf{}".format, range(10**6))
        if all(delay(uid, n, i) < most * 10**9 for i, most in enumerate((1, 1, 4)[:repairs]))
    )
    entry = {"set": "s", "component": "conf-1", "revision": "1", "state": "Running"}
    spec: Json = {"components": {name: entry}}
    if operation:
        steps = [{"action": "Reboot"}]
        spec["operation"] = {"opID": "op-1", "job": "j", "attempt": 1, "action": "reboot", "steps": steps}
    await api.patch(m.Machine.KIND, "m1", MergePatch({"spec": spec}))
    (folder / "state").mkdir(mode=0o700)
    Debian(folder).path("/etc").mkdir()
    return api, name


class Agent:
    """An agent that runs for a while."""

    def __init__(self, line: Line, folder: Path, disk: Disk | None = None) -> None:
        self.kept = KeptStore(line, "m1", folder / "state", retry=0.05)  # type: ignore[arg-type]
        self._loop = asyncio.get_running_loop()
        debian = Debian(folder)
        self.path = debian.path(CONF)
        about = About(machine="m1", node="n1", boot_id="b", version="1")
        self.host = RealHost(about, folder / "state", self._told, root=debian.root, run=debian, disk=disk)
        self.host.settles(self.kept.wait)
        engine = agents(self.host, Plugins.discover())
        self.driver = Driver(engine, self.kept, SystemClock(), hands=self.host, aside=True)

    def _told(self) -> None:
        self._loop.call_soon_threadsafe(self.stir)

    def stir(self) -> None:
        """Let it look at the host."""
        self.host.heard()
        self.driver.tell(Stirred(key=Key("agent", "m1")))

    @asynccontextmanager
    async def runs(self) -> Any:
        """Run; then end it."""
        self.host.resume()
        task = asyncio.create_task(self.driver.run())
        try:
            yield self
        finally:
            self.driver.stop()
            await asyncio.wait_for(task, PATIENCE)
            assert self.host.close(10)
            settled(self.kept)

    async def heals(self) -> None:
        """Break the file, and wait until it is right again."""
        self.path.write_text("wrong")
        self.stir()
        await until(lambda: self.path.read_text() == "right")


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.02)


def settled(kept: KeptStore) -> KeptStore:
    """Wait until what is kept is on the disk; the loop does not."""
    assert kept.wait(PATIENCE)
    return kept


async def report(api: EmbeddedStore, name: str) -> Json:
    """Give what the server knows of the component."""
    status = (await api.get(m.Machine.KIND, "m1")).get("status") or {}
    found: Json = ((status.get("agent") or {}).get("components") or {}).get(name) or {}
    return found


async def reported(api: EmbeddedStore, name: str, what: str) -> None:
    """Wait until the server has been told something of it."""
    async with asyncio.timeout(PATIENCE):
        while not (await report(api, name)).get(what):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", [Unreachable, ServerFailed, Unauthorized])
def test_drift_is_healed_while_the_server_is_away(tmp_path: Path, fault: type[ApiError]) -> None:
    """In the life in which it went away, and in the next, which never saw it; then it is told. One that does not know us is away."""

    async def run() -> None:
        api, name = await made(tmp_path, repairs=3)
        line = Line(api, fault=fault)
        async with Agent(line, tmp_path).runs() as agent:
            await until(agent.path.exists)
            await reported(api, name, "version")
            line.cut()
            await until(lambda: agent.kept.is_away)
            before = await api.get(m.Machine.KIND, "m1")
            await agent.heals()
            assert agent.kept.is_refused is (fault is Unauthorized)
        async with Agent(line, tmp_path).runs() as agent:
            await until(lambda: agent.kept.is_away)
            await agent.heals()
            assert await api.get(m.Machine.KIND, "m1") == before
            line.mend()
            await until(lambda: not agent.kept.is_away)
            assert not agent.kept.is_refused
            await agent.driver.rest()
            found = await report(api, name)
            assert (found["config"], found.get("drifting", False)) == ("Current", False)
            assert found["driftedAt"]
            await agent.heals()

    asyncio.run(run())


@pytest.mark.parametrize("fault", [Unreachable, Unauthorized])
def test_a_cut_that_no_watch_hears_of_is_noticed_by_a_report(tmp_path: Path, fault: type[ApiError]) -> None:
    """A real watch rides out that its server is away; the drift is healed all the same."""

    async def run() -> None:
        api, name = await made(tmp_path)
        line = Line(api, silent=True, fault=fault)
        async with Agent(line, tmp_path).runs() as agent:
            await until(agent.path.exists)
            await reported(api, name, "version")
            await agent.driver.rest()
            line.cut()
            assert not agent.kept.is_away
            await agent.heals()
            assert agent.kept.is_away
            assert not (await report(api, name)).get("driftedAt")
            line.mend()
            await reported(api, name, "driftedAt")
            assert not agent.kept.is_away
            await agent.heals()

    asyncio.run(run())


def test_without_anything_kept_a_server_is_waited_for(tmp_path: Path) -> None:
    """The host is left as it is."""

    async def run() -> None:
        api, _ = await made(tmp_path)
        line = Line(api)
        line.cut()
        async with Agent(line, tmp_path).runs() as agent:
            await until(lambda: line.asked > 4)
            assert not agent.kept.is_away
            assert not agent.path.exists()
            line.mend()
            await until(agent.path.exists)

    asyncio.run(run())


def read(raw: Json) -> Json:
    """Read nothing."""
    return raw


async def cut_off(api: EmbeddedStore, folder: Path) -> tuple[Line, KeptStore]:
    """Give an agent's store that has seen its Machine, and whose line was cut then."""
    line = Line(api)
    kept = KeptStore(line, "m1", folder / "state", retry=0.01)  # type: ignore[arg-type]
    await kept.follow(m.Machine.KIND, read)
    line.cut()
    return line, kept


@pytest.mark.parametrize("fault", [Unreachable, Unauthorized])
def test_what_is_kept_asks_for_no_operation(tmp_path: Path, fault: type[ApiError]) -> None:
    """Whoever asked has long acted otherwise: a host that was cut off does not reboot by an old word."""

    async def run() -> None:
        api, _ = await made(tmp_path, operation=True)
        line = Line(api, fault=fault)
        kept = KeptStore(line, "m1", tmp_path / "state", retry=0.01)  # type: ignore[arg-type]
        found, watch = await kept.follow(m.Machine.KIND, read)
        assert found.items[0]["spec"]["operation"]
        line.cut()
        with pytest.raises(fault):
            await watch.events()
        found, _ = await kept.follow(m.Machine.KIND, read)
        assert "operation" not in found.items[0]["spec"]
        assert found.items[0]["spec"]["components"]
        components, _ = await kept.follow(m.MachineComponent.KIND, read)
        assert [one["metadata"]["name"] for one in components.items] == ["conf-1"]
        with pytest.raises(fault):
            await kept.follow(m.RiskPolicy.KIND, read)

    asyncio.run(run())


def test_a_report_is_stored_here_by_the_rules_of_the_server(tmp_path: Path) -> None:
    """By uid and version, and told by the watch; everything else waits for the server."""

    async def run() -> None:
        api, _ = await made(tmp_path)
        line, kept = await cut_off(api, tmp_path)
        found, watch = await kept.follow(m.Machine.KIND, read)
        meta = found.items[0]["metadata"]
        body = {
            "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
            "status": {"agent": {"version": "9"}},
        }
        stored = await kept.patch(m.Machine.KIND, "m1", MergePatch(body), subresource="status")
        (event,) = await watch.events()
        assert event.object["status"] == stored["status"] == {"agent": {"version": "9"}}
        assert int(stored["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])
        with pytest.raises(Conflict):
            await kept.patch(m.Machine.KIND, "m1", MergePatch(body), subresource="status")
        with pytest.raises(Unreachable):
            await kept.patch(m.Machine.KIND, "m1", MergePatch({"spec": {"labels": {"a": "b"}}}))
        with pytest.raises(Unreachable):
            await kept.patch(m.Machine.KIND, "m1", JsonPatch(()), subresource="status")
        line.mend()
        with pytest.raises(Expired, match="the server is back"):
            await watch.events()
        assert (await kept.follow(m.Machine.KIND, read))[0].items[0].get("status", {}).get("agent") is None

    asyncio.run(run())


def test_no_report_is_lost_between_what_is_kept_and_the_server(tmp_path: Path) -> None:
    """One that is stored while the server is asked whether it is back is told; after that none is stored here.

    Whoever wrote one would wait for it, and the agent's decisions with it.
    """

    async def run() -> None:
        api, _ = await made(tmp_path)
        line, kept = await cut_off(api, tmp_path)
        _, watch = await kept.follow(m.Machine.KIND, read)
        asked, answers = asyncio.Event(), asyncio.Event()

        async def slow(*_: Any) -> Json:
            asked.set()
            await answers.wait()
            return {}

        line.get = slow  # type: ignore[attr-defined]
        hears = asyncio.create_task(watch.events())
        await asked.wait()
        stored = await kept.patch(m.Machine.KIND, "m1", MergePatch(_report("9")), subresource="status")
        answers.set()
        (event,) = await hears
        assert event.object["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
        with pytest.raises(Expired, match="the server is back"):
            await watch.events()
        with pytest.raises(Unreachable, match="its server is back"):
            await kept.patch(m.Machine.KIND, "m1", MergePatch(_report("10")), subresource="status")
        _, watch = await kept.follow(m.Machine.KIND, read)  # it is not, after all
        again = await kept.patch(m.Machine.KIND, "m1", MergePatch(_report("11")), subresource="status")
        assert again["status"] == {"agent": {"version": "11"}}
        (event,) = await watch.events()
        assert event.object["status"] == again["status"]

    asyncio.run(run())


def _report(version: str) -> Json:
    """Give a report that holds whatever there was before."""
    return {"status": {"agent": {"version": version}}}


async def _away(folder: Path, **more: Any) -> tuple[KeptStore, Any]:
    """Give an agent's store whose server is away, and its watch of what is kept."""
    line = Line(EmbeddedStore((), clock=lambda: datetime.now(UTC)))
    line.cut()
    kept = KeptStore(line, "m1", folder / "state", **more)  # type: ignore[arg-type]
    _, watch = await kept.follow(m.Machine.KIND, read)
    line.mend()
    return kept, watch


async def _kept_once(folder: Path) -> None:
    api, _ = await made(folder)
    kept = KeptStore(Line(api), "m1", folder / "state")  # type: ignore[arg-type]
    await kept.follow(m.Machine.KIND, read)
    settled(kept)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited before a server that is away is tried, which are over at once."""
    found: list[float] = []
    real = asyncio.timeout

    def over(seconds: float) -> asyncio.Timeout:
        found.append(seconds)
        return real(0)

    monkeypatch.setattr(asyncio, "timeout", over)
    return found


def test_a_hundred_agents_do_not_return_at_once(tmp_path: Path, pauses: list[float]) -> None:
    """Their server is back for all at one moment: each tries it at its own, spread over as long as the shortest waits."""

    async def run() -> None:
        await _kept_once(tmp_path)
        for _ in range(100):
            _, watch = await _away(tmp_path)
            with pytest.raises(Expired):
                await watch.events()

    asyncio.run(run())
    assert len(set(pauses)) == 100
    assert 10 <= min(pauses) <= max(pauses) < 20
    assert all(sum(low <= one < low + 2.5 for one in pauses) >= 5 for low in (10, 12.5, 15, 17.5))


def test_each_try_of_a_server_that_is_away_waits_anew(tmp_path: Path, pauses: list[float]) -> None:
    """Agents that happened to try together do not do so for ever."""

    async def run() -> None:
        await _kept_once(tmp_path)
        chance = iter((0.0, 0.5, 0.75))
        kept, watch = await _away(tmp_path, retry=4, jitter=lambda: next(chance))
        server: Any = kept._server
        server.cut()

        async def back() -> bool:
            if len(pauses) == 3:
                server.mend()
            return await KeptStore._is_back(kept)

        watch._is_back = back
        with pytest.raises(Expired):
            await watch.events()

    asyncio.run(run())
    assert pauses == [4, 6, 7]


def test_what_is_kept_does_not_grow_while_the_server_is_away(tmp_path: Path) -> None:
    """Of two hundred reports the last is kept, and no component that no entry names any more."""

    async def run() -> None:
        await _kept_once(tmp_path)
        kept, watch = await _away(tmp_path)
        sizes = set()
        for turn in range(200):
            report = {"component": "conf-1", "driftedAt": f"2026-03-02T08:{turn // 60:02}:{turn % 60:02}Z"}
            body = {"status": {"agent": {"components": {"conf": report}}}}
            await kept.patch(m.Machine.KIND, "m1", MergePatch(body), subresource="status")
            settled(kept)
            sizes.add((tmp_path / "state" / "applied.json").stat().st_size)
            assert len(await watch.events()) == 1
        assert max(sizes) - min(sizes) <= 6  # the digits of the version
        assert [one.name for one in (tmp_path / "state").iterdir()] == ["applied.json"]
        held = json.loads((tmp_path / "state" / "applied.json").read_text())
        assert held["machine"]["status"]["agent"]["components"]["conf"] == report
        assert list(held["components"]) == ["conf-1"]
        without = {**held["machine"], "spec": {**held["machine"]["spec"], "components": {}}}
        await kept._keep(without)
        settled(kept)
        assert json.loads((tmp_path / "state" / "applied.json").read_text())["components"] == {}

    asyncio.run(run())


EARLIER, LATER = "2026-03-02T08:00:00Z", "2026-03-02T08:00:01Z"


@pytest.mark.parametrize(
    ("kept_at", "stored_at", "stored_component", "told_at"),
    [
        (LATER, None, "conf-1", LATER),
        (LATER, EARLIER, "conf-1", LATER),
        (EARLIER, LATER, "conf-1", LATER),
        (EARLIER, EARLIER, "conf-1", EARLIER),
        (None, EARLIER, "conf-1", EARLIER),
        (LATER, None, "conf-0", None),
    ],
)
@pytest.mark.parametrize("conflicts", [0, 1])
def test_a_server_that_is_back_is_told_what_drifted(
    tmp_path: Path,
    kept_at: str | None,
    stored_at: str | None,
    stored_component: str,
    told_at: str | None,
    conflicts: int,
) -> None:
    """The later moment stands, of the same component only; nothing else of the report is touched, and who was quicker is not overwritten."""

    def told(component: str, at: str | None) -> Json:
        body: Json = {"component": component, "version": "1"}
        return {"agent": {"components": {"conf": body if at is None else {**body, "driftedAt": at}}}}

    async def run() -> None:
        api, _ = await made(tmp_path)
        kind, line = m.Machine.KIND, Line(api)
        await api.patch(kind, "m1", MergePatch({"status": told("conf-1", kept_at)}), subresource="status")
        first = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
        await first.follow(kind, read)
        settled(first)
        gone = {"agent": {"components": {"conf": None}}}
        for status in (gone, told(stored_component, stored_at)):
            await api.patch(kind, "m1", MergePatch({"status": status}), subresource="status")
        line.before = [{"metadata": {"labels": {"quicker": str(turn)}}} for turn in range(conflicts)]
        again = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
        await again.follow(kind, read)
        stored = await api.get(kind, "m1")
        found = stored["status"]["agent"]["components"]["conf"]
        assert (found["component"], found["version"], found.get("driftedAt")) == (
            stored_component,
            "1",
            told_at,
        )
        assert again._machine is not None
        assert again._machine["status"] == stored["status"]

    asyncio.run(run())


def test_a_drift_that_cannot_be_told_does_not_keep_the_agent_from_its_server(tmp_path: Path) -> None:
    """A server that is back and refuses the word of it is followed all the same; so is one where somebody is always quicker."""

    async def run() -> None:
        api, _ = await made(tmp_path)
        kind, line = m.Machine.KIND, Line(api)
        told = {"agent": {"components": {"conf": {"component": "conf-1", "driftedAt": LATER}}}}
        await api.patch(kind, "m1", MergePatch({"status": told}), subresource="status")
        kept = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
        await kept.follow(kind, read)
        without = {"agent": {"components": {"conf": {"driftedAt": None}}}}
        await api.patch(kind, "m1", MergePatch({"status": without}), subresource="status")
        for many in (100, -1):
            line.before = [{"metadata": {"labels": {"quicker": str(turn)}}} for turn in range(many)]
            line.refuses = many < 0
            other = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
            other._machine = kept._machine
            found, _ = await other.follow(kind, read)
            assert [one["metadata"]["name"] for one in found.items] == ["m1"]
            assert not other.is_away
            assert "driftedAt" not in (await report(api, "conf"))

    asyncio.run(run())


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"format":2}', b'{"format":1,"machine":{}}', b"\xff"]
)
def test_what_is_not_whole_is_nothing(tmp_path: Path, content: bytes) -> None:
    """A file that was damaged, or that a later version wrote."""

    async def run() -> None:
        api, _ = await made(tmp_path)
        line = Line(api)
        line.cut()
        (tmp_path / "state" / "applied.json").write_bytes(content)
        with pytest.raises(Unreachable):
            await KeptStore(line, "m1", tmp_path / "state").follow(m.Machine.KIND, read)  # type: ignore[arg-type]

    asyncio.run(run())


def test_what_is_kept_is_of_one_machine_private_and_goes_with_it(tmp_path: Path) -> None:
    """Another machine's is not taken for it; a deleted one is forgotten."""

    async def run() -> None:
        api, _ = await made(tmp_path)
        line = Line(api)
        kept = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
        _, watch = await kept.follow(m.Machine.KIND, read)
        file = tmp_path / "state" / "applied.json"
        settled(kept)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        other = KeptStore(line, "m2", tmp_path / "state")  # type: ignore[arg-type]
        assert other._machine is None
        await api.delete(m.Machine.KIND, "m1")
        await watch.events()
        settled(kept)
        assert json.loads(file.read_text())["machine"] is None

    asyncio.run(run())


async def _component(api: EmbeddedStore, name: str, content: str) -> None:
    await api.create(m.MachineComponent.KIND, {
        "apiVersion": API, "kind": "MachineComponent", "metadata": {"name": name},
        "spec": {"driver": "file", "version": "1", "parameters": {"path": CONF, "content": content}},
    })  # fmt: skip


def test_all_of_it_is_kept_however_much_that_is(tmp_path: Path) -> None:
    """Each component may be as large as a server stores, and a Machine may name dozens; an agent that starts alone heals all."""

    async def run() -> None:
        api, _ = await made(tmp_path)
        entries, content = {}, "right\n" * (tree.MOST // 6 // 6)
        for number in range(7):
            await _component(api, f"large-{number}", content)
            entries[f"e{number}"] = {
                "set": "s",
                "component": f"large-{number}",
                "revision": "1",
                "state": "Running",
            }
        await api.patch(m.Machine.KIND, "m1", MergePatch({"spec": {"components": entries}}))
        line = Line(api)
        first = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
        await first.follow(m.Machine.KIND, read)
        settled(first)
        assert (tmp_path / "state" / "applied.json").stat().st_size > tree.MOST
        line.cut()
        kept = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
        found, _ = await kept.follow(m.MachineComponent.KIND, read)
        large = [one for one in found.items if one["spec"]["parameters"]["content"] == content]
        assert len(large) == len(entries)

    asyncio.run(run())


def test_after_a_start_without_a_server_an_entry_does_not_come_before_its_component(tmp_path: Path) -> None:
    """A server that is back tells of an entry that is new; who followed what was kept has heard of its component by then."""

    async def run() -> None:
        api, name = await made(tmp_path)
        first = KeptStore(Line(api), "m1", tmp_path / "state")  # type: ignore[arg-type]
        await first.follow(m.Machine.KIND, read)
        settled(first)
        line = Line(api)
        line.cut()
        kept = KeptStore(line, "m1", tmp_path / "state", retry=60)  # type: ignore[arg-type]
        found, components = await kept.follow(m.MachineComponent.KIND, read)
        assert ([one["metadata"]["name"] for one in found.items], found.resource_version) == (["conf-1"], "0")
        told: list[str] = []

        async def hear() -> None:
            while True:
                told.extend(one.object["metadata"]["name"] for one in await components.events())

        hears = asyncio.create_task(hear())
        await kept.follow(m.Machine.KIND, read)
        await _component(api, "conf-2", "right")
        entry = {"set": "s", "component": "conf-2", "revision": "2", "state": "Running"}
        await api.patch(m.Machine.KIND, "m1", MergePatch({"spec": {"components": {name: entry}}}))
        line.mend()
        await kept.follow(m.Machine.KIND, read)
        await asyncio.sleep(0)
        assert told == ["conf-2"]
        hears.cancel()

    asyncio.run(run())


def test_what_an_earlier_life_kept_of_a_component_is_not_believed_for_ever(tmp_path: Path) -> None:
    """One that was deleted meanwhile, and perhaps made anew, is kept as it is now; what cannot be read stays kept."""

    async def run() -> None:
        api, _ = await made(tmp_path)
        kind, line = m.MachineComponent.KIND, Line(api)

        async def kept() -> Json:
            store = KeptStore(line, "m1", tmp_path / "state")  # type: ignore[arg-type]
            await store.follow(m.Machine.KIND, read)
            settled(store)
            found: Json = json.loads((tmp_path / "state" / "applied.json").read_text())["components"]
            return {name: raw["spec"]["parameters"]["content"] for name, raw in found.items()}

        assert await kept() == {"conf-1": "right"}
        await api.delete(kind, "conf-1")
        await _component(api, "conf-1", "better")
        line.loses = {"get"}
        assert await kept() == {"conf-1": "right"}
        line.loses = set()
        assert await kept() == {"conf-1": "better"}
        await api.delete(kind, "conf-1")
        assert await kept() == {}

    asyncio.run(run())
