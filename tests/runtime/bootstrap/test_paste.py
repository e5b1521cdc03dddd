"""The line for a host that is not reached: run by a real shell, against a host in a folder."""

import base64
import gzip
import os
import pty
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.paste import LONGEST, line, script
from tests.runtime.bootstrap.rooted import AUTHORITY, NOW, UNIT, Stand, stand

LATER = NOW + timedelta(days=3650)

TOKEN = "abcdef.0123456789abcdef"
# What the line asks of a host, in place of the real ones: a systemd that starts what is enabled, unless it refuses.
PROGRAMS = {
    "systemctl": 'echo "systemctl $*" >> "$ROOT/calls"\n[ "$1" != enable ] || [ ! -e "$ROOT/refuse" ]\n',
    "id": "echo ${FAKE_UID:-0}\n",
    "curl": 'echo "curl $*" >> "$ROOT/calls"\nwhile [ "$1" != -o ]; do shift; done; cp "$BUNDLE" "$2"\n',
    "sync": "exit 0\n",
}


def target(made: Stand, *, bundle: bool = True) -> s.Target:
    """Give what the host is to have."""
    return s.Target(
        machine="h1", uid="u1", server="https://10.0.0.1:6443", authority=AUTHORITY, unit=UNIT,
        bundle=made.bundle if bundle else None,
    )  # fmt: skip


def pasted(
    made: Stand, folder: Path, *, wanted: s.Target | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the line in a shell whose paths are the folder's."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}")
        (programs / name).chmod(0o755)
    text = script(wanted or target(made), TOKEN, "https://mirror/b.tar.gz")
    for path in ("/opt/", "/etc/", "/var/"):
        text = text.replace(path, f"{made.host.root}{path}")
    packed = base64.b64encode(gzip.compress(text.encode())).decode()
    assert made.bundle is not None
    told = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ROOT": str(folder),
        "BUNDLE": str(made.bundle.path),
        **environ,
    }
    command = f" printf %s {packed} | base64 -d | gzip -d | sh"
    return subprocess.run(["sh", "-c", command], env=told, capture_output=True, text=True, check=False)


def test_the_line_does_what_an_import_over_ssh_does(tmp_path: Path) -> None:
    """The same files with the same modes; the token is in no argument of a program."""
    made = stand(tmp_path)
    ran = pasted(made, tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    state = made.host.state()
    assert made.bundle is not None
    assert state["opt/kubenode/bin"] == f"{made.bundle.name}/bin"
    assert state[f"opt/kubenode/{made.bundle.name}/bin/kubenode"][0] == 0o755
    assert state["etc/kubenode/token"] == (0o600, f"{TOKEN}\n".encode())
    assert state["etc/kubenode/ca.crt"] == (0o600, AUTHORITY)
    assert state["etc/kubenode/agent.env"][0] == 0o600
    assert state[s.UNIT_FILE[1:]][0] == 0o644
    assert not [name for name in state if ".new" in name or name.endswith(".tar.gz")]
    calls = (tmp_path / "calls").read_text()
    assert calls.splitlines()[-1] == f"systemctl enable --now {s.UNIT}"
    assert TOKEN not in calls


def test_it_is_one_line_that_a_shell_keeps_out_of_its_history(tmp_path: Path) -> None:
    """It begins with a blank, and holds the script alone."""
    made = stand(tmp_path)
    text = line(target(made), TOKEN, "https://mirror/b.tar.gz")
    assert (text[0], text.count("\n")) == (" ", 0)
    packed = base64.b64decode(text.split()[2])
    assert gzip.decompress(packed).decode() == script(target(made), TOKEN, "https://mirror/b.tar.gz")


def test_a_terminal_takes_it_whole_for_the_simplest_of_shells(tmp_path: Path) -> None:
    """With the real unit, and an authority as kubeadm makes it: dash gets no more of a line than the kernel's 4,095 characters."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    draft = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    draft = draft.serial_number(x509.random_serial_number()).not_valid_before(NOW).not_valid_after(LATER)
    authority = draft.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    unit = Path("docs/examples/kubenode-agent.service").read_bytes()
    wanted = attrs.evolve(target(stand(tmp_path)), authority=authority, unit=unit)
    text = line(wanted, TOKEN, "https://mirror.example.com/kubenode/kubenode-0.1.0-linux-x86_64.tar.gz")
    assert len(text) < 3800 < LONGEST
    controller, shell = pty.openpty()
    try:
        os.write(controller, f"{text}\n".encode())
        assert os.read(shell, 1 << 16).decode() == f"{text}\n"
    finally:
        os.close(controller)
        os.close(shell)


def test_a_file_that_is_no_plain_text_arrives_as_it_is(tmp_path: Path) -> None:
    """Quotes, percent signs, no newline at its end; and bytes that are no text."""
    made = stand(tmp_path)
    odd = {"authority": b"it's 100%\\n $HOME `x`", "unit": b"gr\xfcn \x00\n"}
    assert pasted(made, tmp_path, wanted=attrs.evolve(target(made), **odd)).returncode == 0
    state = made.host.state()
    assert (state["etc/kubenode/ca.crt"][1], state[s.UNIT_FILE[1:]][1]) == (odd["authority"], odd["unit"])


def _other(made: Stand, folder: Path) -> None:
    assert made.bundle is not None
    made.bundle.path.write_bytes(made.bundle.path.read_bytes() + b"x")


def _refuse(made: Stand, folder: Path) -> None:
    (folder / "refuse").touch()


@pytest.mark.parametrize("change", [_other, _refuse])
def test_what_fails_is_undone(tmp_path: Path, change: Any) -> None:
    """Another bundle than its sha256 says, and a unit that is not enabled; what others have there stays."""
    made = stand(tmp_path)
    before = made.host.state()
    change(made, tmp_path)
    ran = pasted(made, tmp_path)
    assert ran.returncode != 0
    assert "what was done is undone" in ran.stderr
    assert made.host.state() == before


@pytest.mark.parametrize("there", [s.ENV, s.CA, s.TOKEN, s.UNIT_FILE])
def test_a_host_with_an_agent_and_a_shell_that_is_not_roots_are_left_alone(
    tmp_path: Path, there: str
) -> None:
    """Nothing is touched, so nothing is undone."""
    made = stand(tmp_path)
    assert "root shell" in pasted(made, tmp_path, FAKE_UID="1000").stderr
    env = made.host.root / there[1:]
    env.parent.mkdir(exist_ok=True)
    env.write_text("MACHINE=other\n")
    before = made.host.state()
    ran = pasted(made, tmp_path)
    assert (ran.returncode, "has an agent" in ran.stderr, "undone" in ran.stderr) == (1, True, False)
    assert made.host.state() == before
    assert env.read_text() == "MACHINE=other\n"


def test_without_a_bundle_the_host_has_to_have_kubenode(tmp_path: Path) -> None:
    """Nothing is fetched."""
    text = script(target(stand(tmp_path), bundle=False), TOKEN, "")
    assert "curl" not in text
    assert f"[ -x {s.PROGRAM} ]" in text
