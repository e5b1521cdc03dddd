"""The fixture `stage`: a real API server and a network for real hosts, shared by the tests of a session.

Registered by `pytest_plugins` in `tests/conftest.py`. Where there can be no hosts, the tests are skipped with the
reason, and fail when the variable CI is set. One API server is shared, so each test names its hosts by itself.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.cluster.build import (
    Unavailable,
    control_plane_binaries,
    kubelet_folder,
    kubernetes_version,
)
from tests.cluster.fixture import refuse
from tests.hosts import bundle
from tests.hosts.image import root_image
from tests.hosts.kubelet import PROGRAM
from tests.hosts.stage import Stage

NEXT_KUBELET: Final = "/srv/kubelet-next"
"""Where a host of the layer `kubelet` has a kubelet that says a later version, to upgrade to."""


@attrs.frozen
class Parts:
    """What a stage is made of: the root image, the control plane's programs, and what hosts may have.

    Attributes:
        packages: the layer of what kubenode needs.
        next_version: what the second kubelet says, as `v1.36.4`.
    """

    image: Path
    packages: Path
    binaries: Path
    kubelet: Path
    next_kubelet: Path
    next_version: str


TELL_EVERY_S: Final = 15.0
_FOUND = pytest.StashKey[Parts | str]()
_BUNDLE = pytest.StashKey[Path | str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the first test runs: no test's timeout covers the build, and its progress is seen."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if session.config.option.collectonly:
        return
    if "host_parts" in wanted:
        session.config.stash[_FOUND] = find_parts()
    if "agent_bundle" in wanted and isinstance(session.config.stash[_FOUND], Parts):
        session.config.stash[_BUNDLE] = _bundled()


@pytest.fixture(scope="session")
def host_parts(pytestconfig: pytest.Config) -> Parts:
    """Return what stages are made of, or skip."""
    found = pytestconfig.stash.get(_FOUND, None) or find_parts()
    if isinstance(found, str):
        refuse(found, in_ci=bool(os.environ.get("CI")))
    return found


@pytest.fixture(scope="session")
def session_stage(host_parts: Parts) -> Iterator[Stage]:
    """Yield the stage of the session, which nobody is inside of."""
    with Stage.start(host_parts.image, host_parts.binaries) as running:
        yield running


@pytest.fixture
def stage(session_stage: Stage) -> Iterator[Stage]:
    """Yield the stage, with the test inside its network."""
    with session_stage.network.inside():
        yield session_stage


@pytest.fixture(scope="session")
def kubelet(session_stage: Stage, host_parts: Parts) -> tuple[Path, ...]:
    """Return the layers of a host that has a kubelet, and a later one at `NEXT_KUBELET`."""
    return (
        session_stage.layer(host_parts.kubelet, PROGRAM),
        session_stage.layer(host_parts.next_kubelet, NEXT_KUBELET),
    )


@pytest.fixture(scope="session")
def kubenode(host_parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Return the layers of a host that has kubenode (`bundle.KUBENODE`), as it is checked out."""
    return bundle.ours(tmp_path_factory.mktemp("bundle")), host_parts.packages


@pytest.fixture(scope="session")
def agent_bundle(host_parts: Parts, pytestconfig: pytest.Config) -> Path:
    """Return the bundle of what is checked out, or skip."""
    found = pytestconfig.stash.get(_BUNDLE, None) or _bundled()
    if isinstance(found, str):
        refuse(found, in_ci=bool(os.environ.get("CI")))
    return found


def _bundled() -> Path | str:
    try:
        with progress("the bundle of the agent"):
            return bundle.bundled()
    except Unavailable as unavailable:
        return str(unavailable)


def find_parts() -> Parts | str:
    """Return what stages are made of, built where need be; or why there can be no hosts."""
    version = kubernetes_version()
    major, minor, patch = version.split(".")
    following = f"{major}.{minor}.{int(patch) + 1}"
    try:
        with progress("the image of the test hosts, and what they need"):
            image, packages = root_image(), bundle.packages()
        return Parts(
            image,
            packages,
            control_plane_binaries(),
            kubelet_folder(version) / "kubelet",
            kubelet_folder(following) / "kubelet",
            following,
        )
    except Unavailable as unavailable:
        return str(unavailable)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Tell about every 15 seconds that the block goes on."""
    begun, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(TELL_EVERY_S):
            sys.stderr.write(f"hosts: still making {what}: {time.monotonic() - begun:.0f} s so far\n")
            sys.stderr.flush()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
