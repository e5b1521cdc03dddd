"""A machine that cannot have test hosts is told what it lacks, a build that fails leaves nothing, and a bundle is made once."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubenode.runtime.bundle import NotBundled
from tests.hosts import bundle, fixture, tools
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


def test_a_bundle_is_made_once_by_whoever_is_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sessions at once make one; one that nobody asked for in a day goes, and one that failed is made again."""
    made: list[Path] = []

    def build(out: Path) -> Path:
        made.append(out)
        time.sleep(0.2)
        archive = out / "kubenode.tar.gz"
        archive.write_text("whole")
        return archive

    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    old = tools.hosts_cache(environ) / "bundle-0123456789abcdef"
    old.mkdir(parents=True)
    os.utime(old, (0, time.time() - 90_000))

    def broken(out: Path) -> Path:
        (out / "half.tar.gz").write_text("")
        raise NotBundled("PyInstaller failed")

    monkeypatch.setattr(bundle, "build", broken)
    with pytest.raises(HostsUnavailable, match="PyInstaller failed"):
        bundle.bundled(environ)
    monkeypatch.setattr(bundle, "build", build)
    with ThreadPoolExecutor() as pool:
        found = set(pool.map(lambda _: bundle.bundled(environ), range(4)))
    assert [archive.read_text() for archive in found] == ["whole"]
    assert len(made) == 1
    assert not old.exists()


def test_a_build_that_takes_long_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Again and again, and what it is."""
    monkeypatch.setattr(fixture, "TELL_EVERY_S", 0.01)
    with fixture.progress("the image"):
        time.sleep(0.1)
    told = capsys.readouterr().err.splitlines()
    assert len(told) > 1
    assert set(told) == {"hosts: still making the image: 0 s so far"}
