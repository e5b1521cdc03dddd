"""The stories of clouds in front of the real SDKs: virtual time for everybody, and real calls to a fake region on the loopback.

What a call meets is done to it on the wire: an answer that is lost, a code that refuses, a page of a proxy.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import attrs

from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState, Page
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG
from kubenode.providers.aws import AwsProvider, AwsSettings
from kubenode.providers.pace import Budget, Pace
from kubenode.runtime.sim.cloud import CloudFault, SimCloud, Termination
from kubenode.runtime.sim.run import Simulation
from tests.providers.aws.loopback import serving
from tests.providers.regions import EC2, Ec2, Ec2Region, Ecs, Region, calls, ecs
from tests.stories.clouding import Place

T = TypeVar("T")
MOMENT = timedelta(seconds=1)
HTML = b"<html>busy</html>"
DAY = 86_400.0
Break = Callable[[str, CloudFault], None]


class Clock:
    """The simulation's time in seconds, a day later in each: what a driver remembers of one run is old in the next."""

    def __init__(self) -> None:
        self.simulation: Simulation | None = None
        self._day = 0.0

    def begin(self, simulation: Simulation) -> None:
        """Tell the time of another simulation."""
        self.simulation, self._day = simulation, self._day + DAY

    def __call__(self) -> float:
        """Give it."""
        return self._day + (0.0 if self.simulation is None else self.simulation.time.elapsed / 1e9)


@attrs.define(eq=False)
class RegionCloud(SimCloud):
    """A simulated cloud whose calls are those of a driver, and whose truth is the region behind it."""

    region: Region = attrs.field(kw_only=True)
    breaks: Break = attrs.field(kw_only=True)
    simulation: Simulation | None = None
    ever: dict[str, Instance] = attrs.field(factory=dict)
    here: dict[str, Instance] = attrs.field(factory=dict)
    _ending: set[str] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.name = self.region.provider.name
        self.params = self.region.provider.params  # type: ignore[assignment]

    @property
    def made(self) -> tuple[Instance, ...]:
        """Give all that were ever made."""
        return tuple(
            one if key in self.here else attrs.evolve(one, state=InstanceState.TERMINATED)
            for key, one in self.ever.items()
        )

    def end(self, instance_id: str) -> bool:
        """Terminate an instance in the console."""
        self.region.end(instance_id)
        self._ending.add(instance_id)
        self._note()
        return True

    def choices(self, params: Any) -> Any:
        """Give the driver's."""
        return self.region.provider.choices(params)  # type: ignore[attr-defined]

    def create(self, request: CreateRequest[Any]) -> Instance:
        """Create an instance; what the driver's own budget has refused was asked of nobody."""
        before, heard = self.ever.keys() | set(), calls(self.region)["create"]
        try:
            return self._called("create", lambda: self.region.provider.create(request))
        finally:
            self.asked[request.token] += calls(self.region)["create"] - heard
            for key in self.ever.keys() - before:
                self.created[request.token] = key

    def get(self, instance_id: str) -> Instance:
        """Look at one instance."""
        return self._called("get", lambda: self.region.provider.get(instance_id))

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give a page of those that bear these tags."""
        return self._called("find", lambda: self.region.provider.find(tags, cursor))

    def delete(self, instance_id: str) -> None:
        """Terminate an instance."""
        try:
            self._called("delete", lambda: self.region.provider.delete(instance_id))
        finally:
            there = self.region.there().get(instance_id)
            if (
                instance_id in self.ever
                and instance_id not in self._ending
                and (there is None or not there.runs)
            ):
                self._ending.add(instance_id)
                one = self.ever[instance_id]
                uid = one.tags[MACHINE_UID_TAG]
                self.terminations.append(Termination(
                    at=self.elapsed(), instance=one.id, machine=one.tags[MACHINE_TAG], machine_uid=uid, held=self.held(uid)
                ))  # fmt: skip

    def _called(self, what: str, call: Callable[[], T]) -> T:
        self.calls[what] += 1
        word = self.region.words[what if what in self.region.words else "look"]
        self.breaks(word, self.choose(what))
        try:
            return call()
        finally:
            self._note()
            self.breaks(word, CloudFault.NONE)
            assert self.simulation is not None
            self.simulation.at(MOMENT, self._tick)

    def _tick(self) -> None:
        self.region.tick()
        self._note()

    def _note(self) -> None:
        """See what has come and what has gone."""
        there = self.region.there()
        for key in self.here.keys() - there.keys():
            self.died(self.here.pop(key))
        for key, one in there.items():
            if key not in self.here and key not in self.ever:
                tags = {MACHINE_TAG: one.machine, MACHINE_UID_TAG: one.uid}
                self.ever[key] = self.here[key] = Instance(
                    id=key, state=InstanceState.RUNNING, zone=one.zone, tags=tags, provider_id=one.provider_id
                )
                self.born(self.here[key])


@attrs.frozen(eq=False)
class Stand:
    """A region, and how it begins anew for each play.

    Attributes:
        renew: empties it.
        breaks: lets the next call by that word meet something; NONE takes back what was not met.
    """

    region: Region
    place: Place
    clock: Clock
    renew: Callable[[], None]
    breaks: Break

    def cloud(self, *given: Any) -> RegionCloud:
        """Give the cloud of another play."""
        self.renew()
        return RegionCloud(*given, region=self.region, breaks=self.breaks)

    def attend(self, simulation: Simulation) -> None:
        """Let a simulation begin."""
        assert isinstance(simulation.cloud, RegionCloud)
        simulation.cloud.simulation = simulation
        self.clock.begin(simulation)


def _pace(clock: Clock) -> Pace:
    return Pace(Budget.full(rate=10, burst=40), clock)


@contextlib.contextmanager
def on_ec2(_: Path) -> Iterator[Stand]:
    """Serve EC2; who calls it has its credentials in the environment."""
    clock = Clock()
    with serving(Ec2()) as server:
        settings = AwsSettings(region=EC2, endpoint_url=f"http://127.0.0.1:{server.server_port}")
        region = Ec2Region(Ec2(), settings)
        region.provider = AwsProvider(settings, pace=_pace(clock))

        def renew() -> None:
            region.fake = server.fake = Ec2()
            region.hands = region.fake.hands

        refusals = {
            CloudFault.THROTTLED: (503, "RequestLimitExceeded"),
            CloudFault.BUSY: (400, "IncorrectInstanceState"),
        }

        def breaks(word: str, fault: CloudFault) -> None:
            region.hands.refuses.clear()
            server.faults.clear()
            if fault in refusals:
                region.hands.refuses[word] = refusals[fault]
            if fault is CloudFault.TIMEOUT:
                server.faults.append("reset")
            if fault is CloudFault.UNHEARD:
                region.hands.refuses[word] = (502, "")

        other = {"instance_type": "m7i.xlarge"}
        yield Stand(
            region, Place(provider="aws", parameters=region.parameters, other=other, zones=region.zones), clock, renew, breaks
        )  # fmt: skip


@contextlib.contextmanager
def on_ecs(folder: Path) -> Iterator[Stand]:
    """Serve ECS over TLS, with signatures that are checked."""
    clock = Clock()
    with ecs(folder) as region:
        region._client._pace = _pace(clock)

        def renew() -> None:
            region.fake = region._account.handle = Ecs()
            region.hands = region.fake.hands

        refusals = {
            CloudFault.THROTTLED: (403, "Throttling.User"),
            CloudFault.BUSY: (403, "OperationConflict"),
        }

        def breaks(word: str, fault: CloudFault) -> None:
            region.fake.plan.clear()
            if fault in refusals:
                region.fake.fail(word, *refusals[fault])
            if fault is CloudFault.TIMEOUT:
                region.fake.lose(word)
            if fault is CloudFault.UNHEARD:
                region.fake.plan.append((word, (502, HTML)))

        other = {"instance_type": "ecs.g7.2xlarge"}
        yield Stand(
            region, Place(provider="aliyun", parameters=region.parameters, other=other, zones=region.zones), clock, renew, breaks
        )  # fmt: skip


STANDS: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Stand]]] = {
    "ec2": on_ec2,
    "ecs": on_ecs,
}
