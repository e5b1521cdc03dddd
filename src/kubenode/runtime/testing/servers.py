"""The command lines of the servers of a test control plane, and the files they read.

Lives here: flags, and nothing that runs. Everything listens on loopback, the API server on another address if asked, and talks TLS with certificates of
the control plane's own authority, so that a server which took over a port cannot be mistaken for ours.
"""

import json
from pathlib import Path
from typing import Final

import attrs

from kubenode.core.enrol.identity import AGENTS
from kubenode.runtime.testing.authority import LOOPBACK, Authority, new_signing_key

_CONTROLLERS: Final = (
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "taint-eviction-controller",
    "validatingadmissionpolicy-status-controller",
)
"""What nodes and their objects need; the others would only cost start-up time and noise."""

CONTROLLER_USER: Final = "system:serviceaccount:kubenode-system:kubenode-controller"
SECOND_USER: Final = "kubenode:test-second-controller"
"""Of these the reads are in the audit log too, so that a right that nobody uses is found."""
_WRITES: Final = ["create", "update", "patch", "delete", "deletecollection"]
_AUDIT_RULES: Final = (
    {"level": "Metadata", "users": [CONTROLLER_USER, SECOND_USER]},
    {"level": "Metadata", "verbs": _WRITES},
    {
        "level": "Metadata",
        "userGroups": [AGENTS],
        "resources": [{"group": "kubenode.dev", "resources": ["machinecomponents"]}],
    },
    {"level": "None"},
)
_AUDIT_BODIES: Final = {
    "level": "RequestResponse", "verbs": _WRITES,
    "resources": [{"group": "kubenode.dev"}, {"group": "coordination.k8s.io"}],
}  # fmt: skip


@attrs.frozen
class Servers:
    """The servers of one control plane: where their programs are, where their files, and what may differ.

    Attributes:
        audit_bodies: the audit log has the objects of writes of our kinds and of Leases, too.
        node_grace_s: after so many seconds without a word of its kubelet a Node is Unknown; None: as Kubernetes has it.
        address: the one address that the API server listens on.
    """

    binaries: Path
    folder: Path
    audit_bodies: bool = False
    node_grace_s: int | None = None
    address: str = LOOPBACK

    def write_files(self, authority: Authority) -> None:
        """Write the certificates, keys and policy that the command lines name."""
        self._pki.mkdir()
        authority.identity.write(self._pki, "ca")
        authority.server(self.address).write(self._pki, "server")
        authority.client("kubenode:test", ("system:masters",)).write(self._pki, "client")
        signing_key = self._pki / "service-account.key"
        signing_key.touch(mode=0o600)
        signing_key.write_bytes(new_signing_key())
        rules = (_AUDIT_BODIES, *_AUDIT_RULES) if self.audit_bodies else _AUDIT_RULES
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": rules,
        }
        self._audit_policy.write_text(json.dumps(policy))

    @property
    def ca_file(self) -> Path:
        """The authority's certificate."""
        return self._pki / "ca.crt"

    @property
    def client_files(self) -> tuple[Path, Path]:
        """Certificate and key of the client that probes the servers, and of the API server towards etcd."""
        return self._pki / "client.crt", self._pki / "client.key"

    @property
    def audit_log(self) -> Path:
        """Where the API server writes one JSON object a line for each write."""
        return self.folder / "audit.log"

    def log(self, name: str) -> Path:
        """Where the output of this server goes."""
        return self.folder / f"{name}.log"

    def etcd(self, port: int, peer_port: int) -> list[str]:
        """Return the command line of etcd; peers have no one to talk to here, but the port is obligatory."""
        clients, peers = f"https://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{peer_port}"
        return [
            str(self.binaries / "etcd"),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            f"--cert-file={self._pki / 'server.crt'}",
            f"--key-file={self._pki / 'server.key'}",
            f"--trusted-ca-file={self.ca_file}",
            "--client-cert-auth",
            "--unsafe-no-fsync",  # the data dies with the tests
            "--log-level=warn",
        ]

    def apiserver(self, port: int, etcd_port: int) -> list[str]:
        """Return the command line of kube-apiserver."""
        certificate, key = self.client_files
        signing_key = self._pki / "service-account.key"
        return [
            str(self.binaries / "kube-apiserver"),
            f"--etcd-servers=https://{LOOPBACK}:{etcd_port}",
            f"--etcd-cafile={self.ca_file}",
            f"--etcd-certfile={certificate}",
            f"--etcd-keyfile={key}",
            *self._serving(port, self.address),
            f"--client-ca-file={self.ca_file}",
            "--authorization-mode=Node,RBAC",
            "--enable-bootstrap-token-auth",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={signing_key}",
            f"--service-account-key-file={signing_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",  # no controller makes accounts here
            "--allow-privileged",
            # No network is needed, nor is there a service `kubernetes` to keep: loopback may not be in one.
            f"--advertise-address={self.address}",
            "--endpoint-reconciler-type=none",
            "--shutdown-watch-termination-grace-period=2s",  # else a stop waits a minute for open watches
            f"--audit-policy-file={self._audit_policy}",
            f"--audit-log-path={self.audit_log}",
        ]

    def controller_manager(self, port: int, kubeconfig: Path) -> list[str]:
        """Return the command line of kube-controller-manager."""
        return [
            str(self.binaries / "kube-controller-manager"),
            f"--kubeconfig={kubeconfig}",
            *self._serving(port),
            "--leader-elect=false",
            f"--cluster-signing-cert-file={self.ca_file}",
            f"--cluster-signing-key-file={self._pki / 'ca.key'}",
            f"--controllers={','.join(_CONTROLLERS)}",
            *(
                ("--node-monitor-period=1s", f"--node-monitor-grace-period={self.node_grace_s}s")
                if self.node_grace_s is not None
                else ()
            ),
        ]

    def _serving(self, port: int, address: str = LOOPBACK) -> tuple[str, ...]:
        return (
            f"--bind-address={address}",
            f"--secure-port={port}",
            f"--cert-dir={self._pki}",
            f"--tls-cert-file={self._pki / 'server.crt'}",
            f"--tls-private-key-file={self._pki / 'server.key'}",
        )

    @property
    def _pki(self) -> Path:
        return self.folder / "pki"

    @property
    def _audit_policy(self) -> Path:
        return self.folder / "audit-policy.json"
