"""The host doctor and hosts that were imported: of which instance one is says its Node's providerID."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.capability import CloudEvent, EventState, Impact
from kubenode.core.hookspecs import Page
from kubenode.runtime.observe.events import Events
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.store.embedded import now_or_never
from tests.providers.aws.fake import FakeEc2
from tests.providers.aws.loopback import keys, serving

SOON = timedelta(minutes=3)
ID = "told:///a/i-1"


class Telling:
    """A cloud that tells events, and whose instances nobody here has made."""

    params = type(None)

    def __init__(self, name: str = "told") -> None:
        self.name = name
        self.read: list[str] = []
        self.polls = 0
        self.shown: tuple[CloudEvent, ...] = ()

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Give all of them."""
        self.polls += 1
        return Page(items=self.shown)

    def instance_of(self, provider_id: str) -> str | None:
        """Read our own form."""
        self.read.append(provider_id)
        return provider_id.rpartition("/")[2] if provider_id.startswith(f"{self.name}:///") else None


class NoRegion(Telling):
    """One that cannot say which instances are its own."""

    def instance_of(self, provider_id: str) -> str | None:
        """Say so."""
        raise ValueError("no region")


class World:
    """Hosts that were imported, some of which are instances of a cloud."""

    def __init__(self, *ids: str, cloud: Telling | None = None) -> None:
        self.cloud = Telling() if cloud is None else cloud
        plugins = attrs.evolve(
            Plugins.discover(), providers={"odd": NoRegion("odd"), self.cloud.name: self.cloud}
        )  # type: ignore[dict-item]
        self.sim = Simulation(plugins=plugins)
        self.decided: list[str] = []
        self.sim.listen(
            lambda one: self.decided.append(one.key.name) if one.key.controller == "doctor" else None
        )
        for number, provider_id in enumerate(ids, 1):
            spec = m.MachineSpec(host=m.Host(address=f"10.0.0.{number}"))
            self.sim.create(m.Machine(metadata=m.ObjectMeta(name=f"h{number}"), spec=spec))
            self.sim.add_host(
                HostSpec(machine=f"h{number}", node=f"node-h{number}", zone="a"), provider_id=provider_id
            )
        self.go()

    def go(self, length: timedelta = SOON) -> None:
        """Let time pass."""
        self.sim.run_until(lambda: False, limit=length)

    def said(self, name: str = "h1") -> tuple[str, str] | None:
        """What the Node of a machine says of maintenance."""
        node = wire.read(now_or_never(self.sim.store.get(m.Node.KIND, f"node-{name}")), m.Node)
        found = [one for one in node.status.conditions if one.type == "CloudMaintenance"]
        return (found[0].status.value, found[0].reason) if found else None

    def tell(self, *instances: str, **given: Any) -> None:
        """Let the cloud plan a reboot of these."""
        self.cloud.shown = tuple(
            CloudEvent(**{"id": f"e-{one}", "instance": one, "type": "reboot", "impact": Impact.REBOOT, "state": EventState.SCHEDULED, **given})
            for one in instances
        )  # fmt: skip


def test_an_imported_host_is_told_of_maintenance_by_its_nodes_provider_id() -> None:
    """As one that a provider made; it closes on evidence alike."""
    world = World(ID, "told:///a/i-2", "")
    world.tell("i-1", "i-9")
    world.go()
    assert [world.said(name) for name in ("h1", "h2", "h3")] == [("True", "RebootPlanned"), None, None]
    one = wire.read(now_or_never(world.sim.store.get(m.Machine.KIND, "h1")), m.Machine)
    assert one.status.cloud_events is not None
    assert [(event.id, event.state) for event in one.status.cloud_events.open] == [("e-i-1", "scheduled")]
    assert one.status.instance is None
    world.tell("i-1", state=EventState.EXECUTED)
    world.go()
    assert world.said() == ("False", "EventOver")


def test_cost_follows_the_events_and_not_the_hosts() -> None:
    """One poll a minute of the whole account; each providerID is read once, and a quiet hour decides nothing."""
    world = World(*(f"told:///a/i-{number}" for number in range(20)), "")
    read, decided, polls = len(world.cloud.read), len(world.decided), world.cloud.polls
    assert read == 20
    assert not [name for name in world.decided if name == "h21"], "who has no providerID is not thought about"
    world.go(timedelta(hours=1))
    assert (len(world.cloud.read), len(world.decided)) == (read, decided)
    assert 55 <= world.cloud.polls - polls <= 65


@pytest.mark.parametrize("provider_id", ["", "elsewhere:///a/i-1", "odd:///a/i-1"])
def test_who_is_of_no_known_cloud_is_polled_for_nowhere(provider_id: str) -> None:
    """Nor where the plugin cannot tell."""
    world = World(provider_id)
    world.go()
    assert (world.cloud.polls, world.said()) == (0, None)


def test_a_machine_that_a_provider_is_to_make_is_known_by_its_status_alone() -> None:
    """What its Node says is not asked: that may be of an instance that is no more."""
    events = Events(Plugins(providers={"told": Telling()}))  # type: ignore[dict-item]
    wanted = m.MachineSpec(infrastructure=m.Infrastructure(provider="told"))
    one = m.Machine(metadata=m.ObjectMeta(name="c1"), spec=wanted)
    assert events.sight(one, ID) is None
    host = attrs.evolve(one, spec=m.MachineSpec(host=m.Host(address="10.0.0.1")))
    sight = events.sight(host, ID)
    assert sight is not None
    assert sight.instance == "i-1"
    made = m.InstanceStatus(step=m.InstanceStep.MADE, provider="told", attempt=1, token="t", id="i-7")
    sight = events.sight(attrs.evolve(host, status=m.MachineStatus(instance=made)), ID)
    assert sight is not None
    assert sight.instance == "i-7"


def test_what_was_read_is_forgotten_when_there_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes come and go for years."""
    monkeypatch.setattr("kubenode.runtime.observe.events._REMEMBERED", 2)
    cloud = Telling()
    events = Events(Plugins(providers={"told": cloud}))  # type: ignore[dict-item]
    host = m.Machine(metadata=m.ObjectMeta(name="h"), spec=m.MachineSpec(host=m.Host(address="10.0.0.1")))
    for number in (1, 2, 1, 3, 1):
        events.sight(host, f"told:///a/i-{number}")
    assert [one[-1] for one in cloud.read] == ["1", "2", "3", "1"]


def test_a_host_on_ec2_is_told_through_boto3(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the form of providerID that its cloud controller manager writes."""
    from kubenode.providers.aws import AwsProvider, AwsSettings

    keys(tmp_path, monkeypatch)
    own = "i-0123456789abcdef0"
    fake = FakeEc2()
    with serving(fake) as server:
        settings = AwsSettings(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}")
        plugins = attrs.evolve(Plugins.discover(), providers={"aws": AwsProvider(settings)})
        events = Events(plugins)
        host = m.Machine(metadata=m.ObjectMeta(name="h"), spec=m.MachineSpec(host=m.Host(address="10.0.0.1")))
        assert events.sight(host, f"aws:///us-east-1a/{own}") is None, "of another region"
        events.sight(host, f"aws:///eu-west-1a/{own}")
        fake.plan(own, "instance-reboot")
        assert events.polled("aws", events.begin("aws", 0)(), 1) == ("h",)
        sight = events.sight(host, f"aws:///eu-west-1a/{own}")
    assert sight is not None
    assert [(event.type, event.impact) for event in sight.events] == [("instance-reboot", Impact.REBOOT)]
