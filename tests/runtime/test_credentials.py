"""Credentials that end: plugins that are run again, token files that are read again, and plugins that fail."""

import asyncio
import json
import logging
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.store import identity
from kubenode.runtime.store.client import Connection, load
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Timing
from tests.runtime.api_server import KIND, ApiServer, FakeTime, fails, machine, says

PLUGIN = """#!{python}
import json, pathlib, sys
count = pathlib.Path({count!r})
number = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (number + 1))
if {fault!r}:
    sys.exit({fault!r})
status = {{"token": f"t{{number}}"}}
if {expires!r}:
    status["expirationTimestamp"] = {expires!r}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def plugin(folder: Path, *, expires: str = "", fault: str = "") -> dict[str, Any]:
    """Write a credential plugin that counts its runs; give the user of a kubeconfig that names it."""
    path = folder / "plugin"
    path.write_text(
        PLUGIN.format(python=sys.executable, count=str(folder / "runs"), fault=fault, expires=expires)
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(path),
        "interactiveMode": "Never",
    }
    return {"exec": command}


def config(folder: Path, server: str, user: dict[str, Any]) -> Path:
    """Write a kubeconfig of one user."""
    path = folder / "config"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "main",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )  # fmt: skip
    return path


def told(server: ApiServer) -> list[str]:
    """Give the tokens that the server was sent."""
    return [asked.headers.get("Authorization", "").removeprefix("Bearer ") for asked in server.asked]


def asked(folder: Path, user: dict[str, Any], *pauses: float, refuses: int = -1) -> list[str]:
    """Ask for an object again and again, with pauses; the server refuses one of the requests with 401."""

    async def main() -> list[str]:
        answers = [says(machine("m1")) for _ in range(len(pauses) + 2)]
        if refuses >= 0:
            answers[refuses] = fails(401, "Unauthorized")
        time = FakeTime()
        async with ApiServer(*answers) as server:
            path = config(folder, server.url, user)
            timing = Timing(clock=time, sleep=time.sleep, jitter=lambda: 0.5)
            async with KubeStore(lambda: load(path), timing=timing) as store:
                await store.get(KIND, "m1")
                for pause in pauses:
                    await time.sleep(pause)
                    await store.get(KIND, "m1")
            return told(server)

    return asyncio.run(main())


def test_a_plugin_is_run_once_while_its_token_holds(tmp_path: Path) -> None:
    """A token without an end, or with a far one, is used again; the plugin is a program, not a header."""
    far = (datetime.now(UTC) + timedelta(hours=8)).isoformat()
    assert asked(tmp_path, plugin(tmp_path, expires=far), 1, 70, 70) == ["t0"] * 4


def test_a_plugin_is_run_again_when_its_token_ends(tmp_path: Path) -> None:
    """It has ended by the clock: within a minute the next token is asked for, before any 401."""
    over = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    assert asked(tmp_path, plugin(tmp_path, expires=over), 30, 61) == ["t1", "t1", "t2"]


def test_a_plugin_is_run_again_when_the_server_refuses_its_token(tmp_path: Path) -> None:
    """A 401 is answered with a new token, at once and once."""
    assert asked(tmp_path, plugin(tmp_path), 1, refuses=1) == ["t0", "t0", "t1"]


def test_a_token_file_is_read_again_after_a_401(tmp_path: Path) -> None:
    """A kubeconfig that names a file: what stands in it when the server refuses the old token."""
    (tmp_path / "token").write_text("old\n")

    async def main() -> list[str]:
        async with ApiServer(says(machine("m1")), fails(401), says(machine("m1"))) as server:
            path = config(tmp_path, server.url, {"tokenFile": str(tmp_path / "token")})
            async with KubeStore(lambda: load(path)) as store:
                await store.get(KIND, "m1")
                (tmp_path / "token").write_text("new\n")
                await store.get(KIND, "m1")
            return told(server)

    assert asyncio.run(main()) == ["old", "old", "new"]


def test_the_pods_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes changes the file of a pod under it; the new one is sent without waiting for a 401."""
    from kubernetes.config import incluster_config

    from kubenode.runtime.testing.authority import Authority

    (tmp_path / "token").write_text("old\n")
    (tmp_path / "ca.crt").write_bytes(Authority.create().identity.certificate)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = load()
    assert found.authorization() == "bearer old"
    (tmp_path / "token").write_text("new\n")
    again = datetime.now() + timedelta(minutes=2)  # noqa: DTZ005 - the package's own clock

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return again

    monkeypatch.setattr(incluster_config.datetime, "datetime", Later)
    assert found.authorization() == "bearer new"


def test_a_plugin_that_fails_is_a_problem_of_the_kubeconfig(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it said is in the message; nothing is asked of the server as an anonymous stranger."""
    user = plugin(tmp_path, fault="log in first: aws sso login")
    root = logging.getLogger()
    before = list(root.handlers)
    with pytest.raises(
        InvalidObjectError, match=r"config: no credentials: exec: .*log in first: aws sso login"
    ):
        load(config(tmp_path, "http://127.0.0.1:1", user))
    assert root.handlers == before


@pytest.mark.parametrize("person", [False, True])
def test_a_plugin_that_does_not_end_is_told_and_given_up_where_nobody_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, person: bool
) -> None:
    """A person at a terminal may be logging in, and is waited for."""
    monkeypatch.setattr(identity, "_SLOW_S", 0.01)
    monkeypatch.setattr(identity, "_ALONE_S", 0.02)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: person))
    go = threading.Event()

    def reading() -> Connection:
        assert go.wait(60)
        return load(config(tmp_path, "http://127.0.0.1:1", {"token": "t"}))

    async def main() -> None:
        async with KubeStore(reading):
            pass

    async def opened() -> None:
        task = asyncio.create_task(main())
        while "seconds=0" not in caplog.text or (not person and not task.done()):
            await asyncio.sleep(0.01)
        assert task.done() is not person
        go.set()
        await task

    if person:
        asyncio.run(opened())
    else:
        with pytest.raises(InvalidObjectError, match="the credential plugin has not ended") as found:
            asyncio.run(opened())
        assert "fix: run it by hand" in str(found.value)
    go.set()
    assert "event=credentials-awaited" in caplog.text


def test_a_plugin_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As when a kubeconfig was copied to another machine."""
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/aws"}}
    with pytest.raises(InvalidObjectError, match=r"config: no credentials: .*/no/such/aws"):
        load(config(tmp_path, "http://127.0.0.1:1", user))


def test_a_failing_plugin_configures_nobodys_log(tmp_path: Path) -> None:
    """The package's word for the root logger would give a host that has no handlers one."""
    import subprocess

    path = config(tmp_path, "http://127.0.0.1:1", plugin(tmp_path, fault="no"))
    script = (
        "import logging, pathlib\nfrom kubenode.runtime.store.client import load\n"
        f"try:\n    load(pathlib.Path({str(path)!r}))\nexcept Exception as e:\n    print(type(e).__name__)\n"
        "print(logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["InvalidObjectError", "[]"], "")
