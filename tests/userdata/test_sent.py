"""User data on its way to a cloud: the server knows the token first, and what is sent again is what was sent."""

import asyncio
import base64
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import CreateInstance
from kubenode.core.errors import TokenConflict
from kubenode.core.hookspecs import CreateRequest, Instance
from kubenode.core.instance.intent import token_of, user_data
from kubenode.core.model.condition import find
from kubenode.core.model.meta import FINALIZER, ref
from kubenode.providers.memory import MemoryParams, MemoryProvider
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.embed.clouds import Clouds
from kubenode.runtime.enrolment import BootstrapToken
from kubenode.runtime.observe.calls import Failure, made
from kubenode.runtime.observe.events import Events
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.observe.launches import Launches
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.userdata.boots import Boots
from tests.providers.aws.loopback import keys
from tests.providers.regions import Region, ec2, ecs
from tests.runtime.embed.world import LEDGER
from tests.userdata.boot import config_of
from tests.userdata.given import NOW, UID, settings

INFRASTRUCTURE = m.Infrastructure(
    provider="memory", agent=m.AgentSource.USER_DATA, user_data="#cloud-config\npackages: [a]\n"
)


class Cloud(MemoryProvider):
    """A cloud that keeps what it was sent, and when."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self._told = told

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Make it."""
        self._told.append("create")
        self.sent.append(request.user_data)
        return super().create(request)


def effect(
    launches: Launches, infrastructure: m.Infrastructure = INFRASTRUCTURE, attempt: int = 1
) -> CreateInstance:
    """The call of an intent, as the core gives it."""
    digests = launches.wanted(infrastructure)
    assert isinstance(digests, tuple), digests
    one = m.Machine(metadata=m.ObjectMeta(name="m1", uid=UID, finalizers=(FINALIZER,)), spec=m.MachineSpec(infrastructure=infrastructure))  # fmt: skip
    return CreateInstance(
        machine=ref(one), provider=infrastructure.provider, token=token_of(UID, attempt, digests[0]), choice=0, launch=digests[0],
        parameters=infrastructure.parameters, tags={"kubenode.dev/managed": "true"}, user_data=user_data(infrastructure, attempt),
    )  # fmt: skip


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


async def answered(
    told: list[str], tell: Callable[[BootstrapToken], Coroutine[Any, Any, str]]
) -> tuple[Cloud, Any]:
    """Ask once by an engine's clouds; give the cloud, and what came of it."""
    cloud = Cloud(told)
    plugins = Plugins.given(providers=[cloud])
    view = Instances(plugins, boots=Boots(settings(), tell))
    loop = asyncio.get_running_loop()
    clouds = Clouds(
        view, Events(plugins), clock=SystemClock(), post=loop.call_soon_threadsafe, stir=lambda *_: None, leads=lambda: True,
        ended=lambda: None, name="test",
    )  # fmt: skip
    await clouds.ask(effect(view.launches))
    for one in clouds.workers:
        one.end(drop=True)
    return cloud, view.answer(UID)


@looped
async def test_the_server_knows_the_token_before_the_cloud_has_it() -> None:
    """Else an instance that is quick is refused, and an agent that is refused is told of."""
    told: list[str] = []

    async def tell(token: BootstrapToken) -> str:
        told.append(f"{token.machine} {token.uid} {token.id}")
        return ""

    cloud, answer = await answered(told, tell)
    token = settings().token("m1", UID, 1, NOW)
    assert told == [f"m1 {UID} {token.id}", "create"]
    assert answer.error == ""
    assert token.text in str(config_of(cloud.sent[0])["write_files"])


@looped
async def test_what_the_server_does_not_take_is_not_sent() -> None:
    """An instance whose agent nobody lets in would only be given up after twenty minutes; it is asked again soon."""

    async def tell(token: BootstrapToken) -> str:
        return f"it is away {'x' * 1000}"

    cloud, answer = await answered([], tell)
    assert cloud.sent == []
    assert (answer.error, answer.text[:25], len(answer.text)) == (
        "Unavailable",
        "nothing was sent: it is a",
        512,
    )


@pytest.fixture(params=["aws", "aliyun"])
def region(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A region of each cloud, with the real SDK in front of it."""
    keys(tmp_path, monkeypatch)
    with ec2() if request.param == "aws" else ecs(tmp_path) as made_:
        yield made_


def sent(region: Region) -> list[bytes]:
    """Give the user data that a cloud was sent, call by call."""
    asked = [one for one in region.heard() if one["Action"] == region.words["create"]]
    return [base64.b64decode(one["UserData"]) for one in asked]


def ask(region: Region, infrastructure: m.Infrastructure, **change: Any) -> Instance | Failure | None:
    """Ask as a process that has just begun does: nothing is remembered but the settings."""
    launches = Launches(Plugins.given(providers=[region.again()]), Boots(settings(**change)))
    wanted = effect(launches, infrastructure)
    return made(launches, wanted, launches.boots.token(wanted, SystemClock().now().wall))


def test_a_call_that_is_repeated_by_another_process_is_the_same_call(region: Region) -> None:
    """The cloud gives the instance that it made: the bytes are equal, though the token of the agent was kept nowhere."""
    wanted = attrs.evolve(INFRASTRUCTURE, provider=region.provider.name, parameters=region.parameters)
    first, second = ask(region, wanted), ask(region, wanted)
    assert isinstance(first, Instance)
    assert isinstance(second, Instance)
    assert (first.id, region.made()) == (second.id, 1)
    one, other = sent(region)
    assert one == other
    assert settings().token("m1", UID, 1, NOW).text in str(config_of(one)["write_files"])


def test_a_token_is_never_sent_with_other_bytes(region: Region) -> None:
    """The clouds refuse that; so whatever changes the bytes changes the token of the create, and it is looked for first."""
    wanted = attrs.evolve(INFRASTRUCTURE, provider=region.provider.name, parameters=region.parameters)
    launches = Launches(Plugins.given(providers=[region.provider]), Boots(settings()))
    first = effect(launches, wanted)
    other_key = Launches(Plugins.given(providers=[region.provider]), Boots(settings(key=b"l" * 32)))
    changes: tuple[dict[str, Any], ...] = (
        {"user_data": "#!/bin/sh\n"}, {"user_data": ""}, {"agent": m.AgentSource.IMAGE},
    )  # fmt: skip
    others = [
        effect(other_key, wanted),
        *(effect(launches, attrs.evolve(wanted, **change)) for change in changes),
    ]
    assert len({first.token, *(one.token for one in others)}) == 5
    # Were it sent all the same:
    ask(region, wanted)
    request = CreateRequest(
        token=first.token,
        machine="m1",
        params=launches.launch(first),
        tags=first.tags,
        user_data=b"#!/bin/sh\n",
    )
    with pytest.raises(TokenConflict):
        region.provider.create(request)
    assert region.made() == 1


def test_what_was_decided_by_other_settings_is_not_sent(region: Region) -> None:
    """A controller that was restarted with another key or bundle, and an effect of before."""
    wanted = attrs.evolve(INFRASTRUCTURE, provider=region.provider.name, parameters=region.parameters)
    before = effect(Launches(Plugins.given(providers=[region.provider]), Boots(settings())), wanted)
    for boots in (Boots(settings(key=b"l" * 32)), Boots(settings(bundle_url="https://mirror/new")), Boots()):
        launches = Launches(Plugins.given(providers=[region.provider]), boots)
        found = made(launches, before, boots.token(before, NOW))
        assert isinstance(found, Failure)
        assert (found.error, "nothing was sent" in found.text) == ("Invalid", True)
    assert sent(region) == []


def test_an_engine_tells_its_store() -> None:
    """A store that refuses, here since it knows no Secrets, is no end of the engine: the machine says why nothing was sent."""
    cloud = Cloud([])
    store = EmbeddedStore([LEDGER, m.Machine(metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(infrastructure=INFRASTRUCTURE))], cel=False)  # fmt: skip
    engine = Engine(store, plugins=Plugins.given(providers=[cloud]), user_data=settings())

    async def until_told() -> str:
        async with engine, asyncio.timeout(20):
            while True:
                (one,) = store.objects(m.Machine)
                said = find(one.status.conditions, "InstanceReady")
                if said is not None and said.reason == "ProviderUnavailable":
                    return said.message
                await asyncio.sleep(0.02)

    message = asyncio.run(until_told())
    assert message.startswith("nothing was sent: the server takes no bootstrap token for its agent: ")
    assert cloud.sent == []
