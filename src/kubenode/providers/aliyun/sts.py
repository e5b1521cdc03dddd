"""Temporary credentials: of the role of this instance, and of a role that a token may take on.

Plain HTTP only to the metadata service, which is on the host's own link and speaks nothing else. Its hardened mode is the
only one that is used, so nothing has to be tried twice; every instance takes it. No answer is told on: it holds keys.
"""

import http.client
import json
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from kubenode.core.errors import AuthFailed, Unavailable
from kubenode.providers.aliyun.credentials import Credentials, InstanceRole, NotHere, OidcRole

METADATA: Final = "100.100.100.200"
METADATA_SECONDS: Final = 2
STS_SECONDS: Final = 10
HELD: Final = 3600
"""Seconds for which a role is taken on; what every role allows."""
ROLES: Final = "/latest/meta-data/ram/security-credentials/"
_CODE: Final = re.compile(r"[A-Za-z0-9._]{1,128}")


def of_instance(way: InstanceRole, host: str) -> Credentials:
    """Ask the metadata service, by a session of its hardened mode.

    Raises:
        NotHere: nobody said that there is a role, and there is none.
        Unavailable: the service of a role that was named does not answer.
        AuthFailed: the role that was named is not that of this instance.
    """
    seconds = {"X-aliyun-ecs-metadata-token-ttl-seconds": "60"}
    status, session = _metadata(host, "PUT", "/latest/api/token", seconds)
    if status == 200:
        told = {"X-aliyun-ecs-metadata-token": session.decode("latin-1").strip()}
        name = way.name
        if not name:
            status, found = _metadata(host, "GET", ROLES, told)
            name = found.decode("latin-1").strip() if status == 200 else ""
        if name:
            status, answer = _metadata(host, "GET", ROLES + quote(name, safe=""), told)
            made = _read(_object(answer)) if status == 200 else None
            if made is not None:
                return made
    raise _no_role(way, status)


def _no_role(way: InstanceRole, status: int) -> Exception:
    if not status:
        text = "no metadata service answers here"
        return Unavailable(f"role {way.name}: {text}") if way.name else NotHere(text)
    text = f"the metadata service gives no credentials (HTTP {status})"
    if not way.name:
        return NotHere(f"{text}, this instance has no RAM role")
    return AuthFailed(f"role {way.name}: {text}; fix: attach it to this instance, or name the one it has")


def of_token(way: OidcRole, endpoint: str, ca_file: str) -> Credentials:
    """Take the role on by AssumeRoleWithOIDC. The token is read anew, since it is rotated, and goes in the body.

    Raises:
        AuthFailed: the token is not to be read, or the service refuses it.
        Unavailable: the service does not answer.
    """
    token = _token(way.token_file)
    if not token:
        raise AuthFailed(
            f"{way.token_file} cannot be read or is empty; fix: mount the token of the service account"
        )
    asked = {
        "Action": "AssumeRoleWithOIDC", "Version": "2015-04-01", "Format": "JSON", "RoleArn": way.role, "OIDCProviderArn": way.provider,
        "OIDCToken": token, "RoleSessionName": way.session, "DurationSeconds": str(HELD),
    }  # fmt: skip
    status, body = _posted(endpoint, ca_file, urlencode(asked))
    answer = _object(body)
    if not status or status >= 500 or status == 429:
        why = "it does not answer" if not status else f"HTTP {status}"
        raise Unavailable(f"AssumeRoleWithOIDC at {endpoint}: {why}")
    made = _read(answer.get("Credentials"))
    if made is None:
        code = str(answer.get("Code", ""))
        raise AuthFailed(
            f"AssumeRoleWithOIDC: {code if _CODE.fullmatch(code) else 'no credentials'} (HTTP {status}); "
            "fix: the trust of the role names this identity provider, service account and audience"
        )
    return made


def _token(file: str) -> str:
    try:
        with open(file, encoding="ascii") as opened:
            return opened.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _metadata(host: str, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Ask it, by no proxy; 0 is no answer."""
    return _asked(http.client.HTTPConnection(host, timeout=METADATA_SECONDS), method, path, None, headers)


def _posted(endpoint: str, ca_file: str, form: str) -> tuple[int, bytes]:
    """Send a form over TLS; 0 is no answer."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError:
        context = None
    if context is None:
        raise AuthFailed(f"ca_file {ca_file} cannot be read; fix: a PEM file of authorities")
    proxy = urlsplit(getproxies().get("https") or "")
    host, _, port = endpoint.partition(":")
    if proxy.hostname and not proxy_bypass(host):
        by = http.client.HTTPSConnection(
            proxy.hostname, proxy.port or 80, timeout=STS_SECONDS, context=context
        )
        by.set_tunnel(host, int(port or 443))
    else:
        by = http.client.HTTPSConnection(host, int(port or 443), timeout=STS_SECONDS, context=context)
    return _asked(by, "POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})


def _asked(
    by: http.client.HTTPConnection, method: str, path: str, form: str | None, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    try:
        by.request(method, path, body=form, headers=dict(headers))
        answer = by.getresponse()
        return answer.status, answer.read(1 << 20)
    except (OSError, http.client.HTTPException, ValueError):
        return 0, b""
    finally:
        by.close()


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _read(row: object) -> Credentials | None:
    """Read temporary credentials, in the form that both services give; None when they are not whole."""
    if not isinstance(row, Mapping):
        return None
    key_id, secret, token, until = (
        str(row.get(name) or "") for name in ("AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration")
    )
    try:
        ends = datetime.fromisoformat(until)
    except ValueError:
        return None
    if not (key_id and secret and token):
        return None
    return Credentials(
        key_id=key_id, secret=secret, token=token, until=ends if ends.tzinfo else ends.replace(tzinfo=UTC)
    )
