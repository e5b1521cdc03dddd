"""A machine that cannot have test hosts is told what it lacks, and a build that fails leaves nothing."""

import os
from pathlib import Path

import pytest

from tests.hosts import tools
from tests.hosts.image import root_image
from tests.hosts.tools import HostsUnavailable

pytestmark = pytest.mark.hosts


def test_what_is_missing_is_named_by_its_package(tmp_path: Path) -> None:
    """Each package once, and how to install them."""
    with pytest.raises(HostsUnavailable) as raised:
        root_image({"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})
    assert raised.value.reason == "test hosts need debootstrap, iproute2, systemd-container, util-linux"
    assert raised.value.fix.startswith("apt-get install --no-install-recommends debootstrap ")


def test_without_root_there_are_no_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried that only root may do."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostsUnavailable, match="run the tests as root on Linux"):
        tools.check_tools()


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    """The reason ends with what debootstrap said; what it had made is gone."""
    debootstrap = tmp_path / "bin" / "debootstrap"
    debootstrap.parent.mkdir()
    debootstrap.write_text(
        '#!/bin/sh\nfor root; do :; done\nmkdir "$root/etc"\necho "E: no such mirror"\nexit 1\n'
    )
    debootstrap.chmod(0o755)
    environ = {
        "PATH": f"{debootstrap.parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    with pytest.raises(HostsUnavailable, match=r"failed at .*--variant=minbase .*\nE: no such mirror"):
        root_image(environ)
    assert not [path for path in (tmp_path / "cache" / "kubenode" / "hosts").iterdir() if path.is_dir()]
