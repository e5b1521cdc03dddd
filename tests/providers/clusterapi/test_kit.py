"""The Cluster API provider keeps every law of the public kit, before a management cluster in memory."""

from kubenode.providers import conformance
from kubenode.providers.clusterapi import ClusterApiParams, ClusterApiProvider, ClusterApiSettings
from tests.providers.clusterapi.fake import FakeManagement

SETTINGS = ClusterApiSettings(calls_per_second=1e6, burst=1_000_000)
PARAMS = ClusterApiParams(machine_deployment="md-0")


def make(wire: conformance.Wire, **fields: str) -> ClusterApiProvider:
    """A namespace with three Machines that are other people's, and controllers that take a moment."""
    fake = FakeManagement({"md-0": 3, "md-1": 1}, late=2, **fields)
    return ClusterApiProvider(SETTINGS, send=wire(fake.send))


test_clusterapi = conformance.provider(
    make, params=PARAMS, other=ClusterApiParams(machine_deployment="md-1"), lost=TimeoutError("lost"),
    module="kubenode.providers.clusterapi", sdk=["kubernetes"], many=12, steps=10,
)  # fmt: skip
