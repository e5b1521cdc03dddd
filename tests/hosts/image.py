"""The root image of the test hosts: Debian with systemd, containerd and sshd, built once into the user's cache.

Lives here: what is in the image, how it is built and kept. A host is an overlay over it (`host`), so it is
only ever read. The folder is named by the hash of its recipe, which is this file: whoever changes it gets
another image. The cache may be deleted at any time while no test runs. As a script it builds ahead of the tests:

    python -m tests.hosts.image

Root and the tools of `tools` are needed, and a Debian mirror that debootstrap reaches.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.build import alone, replaced
from tests.hosts.tools import HostsUnavailable, check_tools, hosts_cache

ARCHIVE: Final = "/opt/archive"
"""Where a host has its apt archive, since it reaches no other: each version of containerd that Debian has."""

_SUITE: Final = "bookworm"
_MIRROR: Final = "http://deb.debian.org"
_FIRST: Final = "systemd,systemd-sysv,dbus,python3,iproute2,ca-certificates"
_PACKAGES: Final = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "procps",
    "openssh-server",
    "kmod",
    "conntrack",
)
_SOURCES: Final = "".join(
    f"deb {_MIRROR}/{archive} {suite} main\n"
    for archive, suite in (("debian", _SUITE), ("debian-security", f"{_SUITE}-security"))
)
# The kubelet sets these six, which no namespace has for itself, and skips those that have their value.
_KERNEL_SETTINGS: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_SETTINGS_FOLDER: Final = "/usr/local/lib/kernel-settings"
_FILES: Final = {
    "etc/apt/sources.list": f"deb [trusted=yes] file:{ARCHIVE} ./\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/resolv.conf": "",
    "etc/machine-id": "",
    "etc/cni/net.d/10-host.conflist": (
        '{"cniVersion": "0.4.0", "name": "host", "plugins": [{"type": "ptp", "ipMasq": false,'
        ' "ipam": {"type": "host-local", "subnet": "10.98.0.0/24"}}]}\n'
    ),
    # A key of its own for each host, made at its first boot.
    "etc/systemd/system/ssh.service.d/keys.conf": (
        "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n"
    ),
    "etc/systemd/system/kernel-settings.service": (
        "[Unit]\nDescription=The kubelet finds the kernel settings that it wants, and writes none\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        + "".join(
            f"ExecStart=/bin/mount --bind {_SETTINGS_FOLDER}/{name} /proc/sys/{name}\n"
            for name in _KERNEL_SETTINGS
        )
        + "[Install]\nWantedBy=sysinit.target\n"
    ),
    **{f"{_SETTINGS_FOLDER[1:]}/{name}": f"{value}\n" for name, value in _KERNEL_SETTINGS.items()},
}
_ENABLED: Final = ("systemd-networkd.service", "kernel-settings.service")
# A timer that starts apt at boot would hold the lock that a test wants.
_MASKED: Final = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer")
_NOT_IN_AN_IMAGE: Final = ("etc/hostname", "var/lib/dbus/machine-id", "etc/ssh/ssh_host_*", "var/log/*.log")

# What is mounted while it is built is gone with the process that mounted it, however that ends.
_OWN_MOUNTS: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_IN_CHROOT: Final = (*_OWN_MOUNTS, "sh", "-c", 'mount -t proc proc "$1/proc" && exec chroot "$@"', "sh")
_TAIL: Final = 2000


def root_image(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the root folder of the image, built first where need be.

    Args:
        environ: the environment to look at: XDG_CACHE_HOME, HOME, PATH and the proxies of apt.

    Raises:
        HostsUnavailable: this is not root on Linux, a tool is missing, or the build fails.
    """
    check_tools(environ)
    folder = hosts_cache(environ) / f"image-{_fingerprint()}"
    if not folder.is_dir():
        with alone(folder, "the image of the test hosts") as lock:
            if not folder.is_dir():  # else another session built it while this one waited
                with replaced(folder) as building:
                    _Build(building, lock, environ).all()
    return folder


def _fingerprint() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


class _Build:
    """One build, as commands that run one after the other."""

    def __init__(self, root: Path, lock: int, environ: Mapping[str, str]) -> None:
        self._root = root
        self._lock = lock
        self._environ = {**environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

    def all(self) -> None:
        """Make everything, in this order."""
        _say(f"building the image of the test hosts into {self._root}")
        _say("once only; one to five minutes, 500 MB")
        self._run(
            *_OWN_MOUNTS, "debootstrap", "--variant=minbase", f"--include={_FIRST}", _SUITE, str(self._root)
        )
        self._packages()
        self._archive()
        self._files()
        _say("the image is built and kept for all later runs")

    def _packages(self) -> None:
        _say("installing containerd and what a node needs")
        self._write("etc/apt/sources.list", _SOURCES)
        # As the machine resolves names and reaches the mirror, so does the build; `_files` writes them anew.
        for name in ("etc/hosts", "etc/resolv.conf"):
            shutil.copyfile(f"/{name}", self._root / name)
        # A mirror may be a frozen copy; every package is still verified by its signature.
        self._chroot("apt-get", "-o", "Acquire::Check-Valid-Until=false", "-qq", "update")
        options = ("-o", "Dpkg::Options::=--force-unsafe-io", "--no-install-recommends")
        self._chroot("apt-get", "-qq", "-y", *options, "install", *_PACKAGES)

    def _archive(self) -> None:
        """Make an apt archive of every version of containerd that Debian has now."""
        known = self._chroot("apt-cache", "madison", "containerd")
        versions = {line.split("|")[1].strip() for line in known.splitlines() if "|" in line}
        archive = self._root / ARCHIVE[1:]
        archive.mkdir()
        for version in sorted(versions):
            self._chroot("apt-get", "-qq", "download", f"containerd={version}", folder=ARCHIVE)
        index = []
        for package in sorted(archive.glob("*.deb")):
            content = package.read_bytes()
            control = self._chroot("dpkg-deb", "--field", f"{ARCHIVE}/{package.name}")
            index.append(
                f"{control.strip()}\nFilename: ./{package.name}\nSize: {len(content)}\n"
                f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
            )
        (archive / "Packages").write_text("\n".join(index))

    def _files(self) -> None:
        for pattern in _NOT_IN_AN_IMAGE:
            for path in self._root.glob(pattern):
                path.unlink()
        for name, content in _FILES.items():
            self._write(name, content)
        self._chroot("systemctl", "enable", *_ENABLED)
        self._chroot("systemctl", "mask", *_MASKED)
        for folder in ("var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(self._root / folder)
        self._chroot("apt-get", "-qq", "update")

    def _write(self, name: str, content: str) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link
        path.write_text(content)

    def _chroot(self, *command: str, folder: str = "/") -> str:
        inside = ("/usr/bin/env", "-C", folder, *command)
        return self._run(*_IN_CHROOT, str(self._root), *inside)

    def _run(self, *command: str) -> str:
        # The command holds the lock too: when this session is killed, the next one waits until it has ended.
        done = subprocess.run(
            command,
            env=self._environ,
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(self._lock,),
        )
        if done.returncode != 0:
            raise HostsUnavailable(
                f"building the image of the test hosts failed at {' '.join(command[-4:])}:\n{done.stdout[-_TAIL:]}\n",
                fix=f"mend that; debootstrap and apt must reach {_MIRROR}, and 600 MB must be free",
            )
        return done.stdout


def _say(text: str) -> None:
    sys.stderr.write(f"hosts: {text}\n")
    sys.stderr.flush()


def _main() -> int:
    try:
        folder = root_image()
    except HostsUnavailable as unavailable:
        _say(str(unavailable))
        return 1
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
