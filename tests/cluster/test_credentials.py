"""Who we are on a real server: a pod's service account, and a plugin that kubeconfig names; both are renewed while we run."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kubenode.core.model import Node
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane
from tests.cluster.access import Client
from tests.cluster.waiting import until

pytestmark = pytest.mark.cluster

NODES = "/api/v1/nodes"


def pod(plane: ControlPlane, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Be in a pod whose token is in the folder: no kubeconfig anywhere."""
    from kubernetes.config import incluster_config

    patch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(folder / "token"))
    patch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(plane.ca_file))
    host, _, port = plane.url.removeprefix("https://").rpartition(":")
    patch.setenv("KUBERNETES_SERVICE_HOST", host)
    patch.setenv("KUBERNETES_SERVICE_PORT", port)
    patch.setenv("HOME", str(folder))
    patch.delenv("KUBECONFIG", raising=False)


def plugin(plane: ControlPlane, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have a kubeconfig whose user is a program, which prints the token in the folder."""
    program = folder / "plugin"
    program.write_text(
        '#!/bin/sh\nprintf \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        f'"status": {{"token": "%s"}}}}\' "$(cat {folder}/token)"\n'
    )
    program.chmod(0o755)
    config = json.loads(plane.admin_kubeconfig.read_text())
    said = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(program),
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": said}
    (folder / "kubeconfig").write_text(json.dumps(config))
    patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))


@pytest.mark.parametrize("way", [pod, plugin], ids=["pod", "plugin"])
def test_a_token_that_ended_is_replaced_while_we_run(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    way: Callable[[ControlPlane, Path, pytest.MonkeyPatch], None],
) -> None:  # fmt: skip
    """The account is made anew, so the server knows the old token no more: the call that meets its 401 is answered."""
    plane, name = control_plane, f"who-{way.__name__}"

    def account() -> str:
        """Make the service account, and write its token."""
        plane.kubectl("create", "serviceaccount", name)
        token = plane.kubectl("create", "token", name).strip()
        (tmp_path / "token").write_text(token)
        return token

    plane.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--serviceaccount=default:{name}")  # fmt: skip
    old = account()
    way(plane, tmp_path, monkeypatch)

    async def main() -> None:
        async with KubeStore.connect() as store:
            await store.find(Node.KIND)
            plane.kubectl("delete", "serviceaccount", name)
            account()
            gone = Client(plane, token=old)
            await asyncio.to_thread(until, "its end", lambda: gone.call("GET", NODES)[0] == 401)
            await store.find(Node.KIND)

    try:
        asyncio.run(main())
    finally:
        plane.kubectl("delete", "clusterrolebinding", name)
        plane.kubectl("delete", "serviceaccount", name)
