"""The programs of the control plane are found or built once, and what is missing is said with its remedy."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster import build
from tests.cluster.fixture import refuse

_FAKE_GO = """#!/bin/sh
set -e
if [ "$1" = env ]; then echo "${GO_SAYS:-go1.26.8}"; exit; fi
echo "$*" >> "$GO_CALLS"
if [ -n "$GO_FAILS" ]; then echo "some/package/that/compiled" >&2; echo "x.go:1: $GO_FAILS" >&2; exit 1; fi
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho Kubernetes v1.36.3\\n' > "$2"
chmod +x "$2"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty cache and a Go that makes small scripts."""
    go = tmp_path / "go" / "go"
    go.parent.mkdir()
    go.write_text(_FAKE_GO)
    go.chmod(0o755)
    return {
        "PATH": f"{go.parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GO_CALLS": str(tmp_path / "calls"),
    }


def _calls(environ: dict[str, str]) -> int:
    return len(Path(environ["GO_CALLS"]).read_text().splitlines())


def _assets(folder: Path, version: str) -> dict[str, str]:
    folder.mkdir()
    for name in build.PROGRAMS:
        program = folder / name
        program.write_text(f"#!/bin/sh\necho Kubernetes {version}\n")
        program.chmod(0o755)
    return {"KUBEBUILDER_ASSETS": str(folder)}


def test_an_empty_assets_folder_is_named_with_all_it_lacks(tmp_path: Path) -> None:
    """KUBEBUILDER_ASSETS pointing at an empty folder says what is missing and what to do."""
    with pytest.raises(build.ControlPlaneUnavailable) as raised:
        build.control_plane_binaries({"KUBEBUILDER_ASSETS": str(tmp_path)})
    assert raised.value.reason == f"{tmp_path} has no {', '.join(build.PROGRAMS)}"
    assert "unset KUBEBUILDER_ASSETS" in raised.value.fix


def test_assets_that_are_recent_are_taken(tmp_path: Path) -> None:
    """A complete folder with the oldest version that will do is taken as it is."""
    environ = _assets(tmp_path / "assets", "v1.36.0")
    assert build.control_plane_binaries(environ) == tmp_path / "assets"


@pytest.mark.parametrize(
    ("version", "reason"),
    [("v1.35.9", "older than 1.36"), ("nonsense", "--version says 'Kubernetes nonsense'")],
)
def test_assets_that_are_too_old_are_refused(tmp_path: Path, version: str, reason: str) -> None:
    """A version that is too old, or none at all, is said."""
    with pytest.raises(build.ControlPlaneUnavailable, match=reason):
        build.control_plane_binaries(_assets(tmp_path / "assets", version))


def test_assets_for_another_machine_are_refused(tmp_path: Path) -> None:
    """A program that this machine cannot run gives the reason of the operating system."""
    environ = _assets(tmp_path / "assets", "v1.36.0")
    (tmp_path / "assets" / "kube-apiserver").write_bytes(b"\xca\xfe\xba\xbe")
    with pytest.raises(build.ControlPlaneUnavailable, match="Exec format error"):
        build.control_plane_binaries(environ)


def test_without_go_the_reason_is_said(environ: dict[str, str], tmp_path: Path) -> None:
    """No Go on PATH is the reason, and both ways out are named."""
    with pytest.raises(build.ControlPlaneUnavailable, match="no Go on PATH") as raised:
        build.control_plane_binaries({**environ, "PATH": str(tmp_path)})
    assert "install Go 1.26" in raised.value.fix
    assert "KUBEBUILDER_ASSETS" in raised.value.fix


@pytest.mark.parametrize(
    "said", ["go1.9.7", "go1.25.1", "go: go.mod requires go >= 1.26.0 (running go 1.22.1)"]
)
def test_a_go_that_is_too_old_is_refused(environ: dict[str, str], said: str) -> None:
    """An old Go, or one that may not switch to a newer one, is quoted."""
    with pytest.raises(build.ControlPlaneUnavailable, match="Go is too old") as raised:
        build.control_plane_binaries({**environ, "GO_SAYS": said})
    assert said in raised.value.reason


def test_it_is_built_once_with_three_names_for_one_binary(environ: dict[str, str]) -> None:
    """Two calls of Go make four programs, and a second session takes what the first one made."""
    folder = build.control_plane_binaries(environ)
    assert {entry.name for entry in folder.iterdir()} == set(build.PROGRAMS)
    assert len({(folder / name).stat().st_ino for name in build.PROGRAMS[1:]}) == 1
    assert [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] == [folder.name]
    assert build.control_plane_binaries({**environ, "PATH": ""}) == folder
    assert _calls(environ) == 2


def test_the_version_is_linked_in(environ: dict[str, str]) -> None:
    """The server would say v0.0.0-master without it, which kubectl cannot parse."""
    build.control_plane_binaries(environ)
    linked = f"-X k8s.io/component-base/version.gitVersion={build.kubernetes_version()}"
    assert linked in Path(environ["GO_CALLS"]).read_text()


def test_a_kubelet_is_linked_once_for_each_version(environ: dict[str, str]) -> None:
    """Each says its own version; the control plane is neither needed nor touched."""
    folders = {build.kubelet_folder(version, environ) for version in (None, "v1.36.9", None)}
    assert {entry.name for folder in folders for entry in folder.iterdir()} == {"kubelet"}
    stamps = [
        line.partition("gitVersion=")[2].split()[0]
        for line in Path(environ["GO_CALLS"]).read_text().splitlines()
    ]
    assert stamps == [build.kubernetes_version(), "v1.36.9"]
    assert not (Path(environ["XDG_CACHE_HOME"]) / "kubenode" / "controlplane").exists()


def test_sessions_at_the_same_time_build_once(environ: dict[str, str]) -> None:
    """Whoever comes second waits for the first and takes what it made."""
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(build.control_plane_binaries, [environ] * 4))
    assert len(folders) == 1
    assert _calls(environ) == 2


def test_a_build_that_fails_leaves_nothing_and_says_why(environ: dict[str, str]) -> None:
    """The reason ends with what Go said, without the names of what it compiled, and the next try starts anew."""
    with pytest.raises(build.ControlPlaneUnavailable, match="no space left on device") as raised:
        build.control_plane_binaries({**environ, "GO_FAILS": "no space left on device"})
    assert "some/package" not in raised.value.reason
    cache = Path(environ["XDG_CACHE_HOME"]) / "kubenode" / "controlplane"
    assert not any(entry.is_dir() for entry in cache.iterdir())
    assert build.control_plane_binaries(environ).is_dir()


def test_what_a_killed_build_left_is_no_hindrance(environ: dict[str, str]) -> None:
    """A half-made folder of a session that was killed is thrown away."""
    folder = build.control_plane_binaries(environ)
    half_made = Path(f"{folder}.building")
    folder.rename(half_made)
    (half_made / "etcd").unlink()
    assert build.control_plane_binaries(environ) == folder
    assert not half_made.exists()


def test_the_script_says_the_reason_and_fails(tmp_path: Path) -> None:
    """`python tests/cluster/build.py` prints the reason, not a traceback."""
    done = subprocess.run(
        [sys.executable, build.__file__],
        env={"KUBEBUILDER_ASSETS": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"controlplane: {tmp_path} has no etcd")


def test_a_test_without_a_control_plane_fails_in_ci_and_is_skipped_elsewhere() -> None:
    """In CI a test that never ran must not look like one that passed."""
    with pytest.raises(pytest.fail.Exception, match="no Go"):
        refuse("no Go", in_ci=True)
    with pytest.raises(pytest.skip.Exception, match="no Go"):
        refuse("no Go", in_ci=False)
