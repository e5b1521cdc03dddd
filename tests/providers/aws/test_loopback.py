"""Over a socket: what breaks there is ambiguous or unavailable, costs one call, and tells no secret."""

import base64
import logging
import socket
from collections.abc import Callable, Iterator
from functools import partial

import attrs
import pytest

from kubenode.providers import (
    Ambiguous,
    AuthFailed,
    CreateRequest,
    Invalid,
    Power,
    ProviderError,
    Throttled,
    TokenConflict,
    Unavailable,
)
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings, client
from tests.providers.aws.fake import FakeEc2, Refuse
from tests.providers.aws.loopback import KEYS, PLENTY, Server, serving

PARAMS = AwsParams(instance_type="m7i.large", image="ami-1")
SECRET = b"kubenode-planted-secret-on-the-wire"


@pytest.fixture
def server() -> Iterator[Server]:
    """A fake on the loopback."""
    with serving(FakeEc2()) as one:
        yield one


@pytest.fixture
def provider(server: Server) -> Iterator[AwsProvider]:
    """A provider before it, over a real socket."""
    one = AwsProvider(settings(server))
    yield one
    one.ec2.client().close()


def settings(server: Server) -> AwsSettings:
    """Settings that lead to the fake."""
    return AwsSettings(
        region="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}", burst=PLENTY
    )


def request(token: str = "t-1", params: AwsParams = PARAMS) -> CreateRequest[AwsParams]:
    """A create request with a secret."""
    return CreateRequest(token=token, machine="m1", params=params, tags={}, user_data=SECRET)


def error_of(call: Callable[[], object]) -> ProviderError:
    """Give the error of a call."""
    with pytest.raises(ProviderError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("fault", ["reset", "half", "hang", "html"])
def test_a_lost_answer_is_ambiguous_and_its_repeat_makes_no_second(
    fault: str, server: Server, provider: AwsProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reset, cut in half, too late, a proxy's page: the instance exists, and the token finds it."""
    monkeypatch.setattr(client, "READ_LIMIT", 1)
    server.faults = [fault]
    assert type(error_of(lambda: provider.create(request()))) is Ambiguous
    made = provider.create(request())
    assert list(server.fake.rows) == [made.id]
    assert server.fake.calls == ["RunInstances"] * 2, "one wire call each"


def test_a_lost_answer_of_each_method(server: Server, provider: AwsProvider) -> None:
    """A write may be done: Ambiguous. A look may be made again: Unavailable. One call each, also where boto3 would repeat."""
    made = provider.create(request()).id
    calls: dict[str, tuple[Callable[[], object], type[ProviderError]]] = {
        "DescribeInstances": (lambda: provider.get(made), Unavailable),
        "DescribeInstanceStatus": (lambda: provider.events(None), Unavailable),
        "GetConsoleOutput": (lambda: provider.console_log(made), Unavailable),
        "CreateTags": (lambda: provider.set_tags(made, {"a": "b"}), Ambiguous),
        "RebootInstances": (lambda: provider.power(made, Power.REBOOT, "p"), Ambiguous),
        "TerminateInstances": (lambda: provider.delete(made), Ambiguous),
    }
    for operation, (call, meaning) in calls.items():
        for fault in ("reset", "html") if operation == "DescribeInstances" else ("reset",):
            server.faults, server.fake.calls = [fault], []
            assert type(error_of(call)) is meaning
            assert server.fake.calls == [operation]


def test_what_boto3_repeats_by_itself_is_sent_once(server: Server, provider: AwsProvider) -> None:
    """Throttling, no capacity and 500s: boto3 would make three calls of each."""
    for code, status in (
        ("RequestLimitExceeded", 503),
        ("InsufficientInstanceCapacity", 500),
        ("InternalError", 500),
    ):
        fresh = AwsProvider(settings(server))
        server.fake.calls, server.fake.refusals = [], {"RunInstances": [Refuse(code, status)] * 5}
        error_of(partial(fresh.create, request()))
        assert server.fake.calls == ["RunInstances"]
        fresh.ec2.client().close()


def test_no_connection_is_unavailable_also_in_create() -> None:
    """Nothing was sent, so nothing was made."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider = AwsProvider(AwsSettings(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{port}"))
    error = error_of(lambda: provider.create(request()))
    assert type(error) is Unavailable
    assert "nothing was sent" in str(error)


def test_plain_http_to_a_tls_port_and_back_is_no_answer(server: Server) -> None:
    """A TLS client before a plain server gets no answer, and falls back to nothing."""
    secure = attrs.evolve(settings(server), endpoint_url=f"https://127.0.0.1:{server.server_port}")
    error = error_of(lambda: AwsProvider(secure).create(request()))
    assert type(error) in (Ambiguous, Unavailable)
    assert server.fake.calls == []


def test_no_secret_is_told_by_anything(
    server: Server,
    provider: AwsProvider,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither user data nor the secret key, in no form: in logs at DEBUG, errors, reprs, notes and output."""
    told: list[str] = []
    with caplog.at_level(logging.DEBUG):
        told.append(repr(provider.create(request())))
        told += [repr(provider), repr(provider.ec2), repr(request())]
        server.faults = ["", "reset"]
        server.fake.refusals = {
            "RunInstances": [Refuse("InvalidUserData.Malformed", text="the user data ...")]
        }
        calls: list[Callable[[], object]] = [
            lambda: provider.create(request()), lambda: provider.create(request()),
            lambda: provider.create(request("t-1", attrs.evolve(PARAMS, image="ami-2"))),
            lambda: provider.create(attrs.evolve(request(), user_data=SECRET * 1000)),
        ]  # fmt: skip
        for call in calls:
            error: BaseException | None = error_of(call)
            while error is not None:
                told += [str(error), repr(error), repr(vars(error))]
                error = error.__cause__ or error.__context__
    told += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    told += capsys.readouterr()
    assert any("RunInstances" in text for text in told), "the log was read"
    assert (
        sum(body.get("UserData") == base64.b64encode(SECRET).decode() for body in server.fake.bodies) >= 3
    ), "it was sent"
    forms = (
        SECRET.decode(),
        base64.b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode()[:20],
        SECRET.hex(),
        KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    assert [text for form in forms for text in told if form in text] == []


def test_a_vendors_text_is_not_repeated(server: Server, provider: AwsProvider) -> None:
    """AWS may quote what was sent; its code and the request's id say enough."""
    server.fake.refusals = {
        "RunInstances": [Refuse("InvalidParameterValue", text=f"value {SECRET.decode()} is wrong")]
    }
    error = error_of(lambda: provider.create(request()))
    assert type(error) is Invalid
    assert (
        str(error)
        == "RunInstances: InvalidParameterValue, request r-1; correct `spec.infrastructure.parameters`"
    )


def test_one_token_with_other_parameters_over_the_wire(server: Server, provider: AwsProvider) -> None:
    """IdempotentParameterMismatch is TokenConflict, with what to do."""
    provider.create(request())
    error = error_of(lambda: provider.create(request("t-1", attrs.evolve(PARAMS, image="ami-2"))))
    assert type(error) is TokenConflict
    assert "IdempotentParameterMismatch" in str(error)


def test_without_credentials_nothing_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is AuthFailed, and says nothing about an instance; so does a profile that is not there."""
    for name in KEYS:
        monkeypatch.delenv(name)
    provider = AwsProvider(settings(server))
    assert type(error_of(lambda: provider.get("i-01234567"))) is AuthFailed
    assert type(error_of(lambda: provider.create(request()))) is AuthFailed
    provider = AwsProvider(attrs.evolve(settings(server), profile="nobody"))
    assert type(error_of(lambda: provider.create(request()))) is AuthFailed
    assert server.fake.calls == []


def test_without_a_region_the_table_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard chain may name it; an endpoint it names is not taken, since that may be plain HTTP."""
    nowhere = AwsProvider(attrs.evolve(settings(server), region=""))
    assert "under [aws] of kubenode.toml" in str(error_of(lambda: nowhere.get("i-01234567")))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    provider = AwsProvider(AwsSettings())
    assert provider.ec2.region == "eu-north-1"
    assert provider.ec2.client().meta.endpoint_url == "https://ec2.eu-north-1.amazonaws.com"


def test_a_spent_budget_sends_nothing(server: Server) -> None:
    """Two calls a burst: the third is refused here, with the time to wait, and not sent."""
    provider = AwsProvider(attrs.evolve(settings(server), burst=2, calls_per_second=0.001))
    provider.find({}, None)
    provider.find({}, None)
    error = error_of(lambda: provider.find({}, None))
    assert type(error) is Throttled
    assert error.retry_after is not None
    assert error.retry_after.total_seconds() > 100
    assert len(server.fake.calls) == 2
    provider.ec2.client().close()
