"""Keys and certificates: the same answers by a child as in this process, and nothing of the child's stays here."""

import asyncio
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.agent import keys, keywork
from kubenode.runtime.agent.keywork import NoKeys

GROUPS = ("kubenode:agents", "kubenode:uid:1")


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children answer, as in an agent."""
    monkeypatch.delitem(sys.modules, "kubenode.runtime.agent.keys")


def test_a_child_makes_a_request_for_a_new_key_and_for_one_that_is_there(child: None) -> None:
    """The key is the one that the request is signed with; it comes back, and goes there, as it is."""
    made = asyncio.run(keywork.request(b"", "kubenode:agent:m1", GROUPS))
    again = asyncio.run(keywork.request(made.key, "kubenode:agent:m1", GROUPS))
    assert again.key == made.key
    assert made.fingerprint == again.fingerprint == keys.fingerprint(made.key)
    assert b"BEGIN CERTIFICATE REQUEST" in made.request
    assert "PRIVATE" not in repr(made)


def test_what_cannot_be_read_is_told_by_a_child_as_here(child: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same words and the same fix."""
    found = []
    for loaded in (False, True):
        if loaded:
            monkeypatch.setitem(sys.modules, "kubenode.runtime.agent.keys", keys)
        for ask in (keywork.certificate(b"none"), keywork.request(b"none", "u", GROUPS)):
            with pytest.raises(InvalidObjectError) as raised:
                asyncio.run(ask)
            found.append([attrs.asdict(problem) for problem in raised.value.problems])
    assert found[:2] == found[2:]
    assert [one[0]["where"] for one in found[:2]] == ["certificate", "key"]


@pytest.mark.parametrize(
    ("program", "says"),
    [("#!/bin/sh\necho no memory >&2; exit 7\n", "ended with 7: no memory"), ("#!/bin/sh\necho '{'\n", "JSONDecodeError"), ("", "PermissionError")],
)  # fmt: skip
def test_a_child_that_fails_is_told(
    child: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, says: str
) -> None:
    """And the key that it was given is not."""
    path = tmp_path / "python"
    path.write_text(program)
    path.chmod(0o755 if program else 0o600)
    monkeypatch.setattr(sys, "executable", str(path))
    with pytest.raises(NoKeys, match=says) as raised:
        asyncio.run(keywork.request(b"s3cr3t", "u", GROUPS))
    assert "s3cr3t" not in str(raised.value)


def test_without_cryptography_it_is_said_what_to_install(
    child: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a child is made."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoKeys, match=r"pip install 'kubenode\[agent\]'"):
        asyncio.run(keywork.certificate(b""))


def test_an_agent_loads_what_it_needs_and_no_more() -> None:
    """Each of these would cost it MiB: the client package, cryptography, providers, simulation, reports, the whole command line."""
    code = (
        "import sys, kubenode.runtime.cli.host, kubenode.runtime.agent.serve, kubenode.runtime.detector.setting\n"
        "from kubenode.runtime.plugins import Plugins\n"
        "assert Plugins.on_host().components\n"
        "print(*sorted(sys.modules), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "kubenode.components.kubelet" in loaded
    heavy = ("kubernetes", "cryptography", "kubenode.providers", "kubenode.remedies", "kubenode.inspections", "kubenode.runtime.sim", "kubenode.runtime.report", "kubenode.runtime.controller.machine", "kubenode.runtime.testing", "asyncssh", "rich")  # fmt: skip
    assert [
        name for name in loaded if name.startswith(tuple(f"{one}." for one in heavy)) or name in heavy
    ] == []
