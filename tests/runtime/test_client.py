"""How the API server is found: kubeconfigs as people have them, the pod's own files, and what is wrong with them."""

import asyncio
import base64
import json
import ssl
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubenode.core.errors import InvalidObjectError, ObjectNotFound, Unreachable
from kubenode.core.model import Machine
from kubenode.runtime.store import client
from kubenode.runtime.store.client import Connection, load
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing.authority import Authority


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let temporary files go to a folder that can be looked at; hide the machine's own settings."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)
    return folder


def kubeconfig(path: Path, server: str, user: Mapping[str, Any] | None = None, **cluster: Any) -> Path:
    """Write a kubeconfig with one context, `main`."""
    named = {name.replace("_", "-"): value for name, value in cluster.items()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **named}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "main",
    }
    path.write_text(json.dumps(config))
    return path


def coded(pem: bytes) -> str:
    """Write a PEM as kubeconfigs hold it."""
    return base64.b64encode(pem).decode()


def problem(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """Load a configuration that is wrong, and give what is said about it."""
    with pytest.raises(InvalidObjectError) as found:
        load(kubeconfig, context)
    return str(found.value)


def test_certificates_in_a_kubeconfig_are_used_and_no_file_is_left(tmp_path: Path, scratch: Path) -> None:
    """A server that asks for our certificate sees it; certificate data leaves no file behind, twice."""
    authority = Authority.create()
    ours, theirs = authority.client("kubenode:agent:m1", ()), authority.server()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*theirs.write(tmp_path, "server"))
    (tmp_path / "ca.crt").write_bytes(authority.identity.certificate)
    tls.load_verify_locations(tmp_path / "ca.crt")
    tls.verify_mode = ssl.CERT_REQUIRED
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.append(request.transport.get_extra_info("peercert")["subject"][-1][0][1])
        return web.json_response({"kind": "Status", "code": 404}, status=404)

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        path = kubeconfig(
            tmp_path / "config",
            f"https://127.0.0.1:{runner.addresses[0][1]}/",
            {"client-certificate-data": coded(ours.certificate), "client-key-data": coded(ours.key)},
            certificate_authority_data=coded(authority.identity.certificate),
        )
        for _ in range(2):
            async with KubeStore.connect(kubeconfig=path) as store:
                with pytest.raises(ObjectNotFound):
                    await store.get(Machine.KIND, "m1")
            assert list(scratch.iterdir()) == []
        stranger = kubeconfig(tmp_path / "other", f"https://127.0.0.1:{runner.addresses[0][1]}")
        async with KubeStore.connect(kubeconfig=stranger) as store:
            with pytest.raises(Unreachable, match="no trust in 127"):
                await store.get(Machine.KIND, "m1")
        await runner.cleanup()

    asyncio.run(main())
    assert seen == ["kubenode:agent:m1"] * 2


def test_a_context_chooses_among_clusters(tmp_path: Path) -> None:
    """The named context is taken, or said to be missing."""
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1/prefix/")
    config = json.loads(path.read_text())
    config["clusters"].append({"name": "d", "cluster": {"server": "http://127.0.0.1:2"}})
    config["contexts"].append({"name": "second", "context": {"cluster": "d", "user": "u"}})
    path.write_text(json.dumps(config))
    assert load(path).url == "http://127.0.0.1:1/prefix"
    assert load(path, "second").url == "http://127.0.0.1:2"
    assert "third" in problem(path, "third")


def test_a_token_becomes_the_header(tmp_path: Path) -> None:
    """From the file itself, or from a file it names, whose last newline is no part of it."""
    plain = load(kubeconfig(tmp_path / "a", "http://127.0.0.1:1", {"token": "secret"}))
    (tmp_path / "token").write_text("kept\n")
    named = load(kubeconfig(tmp_path / "b", "http://127.0.0.1:1", {"tokenFile": "token"}))
    nobody = load(kubeconfig(tmp_path / "c", "http://127.0.0.1:1"))
    assert [each.authorization() for each in (plain, named, nobody)] == ["Bearer secret", "Bearer kept", ""]
    assert "secret" not in repr(plain)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "word", "current-context: x", "{clusters: 7, contexts: 7, users: 7, current-context: x}",
        "{clusters: [7], contexts: [{name: x, context: 7}], users: [], current-context: x}",
    ],
)  # fmt: skip
def test_a_wrong_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    """Whatever is wrong in it, the message begins with the file, and says what to do."""
    path = tmp_path / "config"
    path.write_text(text)
    said = problem(path)
    assert said.startswith(f"{path}: ")
    assert "fix: mend it" in said


def test_what_cannot_be_text_is_named_too(tmp_path: Path) -> None:
    """Neither is a folder."""
    path = tmp_path / "config"
    path.write_bytes(b"\xff\xfe")
    for wrong in (path, tmp_path):
        assert "fix: mend it" in problem(wrong)


def test_a_context_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    """With or without a current one; one that is there needs no current one."""
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    assert f"{path}: there is no context prod" in problem(path, "prod")
    assert "fix: take one of its contexts: main" in problem(path, "prod")
    config = json.loads(path.read_text())
    del config["current-context"]
    path.write_text(json.dumps(config))
    assert "fix: take one of its contexts: main" in problem(path, "prod")
    assert load(path, "main").url == "http://127.0.0.1:1"


def test_a_context_of_a_user_who_is_not_there_is_told(tmp_path: Path) -> None:
    """The package would go without credentials; a context that names nobody may."""
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    config = json.loads(path.read_text())
    config["users"] = []
    path.write_text(json.dumps(config))
    assert "context main is of the user u, who is not there" in problem(path)
    assert "fix: add that user (kubectl config set-credentials u ...)" in problem(path, "main")
    del config["contexts"][0]["context"]["user"]
    path.write_text(json.dumps(config))
    assert load(path).authorization() == ""


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is in the message; without any, the message says what to do."""
    assert str(tmp_path / "nowhere") in problem(tmp_path / "nowhere")
    assert "fix: name one with --kubeconfig" in problem()
    assert "~/.kube/config: there is no such file" in problem(context="prod")


def test_an_empty_part_of_kubeconfig_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder one stands in is not what `KUBECONFIG=:` names."""
    monkeypatch.setenv("KUBECONFIG", ":")
    assert "there is no such file" in problem(context="prod")


def test_a_bad_certificate_is_a_problem_of_the_kubeconfig(tmp_path: Path) -> None:
    """Data that is no certificate is found when it is read."""
    path = kubeconfig(
        tmp_path / "config", "https://127.0.0.1:1", certificate_authority_data=coded(b"nonsense")
    )
    assert problem(path).startswith(str(path))


def test_the_usual_places_are_looked_at_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$KUBECONFIG before ~/.kube/config; files in it that do not exist are passed over."""
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", "http://127.0.0.1:1")
    assert load().url == "http://127.0.0.1:1"
    second = kubeconfig(tmp_path / "second", "http://127.0.0.1:2")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'nowhere'}:{second}")
    assert load().url == "http://127.0.0.1:2"


def test_a_pod_needs_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    """The service account's files and variables are enough, on a read-only file system too."""
    from kubernetes.config import incluster_config

    (tmp_path / "token").write_text("mine\n")
    (tmp_path / "ca.crt").write_bytes(Authority.create().identity.certificate)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    found = load()
    assert (found.url, found.authorization()) == ("https://192.0.2.1:443", "bearer mine")
    assert found.tls is not None
    assert found.tls.check_hostname


def test_a_credential_plugin_that_breaks_later_is_a_problem(tmp_path: Path) -> None:
    """Renewing the token may fail long after the start: the message names the kubeconfig."""
    renewed = client._authorization

    class Settings:
        def get_api_key_with_prefix(self, _: str) -> str:
            raise FileNotFoundError("aws")

    with pytest.raises(InvalidObjectError, match="config: aws"):
        renewed(Settings(), "config")


def test_a_proxy_is_taken_from_kubeconfig_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """proxy-url goes before the environment; loopback and NO_PROXY go without; only HTTP ones can be spoken to."""
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.9:3128")
    monkeypatch.setenv("NO_PROXY", "192.0.2.8")

    def proxy(server: str, **cluster: str) -> str | None:
        return load(kubeconfig(tmp_path / "config", server, None, **cluster)).proxy

    assert proxy("https://192.0.2.1") == "http://192.0.2.9:3128"
    assert proxy("https://192.0.2.8") is None
    assert proxy("https://127.0.0.1") is None
    assert proxy("https://127.0.0.1", proxy_url="http://192.0.2.7:1") == "http://192.0.2.7:1"
    path = kubeconfig(tmp_path / "config", "https://192.0.2.1", proxy_url="socks5://192.0.2.7:1")
    assert "not an HTTP one" in problem(path)


def test_checks_can_be_waived(tmp_path: Path) -> None:
    """insecure-skip-tls-verify turns checks off; tls-server-name says whom to expect."""
    waived = load(kubeconfig(tmp_path / "a", "https://192.0.2.1", insecure_skip_tls_verify=True))
    named = load(kubeconfig(tmp_path / "b", "https://192.0.2.1", tls_server_name="api.example"))
    assert waived.tls is not None
    assert (waived.tls.verify_mode, waived.server_name) == (ssl.CERT_NONE, None)
    assert named.tls is not None
    assert (named.tls.verify_mode, named.server_name) == (ssl.CERT_REQUIRED, "api.example")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is loaded late, and its absence names the extra."""
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'kubenode\[kube\]'"):
        load()


def test_a_connection_without_credentials_sends_none() -> None:
    """A plain URL is all a test needs."""
    assert Connection(url="http://127.0.0.1:1").authorization() == ""
