"""Instances that enrol by user data: from a Machine to an agent that reports, through what each cloud was sent, on a real server.

The SDKs are the real ones, in front of fakes on the loopback. The first boot is played from the very bytes that came with
RunInstances; the agent that it installs and starts is the real one.
"""

import asyncio
import base64
import json
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.enrol import decide
from kubenode.core.enrol.identity import BOOTSTRAPPERS, token_group
from kubenode.core.lease import CONTROLLER
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.controller.rights import ENROL
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.embed import Engine, Plugins
from kubenode.runtime.record import Recorder
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from kubenode.runtime.testing.servers import CONTROLLER_USER
from kubenode.runtime.userdata.settings import UserDataSettings
from tests.cluster.access import MACHINES, SECRETS, admin, certified
from tests.providers.aws.loopback import keys
from tests.providers.regions import Region, calls, ec2, ecs
from tests.userdata.boot import booted, config_of
from tests.userdata.bundles import served
from tests.userdata.given import NOW, settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

KUBENODE = Path(sys.executable).with_name("kubenode")
PATIENCE = 90.0
OWN = "#cloud-config\npackages: [chrony]\n"


@pytest.fixture(scope="module")
def plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of its own: an engine acts on the whole of it."""
    with ControlPlane.start(control_plane_folder) as running:
        install(running, user_data=True)
        yield running


def made(region: Region) -> list[bytes]:
    """Give the user data of each RunInstances that a cloud was sent."""
    asked = [params for params in region.heard() if params["Action"] == region.words["create"]]
    return [base64.b64decode(params["UserData"]) for params in asked]


def manifest(region: Region, name: str) -> Any:
    """Give a Machine as a person writes it."""
    infrastructure = {
        "provider": region.provider.name, "parameters": dict(region.parameters), "agent": "UserData", "userData": OWN,
    }  # fmt: skip
    body = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": name}}
    return {**body, "spec": {"infrastructure": infrastructure, "drain": {"timeout": "1s"}}}


@contextmanager
def agent(folder: Path) -> Iterator[None]:
    """Run what the unit starts, with the paths of the folder."""
    root = folder / "root"
    env = dict(line.split("=", 1) for line in (root / s.ENV[1:]).read_text().splitlines())
    unit = (root / s.UNIT_FILE[1:]).read_text()
    (start,) = (
        line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")
    )
    words = [
        word
        for one in shlex.split(start)
        for word in [env.get(one.strip("${}"), "") if one.startswith("$") else one]
        if word
    ]
    argv = [f"{root}{word}" if word.startswith(("/opt/", "/etc/")) else word for word in words]
    with (folder / "agent.log").open("wb") as log:
        running = subprocess.Popen(
            [*argv, "--no-detect", "--state-dir", f"{root}{s.STATE}", "--node", env["MACHINE"]],
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            running.terminate()
            running.wait(timeout=60)


def test_an_agent_enrols_from_the_bytes_that_its_cloud_was_sent(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On both clouds: one create, one token, which is spent in the end, and a secret that nobody was told but the cloud."""
    keys(tmp_path, monkeypatch)
    monkeypatch.setattr(decide, "FETCHED_WITHIN", timedelta(seconds=3))
    caplog.set_level(logging.DEBUG)
    boss, records = admin(plane), tmp_path / "records"
    with ExitStack() as stack:
        regions = (stack.enter_context(ec2()), stack.enter_context(ecs(tmp_path)))
        program = f'#!/bin/sh\nexec {KUBENODE} "$@"\n'
        url, sha256 = stack.enter_context(served(tmp_path / "web", program))
        wanted = settings(
            server=plane.url,
            authority=plane.ca_file.read_text(),
            key=os.urandom(32),
            bundle_url=url,
            bundle_sha256=sha256,
        )
        secrets = asyncio.run(_story(plane, regions, wanted, tmp_path, records))
    for region in regions:
        assert (calls(region)["create"], region.made()) == (1, 1)
    told = [caplog.text, records.read_text(), json.dumps(boss.get(MACHINES))]
    told += [path.read_text(errors="replace") for path in tmp_path.glob("boot-*/agent.log")]
    for secret in secrets:
        assert not any(secret in text for text in told)


async def _story(
    plane: ControlPlane, regions: tuple[Region, ...], wanted: UserDataSettings, folder: Path, records: Path
) -> list[str]:
    names = {region: f"ud-{region.provider.name}" for region in regions}

    async def until(what: str, holds: Callable[[], object]) -> None:
        end = asyncio.get_running_loop().time() + PATIENCE
        while not await asyncio.to_thread(holds):
            for region in regions:
                region.tick()
            logs = [path.read_text()[-2000:] for path in folder.glob("boot-*/agent.log")]
            assert asyncio.get_running_loop().time() < end, f"{what}: {admin(plane).get(MACHINES)} {logs}"
            await asyncio.sleep(0.2)

    def stored(region: Region) -> Any:
        return admin(plane).get(f"{MACHINES}/{names[region]}")

    async def enrolled(region: Region, name: str) -> str:
        """Boot from what its cloud was sent; give the secret half of its token."""
        await until(f"a create of {name}", lambda: made(region))
        (raw,) = made(region)
        attempt = stored(region)["status"]["instance"]["attempt"]
        token = wanted.token(name, stored(region)["metadata"]["uid"], attempt, NOW)
        files = {one["path"]: one["content"] for one in config_of(raw)["write_files"]}
        assert files[s.TOKEN] == f"{token.text}\n"
        boot = folder / f"boot-{name}"
        ended = await asyncio.to_thread(booted, raw, boot)
        assert (ended.returncode, ended.stderr) == (0, "")
        with agent(boot):
            await until(f"a report of {name}", lambda: stored(region)["status"].get("agent"))
            await until(
                f"the end of {name}'s token",
                lambda: (stored(region)["status"].get("enrolment") or {}).get("spent"),
            )
        assert stored(region)["status"]["enrolment"]["tokenID"] == token.id
        assert admin(plane).get(f"{SECRETS}/bootstrap-token-{token.id}") is None
        return token.secret

    plugins = Plugins.given(providers=[region.provider for region in regions])
    config = plane.kubeconfig(CONTROLLER_USER)
    with Recorder(records) as recorder:
        async with KubeStore.connect(kubeconfig=config, field_manager="kubenode") as store:
            engine = Engine(
                store,
                plugins=plugins,
                controllers=(*NAMES, ENROL),
                user_data=wanted,
                sinks={"kept": recorder},
            )
            async with engine:
                for region, name in names.items():
                    status, answer = admin(plane).call("POST", MACHINES, manifest(region, name))
                    assert status == 201, answer
                secrets = await asyncio.gather(*(enrolled(region, name) for region, name in names.items()))
    return secrets


def token_body(**change: Any) -> Any:
    """Give a Secret as the controller makes one."""
    uid = "0b1e5a52-7f0e-4a0c-8a3c-0d8f3a1c2b4d"
    data = {
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "expiration": "2030-01-01T00:00:00Z",
        "usage-bootstrap-authentication": "true", "auth-extra-groups": f"{BOOTSTRAPPERS},{token_group(uid)}",
        **change.pop("data", {}),
    }  # fmt: skip
    metadata = {"name": "bootstrap-token-abcdef", "labels": {"kubenode.dev/machine": "m1"}}
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "metadata": metadata,
        "stringData": {key: value for key, value in data.items() if value}, **change,
    }  # fmt: skip


REFUSED = {
    "another secret": {"type": "Opaque"},
    "of no machine": {"metadata": {"name": "bootstrap-token-abcdef"}},
    "of other groups": {"data": {"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"}},
    "of more groups": {"data": {"auth-extra-groups": f"{BOOTSTRAPPERS},{token_group('0b1e5a52-7f0e-4a0c-8a3c-0d8f3a1c2b4d')},system:bootstrappers:x"}},
    "of no groups": {"data": {"auth-extra-groups": ""}},
    "for signing": {"data": {"usage-bootstrap-signing": "true"}},
    "for nothing": {"data": {"usage-bootstrap-authentication": ""}},
}  # fmt: skip


def test_the_controller_makes_tokens_of_machines_and_no_other_secret(plane: ControlPlane) -> None:
    """RBAC alone would let it make any Secret of kube-system; it reads none, not even what it made."""
    user, boss = certified(plane, CONTROLLER_USER, ()), admin(plane)
    assert CONTROLLER in CONTROLLER_USER
    for name, change in REFUSED.items():
        status, answer = user.call("POST", SECRETS, token_body(**json.loads(json.dumps(change))))
        assert (status, "kubenode makes only bootstrap tokens of machines" in answer["message"]) == (
            403,
            True,
        ), (name, answer)
    assert user.call("POST", SECRETS, token_body())[0] == 201
    path = f"{SECRETS}/bootstrap-token-abcdef"
    assert user.call("GET", path)[0] == 403
    assert (
        boss.call(
            "POST",
            SECRETS,
            token_body(metadata={"name": "bootstrap-token-ghijkl"}, data={"token-id": "ghijkl"}),
        )[0]
        == 201
    )
    assert user.call("DELETE", path)[0] == 200
    assert user.call("DELETE", f"{SECRETS}/bootstrap-token-ghijkl")[0] == 403, "somebody else's"
