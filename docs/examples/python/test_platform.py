"""Your platform and kubenode on a real API server, which is started for the tests and gone after them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenode import Engine, KubeStore
from kubenode.runtime.testing import ControlPlane, install

MACHINE = """
apiVersion: kubenode.dev/v1alpha1
kind: Machine
metadata: {name: m1}
spec: {host: {address: 10.0.0.1}}
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    programs = Path(os.environ["KUBEBUILDER_ASSETS"])  # etcd, kube-apiserver, kubectl
    with ControlPlane.start(programs, controller_manager=False) as running:
        install(running)
        yield running


def test_a_machine_waits_for_its_agent(cluster: ControlPlane) -> None:
    cluster.kubectl("apply", "-f", "-", input=MACHINE)
    store = KubeStore.connect(kubeconfig=cluster.admin_kubeconfig)
    Engine(store).run_until_settled()
    phase = cluster.kubectl("get", "machine", "m1", "-o", "jsonpath={.status.phase}")
    assert phase == "Pending"
