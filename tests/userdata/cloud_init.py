"""cloud-init of Debian, unpacked into the user's cache and never installed: its own code judges what we make.

Its Python runs with this interpreter; of its dependencies only those are unpacked with it that the tests' own do not bring.
Where apt-get cannot download, the tests are skipped with the reason, and fail when the variable CI is set.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.cluster.build import Unavailable, alone, cache_folder, replaced
from tests.cluster.fixture import refuse

_PACKAGES: Final = (
    "cloud-init", "python3-configobj", "python3-six", "python3-jsonpatch", "python3-json-pointer", "python3-oauthlib",
)  # fmt: skip
_MODULES: Final = "usr/lib/python3/dist-packages"
JUDGE: Final = Path(__file__).with_name("judge.py")


def cloud_init() -> Path:
    """Return the folder of its modules, downloaded first where need be; skip where it cannot be had."""
    folder = cache_folder(os.environ) / "cloud-init-1"
    try:
        if not folder.is_dir():
            with alone(folder, "cloud-init"):
                if not folder.is_dir():
                    with replaced(folder) as building:
                        _unpack(building)
    except Unavailable as unavailable:
        refuse(str(unavailable), in_ci=bool(os.environ.get("CI")))
    return folder / _MODULES


def _unpack(folder: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Unavailable(
            "cloud-init is unpacked from Debian's package", fix="run the tests on Debian or Ubuntu"
        )
    got = subprocess.run(
        ["apt-get", "download", *_PACKAGES],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if got.returncode:
        raise Unavailable(f"apt-get download: {got.stderr.strip()[-300:]}", fix="apt-get update")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True, timeout=60)


def judged(raws: Iterable[bytes]) -> list[Any]:
    """Give what cloud-init makes of each: the merged config, the other parts, what its schema says, and its script."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", JUDGE], input=json.dumps([base64.b64encode(raw).decode() for raw in raws]).encode(),
        env={**os.environ, "PYTHONPATH": str(cloud_init())}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    found: list[Any] = json.loads(ran.stdout)
    return found


__all__ = ["cloud_init", "judged"]
