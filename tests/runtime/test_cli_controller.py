"""`kubenode controller` while it starts: a signal ends it in order at any time."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KUBENODE = Path(sys.executable).with_name("kubenode")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("waits_for", ["the server", "credentials"])
def test_a_signal_ends_the_start_too(tmp_path: Path, number: signal.Signals, waits_for: str) -> None:
    """The server is away, or the credential plugin hangs: 0, and at once, as when it runs."""
    user = {"token": "t"}
    if waits_for == "credentials":
        user = {  # type: ignore[dict-item]
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sleep", "args": ["300"],
                "interactiveMode": "Never",
            }
        }  # fmt: skip
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "main",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    path, log = tmp_path / "config", tmp_path / "log"
    path.write_text(json.dumps(config))
    told = "event=again" if waits_for == "the server" else "event=credentials-awaited"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [KUBENODE, "controller", "--kubeconfig", path, "--listen", "none"], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        until = time.monotonic() + 60
        while told not in log.read_text() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0, log.read_text()
    assert told in log.read_text()
    assert "Traceback" not in log.read_text()
