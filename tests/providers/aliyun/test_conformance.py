"""The ECS driver, with the real SDK over TLS, keeps every law of the public kit. Calls are counted at the server."""

import attrs

from kubenode.providers import conformance
from kubenode.providers.aliyun import AliyunProvider, Placement
from tests.providers.aliyun.cloud import FakeEcs
from tests.providers.aliyun.rig import PARAMS, request, rig
from tests.providers.aliyun.server import NoAnswer, refused


def make(wire: conformance.Wire) -> AliyunProvider:
    """A provider whose wire is watched where the server answers; its cloud tells what it did."""
    cloud = FakeEcs()
    cloud.told = wire.did
    return rig(cloud, wrap=wire).provider


def strange(wire: conformance.Wire) -> AliyunProvider:
    """Its cloud says a word that nobody knows."""
    return rig(FakeEcs(status="Hibernating"), wrap=wire).provider


def late(wire: conformance.Wire) -> AliyunProvider:
    """Its cloud shows what it made only when looked for the fourth time."""
    return rig(FakeEcs(late=3), wrap=wire).provider


def slow(wire: conformance.Wire) -> AliyunProvider:
    """As `late`, of a cloud that tells what it did."""
    cloud = FakeEcs(late=2)
    cloud.told = wire.did
    return rig(cloud, wrap=wire).provider


def refusing(wire: conformance.Wire) -> AliyunProvider:
    """Its cloud refuses all by a code that nobody knows."""
    return rig(wrap=lambda handle: wire(lambda params: refused(400, "SomethingNew.Altogether"))).provider


def ended(wire: conformance.Wire) -> tuple[AliyunProvider, tuple[str, ...]]:
    """Its cloud has had two events, each in another end, and has one to come."""
    one = rig(FakeEcs(eventful=True), wrap=wire)
    for number in range(3):
        one.provider.create(request(f"t-{number}"))
    ids = sorted(one.cloud.events)
    for event, word in zip(ids[:2], ("Avoided", "Executed"), strict=True):
        one.cloud.events[event]["status"] = word
    return one.provider, tuple(ids[:2])


def eventful(wire: conformance.Wire) -> AliyunProvider:
    """Its cloud plans maintenance for all that it makes."""
    return rig(FakeEcs(eventful=True), wrap=wire).provider


OTHER = attrs.evolve(
    PARAMS, instance_type="ecs.g7.2xlarge", fallback=(Placement(vswitch="vsw-2"), Placement(instance_type="ecs.g6.xlarge"))
)  # fmt: skip
test_aliyun = conformance.provider(
    make, params=PARAMS, other=OTHER, lost=NoAnswer(), strange=strange,
    module="kubenode.providers.aliyun", sdk=["aliyunsdkcore", "aliyunsdkecs"], many=210, eventful=eventful,
    late=late, refusing=refusing, ended=ended,
)  # fmt: skip
test_late = conformance.provider(
    slow, params=PARAMS, other=OTHER, lost=NoAnswer(), many=20, eventful=eventful, ended=ended
)
