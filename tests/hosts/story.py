"""What the chapters of `test_endtoend` share and pass on."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from tests.cluster.build import kubernetes_version
from tests.hosts.artifacts import Artifacts
from tests.hosts.fleet import Fleet
from tests.hosts.host import Host
from tests.hosts.wishes import Metrics, Wishes

LOG = logging.getLogger(__name__)
NOW: Final = kubernetes_version().removeprefix("v")


@attrs.define(kw_only=True)
class Story:
    """What the chapters share, and pass on.

    Attributes:
        newest: the versions of containerd that the hosts' archive has, the newest first.
        following: what the later kubelet says of itself.
        containerd: the version that is to be there now; `kubelet` likewise.
    """

    fleet: Fleet
    wishes: Wishes
    metrics: Metrics
    artifacts: Artifacts
    bundle: Path
    folder: Path
    newest: list[str]
    following: str
    containerd: str = ""
    kubelet: str = ""

    def versions(self) -> dict[str, str]:
        """Give what every host is to have, by entry."""
        return {
            self.wishes.containerd: self.containerd, self.wishes.kubelet: self.kubelet,
            self.wishes.boot: "1", "join": "1", "unit": "1",
        }  # fmt: skip

    def wait_well(self) -> None:
        """Wait until every host has all of it and is Running and Ready."""
        for host in self.fleet.hosts:
            self.fleet.wait_well(host, self.versions())


@contextmanager
def chapter(story: Story, number: int) -> Iterator[None]:
    """Tell a chapter, and how long it took."""
    begun = time.monotonic()
    with story.fleet.chapter(number):
        yield
    LOG.info("chapter %d: %.1f s", number, time.monotonic() - begun)


def installed(host: Host) -> str:
    """Give the version of containerd that dpkg says is installed."""
    return host.run("dpkg-query", "-W", "-f", "${Version}", "containerd")
