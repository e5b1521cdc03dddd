"""A server of artifacts that is too slow, a real agent and real controllers: told, nothing on the host, and the rollout is paused."""

import asyncio
import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubenode.core import model as m
from kubenode.core.model import Json, Kind
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.agent.download import Download
from kubenode.runtime.agent.host import About, RealHost
from kubenode.runtime.agent.stage import Supply
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.engine.loop import Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import EmbeddedStore
from tests.runtime.agent.debian import Debian
from tests.runtime.agent.test_download import BODY, LIMITS, TOKEN, served
from tests.runtime.test_drive import running, store

TOOL = "/usr/local/bin/tool"
PATIENCE = 60


async def _made(api: EmbeddedStore, host: str) -> None:
    """Make a Machine with its Node, and a set that wants an artifact of a server there."""

    async def make(kind: Kind, name: str, **parts: Any) -> None:
        raw: Json = {"metadata": {"name": name, "labels": {"pool": "a"}}, **parts}
        await api.create(kind, {"apiVersion": kind.api_version, "kind": kind.name, **raw})

    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    await make(m.Node.KIND, "n1")
    status = {"status": {"conditions": [ready], "nodeInfo": {"bootID": "b"}}}
    await api.patch(m.Node.KIND, "n1", MergePatch(status), subresource="status")
    await make(m.RiskPolicy.KIND, "default", spec={"limits": [{"scope": "cluster", "max": 5}]})
    await make(m.Machine.KIND, "m1", spec={"host": {"address": "10.0.0.1"}})
    await running(api)
    parameters = {
        "path": TOOL, "url": f"http://{host}/slow?token={TOKEN}", "sha256": hashlib.sha256(BODY).hexdigest(),
    }  # fmt: skip
    spec = {"version": "1", "driver": "artifact", "disruption": "none", "parameters": parameters}
    await make(m.MachineComponent.KIND, "tool-1", spec=spec)
    rollout = {"batches": [1], "minReadySeconds": 1}
    wanted = {
        "name": "tool",
        "component": "tool-1",
        "selector": {"matchLabels": {"pool": "a"}},
        "rollout": rollout,
    }
    await make(m.MachineComponentSet.KIND, "tool", spec=wanted)


def test_a_server_that_is_too_slow_pauses_the_rollout(tmp_path: Path) -> None:
    """The agent gives it up by itself, and says which server; the token is told to nobody, and nothing is left on the host."""

    async def run(host: str) -> tuple[Json, Json]:
        api, loop, plugins = store(), asyncio.get_running_loop(), Plugins.discover()
        debian = Debian(tmp_path)
        (tmp_path / "state").mkdir(mode=0o700)

        def heard() -> None:
            real.heard()
            agent.tell(Stirred(key=Key("agent", "m1")))

        real = RealHost(
            About(machine="m1", node="n1", boot_id="b", version="1"), tmp_path / "state",
            lambda: loop.call_soon_threadsafe(heard), root=debian.root, run=debian,
            sleep=lambda _: None, supply=Supply(fetch=Download(time.monotonic, lambda: None, LIMITS), left=0),
        )  # fmt: skip
        agent = Driver(agents(real, plugins), api, SystemClock(), hands=real)
        central = Driver(controllers(plugins), api, SystemClock(), first=(FIRST,))
        tasks = [asyncio.create_task(agent.run()), asyncio.create_task(central.run())]
        try:
            await _made(api, host)
            async with asyncio.timeout(PATIENCE):
                while True:
                    owner = await api.get(m.MachineComponentSet.KIND, "tool")
                    if owner.get("status", {}).get("phase") == "Paused":
                        return owner, await api.get(m.Machine.KIND, "m1")
                    await asyncio.sleep(0.05)
        finally:
            agent.stop()
            central.stop()
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
            assert real.close(10)

    with served() as server:
        owner, machine = asyncio.run(run(server.host))
    (failed,) = owner["status"]["failed"]
    assert (failed["name"], failed["reason"]) == ("m1", "InstallFailed")
    told = machine["status"]["agent"]["components"]["tool"]
    assert told["reason"] == "InstallFailed"
    assert f"{server.host} gave " in told["message"]
    assert "which is too slow" in told["message"]
    assert told["message"].endswith("; the host is as it was before")
    assert TOKEN not in f"{owner}{machine}"
    left = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert left == []
