"""The ECS driver, with the real SDK over TLS, keeps every law of the public kit. Calls are counted at the server."""

import attrs

from kubenode.providers import conformance
from kubenode.providers.aliyun import AliyunProvider, Placement
from tests.providers.aliyun.cloud import FakeEcs
from tests.providers.aliyun.rig import PARAMS, rig
from tests.providers.aliyun.server import NoAnswer


def make(wire: conformance.Wire) -> AliyunProvider:
    """A provider whose wire is watched where the server answers."""
    return rig(wrap=wire).provider


def strange(wire: conformance.Wire) -> AliyunProvider:
    """Its cloud says a word that nobody knows."""
    return rig(FakeEcs(status="Hibernating"), wrap=wire).provider


def late(wire: conformance.Wire) -> AliyunProvider:
    """Its cloud shows what it made only when looked for the third time."""
    return rig(FakeEcs(late=2), wrap=wire).provider


def eventful(wire: conformance.Wire) -> AliyunProvider:
    """Its cloud plans maintenance for all that it makes."""
    return rig(FakeEcs(eventful=True), wrap=wire).provider


OTHER = attrs.evolve(
    PARAMS, instance_type="ecs.g7.2xlarge", fallback=(Placement(vswitch="vsw-2"), Placement(instance_type="ecs.g6.xlarge"))
)  # fmt: skip
test_aliyun = conformance.provider(
    make, params=PARAMS, other=OTHER, lost=NoAnswer(), strange=strange,
    module="kubenode.providers.aliyun", sdk=["aliyunsdkcore", "aliyunsdkecs"], many=210, eventful=eventful,
)  # fmt: skip
test_late = conformance.provider(
    late, params=PARAMS, other=OTHER, lost=NoAnswer(), many=20, eventful=eventful
)
