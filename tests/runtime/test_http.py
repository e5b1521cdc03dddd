"""Health, readiness and metrics of an engine over HTTP: what they say while it begins, works, lacks a right, and ends."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kubenode.core.errors import Forbidden, InvalidObjectError
from kubenode.core.lease import NAMESPACE, LeaseTimes
from kubenode.core.model import Json, Kind
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.http import address, served
from kubenode.runtime.store.contract import Patch
from kubenode.runtime.store.embedded import now_or_never
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.store.installed import INSTALL
from kubenode.runtime.store.lease import DEGRADED, LEASE, Lease
from tests.runtime.embed.world import LEDGER, OURS, REBOOT, hung_cluster, nothing_left, sick, until, well

Ask = Callable[[str], Coroutine[Any, Any, tuple[int, str]]]
QUICK = LeaseTimes(
    duration=timedelta(seconds=1), renew_within=timedelta(milliseconds=600), every=timedelta(milliseconds=100)
)  # fmt: skip


def asking(engine: Engine, body: Callable[[Ask], Coroutine[Any, Any, None]]) -> None:
    """Serve an engine that has not begun, and run a body that asks it."""

    async def main() -> None:
        async with served(engine, "127.0.0.1:0") as where, aiohttp.ClientSession() as session:

            async def ask(path: str) -> tuple[int, str]:
                async with session.get(f"http://{where}/{path}") as answer:
                    return answer.status, await answer.text()

            await body(ask)

    with nothing_left():
        asyncio.run(main())


def test_an_engine_is_ready_from_its_first_listing_to_its_end() -> None:
    """Before it has begun and after it was stopped it is neither alive nor ready."""
    engine = Engine(hung_cluster(REBOOT), plugins=OURS)

    async def body(ask: Ask) -> None:
        assert await ask("healthz") == (503, "the engine does not run\n")
        assert await ask("readyz") == (503, "it does not run\n")
        async with engine:
            assert (await ask("healthz"))[0] == 200
            await engine.settled()
            assert await ask("readyz") == (200, "ok\n")
            assert (await ask("nothing"))[0] == 404
        assert (await ask("healthz"))[0] == 503

    asking(engine, body)


def test_what_was_not_listed_yet_is_a_reason() -> None:
    """Each kind is named until it is there, with the error of the server and its fix."""
    granted = asyncio.Event()

    class Closed(EmbeddedStore):
        async def find(self, kind: Kind, **more: Any) -> Any:
            if kind.name == "Node" and not granted.is_set():
                raise Forbidden('nodes is forbidden: User "x" cannot list resource "nodes"')
            return await super().find(kind, **more)

    engine = Engine(Closed([LEDGER], cel=False), plugins=OURS)

    async def body(ask: Ask) -> None:
        async with engine:
            await until(lambda: any("cannot list" in reason for reason in engine.unready()))
            status, text = await ask("readyz")
            assert status == 503
            assert "Node: Forbidden: nodes is forbidden" in text
            assert "fix: grant the rights: kubenode manifests | kubectl apply -f -" in text
            assert "Node: not listed yet" in text
            assert (await ask("healthz"))[0] == 200
            granted.set()
            await engine.settled()
            assert (await ask("readyz"))[0] == 200

    asking(engine, body)


class Limited(EmbeddedStore):
    """A store on which one right can be taken away and given back."""

    denied = False

    async def patch(self, kind: Kind, name: str, patch: Patch, **more: Any) -> Json:
        """Refuse, perhaps."""
        if self.denied and kind.name == "Machine" and more.get("subresource") == "status":
            raise Forbidden(
                f'machines.kubenode.dev "{name}" is forbidden: User "x" cannot patch resource "machines/status"'
            )
        return await super().patch(kind, name, patch, **more)


def test_a_right_that_is_lost_is_told_and_its_return_is_noticed() -> None:
    """Readiness and the Lease say which one, once for all objects; when it is granted again the work is done."""
    store = Limited([LEDGER, *sick(), *well("n2")], cel=False)
    store.denied = True
    engine = Engine(store, plugins=OURS, lease=Lease(holder="a", times=QUICK))

    def condition() -> Json:
        found = now_or_never(store.find(LEASE)).items
        text = "".join((one["metadata"].get("annotations") or {}).get(DEGRADED, "") for one in found)
        return dict(json.loads(text)) if text else {}

    def told() -> list[tuple[str, str]]:
        """Give the Events about the Lease, in the namespace of the Lease."""
        found = now_or_never(store.find(EVENT.within(NAMESPACE))).items
        (lease,) = now_or_never(store.find(LEASE)).items
        for one in found:
            assert one["involvedObject"] == {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": "kubenode-controller",
                "namespace": NAMESPACE, "uid": lease["metadata"]["uid"],
            }  # fmt: skip
        return [(one["type"], one["reason"]) for one in sorted(found, key=lambda one: int(one["metadata"]["resourceVersion"]))]  # fmt: skip

    async def body(ask: Ask) -> None:
        async with engine:
            await until(condition)
            status, text = await ask("readyz")
            assert (status, text) == (
                503,
                f'forbidden: User "x" cannot patch resource "machines/status"; fix: grant the rights: {INSTALL}\n',
            )
            said = condition()
            assert (said["type"], said["status"], said["message"]) == ("Degraded", "True", text.strip())
            assert (await ask("healthz"))[0] == 200
            await until(lambda: told() == [("Normal", "Leading"), ("Warning", "Degraded")])
            assert 'kubenode_engine_ready{engine="kubenode"} 0.0' in (await ask("metrics"))[1]
            await until(lambda: len(now_or_never(store.find(LEASE)).items) == 1)
            assert condition()["lastTransitionTime"] == said["lastTransitionTime"]
            store.denied = False
            await until(lambda: not engine.unready())
            await until(lambda: not condition())
            await engine.settled()
            await until(lambda: told()[2:] == [("Normal", "Restored")])

    asking(engine, body)


def test_a_lease_that_cannot_be_had_is_a_reason() -> None:
    """Such an engine could not take over."""

    class Forbidding(EmbeddedStore):
        async def get(self, kind: Kind, name: str) -> Json:
            raise Forbidden('leases "kubenode-controller" is forbidden')

    engine = Engine(Forbidding([LEDGER], cel=False), plugins=OURS, lease=Lease(holder="a", times=QUICK))

    async def body(ask: Ask) -> None:
        async with engine:
            await until(lambda: any("lease" in reason for reason in engine.unready()))
            status, text = await ask("readyz")
            assert status == 503
            assert text.startswith('lease: leases "kubenode-controller" is forbidden; fix: grant the rights')

    asking(engine, body)


def test_one_that_waits_for_its_turn_is_ready() -> None:
    """Else a roll-out of the controller itself would wait for ever for the second pod."""
    store = hung_cluster(REBOOT)
    second = Engine(store, plugins=OURS, identity="second", lease=Lease(holder="second", times=QUICK))

    async def body(ask: Ask) -> None:
        async with Engine(store, plugins=OURS, lease=Lease(holder="first", times=QUICK)) as first:
            await first.settled()
            async with second:
                await until(lambda: not second.unready())
                assert await ask("readyz") == (200, "ok\n")
                numbers = {sample.name: sample.value for sample in samples((await ask("metrics"))[1])}
                assert numbers["kubenode_engine_leads"] == 0

    asking(second, body)


def samples(text: str) -> list[Any]:
    """Read the text format."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def test_numbers_are_those_of_the_engine() -> None:
    """In the form that Prometheus reads; those of the store, if it counts any."""
    store = hung_cluster(REBOOT)
    store.requests = {("PATCH", 200): 7}  # type: ignore[attr-defined]
    engine = Engine(store, plugins=OURS, identity="one")

    async def body(ask: Ask) -> None:
        async with engine:
            await engine.settled()
            status, text = await ask("metrics")
        assert status == 200
        found = {(one.name, *sorted(one.labels.items())): one.value for one in samples(text)}
        of = ("engine", "one")
        assert found["kubenode_engine_leads", of] == found["kubenode_engine_ready", of] == 1
        assert found["kubenode_engine_objects", of, ("kind", "Machine")] == 5
        assert found["kubenode_engine_calls_total", ("controller", "risk"), of, ("result", "ok")] >= 1
        assert found["kubenode_engine_decisions_total", ("acts", "true"), ("controller", "remedy"), of] >= 1
        assert found["kubenode_api_requests_total", ("code", "200"), of, ("method", "PATCH")] == 7

    asking(engine, body)


def test_one_collector_has_all_engines() -> None:
    """Registered in a registry of the host's; the global one is left alone."""
    from prometheus_client import REGISTRY

    before = set(REGISTRY._names_to_collectors)
    registry = CollectorRegistry()
    registry.register(
        Engine.collector(Engine(hung_cluster(), identity="a"), Engine(hung_cluster(), identity="b"))
    )
    text = generate_latest(registry).decode()
    assert 'kubenode_engine_ready{engine="a"} 0.0' in text
    assert 'kubenode_engine_ready{engine="b"} 0.0' in text
    assert set(REGISTRY._names_to_collectors) == before


def test_without_the_extra_the_answer_says_what_to_install(tmp_path: Path) -> None:
    """Health and readiness need no more than the extra `kube`."""
    script = """
import asyncio, sys
sys.modules["prometheus_client"] = None
import aiohttp
from kubenode.runtime.embed import EmbeddedStore, Engine, Plugins
from kubenode.runtime.http import served
async def main():
    engine = Engine(EmbeddedStore(cel=False), plugins=Plugins.given())
    async with served(engine, "127.0.0.1:0") as where, engine, aiohttp.ClientSession() as session:
        for path in ("healthz", "metrics"):
            async with session.get(f"http://{where}/{path}") as answer:
                print(answer.status, (await answer.text()).strip())
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [
        "200 ok", "501 this needs prometheus_client: pip install 'kubenode[metrics]'",
    ]  # fmt: skip


@pytest.mark.parametrize("listen", ["", "8080", "host", ":80", "a:b", "a:70000", "a:-1"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    """With one that is."""
    with pytest.raises(InvalidObjectError, match=r"127\.0\.0\.1:8080"):
        address(listen)


def test_addresses_are_read() -> None:
    """Of both kinds."""
    assert (address("127.0.0.1:0"), address("[::1]:80")) == (("127.0.0.1", 0), ("::1", 80))


def test_a_port_that_is_taken_is_told() -> None:
    """And nothing is left of the attempt."""

    async def main() -> None:
        engine = Engine(hung_cluster(), plugins=OURS)
        async with served(engine, "127.0.0.1:0") as where:
            with pytest.raises(
                InvalidObjectError, match=rf"cannot listen on {where}: .*\n    fix: name another"
            ):
                async with served(engine, where):
                    pass

    with nothing_left():
        asyncio.run(main())
