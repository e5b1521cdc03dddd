"""A bundle before it is sent: what it says of itself, and whether anything in it would leave its folder."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any, Final

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime.bootstrap.steps import ABOUT, Bundle

_PROGRAM: Final = "bin/kubenode"
_FIX: Final = "python -m kubenode.runtime.bundle makes one"


def read_bundle(path: Path) -> Bundle:
    """Look at a bundle. Beside it may be `FILE.sha256`, which it then has to have.

    Raises:
        InvalidObjectError: it cannot be read, is another one than its sha256 says, or is no bundle.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        beside = path.with_name(f"{path.name}.sha256")
        said = beside.read_text().split()[:1] if beside.exists() else [found]
        about = _about(path)
        size = path.stat().st_size
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise _no(path, f"cannot be read: {error}", _FIX) from error
    if said != [found]:
        raise _no(path, f"has sha256 {found}, and {beside.name} says otherwise", "get both anew")
    version, machine = str(about.get("version", "")), str(about.get("machine", ""))
    if not all(one.isascii() and one.replace(".", "").replace("_", "").replace("+", "").isalnum() for one in (version, machine) if one):  # fmt: skip
        raise _no(path, f"says that it is version {version!r} for {machine!r}", _FIX)
    return Bundle(path=path, sha256=found, size=size, version=version, machine=machine)


def _about(path: Path) -> dict[str, Any]:
    program, about = False, b"{}"
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            tarfile.data_filter(member, "/opt/bundle")  # raises for what leaves its folder, and for devices
            name = member.name.removeprefix("./")
            program = program or (name == _PROGRAM and (member.issym() or bool(member.mode & 0o100)))
            if (
                name == ABOUT
                and member.isfile()
                and member.size < 1 << 16
                and (file := tar.extractfile(member))
            ):
                about = file.read()
    if not program:
        raise ValueError(f"there is no program {_PROGRAM} in it")
    read = json.loads(about)
    return read if isinstance(read, dict) else {}


def _no(path: Path, what: str, fix: str) -> InvalidObjectError:
    return InvalidObjectError((Problem(where="--bundle", what=what, fix=fix, file=str(path)),))
