"""The bundle: kubenode as a host has it that has no Python, one tar.gz with `bin/kubenode`, beside it its sha256.

    pip install 'kubenode[agent,bundle]'
    python -m kubenode.runtime.bundle --out dist

It is made of what is installed where it is made, plugins of yours included, by PyInstaller. It runs on hosts with the same machine
type and a C library that is no older than here: make it on the oldest distribution that you have.
"""

import argparse
import gzip
import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kubenode.core.errors import KubenodeError
from kubenode.runtime.bootstrap.steps import ABOUT
from kubenode.runtime.cli.host import texts
from kubenode.runtime.plugins import ENTRY_POINTS

_LEFT_OUT: Final = (
    "kubernetes", "boto3", "botocore", "aliyunsdkcore", "aliyunsdkecs", "prometheus_client", "moto", "hypothesis", "plotly",
    "pytest", "_pytest", "mypy", "tkinter", "curses", "readline", "setuptools", "pip", "asyncssh",
    "kubenode.runtime.cli.app", "kubenode.runtime.testing", "kubenode.runtime.report", "kubenode.runtime.sim",
)  # fmt: skip
_ENTRY: Final = """import sys

from kubenode.runtime.cli.host import app

app({texts!r})()
"""


class NotBundled(KubenodeError):
    """The bundle could not be made."""


def build(out: Path) -> Path:
    """Make the bundle, and `NAME.sha256` beside it, as sha256sum reads it.

    Args:
        out: the folder for both; made when it is not there.

    Returns:
        The path of the tar.gz: kubenode-VERSION-linux-MACHINE.tar.gz.

    Raises:
        NotBundled: PyInstaller is not installed, or failed; with what it said.
    """
    version = importlib.metadata.version("kubenode")
    out.mkdir(parents=True, exist_ok=True)
    archive = out / f"kubenode-{version}-{sys.platform}-{platform.machine()}.tar.gz"
    with tempfile.TemporaryDirectory(prefix="kubenode-bundle-") as scratch:
        folder = _frozen(Path(scratch))
        about = {"version": version, "machine": platform.machine(), "libc": " ".join(platform.libc_ver())}
        (folder / Path(ABOUT).name).write_text(json.dumps(about) + "\n")
        _pack(folder, archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n")
    return archive


def _frozen(scratch: Path) -> Path:
    """Let PyInstaller make the folder with the program `kubenode`."""
    entry = scratch / "entry.py"
    entry.write_text(_ENTRY.format(texts=texts()))
    argv = [
        sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level=WARN", "--onedir", "--name=kubenode",
        # Without docstrings the agent needs 5 MiB less; what commands say of themselves is in the entry.
        "--optimize=2",
        f"--distpath={scratch / 'dist'}", f"--workpath={scratch / 'work'}", f"--specpath={scratch}",
        *_plugins(), *(f"--exclude-module={name}" for name in _LEFT_OUT), str(entry),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - an argv
    if done.returncode != 0:
        raise NotBundled(
            f"PyInstaller failed:\n{done.stderr[-2000:]}\n    fix: pip install 'kubenode[agent,bundle]'"
        )
    return scratch / "dist" / "kubenode"


def _plugins() -> list[str]:
    """Name the modules that only entry points name, and the distributions whose entry points are read."""
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    modules = {point.module for point in points}
    distributions = {"kubenode", *(point.dist.name for point in points if point.dist is not None)}
    return [
        *(f"--hidden-import={name}" for name in sorted(modules)),
        *(f"--copy-metadata={name}" for name in sorted(distributions)),
    ]


def _pack(folder: Path, archive: Path) -> None:
    """Write the folder as `bin/`, root's, in one order and without times."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with (
        archive.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, f"bin/{path.relative_to(folder)}", recursive=False, filter=plain)


def main(words: Sequence[str] | None = None) -> int:
    """Make a bundle as a command line says; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kubenode.runtime.bundle", description="Make the bundle.")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the folder for it (default: dist)")
    try:
        made = build(parser.parse_args(words).out)
    except (NotBundled, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
