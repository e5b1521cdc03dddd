"""How an agent reaches its API server: a URL, whom to trust, and its own credentials; or the plain part of a kubeconfig.

The package `kubernetes` is not asked, since it alone would fill the memory that an agent may take.
"""

import base64
import binascii
import ssl
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime.store.client import Connection

_FIX: Final = "use --server, --ca and --token-file, or a kubeconfig with a certificate or a token in it"


def by_certificate(url: str, authority: Path, identity: Path) -> Connection:
    """Give how to reach a server with a certificate; a file holds it, and its key. Raises InvalidObjectError."""
    tls = _trusting(authority)
    try:
        tls.load_cert_chain(identity)
    except (OSError, ssl.SSLError) as error:
        raise _wrong(str(identity), f"is no certificate with its key: {error}") from error
    return Connection(url=server(url), tls=tls)


def by_token(url: str, authority: Path, token: str) -> Connection:
    """Give how to reach a server with a token. Raises InvalidObjectError."""
    return Connection(url=server(url), tls=_trusting(authority), authorization=lambda: f"Bearer {token}")


def server(url: str) -> str:
    """Give the URL of a server as it is used. Raises InvalidObjectError when it is not https."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise _wrong(
            "--server", f"{url!r} is no URL such as https://10.0.0.1:6443", "as in https://10.0.0.1:6443"
        )
    return url.rstrip("/")


def _trusting(authority: Path) -> ssl.SSLContext:
    tls = _context()
    try:
        tls.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise _wrong(str(authority), f"holds no certificates in PEM: {error}") from error
    return tls


def _context() -> ssl.SSLContext:
    # Not the default context: it refuses authorities without key identifiers, which old clusters have.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def by_kubeconfig(path: Path) -> Connection:
    """Give how to reach the server of a kubeconfig's current context.

    Raises:
        InvalidObjectError: it cannot be read, or asks for what an agent does not do, such as running a program.
    """
    import yaml  # an agent with a certificate of its own never needs it

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(found, "contexts", found["current-context"], "context")
        cluster = _named(found, "clusters", context["cluster"], "cluster")
        user = _named(found, "users", context["user"], "user")
        return _connection(path.parent, cluster, user)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        yaml.YAMLError,
        binascii.Error,
    ) as error:
        raise _wrong(str(path), f"cannot be read: {type(error).__name__}: {error}"[:300]) from error


def _named(found: Any, kind: str, name: str, part: str) -> Mapping[str, Any]:
    for one in found[kind]:
        if one["name"] == name:
            return dict(one[part])
    raise LookupError(f"there is none of the name {name!r} in {kind}")


def _connection(folder: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> Connection:
    odd = sorted({"exec", "auth-provider", "username"} & user.keys())
    if odd:
        raise ValueError(f"an agent does not do {odd[0]}")
    url = server(str(cluster["server"]))
    tls = _context()
    authority = _data(folder, cluster, "certificate-authority")
    if cluster.get("insecure-skip-tls-verify"):
        raise ValueError("an agent does not do insecure-skip-tls-verify")
    if authority is None:
        tls.load_default_certs()
    else:
        tls.load_verify_locations(cadata=authority.decode("ascii"))
    certificate, key = _data(folder, user, "client-certificate"), _data(folder, user, "client-key")
    if certificate is not None and key is not None:
        with tempfile.TemporaryDirectory(prefix="kubenode-") as scratch:
            both = Path(scratch, "both.pem")
            both.touch(mode=0o600)
            both.write_bytes(certificate + b"\n" + key)
            tls.load_cert_chain(both)
    elif "token" not in user and "tokenFile" not in user:
        raise ValueError("there is neither a certificate with its key nor a token in it")
    return Connection(
        url=url, tls=tls, authorization=_token(folder, user), server_name=cluster.get("tls-server-name") or None,
        proxy=cluster.get("proxy-url") or None,
    )  # fmt: skip


def _token(folder: Path, user: Mapping[str, Any]) -> Callable[[], str]:
    if "tokenFile" in user:
        return partial(_read_token, folder / str(user["tokenFile"]))
    token = str(user.get("token") or "").strip()
    return lambda: f"Bearer {token}" if token else ""


def _read_token(path: Path) -> str:
    try:
        return f"Bearer {path.read_text(encoding='ascii').strip()}"
    except (OSError, ValueError) as error:
        raise _wrong(str(path), f"cannot be read: {error}") from error


def _data(folder: Path, part: Mapping[str, Any], name: str) -> bytes | None:
    if f"{name}-data" in part:
        return base64.b64decode(part[f"{name}-data"], validate=True)
    return (folder / str(part[name])).read_bytes() if name in part else None


def _wrong(where: str, what: str, fix: str = _FIX) -> InvalidObjectError:
    return InvalidObjectError((Problem(where=where, what=what, fix=fix),))
