"""TLS is on: who is not trusted, or is another than it says, hears nothing; and no instance is looked for because of it."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubenode.providers import CreateRequest, Invalid, ProviderError, Unavailable
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings
from kubenode.runtime.testing.authority import Authority
from tests.providers.aws.fake import FakeEc2
from tests.providers.aws.loopback import Server, serving

REQUEST = CreateRequest(
    token="t-1", machine="m1", params=AwsParams(instance_type="m7i.large", image="ami-1"), tags={}
)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A fake behind TLS as `localhost`, and the file of its authority."""
    authority = Authority.create()
    ca, _ = authority.identity.write(tmp_path, "ca")
    with serving(FakeEc2(), authority.server().write(tmp_path, "server")) as server:
        yield server, str(ca)


def refused(server: Server, host: str = "localhost", **more: Any) -> ProviderError:
    """Try to create; give the error, when nothing of it was heard."""
    url = f"https://{host}:{server.server_port}"
    provider = AwsProvider(AwsSettings(region="eu-west-1", endpoint_url=url, **more))
    with pytest.raises(ProviderError) as caught:
        provider.create(REQUEST)
    assert (server.fake.calls, server.keys) == ([], [])
    return caught.value


def test_an_endpoint_that_is_not_trusted_hears_nothing(secure: tuple[Server, str], tmp_path: Path) -> None:
    """By the authorities of boto3, and by a file of others: nothing was sent, so nothing may have been made."""
    server, _ = secure
    (tmp_path / "else").mkdir()
    other, _ = Authority.create().identity.write(tmp_path / "else", "ca")
    for error in (refused(server), refused(server, ca_bundle=str(other))):
        assert type(error) is Unavailable
        assert "not trusted, nothing was sent; name its authorities in ca_bundle of [aws]" in str(error)


def test_the_name_in_the_certificate_is_checked(
    secure: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate of a trusted authority for another name is none."""
    server, ca = secure
    real = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "ec2.example.test" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert type(refused(server, "ec2.example.test", ca_bundle=ca)) is Unavailable


def test_own_authorities_are_trusted(secure: tuple[Server, str]) -> None:
    """Those of ca_bundle; one call makes one instance, signed and over TLS."""
    server, ca = secure
    url = f"https://localhost:{server.server_port}"
    provider = AwsProvider(AwsSettings(region="eu-west-1", endpoint_url=url, ca_bundle=ca))
    made = provider.create(REQUEST)
    assert (list(server.fake.rows), server.fake.calls) == ([made.id], ["RunInstances"])
    provider.ec2.client().close()


def test_a_file_of_authorities_that_is_none(secure: tuple[Server, str], tmp_path: Path) -> None:
    """Not there, or no certificate: it is the settings' fault, and the file is named."""
    server, _ = secure
    assert type(error := refused(server, ca_bundle="/none.pem")) is Invalid
    assert "ca_bundle /none.pem of [aws] cannot be read; name a PEM file" in str(error)
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    assert type(error := refused(server, ca_bundle=str(text))) is Invalid
    assert "text.pem" in str(error)
