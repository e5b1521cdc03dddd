"""What the test hosts need of the machine, and where they keep what they build.

Lives here: the check before anything else, and its answer to a machine that cannot have test hosts.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.build import Unavailable, cache_folder

TOOLS: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "ip": "iproute2",
}
"""The programs that the test hosts need on the machine, and the Debian package of each."""


class HostsUnavailable(Unavailable):
    """There are no test hosts on this machine."""


def hosts_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the cache where images are kept, and where hosts live while they run."""
    return cache_folder(environ) / "hosts"


def check_tools(environ: Mapping[str, str] = os.environ) -> None:
    """Raise HostsUnavailable unless this is root on Linux with all of `TOOLS`."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise HostsUnavailable(
            "test hosts are made of mounts and namespaces", fix="run the tests as root on Linux"
        )
    missing = {package for tool, package in TOOLS.items() if not shutil.which(tool, path=environ.get("PATH"))}
    if missing:
        raise HostsUnavailable(
            f"test hosts need {', '.join(sorted(missing))}",
            fix=f"apt-get install --no-install-recommends {' '.join(sorted(missing))}",
        )
