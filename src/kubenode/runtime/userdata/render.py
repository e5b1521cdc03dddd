"""The bytes of user data: the same ones whenever they are made of the same things, since a token stands for them.

What enrols the agent is one cloud-config: files with their contents, and one program with its arguments. The program is
always the same, and no value of anybody is put into it.
"""

import hashlib
import json
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any, Final

import attrs

from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.userdata.own import CONFIG, is_message, kind_of, parts_of

LIMIT: Final = 16 * 1024
"""Bytes, before base64. EC2: "limited to 16 KB, in raw form". ECS says 16 KB in its manual of 2021, and 32 KB in its SDK
of today (facts page): what goes to both is held to the smaller one."""
MERGE: Final = "list(append)+dict(recurse_list)+str()"
"""So that cloud-init adds our files and our program to those of the parts before, and drops none of them."""
INSTALL: Final = "/etc/kubenode/install"
PROGRAM: Final = f"""#!/bin/sh
# Written by kubenode: install NAME SHA256 URL gets a bundle; without arguments the image brings {s.PROGRAM}.
set -eu
umask 022
if [ $# -gt 0 ]; then
  sent={s.OPT}/.$1.tar.gz new={s.OPT}/.$1.new folder={s.OPT}/$1
  if [ ! -d "$folder" ]; then
    rm -rf -- "$sent" "$new"
    mkdir -p -- "$new"
    tries=0
    until if command -v curl >/dev/null; then curl -fsSL -o "$sent" -- "$3"; else wget -q -O "$sent" -- "$3"; fi; do
      tries=$((tries + 1))
      [ "$tries" -lt 60 ] || {{ echo 'kubenode: the bundle cannot be fetched' >&2; exit 1; }}
      sleep 5
    done
    printf '%s  %s\\n' "$2" "$sent" | sha256sum -c --quiet -
    tar -x -z --no-same-owner -p -f "$sent" -C "$new"
    "$new/bin/kubenode" version >/dev/null
    mv -T -- "$new" "$folder"
    rm -f -- "$sent"
  fi
  ln -sfn -- "$1/bin" {s.LINK}
fi
# An image that was made of a host has the identity of that host.
[ ! -e {s.IDENTITY} ] || mv -f -- {s.IDENTITY} {s.RETIRED}
systemctl daemon-reload
systemctl enable --now {s.UNIT}
"""


@attrs.frozen(kw_only=True)
class Enrolling:
    """What the agent of one instance needs.

    Attributes:
        machine: name of its Machine.
        server: URL of the API server.
        authority: the certificates that the server's is checked against; PEM, ASCII.
        unit: the agent's unit file.
        token: with which it asks for its certificate.
        bundle: name, sha256 and URL of what is installed; empty: the image brings it.
    """

    machine: str
    server: str
    authority: str
    unit: str
    token: str = attrs.field(repr=False)
    bundle: tuple[str, ...] = attrs.field(default=(), repr=False)


def rendered(own: str, enrolling: Enrolling | None) -> bytes:
    """Give user data: of what people wrote, what enrols the agent, or both, ours last."""
    if enrolling is None:
        return own.encode()
    ours = f"{CONFIG}\n{json.dumps(_config(enrolling), separators=(',', ':'))}\n"
    if not own:
        return ours.encode()
    last = _part(ours, "cloud-config")
    last["Merge-Type"] = MERGE
    seed = hashlib.sha256(f"{own}\0{ours}".encode()).hexdigest()[:32]
    whole = MIMEMultipart("mixed", boundary=f"kubenode-{seed}", _subparts=[*_own(own), last])
    return whole.as_bytes()


def _config(wanted: Enrolling) -> dict[str, Any]:
    files = (
        (s.CA, wanted.authority, "0600"),
        (s.ENV, f"MACHINE={wanted.machine}\nSERVER={wanted.server}\n", "0600"),
        (s.TOKEN, f"{wanted.token}\n", "0600"),
        (s.UNIT_FILE, wanted.unit, "0644"),
        (INSTALL, PROGRAM, "0700"),
    )
    return {
        "write_files": [{"path": path, "content": text, "permissions": mode} for path, text, mode in files],
        "runcmd": [["sh", INSTALL, *wanted.bundle]],
    }


def _own(text: str) -> list[Message]:
    return list(parts_of(text)) if is_message(text) else [_part(text, kind_of(text))]


def _part(text: str, kind: str) -> MIMEText:
    return MIMEText(text, kind, "us-ascii" if text.isascii() else "utf-8")
