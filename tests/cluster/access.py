"""Who is who on a test control plane: clients with credentials of any kind, and requests for certificates as agents make them."""

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kubenode.core.lease import CONTROLLER
from kubenode.core.model.world import SIGNER
from kubenode.runtime.documents import to_yaml
from kubenode.runtime.manifests import install, read_role
from kubenode.runtime.testing import ControlPlane
from kubenode.runtime.testing.servers import SECOND_USER

CSRS: Final = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MACHINES: Final = "/apis/kubenode.dev/v1alpha1/machines"
SECRETS: Final = "/api/v1/namespaces/kube-system/secrets"
MERGE: Final = "application/merge-patch+json"


class Client:
    """Whoever has a certificate and its key (PEM), or a bearer token."""

    def __init__(
        self, plane: ControlPlane, *, token: str = "", certificate: bytes = b"", key: bytes = b""
    ) -> None:
        self._keeps = False
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(plane.ca_file)
        if certificate:
            with tempfile.TemporaryDirectory(dir=plane.folder) as folder:
                path = Path(folder) / "client.pem"
                path.write_bytes(certificate + key)
                tls.load_cert_chain(path)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        address, _, port = plane.url.removeprefix("https://").partition(":")
        self._connection = http.client.HTTPSConnection(address, int(port), timeout=30, context=tls)

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        """Make one request; give the status and the document."""
        raw = None if body is None else json.dumps(body)
        told = {**self._headers, **(headers or {}), "Content-Type": content_type}
        try:
            answer = self._answer(method, path, raw, told)
            text = answer.read()
        finally:
            if not self._keeps:
                self._connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")

    def _answer(
        self, method: str, path: str, raw: str | None, told: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """Ask; once more where the server has ended a connection that was kept."""
        try:
            self._connection.request(method, path, raw, dict(told))
            return self._connection.getresponse()
        except http.client.RemoteDisconnected:
            self._connection.close()
            self._connection.request(method, path, raw, dict(told))
            return self._connection.getresponse()

    @contextmanager
    def kept(self) -> Iterator[Self]:
        """Keep the connection for many requests."""
        self._keeps = True
        try:
            yield self
        finally:
            self._keeps = False
            self._connection.close()

    def get(self, path: str) -> Any:
        """Give an object, None when there is none."""
        status, found = self.call("GET", path)
        assert status in (200, 404), found
        return found if status == 200 else None


def admin(plane: ControlPlane) -> Client:
    """Give a client that may do all."""
    return _client(plane, plane.admin_kubeconfig)


def certified(plane: ControlPlane, user: str, groups: tuple[str, ...]) -> Client:
    """Give a client with a certificate of the control plane's own authority."""
    return _client(plane, plane.kubeconfig(user, groups))


def _client(plane: ControlPlane, kubeconfig: Path) -> Client:
    user = json.loads(kubeconfig.read_text())["users"][0]["user"]
    certificate, key = (base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
    return Client(plane, certificate=certificate, key=key)


def let_read(boss: Client, machine: Any) -> None:
    """Let the agent of a Machine read it, as `kubenode machine token` does."""
    for role in read_role(machine):
        path = f"/apis/{role['apiVersion']}/{role['kind'].lower()}s"
        assert boss.call("POST", path, role)[0] == 201


def grant_second(plane: ControlPlane) -> None:
    """Give another user the rights of the controller: who did what is told apart in the audit log."""
    bindings = []
    for one in install():
        if one["kind"].endswith("Binding") and one["metadata"]["name"] == CONTROLLER:
            subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": SECOND_USER}
            metadata = {**one["metadata"], "name": "second"}
            bindings.append({**one, "metadata": metadata, "subjects": [subject]})
    plane.kubectl("apply", "-f", "-", input=to_yaml(bindings))


def pem(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Give a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@attrs.frozen(kw_only=True)
class Asked:
    """What a request asks for; by default, what a good agent does."""

    name: str
    user: str
    groups: Sequence[str]
    key: Any = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    extensions: Sequence[x509.ExtensionType] = ()
    more: Sequence[x509.NameAttribute] = ()
    usages: Sequence[str] = ("client auth", "digital signature")
    seconds: int | None = 3600
    signer: str = SIGNER
    said: Mapping[str, Any] = attrs.field(factory=dict)

    def body(self) -> Any:
        """Give the CertificateSigningRequest."""
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in self.groups]
        names += [*self.more, x509.NameAttribute(NameOID.COMMON_NAME, self.user)]
        draft = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
        for extension in self.extensions:
            draft = draft.add_extension(extension, critical=False)
        text = base64.b64encode(draft.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)).decode()
        spec = {"request": text, "signerName": self.signer, "usages": list(self.usages), **self.said}
        if self.seconds is not None:
            spec["expirationSeconds"] = self.seconds
        return {
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": self.name}, "spec": spec,
        }  # fmt: skip


def conditions(request: Any) -> dict[str, str]:
    """Give type and reason of what was answered to a request."""
    return {one["type"]: one["reason"] for one in request.get("status", {}).get("conditions", ())}


def machine_body(name: str) -> Any:
    """Give a Machine as people write it."""
    return {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": name},
        "spec": {"host": {"address": "10.0.0.1"}},
    }  # fmt: skip
