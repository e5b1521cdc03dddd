"""Manifests and two stories on the oldest kube-apiserver that is supported: nightly, since it is a build of its own."""

import os
import re
from pathlib import Path

import pytest

from kubenode.runtime.store.installed import OLDEST
from kubenode.runtime.testing.controlplane import ControlPlane
from tests.cluster.build import ControlPlaneUnavailable, kubernetes_version, oldest_folder
from tests.cluster.fixture import refuse
from tests.cluster.test_stories import Real, plane, real, test_import_and_hung_end_as_on_the_embedded_api

pytestmark = [pytest.mark.cluster, pytest.mark.nightly, pytest.mark.timeout(3600)]
__all__ = ["plane", "real"]

_same_end = test_import_and_hung_end_as_on_the_embedded_api
del test_import_and_hung_end_as_on_the_embedded_api


@pytest.fixture(scope="module")
def control_plane_folder() -> Path:
    """In place of the one of all other tests."""
    try:
        return oldest_folder()
    except ControlPlaneUnavailable as unavailable:
        refuse(str(unavailable), in_ci=bool(os.environ.get("CI")))


def test_import_and_hung_end_as_on_the_embedded_api_there_too(
    real: Real, plane: ControlPlane, tmp_path: Path
) -> None:
    """With all that `kubenode manifests` prints, which that server has to accept: it prices rules by its own lights."""
    assert plane.kubectl("version", "-o", "yaml").count(f"gitVersion: {kubernetes_version('oldest')}") == 2
    _same_end(real, plane, tmp_path)


def test_the_oldest_that_is_tried_is_the_oldest_that_is_let_in() -> None:
    """What the start of a controller asks for."""
    found = re.match(r"v(\d+)\.(\d+)", kubernetes_version("oldest"))
    assert found is not None
    assert (int(found[1]), int(found[2])) == OLDEST
