"""How an agent reaches its server: what is taken from a kubeconfig, and what is refused with words."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from kubenode.core.enrol.identity import groups_of, user_of
from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.agent.connection import by_certificate, by_kubeconfig, by_token, server
from kubenode.runtime.agent.keys import belongs, fingerprint, new_key, new_request, organizations, valid
from kubenode.runtime.pkcs10 import read_request
from kubenode.runtime.store.client import Connection
from kubenode.runtime.testing.authority import Authority

URL = "https://10.0.0.1:6443"


@attrs.frozen
class Files:
    """An authority and an identity that it made, as files and as text."""

    folder: Path
    authority: Path
    both: Path
    certificate: bytes
    key: bytes


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One of each."""
    folder = tmp_path_factory.mktemp("files")
    made = Authority.create()
    identity = made.client(user_of("m1"), groups_of("uid-1"))
    authority, _ = made.identity.write(folder, "ca")
    certificate, key = identity.write(folder, "client")
    both = folder / "identity.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return Files(folder, authority, both, certificate.read_bytes(), key.read_bytes())


def config(files: Files, *, user: Mapping[str, Any] | None = None, cluster: Mapping[str, Any] | None = None, **more: Any) -> Path:  # fmt: skip
    """Write a kubeconfig."""
    data = base64.b64encode(files.authority.read_bytes()).decode()
    known = {"token": "t"} if user is None else user
    document = {
        "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": URL, "certificate-authority-data": data, **(cluster or {})}}],
        "users": [{"name": "u", "user": dict(known)}], **more,
    }  # fmt: skip
    path = files.folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_certificate_or_a_token_is_all_it_takes(files: Files) -> None:
    """With the authority that the server is checked against."""
    by_file = by_certificate(f"{URL}/", files.authority, files.both)
    assert (by_file.url, by_file.authorization()) == (URL, "")
    assert by_file.tls is not None
    assert by_file.tls.check_hostname
    assert [one["subject"] for one in by_file.tls.get_ca_certs()]
    assert by_token(URL, files.authority, "id.secret").authorization() == "Bearer id.secret"
    assert "secret" not in repr(by_token(URL, files.authority, "id.secret"))


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "10.0.0.1:6443", "https://", "file:///x", "https://a@b", "https://a?b", ""]
)
def test_a_server_is_https(url: str) -> None:
    """A token does not go over the wire for all to read."""
    with pytest.raises(InvalidObjectError, match="is no URL such as"):
        server(url)


def test_what_is_no_certificate_is_told(files: Files, tmp_path: Path) -> None:
    """With the name of the file; and never with what is in it."""
    junk = tmp_path / "junk"
    junk.write_text("junk")
    for act in (
        lambda: by_certificate(URL, files.authority, junk), lambda: by_certificate(URL, junk, files.both),
        lambda: by_token(URL, tmp_path / "none", "t"), lambda: by_certificate(URL, files.authority, files.authority),
    ):  # fmt: skip
        with pytest.raises(InvalidObjectError, match=r"is no certificate|holds no certificates") as raised:
            act()
        assert "BEGIN" not in str(raised.value)


def test_the_plain_part_of_a_kubeconfig_is_read(files: Files) -> None:
    """Data or files, relative to the kubeconfig; a token is read anew each time from its file."""
    encoded = {
        "client-certificate-data": base64.b64encode(files.certificate).decode(),
        "client-key-data": base64.b64encode(files.key).decode(),
    }
    found: Connection = by_kubeconfig(
        config(files, user=encoded, cluster={"tls-server-name": "api", "proxy-url": "http://p"})
    )
    assert (found.url, found.server_name, found.proxy, found.authorization()) == (URL, "api", "http://p", "")
    by_kubeconfig(config(files, user={"client-certificate": "client.crt", "client-key": "client.key"}))
    assert by_kubeconfig(config(files, user={"token": "t\n"})).authorization() == "Bearer t"
    token = files.folder / "token"
    token.write_text("one\n")
    by_file = by_kubeconfig(config(files, user={"tokenFile": "token"}))
    assert by_file.authorization() == "Bearer one"
    token.write_text("two\n")
    assert by_file.authorization() == "Bearer two"
    token.unlink()
    with pytest.raises(InvalidObjectError, match="cannot be read"):
        by_file.authorization()


WRONG: dict[str, dict[str, Any]] = {
    "a program": {"user": {"exec": {"command": "x"}, "token": "t"}},
    "another way": {"user": {"auth-provider": {"name": "gcp"}}},
    "nobody": {"user": {}},
    "no check": {"cluster": {"insecure-skip-tls-verify": True}},
    "no tls": {"cluster": {"server": "http://10.0.0.1"}},
    "no such context": {"current-context": "y"},
    "no contexts": {"contexts": None},
    "odd data": {"user": {"client-certificate-data": "%%%", "client-key-data": "%%%"}},
    "no authority": {"cluster": {"certificate-authority-data": base64.b64encode(b"junk").decode()}},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_an_agent_does_not_do_is_refused(files: Files, what: str) -> None:
    """It is told, with the file and what to do; never passed over."""
    with pytest.raises(InvalidObjectError) as raised:
        by_kubeconfig(config(files, **WRONG[what]))
    (problem,) = raised.value.problems
    assert problem.fix
    with pytest.raises(InvalidObjectError, match="cannot be read"):
        by_kubeconfig(files.folder / "none")


def test_a_request_says_who_and_nothing_else(files: Files) -> None:
    """As the controller takes it apart: subject and key, no extensions."""
    from kubenode.core import wire
    from kubenode.core.model.world import CertificateSigningRequest

    key = new_key()
    text = base64.b64encode(new_request(key, user_of("m1"), groups_of("uid-1"))).decode()
    raw = {
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "x", "uid": "u", "resourceVersion": "1"}, "spec": {"request": text, "signerName": "s"},
    }  # fmt: skip
    found = read_request(wire.read(raw, CertificateSigningRequest))
    assert found is not None
    assert (found.common_name, found.organizations) == (user_of("m1"), groups_of("uid-1"))
    assert (found.others, found.extras, found.key_fault, found.key) == ((), (), "", fingerprint(key))
    assert new_key() != key


def test_a_certificate_is_known_by_its_key(files: Files) -> None:
    """And says for whom it is, and how long."""
    assert belongs(files.certificate, files.key)
    assert not belongs(files.certificate, new_key())
    assert set(organizations(files.both.read_bytes())) == set(groups_of("uid-1"))
    begin, end = valid(files.certificate)
    assert begin < end
    for act in (
        lambda: valid(b"junk"),
        lambda: fingerprint(b"junk"),
        lambda: organizations(json.dumps({}).encode()),
    ):
        with pytest.raises(InvalidObjectError, match="cannot be read"):
            act()
