"""The pages for embedders on a real API server: the service, the cron job, and a test of an embedder's own."""

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.runtime.testing import ControlPlane, install
from tests.runtime.embed.world import LEDGER, nothing_left, sick, until, well

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "python"


@pytest.fixture
def plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """A cluster of its own, since an engine acts on the whole of it; nobody says that its nodes are silent."""
    with ControlPlane.start(control_plane_folder, controller_manager=False) as running:
        install(running)
        yield running


@pytest.fixture
def prod(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig with a context `prod`, where everybody looks for it; and policies beside it that do not wait."""
    path = tmp_path / "config"
    shutil.copy(plane.admin_kubeconfig, path)
    context = plane.kubectl("config", "current-context", "--kubeconfig", str(path)).strip()
    plane.kubectl("config", "rename-context", context, "prod", "--kubeconfig", str(path))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES / "policies", tmp_path / "policies")
    (written,) = (tmp_path / "policies").iterdir()
    written.write_text(written.read_text().replace("for: 90s", "for: 0s"))
    return path


def put(plane: ControlPlane, *objects: m.Object) -> None:
    """Put objects on the server, with the status that they have; who is referred to by uid comes first."""
    uids: dict[str, str] = {}
    for obj in objects:
        text = json.dumps(wire.dump(obj))
        for ours, theirs in uids.items():
            text = text.replace(f'"{ours}"', f'"{theirs}"')
        raw = json.loads(text)
        raw["metadata"].pop("resourceVersion", None)
        made = json.loads(plane.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(raw)))
        if obj.metadata.uid:
            uids[obj.metadata.uid] = made["metadata"]["uid"]
        if raw.get("status"):
            body = json.dumps({"status": raw["status"]})
            resource = f"{obj.KIND.plural}.{obj.KIND.group}".rstrip(".")
            name = obj.metadata.name
            plane.kubectl("patch", resource, name, "--subresource=status", "--type=merge", "-p", body)


def granted(plane: ControlPlane) -> list[str]:
    """Name the machines that hold a permit."""
    ledger = json.loads(plane.kubectl("get", "riskledgers.kubenode.dev", "cluster", "-o", "json"))
    return [hold["machine"] for hold in ledger.get("status", {}).get("holds", [])]


def operation(plane: ControlPlane, name: str) -> Any:
    """Give what the agent of a machine is to do; None when that is nothing."""
    return json.loads(plane.kubectl("get", "machine", name, "-o", "json"))["spec"].get("operation")


def settle() -> str:
    """Run the script for cron as it stands."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "settle.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr  # where a server that has just started may be told to wait
    return done.stdout


def test_a_service_and_a_cron_job_work_on_a_cluster(
    plane: ControlPlane, prod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examples, letter by letter: the veto holds, ends, and the permit is given; cron has nothing to add."""
    assert settle() == "come again at the next change\n"
    plane.kubectl("delete", "riskledgers.kubenode.dev", "cluster")
    put(plane, LEDGER, *sick("n1"), *(one for name in ("n2", "n3", "n4", "n5") for one in well(name)))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import b_embed
    import platform_app
    import rack
    import test_rack

    log = io.StringIO()

    async def host() -> None:
        now = datetime.now(UTC)
        platform_app.calendar.freezes = [(now - timedelta(hours=1), now + timedelta(seconds=3))]
        service = asyncio.create_task(b_embed.main(rack.RackProvider(test_rack.rackd()), log))
        await until(lambda: service.done() or "reviewer freeze: change freeze, until" in log.getvalue())
        assert granted(plane) == []
        await until(lambda: service.done() or operation(plane, "n1"))
        platform_app.closing.set()
        await service

    with nothing_left():
        asyncio.run(host())
    for name in ("b_embed", "platform_app", "rack", "test_rack"):
        del sys.modules[name]
    assert granted(plane) == ["n1"]
    assert re.fullmatch(r"come again at \d{4}-\d\d-\d\dT\S+\+00:00\n", settle())
    assert granted(plane) == ["n1"]


def test_a_test_of_an_embedder_passes(control_plane_folder: Path, tmp_path: Path) -> None:
    """In a session of its own, which leaves neither a server nor a folder behind."""
    shutil.copy(EXAMPLES / "test_platform.py", tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
        env={**os.environ, "KUBEBUILDER_ASSETS": str(control_plane_folder), "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
    assert not list(temporary.glob("kubenode-controlplane-*"))
