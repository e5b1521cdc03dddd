"""How the SDK is kept in check: TLS, no retries, no growth, no secrets, and an end to every call."""

import importlib.util
import select
import socket
import socketserver
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.providers import Ambiguous, AuthFailed, Invalid, NotFound, Power, ProviderError, Unavailable
from kubenode.providers.aliyun import (
    AliyunProvider,
    AliyunSettings,
    Client,
    Credentials,
    codes,
    register_providers,
)
from kubenode.providers.aliyun.credentials import from_environment
from kubenode.providers.conformance.looking import logged
from kubenode.runtime.plugins import Plugins, PluginSettings
from kubenode.runtime.testing.authority import Authority
from tests.providers.aliyun.cloud import FakeEcs
from tests.providers.aliyun.rig import REGION, Rig, request, rig, server

MADE = "cn-hangzhou.i-bp00000000"
SECRET = b"kubenode-planted-secret-91c3"


def test_an_endpoint_that_is_not_trusted_hears_nothing(tmp_path: Path) -> None:
    """The certificate is checked against ca_file, before a key or a parameter is sent; the fix is named."""
    ca, _ = Authority.create().identity.write(tmp_path, "other")
    one = rig(ca_file=str(ca))
    with pytest.raises(Ambiguous, match="certificate of the endpoint is not trusted; fix: ca_file"):
        one.provider.create(request())
    assert one.account.heard == []


def test_the_name_in_the_certificate_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of a trusted authority for another name is none."""
    real = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "ecs.example.test" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    port = server()[0].server_port
    one = rig(endpoint=f"ecs.example.test:{port}")
    with pytest.raises(Unavailable, match="certificate of the endpoint is not trusted"):
        one.provider.get(MADE)
    assert one.account.heard == []


def test_plain_http_is_never_spoken() -> None:
    """A scheme is refused, and who listens for plain HTTP gets a TLS greeting."""
    for endpoint in ("http://localhost:80", "https://localhost", "127.0.0.1:1", "local host", "ecs/x"):
        with pytest.raises(InvalidObjectError):
            AliyunSettings(region=REGION, endpoint=endpoint)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first: list[bytes] = []

        def listen() -> None:
            peer, _ = listener.accept()
            with peer:
                first.append(peer.recv(3))

        thread = threading.Thread(target=listen)
        thread.start()
        one = rig(endpoint=f"localhost:{listener.getsockname()[1]}")
        with pytest.raises(Unavailable):
            one.provider.get(MADE)
        thread.join()
    assert first == [b"\x16\x03\x01"], "a TLS handshake"


def test_a_wrong_secret_is_an_authentication_error() -> None:
    """The fake recomputes the signature; nothing is made, and the string to sign is not told on."""
    one = rig()
    one.account.secret = "another"
    with pytest.raises(AuthFailed, match=r"SignatureDoesNotMatch.*fix: check the credentials") as raised:
        one.provider.create(request(data=SECRET))
    assert "sign is" not in str(raised.value)
    assert one.cloud.calls == []


def test_temporary_credentials_are_sent_in_the_body_and_may_change() -> None:
    """A security token is in no address; new keys are used from the next call on."""
    one = rig(token="sts-token-1")
    one.provider.create(request())
    heard = one.account.heard[-1]
    assert heard.form["SecurityToken"] == "sts-token-1"
    assert "sts-token-1" not in heard.address
    keys = [one.credentials, Credentials(key_id="LTAI-none", secret="x")]
    client = Client(one.provider._client._settings, lambda: keys[0])
    assert client.call("DescribeInstances", {}, codes.Call.READ)["Instances"]
    del keys[0]
    with pytest.raises(AuthFailed, match="InvalidAccessKeyId"):
        client.call("DescribeInstances", {}, codes.Call.READ)
    client.close()


def test_credentials_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The vendor's common names first, then those of this SDK; half of a pair is none; none is an error with its fix."""
    common = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "a", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "b"}
    own = {"ALIYUN_ACCESS_KEY_ID": "c", "ALIYUN_ACCESS_KEY_SECRET": "d"}
    assert from_environment({**common, **own}).key_id == "a"
    half = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "a", **own}
    assert from_environment(half) == Credentials(key_id="c", secret="d")
    assert from_environment({**common, "ALIBABA_CLOUD_SECURITY_TOKEN": "t"}).token == "t"
    assert repr(Credentials(key_id="a", secret="hush", token="hush")) == "Credentials(key_id='a', until=None)"
    for name in (*common, *own):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    provider = AliyunProvider(Client(AliyunSettings(region=REGION)))
    with pytest.raises(AuthFailed, match="fix: set ALIBABA_CLOUD_ACCESS_KEY_ID"):
        provider.get(MADE)


def test_the_keys_of_the_environment_do_not_displace_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would take ALIYUN_* before what it is given as a credential."""
    monkeypatch.setenv("ALIYUN_ACCESS_KEY_ID", "LTAI-other")
    monkeypatch.setenv("ALIYUN_ACCESS_KEY_SECRET", "other")
    one = rig(token="sts-1")
    one.provider.create(request())
    assert one.account.heard[0].params["AccessKeyId"] == one.credentials.key_id


def test_a_call_has_an_end() -> None:
    """An answer that does not come in time leaves a create Ambiguous, and its repeat finds what was made."""
    one = rig(read_seconds=1, create_seconds=1)
    one.account.delay = threading.Event()
    with pytest.raises(Ambiguous, match="no answer in time; it may have been done"):
        one.provider.create(request())
    with pytest.raises(Unavailable, match="no answer in time"):
        one.provider.get(MADE)
    one.account.delay.set()
    assert one.provider.create(request()).id == MADE
    assert one.cloud.calls == ["RunInstances", "DescribeInstances", "RunInstances"]
    assert one.cloud.made == 1


def test_nobody_listening_is_told_in_our_words() -> None:
    """Refused is Ambiguous for a create: the transport of the SDK does not say what it has sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    one = rig(endpoint=f"localhost:{port}")
    with pytest.raises(Unavailable, match=r"^DescribeInstances: the connection was refused$"):
        one.provider.get(MADE)
    with pytest.raises(Ambiguous, match="refused; it may have been done"):
        one.provider.create(request())


def test_settings_are_judged_at_once(tmp_path: Path) -> None:
    """Each fault is named; a missing region and an unreadable file are told at the call, without one on the wire."""
    with pytest.raises(InvalidObjectError) as raised:
        AliyunSettings(region="Hangzhou", endpoint="http://x", read_seconds=0)
    assert [problem.where for problem in raised.value.problems] == ["region", "endpoint", "read_seconds"]
    with pytest.raises(Invalid, match="fix: set region"):
        rig(region="").provider.find({}, None)
    with pytest.raises(Invalid, match=r"ca_file .* cannot be read"):
        rig(ca_file=str(tmp_path / "none.pem")).provider.find({}, None)
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(Invalid, match=r"ca_file .* cannot be read"):
        rig(ca_file=str(junk)).provider.find({}, None)


class _Proxy(socketserver.StreamRequestHandler):
    """Passes one connection through, as CONNECT asks."""

    asked: ClassVar[list[str]] = []

    def handle(self) -> None:
        """Read the request, answer, and pass bytes on both ways."""
        target = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.asked.append(target)
        with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as there:
            self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.connection: there, there: self.connection}
            while True:
                for end in select.select([*ends], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)


def _proxied(monkeypatch: pytest.MonkeyPatch, proxy: str, exempt: str) -> None:
    for name, value in {"HTTPS_PROXY": proxy, "NO_PROXY": exempt}.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)


def test_a_proxy_is_used_and_tls_is_checked_behind_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The proxy passes bytes on; certificates are checked as without it, and with the same TLS."""
    ca, _ = Authority.create().identity.write(tmp_path, "other")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Proxy) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        _proxied(monkeypatch, f"http://127.0.0.1:{proxy.server_address[1]}", "example.com")
        one = rig()
        assert one.provider.create(request()).id == MADE
        assert _Proxy.asked == [server()[0].endpoint]
        with pytest.raises(Unavailable, match="not trusted"):
            rig(ca_file=str(ca)).provider.get(MADE)
        one.provider._client.close()
        proxy.shutdown()


def test_a_proxy_is_not_asked_for_what_is_exempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads HTTPS_PROXY and not NO_PROXY."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    _proxied(monkeypatch, nobody, "example.com,localhost")
    one = rig()
    one.provider.create(request())
    assert len(one.account.heard) == 1
    _proxied(monkeypatch, nobody, "example.com")
    with pytest.raises(Unavailable, match="the proxy cannot be reached"):
        rig().provider.get(MADE)


def test_requests_do_not_grow() -> None:
    """A request object that is used again has longer headers every time."""
    one = rig()
    for _ in range(60):
        one.provider.find({"owner": "u1"}, None)
    sizes = {sum(map(len, heard.headers.values())) + len(heard.headers) for heard in one.account.heard}
    assert max(sizes) - min(sizes) <= 4, "signatures differ by a few characters, and nothing adds up"


def test_one_client_serves_many_threads() -> None:
    """Forty threads, eight calls each: an answer for every one, and no call too many."""
    one = rig()
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                made = one.provider.create(request(f"t-{number}-{turn}"))
                assert one.provider.get(made.id).id == made.id
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (one.cloud.made, len(one.cloud.calls)) == (160, 320)


def test_secrets_are_told_nowhere(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """User data, script, secret and token: not in an error, a log, a repr, an address or on the terminal, whatever fails."""
    monkeypatch.setenv("DEBUG", "sdk")  # makes the SDK print what it sends
    one = rig(token="sts-secret-77")
    told: list[str] = []
    acts = {
        "RunInstances": lambda: one.provider.create(request(data=SECRET)),
        "RunCommand": lambda: one.provider.run_command(MADE, SECRET, "c-1", timedelta(seconds=60)),
        "RebootInstance": lambda: one.provider.power(MADE, Power.REBOOT, "p-1"),
    }
    with logged() as said:
        for action, act in acts.items():
            for fault in ("lose", "garble", "fail", "none"):
                _plan(one, action, fault)
                try:
                    told.append(repr(act()))
                except ProviderError as error:
                    told += [
                        str(error),
                        repr(error),
                        repr(error.__cause__),
                        repr(error.__context__),
                    ]
        one.account.secret = "wrong"
        with pytest.raises(AuthFailed) as raised:
            acts["RunInstances"]()
        told += [
            str(raised.value),
            repr(one.provider),
            repr(one.provider._client),
            repr(request(data=SECRET)),
        ]
    out, err = capfd.readouterr()
    told += [*said, out, err, *(heard.address for heard in one.account.heard)]
    assert len(one.account.heard) == 13
    for secret in (
        SECRET.decode(),
        "a3ViZW5vZGUtcGxhbnRlZC1zZWNyZXQ",
        one.credentials.secret,
        "sts-secret-77",
    ):
        assert not [text for text in told if secret in text]
    assert not [text for text in [*said, out, err] if one.credentials.key_id in text]


def _plan(one: Rig, action: str, fault: str) -> None:
    match fault:
        case "lose":
            one.cloud.lose(action)
        case "garble":
            one.cloud.garble(action, b"<html>" + SECRET, 500)
        case "fail":
            one.cloud.fail(action, 400, "Weird.New", f"UserData={SECRET.decode()}")


def test_a_code_that_is_none_is_not_told_on() -> None:
    """What an answer calls its code may be anything; only a word that looks like one is passed on."""
    assert "hush" not in str(codes.error_of_answer("X", codes.Call.READ, "a hush: b", 400, "hush hush"))
    assert "unknown (HTTP 400, request unknown)" in str(
        codes.error_of_answer("X", codes.Call.READ, "a b", 400, "")
    )


def test_the_sdk_is_loaded_by_the_first_call() -> None:
    """Plugins are found, the driver is made, and no SDK is there; importing it raises no warning."""
    code = """
import sys
from kubenode.providers.aliyun import AliyunProvider, AliyunSettings, Client, Credentials
from kubenode.runtime.plugins import Plugins
found = Plugins.discover({"aliyun": {"region": "cn-hangzhou"}})
assert isinstance(found.providers["aliyun"], AliyunProvider), found.problems
assert not [name for name in sys.modules if name.startswith("aliyunsdk")]
provider = AliyunProvider(Client(AliyunSettings(region="cn-hangzhou", endpoint="localhost:1"), lambda: Credentials(key_id="a", secret="b")))
try:
    provider.find({}, None)
except Exception as error:
    print(error)
assert "aliyunsdkcore.client" in sys.modules
"""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.stdout.strip() == "DescribeInstances: the connection was refused"


def test_it_is_registered_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the public hook; without the extra there is no provider; wrong settings are this plugin's problem alone."""
    (made,) = register_providers(PluginSettings({"aliyun": {"region": REGION}}))
    assert repr(made) == "AliyunProvider(Client(region='cn-hangzhou'))"
    found = Plugins.discover({"aliyun": {"region": 7}})
    assert set(found.providers) >= {"memory"}
    assert "aliyun" not in found.providers
    assert [problem.where.partition(" ")[0] for problem in found.problems] == ["kubenode-aliyun"]
    real = importlib.util.find_spec

    def missing(name: str, package: str | None = None) -> Any:
        return None if name.startswith("aliyunsdk") else real(name, package)

    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert [*register_providers(PluginSettings({"aliyun": {"region": 7}}))] == []


def test_the_endpoint_is_not_asked_for() -> None:
    """The SDK would look an unknown region up at another service, which is a second call."""
    from kubenode.providers.aliyun.client import _endpoint

    assert (
        _endpoint({"cn-hangzhou": "ecs-cn-hangzhou.aliyuncs.com"}, "cn-hangzhou")
        == "ecs-cn-hangzhou.aliyuncs.com"
    )
    assert _endpoint({}, "cn-newtown") == "ecs.cn-newtown.aliyuncs.com"
    assert _endpoint(None, "cn-newtown") == "ecs.cn-newtown.aliyuncs.com"


def test_an_instance_is_shown_late() -> None:
    """NotFound is what the first looks say of one that was just made: evidence, and no proof."""
    one = rig(FakeEcs(late=2))
    made = one.provider.create(request())
    for _ in range(2):
        with pytest.raises(NotFound):
            one.provider.get(made.id)
    assert one.provider.get(made.id).id == made.id
