"""How the provider is found, and how it reaches a management cluster by the real client."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from kubenode import Plugins
from kubenode.core.errors import Ambiguous, AuthFailed, Invalid, Throttled, Unavailable
from kubenode.providers import (
    SupportsChecks,
    SupportsConsoleLog,
    SupportsEvents,
    SupportsGuard,
    SupportsPower,
)
from kubenode.providers.clusterapi import ClusterApiProvider, ClusterApiSettings, register_providers
from kubenode.providers.clusterapi.client import Answer
from tests.providers.clusterapi.fake import FakeManagement
from tests.providers.clusterapi.test_driver import asked, looked


def test_it_is_found_by_its_entry_point_with_its_settings() -> None:
    """Nothing is sent or imported when it is registered; its capabilities are its methods, and no others."""
    found = Plugins.discover({"clusterapi": {"namespace": "prod"}})
    one = found.providers["clusterapi"]
    assert found.origins["providers/clusterapi"] == f"kubenode-clusterapi (kubenode {version('kubenode')})"
    assert isinstance(one, ClusterApiProvider)
    assert one.management.namespace == "prod"
    assert isinstance(one, SupportsGuard)
    assert isinstance(one, SupportsChecks)
    for kind in (SupportsPower, SupportsEvents, SupportsConsoleLog):
        assert not isinstance(one, kind)


def test_without_its_extra_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it was not installed."""
    monkeypatch.setattr("kubenode.providers.clusterapi.find_spec", lambda name: None)

    class Nothing:
        def of(self, name: str, shape: Any) -> Any:
            return shape()

    assert register_providers(Nothing()) == []


class Served:
    """A management cluster on the loopback, with a token."""

    def __init__(self) -> None:
        self.fake = FakeManagement({"md-0": 1})
        self.tokens: list[str] = []
        self.types: list[str] = []
        self.instead: list[Answer] = []
        self.broken = False
        served = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                served.tokens.append(self.headers.get("Authorization", ""))
                length = int(self.headers.get("Content-Length", "0"))
                body = json.loads(self.rfile.read(length)) if length else None
                if body is not None:
                    served.types.append(self.headers["Content-Type"])
                answer = (
                    served.instead.pop()
                    if served.instead
                    else served.fake.send(self.command, self.path, body)
                )
                text = b"{" if served.broken else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(text)))
                if answer.retry_after is not None:
                    self.send_header("Retry-After", f"{answer.retry_after:.0f}")
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names are the server's

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def served() -> Iterator[Served]:
    """A server that ends with the test."""
    one = Served()
    thread = Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


def kubeconfig(folder: Path, url: str) -> str:
    """A kubeconfig with a token."""
    path = folder / "config"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": url}}], "users": [{"name": "u", "user": {"token": "t0p"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_the_real_client_says_what_we_mean(served: Served, tmp_path: Path) -> None:
    """Create, look, delete: with the token, merge patches, and a deletion with its precondition."""
    cloud = ClusterApiProvider(ClusterApiSettings(kubeconfig=kubeconfig(tmp_path, served.url), context="c"))
    made = cloud.create(asked()).id
    assert set(looked(cloud)) == {made}
    cloud.delete(made)
    assert served.fake.deleted == ["md-0-0002"]
    served.fake.put("machines", "lone", metadata={"labels": {}})
    lone = cloud.create(asked("create-2", type(asked().params)(machine="lone"))).id
    cloud.delete(lone)
    assert served.fake.deleted == ["md-0-0002", "lone"]
    assert set(served.tokens) == {"Bearer t0p"}
    assert set(served.types) == {"application/merge-patch+json", "application/json"}


def test_the_real_client_repeats_nothing(served: Served, tmp_path: Path) -> None:
    """What the server cannot do now is told, and how long it wants to be left alone; what it sends is not believed."""
    cloud = ClusterApiProvider(ClusterApiSettings(kubeconfig=kubeconfig(tmp_path, served.url)))
    cloud.management.version()
    served.instead = [Answer(status=503, body={"message": "away"})]
    with pytest.raises(Unavailable, match="away"):
        cloud.get("machines/a/t")
    served.broken = True
    with pytest.raises(Unavailable, match="no answer"):
        cloud.get("machines/a/t")
    served.broken = False
    served.instead = [Answer(status=429, body={}, retry_after=3.0)]
    with pytest.raises(Throttled) as found:
        cloud.get("machines/a/t")
    assert found.value.retry_after is not None
    assert (found.value.retry_after.total_seconds(), len(served.tokens)) == (3, 4)


def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """A create may have been heard all the same."""
    cloud = ClusterApiProvider(ClusterApiSettings(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:9")))
    with pytest.raises(Unavailable):
        cloud.get("machines/a/t")
    with pytest.raises(Ambiguous):
        cloud.create(asked())


def test_a_kubeconfig_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a pod; what is in it is not."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for settings in (ClusterApiSettings(), ClusterApiSettings(kubeconfig=str(tmp_path / "none"))):
        with pytest.raises(AuthFailed, match="look at kubeconfig and context"):
            ClusterApiProvider(settings).get("machines/a/t")


def test_in_a_pod_its_service_account_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no kubeconfig is named."""
    asked_of: list[object] = []
    monkeypatch.setattr(
        "kubernetes.config.load_incluster_config", lambda client_configuration: asked_of.append(1)
    )
    monkeypatch.setattr("kubernetes.config.load_kube_config", lambda **_: asked_of.append(2))
    cloud = ClusterApiProvider(ClusterApiSettings())
    with pytest.raises((Unavailable, Invalid)):
        cloud.get("machines/a/t")
    assert asked_of == [1]
