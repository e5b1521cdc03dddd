"""Who we are to Alibaba Cloud: each place of the standard chain, in order, until it ends, and what is said when there is none."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.providers import AuthFailed, ProviderError, Unavailable
from kubenode.providers.aliyun import AliyunSettings, Client, Credentials
from kubenode.providers.aliyun.chain import StandardChain
from kubenode.providers.aliyun.codes import Call
from kubenode.providers.conformance.looking import causes, logged
from kubenode.runtime.testing.authority import Authority
from tests.providers.aliyun.identities import ROLES, Lender, lending
from tests.providers.aliyun.rig import rig, server

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
UNTIL = "2026-03-02T15:00:00Z"
KEYS = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "env-key", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "env-secret"}
OFF = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
TOKEN = "header.planted-oidc-token.sig"


class Host:
    """A host that kubenode runs on: its environment, home and clock."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.given: dict[str, str] = {}
        self.now = START
        self.more: dict[str, Any] = {}

    def write(self, name: str, text: str) -> Path:
        """Write a file below the home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def chain(self, **more: Any) -> StandardChain:
        """Give a chain as it is on this host."""
        return StandardChain(
            environment=self.given,
            home=self.home,
            now=lambda: self.now,
            **{"metadata": "127.0.0.1:1", **self.more, **more},
        )

    def rrsa(self) -> Path:
        """Be a pod with RRSA; give the file of its token."""
        path = self.write("token", f"{TOKEN}\n")
        self.given |= {
            "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/kubenode", "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(path),
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/ack",
        }  # fmt: skip
        return path

    def cli(self, *profiles: dict[str, str], current: str = "default") -> None:
        """Write what the vendor's command line writes."""
        self.write(".aliyun/config.json", json.dumps({"current": current, "profiles": profiles}))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with nothing on it."""
    return Host(tmp_path)


@pytest.fixture
def metadata() -> Iterator[Lender]:
    """A metadata service of an instance with a role."""
    with lending() as server:
        server.lend("role-key", UNTIL)
        yield server


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[tuple[Lender, str]]:
    """A Security Token Service, and the file of who is to be trusted for it."""
    authority = Authority.create()
    ca, _ = authority.identity.write(tmp_path, "ca")
    with lending(authority.server().write(tmp_path, "server")) as server:
        server.lend("oidc-key", UNTIL)
        server.tokens = {TOKEN}
        yield server, str(ca)


def error_of(chain: Callable[[], object]) -> ProviderError:
    """Give the error, when it and all it comes from tell no secret."""
    with pytest.raises(ProviderError) as caught:
        chain()
    told = [f"{error} {error!r} {vars(error)}" for error in causes([caught.value])]
    assert not [text for text in told if "planted" in text or "secret-of" in text or "token-of" in text]
    return caught.value


def test_the_environment_comes_first(host: Host, metadata: Lender) -> None:
    """Before a file and the role of the instance; keys that are changed there are used from the next call on."""
    host.given |= KEYS
    host.cli({"name": "default", "mode": "AK", "access_key_id": "cli-key", "access_key_secret": "x"})
    chain = host.chain(metadata=metadata.address)
    assert chain() == Credentials(key_id="env-key", secret="env-secret")
    host.given["ALIBABA_CLOUD_ACCESS_KEY_ID"] = "env-key-2"
    assert chain().key_id == "env-key-2"
    assert metadata.heard == []


def test_a_pod_takes_on_its_role_by_its_token(host: Host, sts: tuple[Lender, str]) -> None:
    """RRSA, before files: the token goes over TLS in the body, and what was lent is kept until 15 minutes before its end."""
    server, ca = sts
    file = host.rrsa()
    host.cli({"name": "default", "mode": "AK", "access_key_id": "cli-key", "access_key_secret": "x"})
    chain = host.chain(sts_endpoint=server.address, ca_file=ca)
    with logged() as said:
        made = chain()
    assert (made.key_id, made.token) == ("oidc-key", "token-of-oidc-key")
    assert made.until == datetime(2026, 3, 2, 15, tzinfo=UTC)
    ((method, path, form),) = server.heard
    assert (method, path) == ("POST", "/"), "nothing of it is in the address"
    assert form["RoleArn"] == "acs:ram::1:role/kubenode"
    assert form["OIDCProviderArn"] == "acs:ram::1:oidc-provider/ack"
    assert (form["OIDCToken"], form["DurationSeconds"], form["RoleSessionName"]) == (
        TOKEN,
        "3600",
        "kubenode",
    )
    assert TOKEN not in " ".join(said)
    assert "token-of" not in repr(made)
    host.now += timedelta(hours=5, minutes=44, seconds=59)
    assert chain() is made
    assert len(server.heard) == 1
    server.lend("oidc-key-2", "2026-03-02T20:00:00Z")
    server.tokens = {"rotated"}
    file.write_text("rotated")
    host.now += timedelta(seconds=1)
    assert chain().key_id == "oidc-key-2", "by the token that is there then"


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        ((400, "AuthenticationFail.OIDCToken.Expired"), AuthFailed, "AuthenticationFail.OIDCToken.Expired (HTTP 400); fix: the trust of the role names"),
        ((403, "no code\nat all"), AuthFailed, "AssumeRoleWithOIDC: no credentials (HTTP 403)"),
        ((503, "ServiceUnavailable"), Unavailable, "HTTP 503"),
        ((429, "Throttling"), Unavailable, "HTTP 429"),
    ],
)  # fmt: skip
def test_what_the_token_service_refuses(
    refusal: tuple[int, str], kind: type[ProviderError], words: str, host: Host, sts: tuple[Lender, str]
) -> None:
    """A person is needed, or it is to be tried again; the next place is not asked, which may be another account."""
    server, ca = sts
    host.rrsa()
    host.cli({"name": "default", "mode": "AK", "access_key_id": "cli-key", "access_key_secret": "x"})
    server.refuses = [refusal]
    error = error_of(host.chain(sts_endpoint=server.address, ca_file=ca))
    assert type(error) is kind
    assert words in str(error)
    assert len(server.heard) == 1


def test_the_token_service_has_to_be_trusted(host: Host, sts: tuple[Lender, str], tmp_path: Path) -> None:
    """Before the token is sent; a file of authorities that is none is named."""
    server, _ = sts
    host.rrsa()
    (tmp_path / "else").mkdir()
    other, _ = Authority.create().identity.write(tmp_path / "else", "ca")
    error = error_of(host.chain(sts_endpoint=server.address, ca_file=str(other)))
    assert type(error) is Unavailable
    assert server.heard == []
    assert "ca_file /none cannot be read" in str(
        error_of(host.chain(sts_endpoint=server.address, ca_file="/none"))
    )


def test_a_token_that_is_not_there_has_its_fix(host: Host) -> None:
    """Nothing is sent without it."""
    host.rrsa().unlink()
    assert "token cannot be read or is empty; fix: mount the token" in str(error_of(host.chain()))


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ({}, "sts.aliyuncs.com"),
        ({"ALIBABA_CLOUD_STS_REGION": "cn-hangzhou"}, "sts.cn-hangzhou.aliyuncs.com"),
        ({"ALIBABA_CLOUD_STS_REGION": "cn-hangzhou", "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true"}, "sts-vpc.cn-hangzhou.aliyuncs.com"),
    ],
)  # fmt: skip
def test_the_token_service_is_found_as_the_vendors_tools_do(
    given: dict[str, str], endpoint: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By region and network; and behind a proxy."""
    asked: list[tuple[str, str]] = []

    class Tunnel:
        def __init__(self, host: str, port: int, **_: Any) -> None:
            self.by = f"{host}:{port}"

        def set_tunnel(self, host: str, port: int) -> None:
            asked.append((self.by, f"{host}:{port}"))

        def request(self, *_: Any, **__: Any) -> None:
            raise ConnectionRefusedError

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr("http.client.HTTPSConnection", Tunnel)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    host.rrsa()
    host.given |= given
    assert f"AssumeRoleWithOIDC at {endpoint}: it does not answer" in str(error_of(host.chain()))
    assert asked == [("proxy.test:3128", f"{endpoint}:443")]


PROFILES: list[tuple[dict[str, str], Credentials]] = [
    ({"mode": "AK", "access_key_id": "k", "access_key_secret": "s"}, Credentials(key_id="k", secret="s")),
    (
        {"mode": "StsToken", "access_key_id": "k", "access_key_secret": "s", "sts_token": "t"},
        Credentials(key_id="k", secret="s", token="t"),
    ),
]


@pytest.mark.parametrize(("profile", "made"), PROFILES, ids=["AK", "StsToken"])
def test_a_profile_of_the_command_line(profile: dict[str, str], made: Credentials, host: Host) -> None:
    """The current one, or by the environment, or by the settings: then nothing else is asked, not even the environment."""
    other = {"name": "default", "mode": "AK", "access_key_id": "default-key", "access_key_secret": "d"}
    host.cli(other, {"name": "work", **profile})
    assert host.chain()().key_id == "default-key"
    host.given["ALIBABA_CLOUD_PROFILE"] = "work"
    assert host.chain()() == made
    host.given = dict(KEYS)
    assert host.chain(profile="work")() == made
    assert host.chain()().key_id == "env-key"


def test_a_section_of_the_credentials_file(host: Host) -> None:
    """Of either name, or wherever the environment says; one that is switched off is passed over."""
    text = "[default]\ntype = access_key\naccess_key_id = ini-key # mine\naccess_key_secret = i%n\n[work]\nenable = false\n"
    host.write(".alibabacloud/credentials.ini", text)
    assert host.chain()() == Credentials(key_id="ini-key", secret="i%n")
    host.write(".alibabacloud/credentials", text.replace("ini-key", "plain-key"))
    assert host.chain()().key_id == "plain-key"
    path = host.write("else", text.replace("ini-key", "else-key"))
    host.given["ALIBABA_CLOUD_CREDENTIALS_FILE"] = str(path)
    assert host.chain()().key_id == "else-key"
    host.given |= {"ALIBABA_CLOUD_PROFILE": "work", **OFF}
    assert "[work] of" in str(error_of(host.chain()))
    assert "says enable = false" in str(error_of(host.chain()))


def test_profiles_that_say_how(host: Host, metadata: Lender, sts: tuple[Lender, str]) -> None:
    """The role of the instance, or one taken on by a token, in both files."""
    server, ca = sts
    token = host.write("token", TOKEN)
    more = {"metadata": metadata.address, "sts_endpoint": server.address, "ca_file": ca}
    role = {
        "role_arn": "acs:ram::1:role/x",
        "oidc_provider_arn": "acs:ram::1:oidc-provider/x",
        "role_session_name": "me",
    }
    host.cli(
        {"name": "ecs", "mode": "EcsRamRole", "ram_role_name": "kubenode-role"},
        {
            "name": "oidc", "mode": "OIDC", "ram_role_arn": role["role_arn"], "oidc_token_file": str(token),
            "oidc_provider_arn": role["oidc_provider_arn"], "ram_session_name": "me",
        },
    )  # fmt: skip
    assert host.chain(profile="ecs", **more)().key_id == "role-key"
    assert [path for _, path, _ in metadata.heard] == ["/latest/api/token", ROLES + "kubenode-role"], (
        "its name is known"
    )
    assert host.chain(profile="oidc", **more)().key_id == "oidc-key"
    (host.home / ".aliyun/config.json").unlink()
    oidc = "".join(f"{key} = {value}\n" for key, value in role.items())
    text = f"[ecs]\ntype = ecs_ram_role\n[oidc]\ntype = oidc_role_arn\n{oidc}oidc_token_file_path = {token}\n"
    host.write(".alibabacloud/credentials", text)
    assert host.chain(profile="ecs", **more)().key_id == "role-key"
    assert host.chain(profile="oidc", **more)().key_id == "oidc-key"
    assert [form["RoleSessionName"] for _, _, form in server.heard] == ["me", "me"]


BAD: list[tuple[str, str, str]] = [
    (".aliyun/config.json", "{planted", "is no JSON object; fix: write it with `aliyun configure`"),
    (".aliyun/config.json", '["planted"]', "is no JSON object"),
    (".aliyun/config.json", '{"current": "x", "profiles": [3, {"name": "planted"}]}', "has no profile 'x'; fix: `profile` in [aliyun]"),
    (".aliyun/config.json", '{"current": "x", "profiles": 3}', "has no profile 'x'"),
    (
        ".aliyun/config.json", '{"current": "x", "profiles": [{"name": "x", "mode": "AK", "access_key_secret": "planted"}]}',
        "profile 'x' of", # and no more of it
    ),
    (
        ".aliyun/config.json", '{"current": "x", "profiles": [{"name": "x", "mode": "CloudSSO"}]}',
        "is of a kind that kubenode does not use (CloudSSO); fix: one of AK (access_key), StsToken (sts)",
    ),
    (".alibabacloud/credentials", "planted", "is no INI file; fix: correct it"),
    (".alibabacloud/credentials", "[planted]\n", "has no section [default]"),
    (".alibabacloud/credentials", "[default]\ntype = sts\naccess_key_id = a\naccess_key_secret = planted\n", "is not whole; fix: all that its kind (sts) needs"),
    (".alibabacloud/credentials", "[default]\ntype = oidc_role_arn\nrole_arn = a\n", "is not whole"),
    (".alibabacloud/credentials", "[default]\ntype = rsa_key_pair\n", "does not use (rsa_key_pair)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "words"), BAD, ids=range(len(BAD)))
def test_a_file_that_cannot_be_used(name: str, text: str, words: str, host: Host, metadata: Lender) -> None:
    """It is named with the fix, nothing of it is told, and the role of the instance is not taken instead."""
    host.write(name, text)
    error = error_of(host.chain(metadata=metadata.address))
    assert type(error) is AuthFailed
    assert words in str(error)
    assert name in str(error)
    assert metadata.heard == []


def test_a_file_that_cannot_be_read(host: Host) -> None:
    """What is no text, and what is no file; the bytes are not told."""
    path = host.write(".aliyun/config.json", "")
    path.write_bytes(b"planted \xff\xfe")
    assert "cannot be read (UnicodeDecodeError); fix: its owner or mode" in str(error_of(host.chain()))
    path.unlink()
    path.mkdir()
    assert "cannot be read (IsADirectoryError)" in str(error_of(host.chain()))
    host.given |= {"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true", **OFF}
    assert "ALIBABA_CLOUD_CLI_PROFILE_DISABLED keeps" in str(error_of(host.chain()))


def test_the_role_of_the_instance(host: Host, metadata: Lender) -> None:
    """By a session of the hardened mode, which is all that the service takes; replaced before it ends."""
    chain = host.chain(metadata=metadata.address)
    made = chain()
    assert (made.key_id, made.token) == ("role-key", "token-of-role-key")
    calls = [(method, path) for method, path, _ in metadata.heard]
    assert calls == [("PUT", "/latest/api/token"), ("GET", ROLES), ("GET", ROLES + "kubenode-role")]
    metadata.lend("role-key-2", "2026-03-02T21:00:00Z")
    host.now = made.until - timedelta(minutes=15) - timedelta(seconds=1) if made.until else host.now
    assert chain() is made
    host.now += timedelta(seconds=1)
    assert chain().key_id == "role-key-2"


def test_what_holds_is_used_while_it_cannot_be_replaced(host: Host, metadata: Lender) -> None:
    """It is tried again once a minute, and not by every call; at its end there is an error."""
    chain = host.chain(metadata=metadata.address)
    made = chain()
    metadata.heard.clear()
    metadata.refuses = [(500, "")] * 9
    host.now += timedelta(hours=5, minutes=50)
    assert [chain() is made for _ in range(5)] == [True] * 5
    host.now += timedelta(seconds=59)
    assert chain() is made
    assert len(metadata.heard) == 1
    host.now += timedelta(seconds=1)
    assert chain() is made
    assert len(metadata.heard) == 2
    host.now += timedelta(minutes=9)
    assert type(error_of(chain)) is AuthFailed
    metadata.refuses.clear()
    metadata.lend("role-key-2", "2026-03-02T21:00:00Z")
    assert chain().key_id == "role-key-2", "and the next call finds what is there again"


@pytest.mark.parametrize(
    ("role", "named", "kind", "words"),
    [
        ("", "", AuthFailed, "this instance has no RAM role"),
        ("another", "mine", AuthFailed, "role mine: the metadata service gives no credentials (HTTP 404); fix: attach it"),
    ],
)  # fmt: skip
def test_an_instance_without_that_role(
    role: str, named: str, kind: type[ProviderError], words: str, host: Host, metadata: Lender
) -> None:
    """None, or another than the one that was named: it is not taken instead."""
    metadata.role = role
    host.given = {"ALIBABA_CLOUD_ECS_METADATA": named}
    error = error_of(host.chain(metadata=metadata.address))
    assert type(error) is kind
    assert words in str(error)


def test_a_role_that_was_named_may_come_later(host: Host) -> None:
    """Then a service that does not answer is a moment's fault; else there is none, and what was tried is told."""
    host.given = {"ALIBABA_CLOUD_ECS_METADATA": "mine"}
    assert type(error_of(host.chain())) is Unavailable
    host.given = {}
    error = error_of(host.chain())
    assert type(error) is AuthFailed
    places = (
        "the environment",
        "RRSA",
        "the command line's profile",
        "the credentials file",
        "the role of the instance",
    )
    at = [str(error).index(f"{place}: ") for place in places]
    assert at == sorted(at)
    assert "no metadata service answers here; fix: set ALIBABA_CLOUD_ACCESS_KEY_ID" in str(error)


def test_a_place_that_was_used_is_the_only_one(host: Host, metadata: Lender) -> None:
    """Keys that vanish are not those of another account from then on."""
    host.given |= KEYS
    chain = host.chain(metadata=metadata.address)
    chain()
    host.given.clear()
    assert "credentials that were there are not any more: ALIBABA_CLOUD_ACCESS_KEY_ID" in str(error_of(chain))
    assert metadata.heard == []


def test_answers_that_are_no_credentials(host: Host, metadata: Lender) -> None:
    """Not whole, without an end, or no JSON: none, rather than some."""
    for lent in ({**metadata.lent, "SecurityToken": ""}, {**metadata.lent, "Expiration": "soon"}):
        metadata.lent = lent
        assert "gives no credentials (HTTP 200)" in str(error_of(host.chain(metadata=metadata.address)))
    metadata.lend("role-key", UNTIL.removesuffix("Z"))
    assert host.chain(metadata=metadata.address)().until == datetime(2026, 3, 2, 15, tzinfo=UTC)


def test_ecs_is_called_with_what_the_instance_was_lent(host: Host, metadata: Lender) -> None:
    """From the metadata service to a signed call with its security token; the next key is used when it is lent."""
    chain = host.chain(metadata=metadata.address)
    clouds = [rig(token=f"token-of-lent-{number}") for number in (1, 2)]
    for number, one in enumerate(clouds, 1):
        one.account.secret = f"secret-of-lent-{number}"
        server()[0].accounts[f"lent-{number}"] = one.account
    client = Client(clouds[0].provider._client._settings, chain)
    try:
        for number, one in enumerate(clouds, 1):
            metadata.lend(f"lent-{number}", f"2026-03-02T{9 + 5 * number}:00:00Z")
            assert client.call("DescribeInstances", {}, Call.READ)["Instances"]
            assert [heard.params["AccessKeyId"] for heard in one.account.heard] == [f"lent-{number}"]
            host.now += timedelta(hours=5)
    finally:
        client.close()


def test_the_settings_say_which_profile_and_service() -> None:
    """They reach the chain that a client makes for itself; a scheme is refused."""
    client = Client(
        AliyunSettings(region="cn-hangzhou", profile="work", sts_endpoint="sts.test", ca_file="/ca")
    )
    chain = client._chain
    assert isinstance(chain, StandardChain)
    assert (chain._profile, chain._sts, chain._ca_file) == ("work", "sts.test", "/ca")
    assert repr(chain) == "StandardChain()"
    with pytest.raises(InvalidObjectError, match="sts_endpoint"):
        AliyunSettings(region="cn-hangzhou", sts_endpoint="https://sts.test")
