"""The one home of the client of the management cluster: one request a call, answers as mappings, errors as meanings."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import attrs

from kubenode.core.errors import (
    Ambiguous,
    AuthFailed,
    Busy,
    Invalid,
    NotFound,
    ProviderError,
    Throttled,
    Unavailable,
)
from kubenode.providers.asking import Denied
from kubenode.providers.clusterapi.params import ClusterApiSettings
from kubenode.providers.clusterapi.reading import GROUP, VERSIONS
from kubenode.providers.pace import Pace

CONNECT_LIMIT = 3
READ_LIMIT = 20
"""In seconds. After the second the answer is lost, and what was asked for may be done."""
PAUSE: Final = timedelta(seconds=2)
TEXT: Final = 300
"""Most characters of what a server says that are told."""

MERGE: Final = "application/merge-patch+json"


@attrs.frozen(kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: Mapping[str, Any]
    retry_after: float | None = None


Send: TypeAlias = Callable[[str, str, Mapping[str, Any] | None], Answer]
"""Sends a method, a path with its query, and of a PATCH its body; raises when there is no answer."""

_MEANINGS: Mapping[int, type[ProviderError]] = MappingProxyType({
    401: AuthFailed, 403: Denied, 404: NotFound, 409: Busy, 429: Throttled,
})  # fmt: skip
_HINTS: Mapping[type[ProviderError], str] = MappingProxyType({
    AuthFailed: "look at kubeconfig and context of [clusterapi]",
    Denied: "give the controller the rights that docs/reference/cluster-api.md lists",
})  # fmt: skip


class Management:
    """The Machines, MachineDeployments and MachineSets of one namespace of a management cluster.

    Args:
        settings: where it is.
        pace: the budget of calls.
        send: sends requests; None: by the `kubernetes` package, as kubectl would.
    """

    def __init__(self, settings: ClusterApiSettings, pace: Pace, send: Send | None = None) -> None:
        self._settings = settings
        self._pace = pace
        self._lock = threading.Lock()
        self._send = send
        self._version = ""

    def __repr__(self) -> str:
        return f"Management(namespace={self._settings.namespace!r}, context={self._settings.context!r})"

    @property
    def namespace(self) -> str:
        """Where the Machines are."""
        return self._settings.namespace

    def version(self) -> str:
        """Give the version that is served, asked for once.

        Raises:
            Invalid: Cluster API is not there, or only in a version that is not known here.
        """
        return self._version or self.discovered()

    def discovered(self) -> str:
        """Ask which version is served. Raises as `version` does."""
        try:
            served = {one["version"] for one in self.ask("GET", f"/apis/{GROUP}")["versions"]}
        except NotFound:
            raise Invalid(
                f"this cluster serves no {GROUP}; fix: name the management cluster in [clusterapi]"
            ) from None
        known = [version for version in VERSIONS if version in served]
        if not known:
            raise Invalid(
                f"{GROUP} is served in {', '.join(sorted(served))}; known here: {', '.join(VERSIONS)}"
            )
        self._version = known[0]
        return self._version

    def get(self, resource: str, name: str) -> Mapping[str, Any]:
        """Give one object. Raises NotFound."""
        return self.ask("GET", self._path(resource, name))

    def page(self, resource: str, labels: str, limit: int, cursor: str = "") -> Mapping[str, Any]:
        """Give a page of the objects that a label selector selects, as a list of the API."""
        query = {"labelSelector": labels, "limit": str(limit), **({"continue": cursor} if cursor else {})}
        return self.ask("GET", f"{self._path(resource)}?{urlencode(query)}")

    def patch(
        self, resource: str, name: str, body: Mapping[str, Any], *, creates: bool = False, dry: bool = False
    ) -> Mapping[str, Any]:
        """Change an object by a merge patch; with a resourceVersion in it only as long as the object is at it.

        Raises:
            Busy: it is at another one.
            Ambiguous: the answer is lost.
        """
        query = "?dryRun=All" if dry else ""
        return self.ask("PATCH", self._path(resource, name) + query, body, writes=not dry, creates=creates)

    def delete(self, name: str, uid: str) -> None:
        """Delete a Machine, if it is still this one; one that is gone is no error."""
        try:
            self.ask("DELETE", self._path("machines", name), {"preconditions": {"uid": uid}}, writes=True)
        except NotFound:
            return

    def _path(self, resource: str, name: str = "") -> str:
        home = f"/apis/{GROUP}/{self.version()}/namespaces/{quote(self.namespace, safe='')}/{resource}"
        return f"{home}/{quote(name, safe='')}" if name else home

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, writes: bool = False, creates: bool = False
    ) -> Mapping[str, Any]:  # fmt: skip
        """Make one request.

        Args:
            method: of HTTP.
            path: with its query.
            body: of a PATCH or DELETE.
            writes: whether it changes something; then a lost answer is Ambiguous.
            creates: whether it may make a Machine; then whatever is not known is Ambiguous.
        """
        self._pace.go(writes=writes)
        lost = Ambiguous if writes else Unavailable
        what = f"{method} {path.partition('?')[0]}"
        try:
            answer = self._sender()(method, path, body)
        except ProviderError:
            raise
        except Exception as error:
            raise lost(f"{what}: no answer ({type(error).__name__})") from error
        if answer.status < 400:
            return answer.body
        raise self._refused(what, answer, lost)

    def _refused(self, what: str, answer: Answer, lost: type[ProviderError]) -> ProviderError:
        kind = _MEANINGS.get(answer.status, lost if answer.status >= 500 else Invalid)
        text = f"{what}: {answer.status} {str(answer.body.get('message', ''))[:TEXT]}"
        pause = PAUSE if answer.retry_after is None else timedelta(seconds=answer.retry_after)
        if kind is Throttled:
            self._pace.refused(pause)
            return kind(text, retry_after=pause)
        return kind(f"{text}; fix: {_HINTS[kind]}" if kind in _HINTS else text)

    def _sender(self) -> Send:
        with self._lock:
            if self._send is None:
                self._send = _kubernetes(self._settings)
            return self._send


def _kubernetes(settings: ClusterApiSettings) -> Send:
    """Give what sends by the `kubernetes` package.

    Raises:
        AuthFailed: there is no kubeconfig, or it is wrong.
        Invalid: the package is not installed.
    """
    try:
        from kubernetes import client as package
        from kubernetes import config as reader

        client, config = _untyped(package), _untyped(reader)
    except ImportError as missing:
        raise Invalid(
            f"Cluster API needs the package {missing.name}: pip install 'kubenode[clusterapi]'"
        ) from missing
    known = client.Configuration()
    try:
        if settings.kubeconfig or settings.context or not _in_pod(config, known):
            config.load_kube_config(
                config_file=settings.kubeconfig or None, context=settings.context or None, client_configuration=known,
                persist_config=False,
            )  # fmt: skip
    except Exception as error:
        raise AuthFailed(
            f"no kubeconfig that can be read ({type(error).__name__}); fix: {_HINTS[AuthFailed]}"
        ) from error
    known.retries = False  # whoever repeats is the core
    api = client.ApiClient(known)

    def send(method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        kind = MERGE if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json", **({"Content-Type": kind} if body is not None else {})}
        api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        answer: Any = api.call_api(
            method, known.host + path, header_params=headers, body=body, _request_timeout=(CONNECT_LIMIT, READ_LIMIT)
        )  # fmt: skip
        after = answer.getheader("Retry-After")
        return Answer(
            status=answer.status, body=json.loads(answer.read() or b"{}"),
            retry_after=float(after) if after and after.isdecimal() else None,
        )  # fmt: skip

    return send


def _untyped(module: Any) -> Any:
    return module


def _in_pod(config: Any, known: Any) -> bool:
    try:
        config.load_incluster_config(client_configuration=known)
    except config.ConfigException:
        return False
    return True
