"""The conformance suite of stores on a real API server: where it differs, the embedded store is wrong."""

import asyncio
import itertools

import pytest

from kubenode.core.model import Machine
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane
from kubenode.runtime.testing.store import CASES, Case

pytestmark = pytest.mark.cluster

NUMBERS = itertools.count()


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.embedded_only], ids=lambda case: case.name
)
def test_conformance(case: Case, plane: ControlPlane) -> None:
    """Every case passes on the real server as it does on the embedded store."""

    async def run() -> None:
        async with KubeStore.connect(kubeconfig=plane.admin_kubeconfig) as store:
            await case(store, Machine.KIND, lambda: f"conformance-{next(NUMBERS)}")

    asyncio.run(run())
