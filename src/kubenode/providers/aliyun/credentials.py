"""Who we are to Alibaba Cloud: from the environment, as its own tools read it."""

import os
from collections.abc import Callable, Mapping
from typing import TypeAlias

import attrs

from kubenode.core.errors import AuthFailed


@attrs.frozen(kw_only=True)
class Credentials:
    """An access key, long-lived or of the Security Token Service."""

    key_id: str
    secret: str = attrs.field(repr=False)
    token: str = attrs.field(default="", repr=False)


Chain: TypeAlias = Callable[[], Credentials]
"""Asked before every call, so that keys may be rotated."""

PREFIXES = ("ALIBABA_CLOUD", "ALIYUN")
"""The name that all tools of the vendor read, then the one that this SDK has always read."""


def from_environment(environment: Mapping[str, str] | None = None) -> Credentials:
    """Read `ALIBABA_CLOUD_ACCESS_KEY_ID`, `_ACCESS_KEY_SECRET` and `_SECURITY_TOKEN`, or the same after `ALIYUN`.

    Raises:
        AuthFailed: neither has both an id and a secret.
    """
    given = os.environ if environment is None else environment
    for prefix in PREFIXES:
        key_id, secret = given.get(f"{prefix}_ACCESS_KEY_ID"), given.get(f"{prefix}_ACCESS_KEY_SECRET")
        if key_id and secret:
            return Credentials(
                key_id=key_id, secret=secret, token=given.get(f"{prefix}_SECURITY_TOKEN") or ""
            )
    raise AuthFailed(
        "no credentials for Alibaba Cloud; fix: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET"
    )
