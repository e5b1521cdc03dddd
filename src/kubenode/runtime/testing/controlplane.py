"""A real control plane on this machine: started, asked and ended by tests.

Lives here: the life of it and what a test asks of it. The flags are in `servers`, the certificates in
`authority`, what makes sure that nothing is left running in `supervise`.
"""

import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from kubenode.core.errors import KubenodeError
from kubenode.runtime.testing.supervise import Supervisor, SupervisorLostError

if TYPE_CHECKING:
    from kubenode.runtime.testing.authority import Authority
    from kubenode.runtime.testing.servers import Servers

_READY_WITHIN_S: Final = 120.0
_PROBE_EVERY_S: Final = 0.05
_PROBE_TIMEOUT_S: Final = 5.0
_PORT_ATTEMPTS: Final = 5
_LOG_LINES: Final = 20
_LOOPBACK: Final = "127.0.0.1"

_ETCD: Final = "etcd"
_APISERVER: Final = "kube-apiserver"
_CONTROLLER_MANAGER: Final = "kube-controller-manager"


class ControlPlaneError(KubenodeError):
    """Says what a server or kubectl of the test control plane answered, or why it did not start."""


class _PortTakenError(Exception):
    """Says that another process was faster to listen on the port that was free a moment ago."""


class ControlPlane:
    """A running etcd, kube-apiserver and kube-controller-manager, with an authority of their own.

    As a context manager it stops at the end of the block. Nothing is left when the process that started it
    ends in any other way, by SIGKILL too: the servers are killed and the folder is removed in about a second.
    One thread at a time may call its methods; the servers themselves serve any number of clients.

        with ControlPlane.start(Path("bin")) as control_plane:
            control_plane.kubectl("get", "nodes")
    """

    def __init__(self, servers: "Servers", authority: "Authority", supervisor: Supervisor) -> None:
        """Hold what `start` has made; call that instead."""
        self._servers = servers
        self._authority = authority
        self._supervisor = supervisor
        self._kubeconfigs: dict[tuple[str, tuple[str, ...]], Path] = {}
        self._etcd_port = 0
        self._apiserver_command: list[str] = []
        self._apiserver_port = 0
        # The default context would be fooled by SSL_CERT_FILE; this trusts our authority and no other.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.load_verify_locations(servers.ca_file)
        self._tls.load_cert_chain(*servers.client_files)

    @classmethod
    def start(
        cls, binaries: Path, workdir: Path | None = None, *, controller_manager: bool = True,
        audit_bodies: bool = False, node_grace_s: int | None = None, address: str = _LOOPBACK,
    ) -> Self:  # fmt: skip
        """Start the servers and return when they answer that they are ready, after one to five seconds.

        Args:
            binaries: the folder with `etcd`, `kube-apiserver`, `kube-controller-manager` and `kubectl`.
            workdir: where to make the folder for data, logs and certificates; the system's temporary folder
                when None. The folder made there is removed at the end, `workdir` itself is not.
            controller_manager: whether to run it: garbage collection, signing of certificates, status of
                disruption budgets, the taints of silent nodes.
            audit_bodies: whether the audit log has the objects that writes of our kinds and of Leases left.
            node_grace_s: after so many seconds without a word of its kubelet a Node is Unknown; None: as
                Kubernetes has it.
            address: the one IPv4 address of this machine that the API server listens on; the other servers
                stay on loopback. Everything in the network of another address can talk to it.

        Raises:
            ControlPlaneError: the extra is not installed, or a server does not start within two minutes or
                ends; the message has the end of its log.
        """
        try:
            from kubenode.runtime.testing.authority import Authority  # an extra
            from kubenode.runtime.testing.servers import Servers
        except ModuleNotFoundError as missing:
            raise ControlPlaneError(
                f"a test control plane needs the package {missing.name}: pip install 'kubenode[test]'"
            ) from missing
        folder = Path(tempfile.mkdtemp(prefix="kubenode-controlplane-", dir=workdir and workdir.absolute()))
        supervisor = Supervisor(folder)
        try:
            servers = Servers(binaries.absolute(), folder, audit_bodies, node_grace_s, address)
            authority = Authority.create()
            servers.write_files(authority)
            running = cls(servers, authority, supervisor)
            running._launch(controller_manager=controller_manager)
        except BaseException:
            supervisor.close()
            raise
        return running

    def __enter__(self) -> Self:
        """Return itself, already running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def url(self) -> str:
        """Where the API server listens, without a slash at the end."""
        return f"https://{self._servers.address}:{self._apiserver_port}"

    @property
    def folder(self) -> Path:
        """The folder of data, logs and certificates; it is gone after `stop`."""
        return self._servers.folder

    @property
    def ca_file(self) -> Path:
        """The certificate, PEM, to verify the API server with."""
        return self._servers.ca_file

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: a JSON object a line for every write, and for every read of a controller or of components by an agent, at level Metadata."""
        return self._servers.audit_log

    @property
    def admin_kubeconfig(self) -> Path:
        """The kubeconfig of a member of system:masters, who may do everything."""
        return self.kubeconfig("kubenode:test-admin", ("system:masters",))

    def kubeconfig(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Return the kubeconfig of a user, who may do what RBAC grants and at first nothing.

        The user has a client certificate of their own, made when first asked for. The server adds the group
        `system:authenticated`.

        Args:
            user: the user's name, for example `system:node:n1`.
            groups: the groups the user is in, for example `("system:nodes",)`.

        Returns:
            The same path each time for the same user and groups; the file holds everything it needs.

        Raises:
            ValueError: the user is empty, or longer than the 64 characters that X.509 allows.
        """
        path = self._kubeconfigs.get((user, groups))
        if path is None:
            path = self.folder / f"user-{len(self._kubeconfigs)}.kubeconfig"
            content = _kubeconfig(self.url, self.ca_file, self._authority, user, groups)
            path.touch(mode=0o600)
            path.write_text(content)
            self._kubeconfigs[user, groups] = path
        return path

    def kubectl(self, *args: str, input: str | None = None) -> str:
        """Run kubectl as the admin and return what it printed on standard output.

        Args:
            args: its arguments; `--kubeconfig` among them makes it another user.
            input: what it reads from standard input, for `apply -f -`; nothing when None.

        Raises:
            ControlPlaneError: it failed; the message has what it printed on standard error.
        """
        done = subprocess.run(
            [str(self._servers.binaries / "kubectl"), *args],
            # The user's own settings and caches stay out of it.
            env={**os.environ, "HOME": str(self.folder), "KUBECONFIG": str(self.admin_kubeconfig)},
            input=input or "",
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode != 0:
            raise ControlPlaneError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def restart_apiserver(self) -> None:
        """Stop the API server in order, start it again at the same URL, and return when it is ready.

        Raises:
            ControlPlaneError: it does not come back within two minutes.
        """
        try:
            with _explained():
                self._supervisor.stop(_APISERVER)
            self._run(_APISERVER, self._apiserver_command, self._apiserver_port, "/readyz")
        except _PortTakenError as taken:
            raise ControlPlaneError(
                f"another process took {self.url} while the API server was away"
            ) from taken

    def compact(self) -> int:
        """Let etcd forget all history up to now, and return the revision: watches from before it are refused with 410.

        The API server keeps its own history in memory; restart it, and that is forgotten, too.

        Raises:
            ControlPlaneError: etcd refuses, or does not answer.
        """
        found = self._ask_etcd("/v3/kv/range", {"key": "AA=="})
        revision = int(found["header"]["revision"])
        self._ask_etcd("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def stop(self) -> None:
        """Kill the servers and remove the folder; return when both are done; may be called again."""
        self._supervisor.close()

    def _launch(self, *, controller_manager: bool) -> None:
        servers = self._servers
        etcd_port = self._run_on_free_port(_ETCD, lambda port: servers.etcd(port, _free_port()), "/health")
        self._etcd_port = etcd_port
        self._apiserver_port = self._run_on_free_port(
            _APISERVER, lambda port: servers.apiserver(port, etcd_port), "/readyz"
        )
        self._apiserver_command = servers.apiserver(self._apiserver_port, etcd_port)
        if controller_manager:
            kubeconfig = self.kubeconfig("system:kube-controller-manager", ("system:masters",))
            self._run_on_free_port(
                _CONTROLLER_MANAGER, lambda port: servers.controller_manager(port, kubeconfig), "/healthz"
            )

    def _run_on_free_port(self, name: str, command: Callable[[int], list[str]], path: str) -> int:
        """Start a server on a port that is free, and return the port when the server is ready."""
        for _ in range(_PORT_ATTEMPTS):
            port = _free_port()
            try:
                self._run(name, command(port), port, path)
            except _PortTakenError:
                self._servers.log(name).unlink()
                continue
            return port
        raise ControlPlaneError(
            f"{name} found none of {_PORT_ATTEMPTS} ports free that were free just before"
        )

    def _run(self, name: str, command: list[str], port: int, path: str) -> None:
        """Start a server and return when it answers ok."""
        log = self._servers.log(name)
        address = self._servers.address if name == _APISERVER else _LOOPBACK
        with _explained():
            try:
                self._supervisor.start(name, command, log)
            except OSError as failed:
                raise ControlPlaneError(f"{name} cannot be run: {failed}") from failed
            deadline = time.monotonic() + _READY_WITHIN_S
            while (answer := self._probe(address, port, path)) is not None:
                code = self._supervisor.exit_code(name)
                if code is not None:
                    if "address already in use" in log.read_text(errors="replace"):
                        raise _PortTakenError
                    raise ControlPlaneError(f"{name} ended with code {code}; its log ends:\n{_tail(log)}")
                if time.monotonic() > deadline:
                    raise ControlPlaneError(
                        f"{name} is not ready after {_READY_WITHIN_S:.0f} s: {answer}; its log ends:\n{_tail(log)}"
                    )
                time.sleep(_PROBE_EVERY_S)

    def _ask_etcd(self, path: str, question: dict[str, object]) -> Any:
        """Ask etcd by its JSON gateway."""
        try:
            status, body = self._say(_LOOPBACK, self._etcd_port, "POST", path, json.dumps(question))
        except (OSError, http.client.HTTPException) as failed:
            raise ControlPlaneError(f"etcd {path}: {failed}") from failed
        if status != http.client.OK:
            raise ControlPlaneError(f"etcd {path}: {status} {body}")
        return json.loads(body)

    def _probe(self, address: str, port: int, path: str) -> str | None:
        """Return None when the server answers ok, else what it answers."""
        try:
            status, body = self._say(address, port, "GET", path)
        except (OSError, http.client.HTTPException) as failed:
            return str(failed)
        return None if status == http.client.OK else f"{status} {body}"

    def _say(
        self, address: str, port: int, method: str, path: str, said: str | None = None
    ) -> tuple[int, str]:
        """Return status and body of an answer."""
        # Not urllib: a proxy in the environment is for other hosts.
        connection = http.client.HTTPSConnection(address, port, timeout=_PROBE_TIMEOUT_S, context=self._tls)
        try:
            connection.request(method, path, body=said)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the loss of the supervising process into an error of the control plane."""
    try:
        yield
    except SupervisorLostError as lost:
        raise ControlPlaneError(f"the control plane is gone: {lost}") from lost


def _kubeconfig(url: str, ca_file: Path, authority: "Authority", user: str, groups: tuple[str, ...]) -> str:
    identity = authority.client(user, groups)
    cluster = {"server": url, "certificate-authority-data": b64encode(ca_file.read_bytes()).decode()}
    credentials = {
        "client-certificate-data": b64encode(identity.certificate).decode(),
        "client-key-data": b64encode(identity.key).decode(),
    }
    return json.dumps(  # which is YAML
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        },
        indent=2,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
