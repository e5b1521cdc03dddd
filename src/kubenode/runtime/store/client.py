"""How to reach an API server: a kubeconfig or the pod's own files, read by the `kubernetes` package.

The only home of that package, and the only thing asked of it: where the server is, whom it is to trust,
and who we are. What is said to the server is `transport.py`'s. Reading may run a credential plugin and
blocks, so callers do it in a thread.
"""

import logging
import os
import ssl
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import attrs

from kubenode.core.errors import InvalidObjectError, Problem

_DEFAULT_FILE: Final = "~/.kube/config"
_FIX: Final = "name one with --kubeconfig, set KUBECONFIG, or run in a pod with a service account"
_MEND: Final = "mend it (kubectl config view shows how it is read), or name another one with --kubeconfig"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_LOADING: Final = threading.Lock()
"""The package remembers its files by their content: two loads at once would use each other's."""


def _nobody() -> str:
    return ""


@attrs.frozen(kw_only=True, eq=False)
class Connection:
    """Where an API server is, how its certificate is checked, and who we are.

    Attributes:
        url: without a slash at the end; it may have a path.
        tls: None for a plain `http` URL. Holds the client certificate.
        authorization: gives the Authorization header, or empty; renews the token when it is about to
            expire, which may run a program: not to be called in the event loop. Raises InvalidObjectError
            when it cannot.
        server_name: the name that the server's certificate must have, when it is not the URL's host.
        proxy: the proxy to go through, or None.
    """

    url: str
    tls: ssl.SSLContext | None = None
    authorization: Callable[[], str] = attrs.field(default=_nobody, repr=False)
    server_name: str | None = None
    proxy: str | None = attrs.field(default=None, repr=False)


def load(kubeconfig: Path | None = None, context: str | None = None) -> Connection:
    """Read how to reach the API server.

    Args:
        kubeconfig: its path. None takes the files of `$KUBECONFIG`, then `~/.kube/config`, then what
            Kubernetes puts into every pod.
        context: a context of the kubeconfig; None takes its current one.

    Raises:
        ModuleNotFoundError: the extra `kube` is not installed.
        InvalidObjectError: there is no kubeconfig, or it is wrong.
    """
    try:
        from kubernetes import client, config
    except ModuleNotFoundError as missing:
        message = f"a real cluster needs the package {missing.name}: pip install 'kubenode[kube]'"
        raise ModuleNotFoundError(message, name=missing.name) from missing
    settings = client.Configuration()
    # From here on a proxy in it is one that the kubeconfig names.
    settings.proxy = None
    paths = _paths(kubeconfig, context)
    with _explained(paths), _LOADING:
        if not paths:
            return _pod(config, settings)
        # The package writes certificate data into files; they live until the TLS context has read them.
        with tempfile.TemporaryDirectory(prefix="kubenode-") as scratch:
            return _user(config, settings, paths, context, scratch)


def _pod(config: Any, settings: Any) -> Connection:
    config.load_incluster_config(client_configuration=settings)
    return _connection(settings, "")


def _user(config: Any, settings: Any, paths: str, context: str | None, scratch: str) -> Connection:
    _check_names(config, paths, context)
    with _Overheard() as overheard:
        config.load_kube_config(
            config_file=paths, context=context, client_configuration=settings, temp_file_path=scratch
        )
    if overheard.errors and not settings.api_key and not settings.cert_file:
        # Without credentials the server would take us for anonymous, and refuse for another reason.
        raise ValueError(f"no credentials: {overheard.errors[-1]}")
    return _connection(settings, paths)


def _check_names(config: Any, paths: str, context: str | None) -> None:
    """See to it that there are the context and its user; without the user we would be anonymous, and never know.

    Raises:
        ConfigException: the files cannot be read.
        _Unknown: there is no such context, or not that user.
    """
    merged = _plain(config.kube_config.KubeConfigMerger(paths).config)
    if merged is None:
        return  # no such file, which the package says
    contexts, users = (
        {one["name"]: one for one in map(_plain, _plain(merged.get(key)) or ())}
        for key in ("contexts", "users")
    )
    name = context or merged.get("current-context")
    if context and context not in contexts:
        raise _Unknown(
            f"there is no context {context}", f"take one of its contexts: {', '.join(sorted(contexts))}"
        )
    user = contexts[name]["context"].get("user") if name in contexts else None
    if user and user not in users:
        text = f"context {name} is of the user {user}, who is not there"
        raise _Unknown(
            text, f"add that user (kubectl config set-credentials {user} ...), or take another context"
        )


def _plain(node: Any) -> Any:
    """Give what a node of the package's merged configuration holds; parts of it are nodes, others are not."""
    return getattr(node, "value", node)


class _Unknown(ValueError):
    """A kubeconfig names what is not in it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


class _Overheard(logging.Handler):
    """What the package tells the root logger and nobody else: why a credential plugin failed.

    While it listens the root logger has a handler, so `logging.error` does not configure one for the host.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root" and record.thread == self._thread:
            self.errors.append(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


def _there(paths: str) -> bool:
    """Tell whether any of the files exists; an empty part, as in `KUBECONFIG=:`, is none."""
    return any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)


@contextmanager
def _explained(paths: str) -> Iterator[None]:
    """Turn what is wrong with a configuration into a problem of it."""
    import yaml  # an agent, which reads no kubeconfig by this, would keep it in memory
    from kubernetes.config import ConfigException

    try:
        yield
    except (
        ConfigException,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        yaml.YAMLError,
    ) as error:
        # Odd YAML fails in the package in any of these ways.
        what, fix = str(error).removesuffix(".") or type(error).__name__, _MEND if paths else _FIX
        if isinstance(error, _Unknown):
            fix = error.fix
        elif isinstance(error, ConfigException) and paths and not _there(paths):
            what, fix = "there is no such file", _FIX
        elif not isinstance(error, ConfigException | OSError | yaml.YAMLError | ValueError):
            what = f"it is no kubeconfig ({type(error).__name__}: {what})"
        problem = Problem(where=paths or "kubeconfig", what=what, fix=fix)
        raise InvalidObjectError((problem,)) from error


def _paths(kubeconfig: Path | None, context: str | None) -> str:
    """Name the kubeconfig files to read, separated as in KUBECONFIG; empty for the pod's own files."""
    if kubeconfig is not None:
        return str(kubeconfig)
    paths = os.environ.get("KUBECONFIG") or _DEFAULT_FILE
    # Who names a context means a kubeconfig, in a pod too.
    return paths if _there(paths) or context is not None else ""


def _connection(settings: Any, paths: str) -> Connection:
    url = str(settings.host).rstrip("/")
    proxy = settings.proxy or _proxy(url)
    if proxy and urlsplit(proxy).scheme not in ("http", "https"):
        raise ValueError(f"the proxy {urlsplit(proxy).hostname} is not an HTTP one")
    return Connection(
        url=url,
        tls=_tls(settings) if url.startswith("https://") else None,
        authorization=partial(_authorization, settings, paths),
        server_name=settings.tls_server_name or None,
        proxy=proxy or None,
    )


def _authorization(settings: Any, paths: str) -> str:
    with _explained(paths), _Overheard():
        # A token read from a file may end in a newline, which no header can hold.
        return str(settings.get_api_key_with_prefix("BearerToken") or "").strip()


def _tls(settings: Any) -> ssl.SSLContext:
    # Not the default context: it refuses authorities without key identifiers, which old clusters have.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    if not settings.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    elif settings.ssl_ca_cert:
        tls.load_verify_locations(settings.ssl_ca_cert)
    else:
        tls.load_default_certs()
    if settings.cert_file:
        tls.load_cert_chain(settings.cert_file, settings.key_file)
    return tls


def _proxy(url: str) -> str | None:
    """Name the proxy of the environment; as in kubectl, never for loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _LOOPBACK or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
