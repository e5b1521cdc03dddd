"""Who we are to AWS, by each place of boto3's chain: EC2 hears that place's key, also after it was replaced."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest

from kubenode.providers import AuthFailed, CreateRequest, ProviderError, Unavailable
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings
from tests.providers.aws.fake import FakeEc2
from tests.providers.aws.loopback import KEYS, Server, serving

REQUEST = CreateRequest(
    token="t-1", machine="m1", params=AwsParams(instance_type="m7i.large", image="ami-1"), tags={}
)
ROLES = "/latest/meta-data/iam/security-credentials/"
TOKEN = "header.planted-web-token.sig"


class Lender(ThreadingHTTPServer):
    """The metadata service of an instance and of a container, and the Security Token Service.

    Attributes:
        number: of the key that is lent next.
        minutes: for how long.
        refuses: the status and code of the token service instead.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.number, self.minutes = 1, 360
        self.refuses: tuple[int, str] | None = None
        self.heard: list[str] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def lent(self, token: str) -> dict[str, str]:
        """Give what is lent now; the two services name the token differently."""
        until = f"{datetime.now(UTC) + timedelta(minutes=self.minutes):%Y-%m-%dT%H:%M:%SZ}"
        key = f"ASIALENT{self.number}"
        return {
            "AccessKeyId": key,
            "SecretAccessKey": "planted-secret",
            token: f"token-{self.number}",
            "Expiration": until,
        }

    def answer(self, method: str, path: str, headers: Any, form: dict[str, str]) -> tuple[int, str]:
        """Answer one request."""
        self.heard.append(f"{method} {path}")
        if form:
            return self.assumed(form)
        if path == "/container":
            known = headers["Authorization"] == "Bearer mine"
            return (200, json.dumps(self.lent("Token"))) if known else (403, "{}")
        if method == "PUT":
            return 200, "session-1"
        if headers["X-aws-ec2-metadata-token"] != "session-1":
            return 401, ""
        lent = {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": "2026-03-02T09:00:00Z",
            **self.lent("Token"),
        }
        return 200, "kubenode-role" if path == ROLES else json.dumps(lent)

    def assumed(self, form: dict[str, str]) -> tuple[int, str]:
        """Answer AssumeRoleWithWebIdentity."""
        if self.refuses is not None or form.get("WebIdentityToken") != TOKEN:
            status, code = self.refuses or (400, "InvalidIdentityToken")
            return (
                status,
                f"<ErrorResponse><Error><Code>{code}</Code><Message>{TOKEN}</Message></Error></ErrorResponse>",
            )
        lent = "".join(f"<{name}>{value}</{name}>" for name, value in self.lent("SessionToken").items())
        word = "AssumeRoleWithWebIdentity"
        return (
            200,
            f"<{word}Response><{word}Result><Credentials>{lent}</Credentials></{word}Result></{word}Response>",
        )


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Lender

    def do_GET(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        status, text = self.server.answer(self.command, self.path, self.headers, dict(parse_qsl(body)))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_PUT = do_POST = do_GET  # noqa: N815 - the names that the server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def lender() -> Iterator[Lender]:
    """Who lends credentials here."""
    server = Lender()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ec2() -> Iterator[Server]:
    """EC2, which says who called."""
    with serving(FakeEc2()) as server:
        yield server


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys in the environment, and nobody tries for long."""
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def provider(server: Server, **more: Any) -> AwsProvider:
    """Give a provider before that EC2."""
    return AwsProvider(
        AwsSettings(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}", **more)
    )


def error_of(call: Callable[[], object]) -> ProviderError:
    """Give the error of a call, when no secret is told by it."""
    with pytest.raises(ProviderError) as caught:
        call()
    error: BaseException | None = caught.value
    while error is not None:
        assert "planted" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    return caught.value


def web_identity(lender: Lender, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a pod with a role for its service account."""
    file = folder / "token"
    file.write_text(TOKEN)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/kubenode")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", lender.url)


def test_a_profile_of_the_shared_file(ec2: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the settings, or of the environment, or the default one; the settings' is not displaced by keys in the environment."""
    file = tmp_path / "credentials"
    sections = {"default": "AKIADEFAULT", "work": "AKIAWORK", "play": "AKIAPLAY"}
    file.write_text(
        "".join(
            f"[{name}]\naws_access_key_id={key}\naws_secret_access_key=planted\n"
            for name, key in sections.items()
        )
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    provider(ec2).find({}, None)
    provider(ec2, profile="work").find({}, None)
    monkeypatch.setenv("AWS_PROFILE", "play")
    provider(ec2).find({}, None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    provider(ec2, profile="work").find({}, None)
    assert [key for key, _ in ec2.keys] == ["AKIADEFAULT", "AKIAWORK", "AKIAPLAY", "AKIAWORK"]


def test_a_profile_that_is_not_there(ec2: Server) -> None:
    """It is told with what to look at, and nothing is sent by other keys."""
    error = error_of(lambda: provider(ec2, profile="nobody").create(REQUEST))
    assert type(error) is AuthFailed
    assert "ProfileNotFound" in str(error)
    assert ec2.keys == []


def test_a_pod_takes_on_its_role_by_its_token(
    ec2: Server, lender: Lender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Web identity: what is lent is sent, kept, and replaced before it ends."""
    web_identity(lender, tmp_path, monkeypatch)
    one = provider(ec2)
    one.find({}, None)
    one.find({}, None)
    assert (ec2.keys, lender.heard) == ([("ASIALENT1", "token-1")] * 2, ["POST /"])
    lender.minutes = 5
    short = provider(ec2)
    short.find({}, None)
    lender.number = 2
    short.find({}, None)
    assert ec2.keys[2:] == [("ASIALENT1", "token-1"), ("ASIALENT2", "token-2")]


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        ((400, "InvalidIdentityToken"), AuthFailed, "AssumeRoleWithWebIdentity gave no credentials (InvalidIdentityToken); look at the credentials"),
        ((403, "AccessDenied"), AuthFailed, "AccessDenied"),
        ((400, "IDPCommunicationError"), AuthFailed, "IDPCommunicationError"),
        ((503, "ServiceUnavailable"), Unavailable, "nothing was sent"),
        ((400, "Throttling"), Unavailable, "nothing was sent"),
    ],
)  # fmt: skip
def test_what_the_token_service_refuses_is_no_fault_of_the_create(
    refusal: tuple[int, str], kind: type[ProviderError], words: str,
    ec2: Server, lender: Lender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nothing was sent to EC2: neither is the instance looked for, nor are its parameters blamed."""
    web_identity(lender, tmp_path, monkeypatch)
    lender.refuses = refusal
    error = error_of(lambda: provider(ec2).create(REQUEST))
    assert type(error) is kind
    assert words in str(error)
    assert ec2.keys == []


def test_the_role_of_a_container(ec2: Server, lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the address and token in the environment, as EKS Pod Identity has it."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{lender.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer mine")
    provider(ec2).find({}, None)
    assert (ec2.keys, lender.heard) == ([("ASIALENT1", "token-1")], ["GET /container"])


def test_the_role_of_an_instance(ec2: Server, lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a session of the metadata service, version 2."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", lender.url)
    provider(ec2).find({}, None)
    assert ec2.keys == [("ASIALENT1", "token-1")]
    assert lender.heard == ["PUT /latest/api/token", f"GET {ROLES}", f"GET {ROLES}kubenode-role"]


def test_without_any_the_table_of_what_to_look_at_is_told(ec2: Server) -> None:
    """For a look and for a create alike: nothing was sent."""
    one = provider(ec2)
    for call in (lambda: one.find({}, None), lambda: one.create(attrs.evolve(REQUEST, token="t-2"))):
        error = error_of(call)
        assert type(error) is AuthFailed
        assert "no credentials (NoCredentialsError); look at the credentials" in str(error)
    assert ec2.keys == []
