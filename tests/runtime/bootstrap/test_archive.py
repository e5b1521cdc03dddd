"""A bundle before it is sent: what it says, and what is refused."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.bootstrap.archive import read_bundle
from tests.runtime.bootstrap.rooted import packed


def test_a_bundle_says_its_version_and_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """By the version and the beginning of its sha256; without a word about itself by the latter."""
    path = packed(tmp_path, about=b'{"version": "0.1.0", "machine": "x86_64"}')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = read_bundle(path)
    assert (found.sha256, found.version, found.machine, found.size) == (
        digest,
        "0.1.0",
        "x86_64",
        path.stat().st_size,
    )
    assert found.folder == f"/opt/kubenode/0.1.0-{digest[:8]}"
    path = packed(tmp_path, about=b"{}")
    assert read_bundle(path).name == read_bundle(path).sha256[:8]


def test_its_sha256_beside_it_has_to_fit(tmp_path: Path) -> None:
    """As sha256sum writes it."""
    path = packed(tmp_path)
    beside = path.with_name(f"{path.name}.sha256")
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    read_bundle(path)
    beside.write_text(f"{'0' * 64}  {path.name}\n")
    with pytest.raises(InvalidObjectError, match="says otherwise"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../etc/x", tarfile.REGTYPE, ""), ("bin/dev", tarfile.CHRTYPE, ""), ("bin/l", tarfile.SYMTYPE, "../../etc"),
        ("bin/l", tarfile.LNKTYPE, "../../etc/passwd"), ("bin/l", tarfile.SYMTYPE, "/etc/passwd"),
    ],
)  # fmt: skip
def test_what_would_leave_its_folder_is_refused(tmp_path: Path, name: str, kind: bytes, target: str) -> None:
    """Before anything is sent: paths, devices and links."""
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        program = tarfile.TarInfo("bin/kubenode")
        program.mode = 0o755
        tar.addfile(program, io.BytesIO())
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)
    with pytest.raises(InvalidObjectError, match="cannot be read"):
        read_bundle(path)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    """No file, no archive, no program in it, a version that is no name of a folder."""
    path = tmp_path / "x"
    with pytest.raises(InvalidObjectError):
        read_bundle(path)
    path.write_bytes(b"x")
    with pytest.raises(InvalidObjectError):
        read_bundle(path)
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(InvalidObjectError, match="no program bin/kubenode"):
        read_bundle(path)
    with pytest.raises(InvalidObjectError, match="says that it is version"):
        read_bundle(packed(tmp_path, about=b'{"version": "../x"}'))
