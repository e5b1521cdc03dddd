"""The fixture `control_plane`: one real control plane for all tests of a session that ask for it; `plane`: the same with our kinds.

Registered by `pytest_plugins = ["tests.cluster.fixture"]` in `tests/conftest.py`. Where there is none to be
had, the tests are skipped with the reason, and fail when the variable CI is set. One server is shared, so
each test makes a namespace or names of its own.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from kubenode.core.crd import crds
from kubenode.runtime.testing import ControlPlane
from tests.cluster.build import ControlPlaneUnavailable, control_plane_binaries

_FOUND = pytest.StashKey[Path | ControlPlaneUnavailable]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the first test runs: no test's timeout covers the build, and its progress is seen."""
    wanted = any("control_plane_folder" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[_FOUND] = _find()


@pytest.fixture(scope="session")
def control_plane_folder(pytestconfig: pytest.Config) -> Path:
    """Return the folder with the programs of a control plane, or skip."""
    found = pytestconfig.stash.get(_FOUND, None) or _find()
    if isinstance(found, ControlPlaneUnavailable):
        refuse(str(found), in_ci=bool(os.environ.get("CI")))
    return found


@pytest.fixture(scope="session")
def control_plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """Yield a running control plane, shared by all tests of the session."""
    with ControlPlane.start(control_plane_folder) as running:
        yield running


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """Return the control plane with our kinds on it."""
    for crd in crds():
        control_plane.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(crd))
    names = [f"crd/{crd['metadata']['name']}" for crd in crds()]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return control_plane


def refuse(reason: str, *, in_ci: bool) -> NoReturn:
    """Fail in CI, where a test that never ran would look like one that passed; skip elsewhere."""
    if in_ci:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _find() -> Path | ControlPlaneUnavailable:
    try:
        return control_plane_binaries()
    except ControlPlaneUnavailable as unavailable:
        return unavailable
