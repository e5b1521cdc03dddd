"""What people and clouds do wrong, through the real SDKs: a condition with cause and fix, no loop, no second instance, nothing deleted."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.hookspecs import Provider
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG, MANAGED_TAG
from kubenode.core.instance.turn import SECOND
from kubenode.core.model.condition import find
from kubenode.core.model.meta import FINALIZER
from kubenode.providers.aliyun import AliyunProvider, AliyunSettings, Client, Credentials
from kubenode.providers.aws import AwsProvider, AwsSettings
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.embed.clouds import WRITERS
from kubenode.runtime.observe import instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.contract import MergePatch
from tests.providers.aws.loopback import keys
from tests.providers.regions import Ec2Region, EcsRegion, Region, calls, ec2, ecs
from tests.runtime.embed.world import LEDGER, until

A_WHILE = 1.0
"""Seconds in which a loop would have made many calls."""


@pytest.fixture(params=["ec2", "ecs"])
def region(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Region]:
    """Each cloud."""
    keys(tmp_path, monkeypatch)
    monkeypatch.setattr(instances, "SPACING", SECOND // 2)
    with ec2() if request.param == "ec2" else ecs(tmp_path) as one:
        yield one


def machine(region: Region, name: str = "c1", **more: Any) -> m.Machine:
    """A machine that the region is to make."""
    wanted = m.Infrastructure(provider=region.provider.name, parameters={**region.parameters, **more})
    return m.Machine(metadata=m.ObjectMeta(name=name), spec=m.MachineSpec(infrastructure=wanted))


def said(store: EmbeddedStore, name: str = "c1") -> tuple[str, str]:
    """What the condition InstanceReady says: the reason, and the text."""
    one = next((one for one in store.objects(m.Machine) if one.metadata.name == name), None)
    claim = None if one is None else find(one.status.conditions, "InstanceReady")
    return ("", "") if claim is None else (claim.reason, claim.message)


@asynccontextmanager
async def running(store: EmbeddedStore, provider: Provider[Any]) -> AsyncIterator[None]:
    """Let an engine run."""
    async with Engine(store, plugins=Plugins.discover(providers=[provider])):
        yield


async def told(store: EmbeddedStore, reason: str, name: str = "c1") -> str:
    """Wait until a reason is given, and a while longer; give the text."""
    await until(lambda: said(store, name)[0] == reason)
    await asyncio.sleep(A_WHILE)
    assert said(store, name)[0] == reason
    return said(store, name)[1]


async def made(region: Region) -> EmbeddedStore:
    """Let one machine be made; give the store, with no engine on it."""
    store = EmbeddedStore([LEDGER, machine(region)], cel=False)
    async with running(store, region.provider):
        await until(lambda: region.made() == 1 and store.objects(m.Machine)[0].status.instance.id)
        region.tick()
        await asyncio.to_thread(
            region.provider.find, {MANAGED_TAG: "true"}, None
        )  # it is shown from the next look on
    return store


@pytest.mark.parametrize(("why", "reason"), [("quota", "QuotaExceeded"), ("image", "RequestInvalid")])
def test_what_a_person_has_to_mend_is_asked_once_and_again_when_the_spec_changes(
    region: Region, why: str, reason: str
) -> None:
    """The text has the cloud's own code, and what to do."""

    async def story() -> None:
        store = EmbeddedStore([LEDGER, machine(region)], cel=False)
        region.hands.refuses["RunInstances"] = region.codes[why]
        async with running(store, region.provider):
            text = await told(store, reason)
            assert region.codes[why][1] in text
            assert ("parameters" if why == "image" else "quota") in text.partition("; ")[2]
            assert (calls(region)["create"], region.made()) == (1, 0)
            region.hands.refuses.clear()
            change = {"spec": {"infrastructure": {"parameters": {"image": "another"}}}}
            await store.patch(m.Machine.KIND, "c1", MergePatch(change))
            await until(lambda: region.made() == 1)
        tokens = [asked["ClientToken"] for asked in region.heard() if asked["Action"] == "RunInstances"]
        assert len(tokens) == len(set(tokens)) == 2

    asyncio.run(story())


@pytest.mark.parametrize(("why", "fix"), [("credentials", "credentials"), ("rights", "policy")])
def test_wrong_credentials_are_asked_with_rarely_and_nothing_is_concluded(
    region: Region, why: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many machines, and a handful of calls; when they are taken again, each is made once."""
    monkeypatch.setattr(instances, "FIRST_THAW", 4 * SECOND)
    names = [f"c{number}" for number in range(1, 41)]

    async def story() -> None:
        store = EmbeddedStore([LEDGER, *(machine(region, name) for name in names)], cel=False)
        region.hands.refuses.update(dict.fromkeys(region.words.values(), region.codes[why]))
        async with running(store, region.provider):
            text = await told(store, "ProviderFrozen")
            assert {said(store, name)[0] for name in names} <= {"ProviderFrozen", "Creating"}
            assert region.codes[why][1] in text
            assert fix in text.partition("; ")[2]
            # Those on the wire when the first answer came, and those that a thread took up before it was heard of.
            assert calls(region)["create"] <= 2 * WRITERS + 2
            assert region.made() == 0
            region.hands.refuses.clear()
            await until(lambda: region.made() == len(names))
            await until(
                lambda: {said(store, name)[0] for name in names} <= {"InstanceStarting", "InstanceRunning"}
            )
        assert region.made() == len(names)

    asyncio.run(story())


@pytest.mark.parametrize(
    "provider",
    [
        lambda: AwsProvider(AwsSettings(region="eu-nowhere-9")),
        lambda: AliyunProvider(
            Client(AliyunSettings(region="cn-nowhere"), lambda: Credentials(key_id="LTAI", secret="x"))
        ),
    ],
    ids=["ec2", "ecs"],
)
def test_a_region_that_there_is_not(
    provider: Callable[[], Provider[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its endpoint has no address: told with what to look at, and tried again after growing pauses."""
    keys(tmp_path, monkeypatch)
    asked: list[str] = []

    def lookup(host: str, *more: Any, **named: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    async def story() -> None:
        cloud = provider()
        parameters = (Ec2Region if cloud.name == "aws" else EcsRegion).parameters
        wanted = m.Infrastructure(provider=cloud.name, parameters=parameters)
        one = m.Machine(metadata=m.ObjectMeta(name="c1"), spec=m.MachineSpec(infrastructure=wanted))
        store = EmbeddedStore([LEDGER, one], cel=False)
        async with running(store, cloud):
            await until(lambda: said(store)[0] in ("ProviderUnavailable", "CreateAmbiguous"))
            await asyncio.sleep(A_WHILE)
            text = said(store)[1]
        assert "region" in text, text
        assert "endpoint" in text, text

    asyncio.run(story())
    assert asked
    assert len(asked) <= 6, asked


def test_two_machines_with_one_instance(region: Region) -> None:
    """One was copied with its status: neither touches it, also when the copy is deleted; Release lets the copy go."""

    async def story() -> None:
        (one,) = (await made(region)).objects(m.Machine)
        metadata = m.ObjectMeta(name="copy", uid="of-the-copy", finalizers=(FINALIZER,))
        store = EmbeddedStore([LEDGER, one, attrs.evolve(one, metadata=metadata)], cel=False)
        async with running(store, region.again()):
            text = await told(store, "InstanceConflict")
            assert (await told(store, "InstanceConflict", "copy"), "copy" in text) != ("", False)
            assert "Release" in text
            await store.delete(m.Machine.KIND, "copy")
            await asyncio.sleep(A_WHILE)
            assert (calls(region)["create"], calls(region)["delete"]) == (1, 0)
            await store.patch(m.Machine.KIND, "copy", MergePatch({"spec": {"deletionPolicy": "Release"}}))
            await until(lambda: len(store.objects(m.Machine)) == 1)
        assert (calls(region)["create"], calls(region)["delete"], len(region.there())) == (1, 0, 1)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({MACHINE_UID_TAG: "of-another-cluster"}, "InstanceForeign"),
        ({MACHINE_UID_TAG: None}, "InstanceUntagged"),
        ({MACHINE_UID_TAG: None, MANAGED_TAG: None, MACHINE_TAG: None}, "InstanceUntagged"),
    ],
)
def test_an_instance_of_another_cluster_or_one_that_somebody_untagged(
    region: Region, tags: dict[str, str | None], reason: str
) -> None:
    """It is not touched, also when the Machine is deleted, and none is made beside it; with its tags again it is terminated."""

    async def story() -> None:
        store = await made(region)
        (own,) = region.there()
        (one,) = store.objects(m.Machine)
        for key, value in tags.items():
            region.tag(own, key, value)
        async with running(store, region.again()):
            text = await told(store, reason)
            assert MACHINE_UID_TAG in text
            assert "deletionPolicy Release" in text
            await store.delete(m.Machine.KIND, "c1")
            await told(store, reason)
            assert (calls(region)["create"], calls(region)["delete"], len(region.there())) == (1, 0, 1)
        for key, value in {MACHINE_UID_TAG: one.metadata.uid, MANAGED_TAG: "true"}.items():
            region.tag(own, key, value)
        async with running(store, region.again()):
            await until(lambda: calls(region)["delete"] == 1)

    asyncio.run(story())


def test_an_instance_that_somebody_renamed_is_the_same(region: Region) -> None:
    """Neither its name nor the tag with the Machine's name says whose it is: its uid does."""

    async def story() -> None:
        store = await made(region)
        (own,) = region.there()
        region.rename(own, "precious")
        region.tag(own, MACHINE_TAG, "another")
        async with running(store, region.again()):
            await told(store, "InstanceRunning")
            assert (calls(region)["create"], calls(region)["delete"]) == (1, 0)
            await store.delete(m.Machine.KIND, "c1")
            await until(lambda: calls(region)["delete"] == 1)

    asyncio.run(story())


def test_not_found_is_no_word_on_a_deletion(region: Region) -> None:
    """The cloud did not know yet what it had made, and it runs on: it is looked for, and its end asked for again."""

    async def story() -> None:
        store = await made(region)
        region.hands.refuses[region.words["delete"]] = region.codes["missing"]
        await store.delete(m.Machine.KIND, "c1")
        async with running(store, region.again()):
            await until(lambda: calls(region)["delete"] == 1)
            region.hands.refuses.clear()
            await until(lambda: calls(region)["delete"] == 2)
        region.tick()
        assert region.there() == {}

    asyncio.run(story())
