"""The only place that imports the SDK of Alibaba Cloud. One call of `call` is one request on the wire.

The SDK is used against its habits: its retries are off (it sends RunInstances again without a token), a
request object is used once (its headers grow), TLS is on by the very constant it compares with `is`, the
endpoint is given (it would ask another service for it), and nothing that it says is logged or passed on
(its texts hold whole addresses, with keys).
"""

import importlib
import json
import logging
import re
import ssl
import threading
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import attrs

from kubenode.core.errors import Invalid, InvalidObjectError, Problem, ProviderError, Throttled
from kubenode.providers.aliyun.chain import StandardChain
from kubenode.providers.aliyun.codes import BLOCKED, Call, error_of_answer, error_of_silence
from kubenode.providers.aliyun.credentials import Chain, Credentials
from kubenode.providers.pace import Budget, Pace

THREADS: Final = 32
"""Connections that are kept: as many as callers at once need not open new ones."""
PAUSE: Final = timedelta(seconds=2)
NONE: Final[Mapping[str, str]] = MappingProxyType({})
WHY: Final[Mapping[str, str]] = MappingProxyType({
    "ProxyError": "the proxy cannot be reached",
    "CERTIFICATE_VERIFY_FAILED": "the certificate of the endpoint is not trusted; fix: ca_file in [aliyun] of kubenode.toml",
    "[Errno -2]": "the name of the endpoint is unknown; fix: region or endpoint in [aliyun] of kubenode.toml",
    "[Errno -3]": "the name of the endpoint cannot be looked up",
    "[Errno 111]": "the connection was refused",
    "timed out": "no answer in time",
})  # fmt: skip
"""What a text of the SDK is searched for, and what is said instead of it."""
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_ENDPOINT: Final = re.compile(r"(?=.*[a-zA-Z])[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?")


@attrs.frozen(kw_only=True)
class AliyunSettings:
    """The table `[aliyun]` of kubenode.toml.

    Attributes:
        region: the region of the machines; one provider works in one.
        endpoint: `name` or `name:port`, always spoken to over TLS; empty for the region's own.
        ca_file: a PEM file to trust instead of the system's.
        profile: of the vendor's credential files; empty for its standard chain.
        sts_endpoint: as `endpoint`, of the Security Token Service.
        connect_seconds: how long to wait for a connection.
        read_seconds: how long to wait for an answer, or for its next bytes.
        create_seconds: the same for a create, which takes longer.
        calls_per_second: to this account in this region, in the long run.
        burst: calls at once, after a quiet time.
    """

    region: str = ""
    endpoint: str = ""
    ca_file: str = ""
    profile: str = ""
    sts_endpoint: str = ""
    connect_seconds: int = 3
    read_seconds: int = 20
    create_seconds: int = 86
    calls_per_second: float = 10.0
    burst: int = 40

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be a region, an endpoint or a time limit."""
        bad = []
        if self.region and not _REGION.fullmatch(self.region):
            bad.append(Problem(where="region", what="is no region", fix="for example cn-hangzhou"))
        for where, service in (("endpoint", "ecs"), ("sts_endpoint", "sts")):
            if (named := getattr(self, where)) and not _ENDPOINT.fullmatch(named):
                what = "must be a name, or name:port, without a scheme"
                bad.append(
                    Problem(where=where, what=what, fix=f"for example {service}.cn-hangzhou.aliyuncs.com")
                )
        limits = ("connect_seconds", "read_seconds", "create_seconds", "burst")
        bad += [Problem(where=name, what="must be 1 or more") for name in limits if getattr(self, name) < 1]
        if self.calls_per_second <= 0:
            bad.append(Problem(where="calls_per_second", what="must be more than 0"))
        if bad:
            raise InvalidObjectError(tuple(bad))


class Client:
    """Sends requests to ECS in one region. Safe to be used from several threads."""

    def __init__(
        self, settings: AliyunSettings, chain: Chain | None = None, pace: Pace | None = None
    ) -> None:
        """Prepare; nothing is imported, read or sent before the first call.

        Args:
            settings: of one region.
            chain: says who we are, before every call; None is the standard chain.
            pace: shared with what else calls this account in this region; None makes one of the settings.
        """
        budget = Budget.full(rate=settings.calls_per_second, burst=settings.burst)
        self._pace = pace if pace is not None else Pace(budget)
        self._settings = settings
        self._chain = chain or StandardChain(
            profile=settings.profile, sts_endpoint=settings.sts_endpoint, ca_file=settings.ca_file
        )
        self._lock = threading.Lock()
        self._blocked: dict[str, float] = {}
        self._made: tuple[Credentials, Any] | None = None

    def __repr__(self) -> str:
        return f"Client(region={self.region!r})"

    @property
    def region(self) -> str:
        """The region it speaks to."""
        return self._settings.region

    def close(self) -> None:
        """Close the connections that are kept. A later call opens new ones."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made[1].session.close()

    def call(
        self, action: str, params: Mapping[str, str], call: Call, *, secret: Mapping[str, str] = NONE
    ) -> Mapping[str, Any]:
        """Make one call, and give its answer.

        Args:
            action: what ECS calls it, as `DescribeInstances`.
            params: sent in the address, as the SDK does.
            call: what it does, which says what a lost answer means.
            secret: sent in the body, where no log of an address shows it.

        Raises:
            ProviderError: by what it means; without a cause, since the SDK's own errors hold keys.
        """
        if not self.region:
            raise Invalid("no region; fix: set region in [aliyun] of kubenode.toml")
        credentials = self._chain()
        sdk = self._sdk(credentials)
        request = self._request(action, params, secret, credentials, call)
        self._may_go(action, call)
        answer = self._send(sdk, request, action, call)
        if isinstance(answer, Throttled):
            self._shut(action)
        if isinstance(answer, ProviderError):
            raise answer
        return answer

    def _may_go(self, action: str, call: Call) -> None:
        """Take one call from the budget; raise Throttled when there is none, or the action is blocked."""
        with self._lock:
            left = self._blocked.get(action, 0.0) - self._pace.elapsed()
        if left > 0:
            raise Throttled(f"{action}: blocked by ECS, not sent", retry_after=timedelta(seconds=left))
        self._pace.go(writes=call is not Call.READ)

    def _shut(self, action: str) -> None:
        """Leave the action alone until ECS lets it in again, and all others for a moment: the account is busy."""
        with self._lock:
            self._blocked[action] = self._pace.elapsed() + BLOCKED.total_seconds()
        self._pace.refused(PAUSE)

    def _send(self, sdk: Any, request: Any, action: str, call: Call) -> Mapping[str, Any] | ProviderError:
        """Send, and give the error as a value: raised in a handler it would carry the SDK's with it."""
        from aliyunsdkcore.acs_exception import exceptions as errors

        try:
            answer = json.loads(sdk.do_action_with_exception(request))
        except errors.ServerException as error:
            return error_of_answer(
                action, call, str(error.get_error_code()), int(error.get_http_status() or 0), str(error.get_request_id() or "")
            )  # fmt: skip
        except errors.ClientException as error:
            if error.get_error_code() != "SDK.HttpError":
                return error_of_answer(action, call, str(error.get_error_code()), 0, "")
            return error_of_silence(action, call, _why(error))
        except Exception as error:  # its transport is old, and lets more through than it says
            return error_of_silence(action, call, f"no answer that can be read ({type(error).__name__})")
        if isinstance(answer, dict):
            return answer
        return error_of_silence(action, call, "the answer is no object")

    def _request(
        self, action: str, params: Mapping[str, str], secret: Mapping[str, str], credentials: Credentials, call: Call
    ) -> Any:  # fmt: skip
        from aliyunsdkcore.http.protocol_type import HTTPS

        # One module an action: all of them at once are 380.
        module = importlib.import_module(f"aliyunsdkecs.request.v20140526.{action}Request")
        request = getattr(module, f"{action}Request")()
        request.set_protocol_type(HTTPS)
        request.set_endpoint(self._settings.endpoint or _endpoint(request.endpoint_map, self.region))
        request.set_connect_timeout(self._settings.connect_seconds)
        request.set_read_timeout(
            self._settings.create_seconds if call is Call.CREATE else self._settings.read_seconds
        )
        for name, value in params.items():
            request.add_query_param(name, value)
        for name, value in secret.items():
            request.add_body_params(name, value)
        if credentials.token:
            request.add_body_params("SecurityToken", credentials.token)
        return request

    def _sdk(self, credentials: Credentials) -> Any:
        """Give the SDK's client for these credentials; it cannot change them, so new ones need a new client."""
        with self._lock:
            if self._made is None or self._made[0] != credentials:
                self._made = credentials, _acs_client(self._settings, credentials)
            return self._made[1]


def _acs_client(settings: AliyunSettings, credentials: Credentials) -> Any:
    from aliyunsdkcore.client import AcsClient

    _quiet()
    system = ssl.get_default_verify_paths()
    trusted = settings.ca_file or system.cafile or system.capath
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:  # and what is no certificate
        raise Invalid(
            f"ca_file {settings.ca_file} cannot be read: {error}; fix: a PEM file of authorities"
        ) from None
    host = settings.endpoint.partition(":")[0] or f"ecs.{settings.region}.aliyuncs.com"
    # The SDK reads HTTPS_PROXY by itself, and knows no NO_PROXY.
    proxy = None if proxy_bypass(host) else getproxies().get("https")
    made = AcsClient(
        credentials.key_id, credentials.secret, settings.region, auto_retry=False, pool_size=THREADS, verify=trusted,
        proxy={"https": proxy, "http": None},
    )  # fmt: skip
    # The interpreter's TLS, not that of 2018 in the SDK.
    adapter, tls = (
        made.session.get_adapter("https://"),
        {"ssl_context": context, "cert_reqs": "CERT_REQUIRED"},
    )
    adapter.init_poolmanager(THREADS, THREADS, **tls)
    if proxy is not None:
        adapter.proxy_manager_for(proxy, **tls)  # kept, and found again by its address
    return made


def _quiet() -> None:
    """Silence the SDK: it logs addresses with keys at every level, once through a handler of its own."""
    logging.getLogger("aliyunsdkcore").propagate = False
    for name in [*logging.root.manager.loggerDict]:
        if name == "aliyunsdkcore" or name.startswith("aliyunsdkcore."):
            logging.getLogger(name).disabled = True


def _endpoint(known: Mapping[str, str] | None, region: str) -> str:
    return (known or {}).get(region, f"ecs.{region}.aliyuncs.com")


def _why(error: Any) -> str:
    """Say why there was no answer, in words of ours: the SDK's hold the whole address."""
    text = str(error.get_error_msg())
    return next((said for word, said in WHY.items() if word in text), "the answer was lost")
