"""A first boot from user data, in a folder: what is not understood to the last key is refused, as cloud-init would not.

The files go below a root, and the program runs with a real shell whose paths lie there too. systemd is played.
"""

import email
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

FAKE: str = 'echo "systemctl $*" >> "$ROOT/calls"\n'


def config_of(raw: bytes) -> dict[str, Any]:
    """Give our cloud-config: the whole of the user data, or its last part.

    Raises:
        AssertionError: it is not what a strict reader of cloud-init's manual takes.
    """
    text = raw.decode()
    if not text.startswith("#cloud-config\n"):
        parts = [one for one in email.message_from_bytes(raw).walk() if not one.is_multipart()]
        assert parts[-1].get_content_type() == "text/cloud-config"
        payload = parts[-1].get_payload(decode=True)
        assert isinstance(payload, bytes)
        text = payload.decode()
    assert text.startswith("#cloud-config\n")
    read = yaml.safe_load(text)
    assert read.keys() == {"write_files", "runcmd"}
    for one in read["write_files"]:
        assert one.keys() == {"path", "content", "permissions"}
        assert all(isinstance(value, str) for value in one.values())
        assert one["path"].startswith("/")
        assert int(one["permissions"], 8) & 0o022 == 0
    for argv in read["runcmd"]:
        assert isinstance(argv, list)
        assert all(isinstance(word, str) for word in argv)
    config: dict[str, Any] = read
    return config


def booted(raw: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    """Do what user data says, below `folder`/root; give how its last command ended."""
    config, root = config_of(raw), folder / "root"
    programs = folder / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "systemctl").write_text(f"#!/bin/sh\n{FAKE}")
    (programs / "systemctl").chmod(0o755)
    for one in config["write_files"]:
        path = root / one["path"][1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_below(root, one["content"]) if path.name == "install" else one["content"])
        path.chmod(int(one["permissions"], 8))
    told = {"PATH": f"{programs}:{os.environ['PATH']}", "ROOT": str(folder)}
    ended = subprocess.CompletedProcess[str]([], 0, "", "")
    for argv in config["runcmd"]:
        words = [_below(root, word) if word.startswith("/") else word for word in argv]
        ended = subprocess.run(words, env=told, capture_output=True, text=True, check=False, timeout=60)
        if ended.returncode:
            break
    return ended


def _below(root: Path, text: str) -> str:
    for path in ("/opt/", "/etc/", "/var/"):
        text = text.replace(path, f"{root}{path}")
    return text
