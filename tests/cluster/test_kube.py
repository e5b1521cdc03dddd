"""KubeStore on a real API server: the answers it was written for, a restart, and users without rights."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    ObjectNotFound,
    Refused,
    Unreachable,
)
from kubenode.core.model import KINDS, Json, Kind, Node
from kubenode.runtime.controller.rights import rights
from kubenode.runtime.store.contract import EventType, JsonPatch, MergePatch, Watch, WatchEvent
from kubenode.runtime.store.following import as_is
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Limits, Timing
from kubenode.runtime.testing import ControlPlane
from tests.cluster.following import KIND, follow, machine, noted

pytestmark = pytest.mark.cluster


def on(
    plane: ControlPlane, body: Callable[[KubeStore], Coroutine[Any, Any, None]],
    *, kubeconfig: Path | None = None, **limits: Any,
) -> None:  # fmt: skip
    """Run a body with a store of the control plane."""

    async def main() -> None:
        path = kubeconfig or plane.admin_kubeconfig
        timing = Timing(jitter=random.Random(7).random)
        async with KubeStore.connect(kubeconfig=path, limits=Limits(**limits), timing=timing) as store:
            await body(store)

    asyncio.run(main())


async def until(watch: Watch, wanted: Callable[[WatchEvent], bool]) -> list[WatchEvent]:
    """Give the events up to the one that is wanted."""
    events: list[WatchEvent] = []
    async with asyncio.timeout(60):
        while not any(wanted(event) for event in events):
            events += await watch.events()
    return events


async def raised(call: Coroutine[Any, Any, object]) -> type[ApiError]:
    """Give the type of error that a call raises."""
    with pytest.raises(ApiError) as found:
        await call
    return type(found.value)


def test_the_life_of_a_machine_is_told(plane: ControlPlane) -> None:
    """Created, changed, its status changed and deleted: each is answered as stored, and told in order."""

    async def live(store: KubeStore) -> None:
        name = "kube-life"
        before = await store.find(KIND)
        watch = await store.watch(KIND, resource_version=before.resource_version)
        made = await store.create(KIND, machine(name))
        assert await raised(store.create(KIND, machine(name))) is AlreadyExists
        labelled = await store.patch(KIND, name, MergePatch({"metadata": {"labels": {"rack": "r1"}}}))
        body = {"metadata": {"uid": made["metadata"]["uid"]}, "status": {"phase": "Pending"}}
        told = await store.patch(KIND, name, MergePatch(body), subresource="status")
        assert told["status"]["phase"] == "Pending"
        assert await store.get(KIND, name) == told
        assert (await store.find(KIND, labels={"rack": "r1"})).items == (told,)
        assert (await store.find(KIND, labels={"rack": "r2"})).items == ()
        await store.delete(KIND, name, uid=made["metadata"]["uid"])
        assert await raised(store.get(KIND, name)) is ObjectNotFound
        events = await until(watch, lambda event: event.type is EventType.DELETED)
        await watch.close()
        mine = [event for event in events if event.object["metadata"].get("name") == name]
        assert [event.type.value for event in mine] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
        assert [event.object for event in mine[:3]] == [made, labelled, told]
        assert not any("managedFields" in event.object["metadata"] for event in events)

    on(plane, live)


def test_who_wrote_is_recorded(plane: ControlPlane) -> None:
    """The field manager of each write is ours."""

    async def write(store: KubeStore) -> None:
        await store.create(KIND, machine("kube-writer"))
        await store.patch(KIND, "kube-writer", MergePatch({"metadata": {"labels": {"a": "b"}}}))

    on(plane, write)
    shown = json.loads(plane.kubectl("get", "machine", "kube-writer", "-o", "json", "--show-managed-fields"))
    assert {entry["manager"] for entry in shown["metadata"]["managedFields"]} == {"kubenode"}
    plane.kubectl("delete", "machine", "kube-writer")


def test_another_state_than_thought_of_is_a_conflict(plane: ControlPlane) -> None:
    """Stale versions, other uids and failed tests are conflicts; a wrong value is not."""

    async def disagree(store: KubeStore) -> None:
        name, other = "kube-conflict", "00000000-0000-0000-0000-000000000000"
        made = await store.create(KIND, machine(name))
        version = made["metadata"]["resourceVersion"]
        await store.patch(KIND, name, MergePatch({"metadata": {"labels": {"a": "b"}}}))

        def merge(body: Json) -> Coroutine[Any, Any, Json]:
            return store.patch(KIND, name, MergePatch(body))

        assert (
            await raised(merge({"metadata": {"resourceVersion": version, "labels": {"a": "c"}}})) is Conflict
        )
        assert await raised(merge({"metadata": {"uid": other, "labels": {"a": "c"}}})) is Conflict
        test = {"op": "test", "path": "/metadata/uid", "value": other}
        change = {"op": "add", "path": "/metadata/labels/a", "value": "c"}
        assert await raised(store.patch(KIND, name, JsonPatch((test, change)))) is Conflict
        assert await raised(store.delete(KIND, name, uid=other)) is Conflict
        assert await raised(store.delete(KIND, name, resource_version=version)) is Conflict
        assert await raised(merge({"spec": {"host": 7}})) is Refused
        assert await raised(store.patch(KIND, "kube-nobody", MergePatch({}))) is ObjectNotFound
        await store.patch(KIND, name, JsonPatch((change,)))
        await store.delete(KIND, name)

    on(plane, disagree)


def test_a_list_in_pages_is_the_list(plane: ControlPlane) -> None:
    """Pages of two are of one version, and together what one answer gives."""
    names = [f"kube-page-{number}" for number in range(5)]

    async def page(store: KubeStore) -> None:
        for name in reversed(names):
            obj = machine(name)
            obj["metadata"]["labels"] = {"paged": "yes"}
            await store.create(KIND, obj)
        found = await store.find(KIND, labels={"paged": "yes"})
        assert [item["metadata"]["name"] for item in found.items] == names
        for name in names:
            await store.delete(KIND, name)

    on(plane, page, page=2)


def test_items_of_a_core_list_name_their_kind(plane: ControlPlane) -> None:
    """A Node is the same from get, find and a watch."""
    kind: Kind = Node.KIND

    async def look(store: KubeStore) -> None:
        before = await store.find(kind)
        made = await store.create(
            kind, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "kube-node"}}
        )
        watch = await store.watch(kind, resource_version=before.resource_version)
        events = await until(watch, lambda event: event.object["metadata"].get("name") == "kube-node")
        await watch.close()
        got = await store.get(kind, "kube-node")
        assert events[0].object == made
        # The node lifecycle controller may taint it in between: only what it is has to be the same.
        (listed,) = [one for one in (await store.find(kind)).items if one["metadata"]["name"] == "kube-node"]
        for one in (got, listed):
            assert (one["apiVersion"], one["kind"], one["metadata"]["uid"]) == (
                "v1",
                "Node",
                made["metadata"]["uid"],
            )
        assert (got["apiVersion"], got["kind"]) == ("v1", "Node")
        await store.delete(kind, "kube-node")

    on(plane, look)


def test_whoever_follows_a_kind_misses_nothing_in_a_restart(plane: ControlPlane) -> None:
    """Reads are patient while the server restarts; the watch resumes, or says that it cannot."""

    async def survive(store: KubeStore) -> None:
        name = "kube-restart"
        await store.create(KIND, machine(name))
        seen: list[str] = []
        following = asyncio.create_task(follow(store, name, seen))
        await noted(seen, "made")
        restart = asyncio.create_task(asyncio.to_thread(plane.restart_apiserver))
        while not restart.done():
            assert (await store.get(KIND, name))["metadata"]["name"] == name
            await asyncio.sleep(0.05)
        await restart
        for step in ("one", "two"):
            await store.patch(KIND, name, MergePatch({"metadata": {"labels": {"step": step}}}))
            await noted(seen, step)
        await store.delete(KIND, name)
        async with asyncio.timeout(60):
            await following
        assert seen == ["made", "one", "two", "gone"]

    on(plane, survive)


def test_a_version_that_the_server_has_forgotten_is_expired(plane: ControlPlane) -> None:
    """A server that has just begun remembers no past: it answers 200, then ERROR 410."""
    plane.restart_apiserver()

    async def forget(store: KubeStore) -> None:
        await store.find(KIND)
        watch = await store.watch(KIND, resource_version="1")
        assert await raised(watch.events()) is Expired

    on(plane, forget)


def test_a_version_that_the_server_has_not_reached_is_expired(plane: ControlPlane) -> None:
    """As after a restore from a backup: the server is silent, and we find out why."""

    async def wait(store: KubeStore) -> None:
        version = int((await store.find(KIND)).resource_version)
        watch = await store.watch(KIND, resource_version=str(version + 1_000_000))
        assert await raised(watch.events()) is Expired

    on(plane, wait, silence=timedelta(seconds=1))


def test_a_user_without_rights_is_refused(plane: ControlPlane) -> None:
    """The client certificate says who it is, and RBAC says no; to a watch too."""

    async def ask(store: KubeStore) -> None:
        for call in (
            store.get(KIND, "m1"),
            store.find(KIND),
            store.create(KIND, machine("m1")),
            store.patch(KIND, "m1", MergePatch({})),
            store.delete(KIND, "m1"),
            (await store.watch(KIND, resource_version="1")).events(),
        ):
            with pytest.raises(Refused, match='User "mallory" cannot') as found:
                await call
            assert found.value.code == 403

    on(plane, ask, kubeconfig=plane.kubeconfig("mallory"))


def _changed(plane: ControlPlane, folder: Path, part: str, **values: object) -> Path:
    """Write the admin's kubeconfig with some values of its cluster or its user changed."""
    config = json.loads(plane.admin_kubeconfig.read_text())
    entry = config[f"{part}s"][0][part]
    for name, value in values.items():
        entry[name.replace("_", "-")] = value
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_an_unknown_token_is_refused(plane: ControlPlane, tmp_path: Path) -> None:
    """401 is Refused, after the kubeconfig was read once more."""
    path = _changed(plane, tmp_path, "user", token="nobody")
    config = json.loads(path.read_text())
    for name in ("client-certificate-data", "client-key-data"):
        del config["users"][0]["user"][name]
    path.write_text(json.dumps(config))

    async def ask(store: KubeStore) -> None:
        with pytest.raises(Refused) as found:
            await store.get(KIND, "m1")
        assert found.value.code == 401

    on(plane, ask, kubeconfig=path)


def test_a_server_of_another_authority_is_not_talked_to(plane: ControlPlane, tmp_path: Path) -> None:
    """Its certificate does not fit, now or later: the call fails at once."""
    # Only the system's authorities are trusted when the kubeconfig names none.
    path = _changed(plane, tmp_path, "cluster", certificate_authority_data="")

    async def ask(store: KubeStore) -> None:
        with pytest.raises(Unreachable, match="certificate"):
            await store.get(KIND, "m1")

    on(plane, ask, kubeconfig=path)


def test_checks_can_be_waived(plane: ControlPlane, tmp_path: Path) -> None:
    """insecure-skip-tls-verify and tls-server-name mean what they mean to kubectl."""

    async def ask(store: KubeStore) -> None:
        with suppress(ObjectNotFound):
            await store.get(KIND, "nobody")

    path = _changed(plane, tmp_path, "cluster", certificate_authority_data="", insecure_skip_tls_verify=True)
    on(plane, ask, kubeconfig=path)
    named = _changed(plane, tmp_path, "cluster", tls_server_name="kubernetes.default.svc")
    on(plane, ask, kubeconfig=named)


def test_a_streamed_list_is_the_list_and_its_watch_goes_on(plane: ControlPlane) -> None:
    """The server streams it; what is listed, and where the watch begins, is as in pages; nothing is told twice."""

    async def follow(store: KubeStore) -> None:
        names = [f"stream-{number}" for number in range(7)]
        for name in names:
            await store.create(KIND, machine(name))
        listing, watch = await store.follow(KIND, as_is)
        assert store._streams  # it was streamed, and did not fall back to pages
        pages = await store.find(KIND)
        assert listing.items == pages.items
        assert int(listing.resource_version) <= int(pages.resource_version)
        made = await store.create(KIND, machine("stream-late"))
        events: list[WatchEvent] = []
        while not any(event.object["metadata"].get("name") == "stream-late" for event in events):
            events += await watch.events()
        told = [event for event in events if event.type is not EventType.BOOKMARK]
        assert [event.object for event in told] == [made]
        await watch.close()
        for name in (*names, "stream-late"):
            await store.delete(KIND, name)

    on(plane, follow)


@pytest.mark.parametrize("streams", [True, False])
def test_whoever_may_read_one_object_follows_it_in_pages_too(plane: ControlPlane, streams: bool) -> None:
    """As an agent does, after a line on which a stream came to nothing: the pages are of the one that is asked for."""

    async def look(store: KubeStore) -> None:
        only = attrs.evolve(KIND, only="metadata.name=only-1")
        for name in ("only-1", "only-2"):
            await store.create(KIND, machine(name))
        store._streams = streams
        listing, watch = await store.follow(only, as_is)
        assert [item["metadata"]["name"] for item in listing.items] == ["only-1"]
        await watch.close()
        for name in ("only-1", "only-2"):
            await store.delete(KIND, name)

    on(plane, look)


def test_real_definitions_are_not_taken_for_older_ones(plane: ControlPlane) -> None:
    """As the server fills them in they have all that the program knows."""

    async def look(store: KubeStore) -> None:
        await store.check(KINDS, rights())

    on(plane, look)
