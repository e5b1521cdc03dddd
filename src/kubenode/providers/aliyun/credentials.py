"""Who we are to Alibaba Cloud, and the places on this host that may say it."""

import configparser
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core.errors import AuthFailed


@attrs.frozen(kw_only=True)
class Credentials:
    """An access key, long-lived or of the Security Token Service.

    Attributes:
        key_id: names the key.
        secret: signs with it.
        token: goes with a temporary one.
        until: when it ends; None for one that is not known to.
    """

    key_id: str
    secret: str = attrs.field(repr=False)
    token: str = attrs.field(default="", repr=False)
    until: datetime | None = None


Chain: TypeAlias = Callable[[], Credentials]
"""Asked before every call, so that keys may be rotated."""


class NotHere(Exception):
    """A place that nobody has filled in; the text says what was looked for, and never what was found."""


@attrs.frozen(kw_only=True)
class OidcRole:
    """A role that a token of another authority may take on, as RRSA gives one to a pod."""

    role: str
    provider: str
    token_file: str
    session: str


@attrs.frozen(kw_only=True)
class InstanceRole:
    """The RAM role of the instance that we run on; without a name, whichever it has."""

    name: str = ""


Way: TypeAlias = Credentials | OidcRole | InstanceRole
"""What a place says: the key itself, or how to get one."""

PREFIXES: Final = ("ALIBABA_CLOUD", "ALIYUN")
"""The name that all tools of the vendor read, then the one that this SDK has always read."""
FILES: Final = (".alibabacloud/credentials", ".alibabacloud/credentials.ini")
"""Below the home; the vendor's tools do not agree on the name."""
SESSION: Final = "kubenode"
_NAMES: Final[Mapping[str, str]] = MappingProxyType({
    "AK": "access_key", "StsToken": "sts", "EcsRamRole": "ecs_ram_role", "OIDC": "oidc_role_arn",
})  # fmt: skip
"""What config.json calls what the other file calls otherwise."""


def from_environment(given: Mapping[str, str]) -> Credentials:
    """Read `ALIBABA_CLOUD_ACCESS_KEY_ID`, `_ACCESS_KEY_SECRET` and `_SECURITY_TOKEN`, or the same after `ALIYUN`.

    Raises:
        NotHere: neither has both an id and a secret.
    """
    for prefix in PREFIXES:
        key_id, secret = given.get(f"{prefix}_ACCESS_KEY_ID"), given.get(f"{prefix}_ACCESS_KEY_SECRET")
        if key_id and secret:
            return Credentials(
                key_id=key_id, secret=secret, token=given.get(f"{prefix}_SECURITY_TOKEN") or ""
            )
    raise NotHere("ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET are not both set")


def oidc_of(given: Mapping[str, str]) -> OidcRole:
    """Read what RRSA puts into the environment of a pod.

    Raises:
        NotHere: one of the three is not set.
    """
    names = ("ROLE_ARN", "OIDC_PROVIDER_ARN", "OIDC_TOKEN_FILE")
    role, provider, file = (given.get(f"ALIBABA_CLOUD_{name}", "") for name in names)
    if not (role and provider and file):
        raise NotHere("ALIBABA_CLOUD_ROLE_ARN, _OIDC_PROVIDER_ARN and _OIDC_TOKEN_FILE are not all set")
    session = given.get("ALIBABA_CLOUD_ROLE_SESSION_NAME") or SESSION
    return OidcRole(role=role, provider=provider, token_file=file, session=session)


def from_cli(given: Mapping[str, str], home: Path, profile: str) -> Way:
    """Read `~/.aliyun/config.json`, as the vendor's command line writes it.

    Args:
        given: the environment; `ALIBABA_CLOUD_CLI_PROFILE_DISABLED=true` keeps the file out.
        home: where the file is looked for.
        profile: by name; empty for `ALIBABA_CLOUD_PROFILE`, then for the one that is current.

    Raises:
        NotHere: there is no such file, or it is kept out.
        AuthFailed: it is not to be read, or has no such profile, or one that kubenode cannot use.
    """
    path = home / ".aliyun" / "config.json"
    if given.get("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "").lower() == "true":
        raise NotHere("ALIBABA_CLOUD_CLI_PROFILE_DISABLED keeps ~/.aliyun/config.json out")
    written = _json(_text(path))
    if not isinstance(written, Mapping):
        raise AuthFailed(f"{path} is no JSON object; fix: write it with `aliyun configure`")
    name = profile or given.get("ALIBABA_CLOUD_PROFILE") or written.get("current") or ""
    listed = written.get("profiles")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping) and one.get("name") == name:
            mode = str(one.get("mode", "AK"))
            said = {key: value for key, value in one.items() if isinstance(value, str)}
            plain = {
                "role_arn": said.get("ram_role_arn", ""), "role_name": said.get("ram_role_name", ""),
                "oidc_token_file_path": said.get("oidc_token_file", ""), "security_token": said.get("sts_token", ""),
                "role_session_name": said.get("ram_session_name", ""),
            }  # fmt: skip
            return _way(_NAMES.get(mode, mode), {**said, **plain}, f"profile {name!r} of {path}")
    raise AuthFailed(f"{path} has no profile {name!r}; fix: `profile` in [aliyun], or ALIBABA_CLOUD_PROFILE")


def from_file(given: Mapping[str, str], home: Path, profile: str) -> Way:
    """Read `~/.alibabacloud/credentials`, or what `ALIBABA_CLOUD_CREDENTIALS_FILE` names.

    Args:
        given: the environment.
        home: where the file is looked for.
        profile: the section; empty for `ALIBABA_CLOUD_PROFILE`, then for `default`.

    Raises:
        NotHere: there is no such file, or its section says `enable = false`.
        AuthFailed: it is not to be read, or has no such section, or one that kubenode cannot use.
    """
    named = given.get("ALIBABA_CLOUD_CREDENTIALS_FILE")
    paths = [Path(named)] if named else [home / one for one in FILES]
    path = next((one for one in paths if one.exists()), paths[0])
    name = profile or given.get("ALIBABA_CLOUD_PROFILE") or "default"
    sections = _sections(_text(path))
    if sections is None or name not in sections:
        what = "is no INI file" if sections is None else f"has no section [{name}]"
        raise AuthFailed(f"{path} {what}; fix: correct it, or name another profile")
    section = sections[name]
    if section.get("enable", "true").lower() == "false":
        raise NotHere(f"[{name}] of {path} says enable = false")
    return _way(section.get("type", "access_key"), section, f"[{name}] of {path}")


def _way(kind: str, said: Mapping[str, str], where: str) -> Way:
    """Read one profile; `where` names it for people."""
    if kind in ("access_key", "sts"):
        key_id, secret, token = (
            said.get(one, "") for one in ("access_key_id", "access_key_secret", "security_token")
        )
        if key_id and secret and (token or kind == "access_key"):
            return Credentials(key_id=key_id, secret=secret, token=token if kind == "sts" else "")
    elif kind == "ecs_ram_role":
        return InstanceRole(name=said.get("role_name", ""))
    elif kind == "oidc_role_arn":
        names = ("role_arn", "oidc_provider_arn", "oidc_token_file_path")
        role, provider, file = (said.get(one, "") for one in names)
        if role and provider and file:
            session = said.get("role_session_name") or SESSION
            return OidcRole(role=role, provider=provider, token_file=file, session=session)
    else:
        usable = ", ".join(f"{old} ({new})" for old, new in _NAMES.items())
        raise AuthFailed(
            f"{where} is of a kind that kubenode does not use ({kind[:40]}); fix: one of {usable}"
        )
    raise AuthFailed(f"{where} is not whole; fix: all that its kind ({kind}) needs")


def _text(path: Path) -> str:
    """Give the text of a file.

    Raises:
        NotHere: there is none.
        AuthFailed: it is not to be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problem: Exception = NotHere(f"there is no {path}")
    except (OSError, UnicodeDecodeError) as error:
        problem = AuthFailed(f"{path} cannot be read ({type(error).__name__}); fix: its owner or mode")
    # Out here: what could not be decoded would be the context, and holds the bytes.
    raise problem


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _sections(text: str) -> Mapping[str, Mapping[str, str]] | None:
    read = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",), default_section="")
    try:
        read.read_string(text)
    except configparser.Error:
        return None
    return {name: dict(read.items(name)) for name in read.sections()}
