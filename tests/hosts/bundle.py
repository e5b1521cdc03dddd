"""kubenode as a test host has it: our wheel and what it needs, in /opt/kubenode, for the Python of the image; or the bundle.

Lives here: two folders to lay over the image. What it needs is kept in the cache, named by the hash of the
requirements; the wheel is built anew each time, from what is checked out. The bundle is kept there too, named by the
hash of all that goes into it; one that no session has asked for in a day is removed.
"""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from kubenode.runtime.bundle import NotBundled, build
from tests.cluster.build import alone, replaced
from tests.hosts.tools import HostsUnavailable, hosts_cache

KUBENODE: Final = "/opt/kubenode/bin/kubenode"
"""The command, as a host has it."""

_LIBRARY: Final = "opt/kubenode/lib"
_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_EXTRAS: Final = ("cli", "agent")
# Of Debian bookworm, whatever runs the tests: Python 3.11, and a C library that is newer than these names.
_FOR_THE_IMAGE: Final = (
    "--only-binary=:all:",
    "--python-version=3.11",
    "--implementation=cp",
    *(f"--platform={libc}_{platform.machine()}" for libc in ("manylinux_2_34", "manylinux_2_28", "manylinux2014")),
)  # fmt: skip
_KEPT_S: Final = 86_400.0
_COMMAND: Final = f"""#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{_LIBRARY}")

from kubenode.runtime.cli import main

main()
"""


def packages(environ: Mapping[str, str] = os.environ) -> Path:
    """Return a layer with what kubenode needs, fetched first where need be.

    Args:
        environ: the environment to look at: XDG_CACHE_HOME and HOME.

    Raises:
        HostsUnavailable: pip failed; with what it said.
    """
    required = _required()
    named = hashlib.sha256("\n".join((*required, *_FOR_THE_IMAGE)).encode()).hexdigest()[:16]
    folder = hosts_cache(environ) / f"packages-{named}"
    if not folder.is_dir():
        with alone(folder, "the packages of the test hosts"):
            if not folder.is_dir():
                with replaced(folder) as building:
                    target = building / _LIBRARY
                    _run(*_pip(), "install", "--quiet", f"--target={target}", *_FOR_THE_IMAGE, *required)
    return folder


def ours(folder: Path) -> Path:
    """Return a layer, made in this folder, with our wheel unpacked, which is all there is to installing a pure one, and `KUBENODE`.

    Raises:
        HostsUnavailable: the wheel cannot be built; with what hatchling said.
    """
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel"))
    (wheel,) = (folder / "wheel").iterdir()
    layer = folder / "layer"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(layer / _LIBRARY)
    command = layer / KUBENODE[1:]
    command.parent.mkdir()
    command.write_text(_COMMAND)
    command.chmod(0o755)
    return layer


def bundled(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the bundle of what is checked out, made first where need be.

    Args:
        environ: the environment to look at: XDG_CACHE_HOME and HOME.

    Raises:
        HostsUnavailable: PyInstaller failed; with what it said.
    """
    cache = hosts_cache(environ)
    folder = cache / f"bundle-{_made_of()}"
    with alone(folder, "the bundle of the test hosts"):
        if not folder.is_dir():
            sys.stderr.write(
                "hosts: making the bundle of the agent; half a minute, after each change of what is in it\n"
            )
            sys.stderr.flush()
            with replaced(folder) as building:
                try:
                    build(building)
                except NotBundled as error:
                    raise HostsUnavailable(str(error), fix="mend that") from error
        os.utime(folder)
        _forget(cache)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def _made_of() -> str:
    """Name what goes into a bundle: our files, what is installed here, and the Python that runs it."""
    digest = hashlib.sha256(f"{sys.version} {platform.machine()} {platform.libc_ver()}".encode())
    for name, version in sorted((one.name, one.version) for one in importlib.metadata.distributions()):
        digest.update(f"{name} {version}\n".encode())
    ours = [path for path in (_REPOSITORY / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    for path in (*sorted(ours), _REPOSITORY / "pyproject.toml"):
        digest.update(f"{path.relative_to(_REPOSITORY)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _forget(cache: Path) -> None:
    """Remove the bundles that nobody has asked for in a day."""
    for folder in cache.glob("bundle-*"):
        if folder.is_dir() and folder.stat().st_mtime < time.time() - _KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)


def _required() -> tuple[str, ...]:
    project = tomllib.loads((_REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {*project["dependencies"], *(one for extra in _EXTRAS for one in extras[extra])}
    return tuple(
        sorted(one for one in wanted if not one.startswith("kubenode["))
    )  # that is one of these extras


def _pip() -> tuple[str, ...]:
    """Return the pip of this environment, or any: what it installs is for another Python anyway."""
    if find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise HostsUnavailable("there is no pip", fix="python -m ensurepip")
    return (found,)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise HostsUnavailable(
            f"{' '.join(command[:4])} failed:\n{done.stderr}",
            fix="mend that; pip must reach an index of packages",
        )
