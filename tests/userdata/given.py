"""Settings, machines and effects of user data."""

from datetime import UTC, datetime
from typing import Any, Final

from kubenode.core.decision import CreateInstance, UserData
from kubenode.core.model.meta import Ref
from kubenode.runtime.sim.story import examples
from kubenode.runtime.userdata.settings import UserDataSettings

NOW: Final = datetime(2026, 7, 1, 12, tzinfo=UTC)
UID: Final = "0b1e5a52-7f0e-4a0c-8a3c-0d8f3a1c2b4d"
AUTHORITY: Final = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SERVER: Final = "https://10.0.0.1:6443"
SHA: Final = "ab" * 32


def settings(**change: Any) -> UserDataSettings:
    """Settings as an operator gives them."""
    given = {
        "server": SERVER, "authority": AUTHORITY, "unit": (examples() / "kubenode-agent.service").read_text(), "key": b"k" * 32,
        "bundle_url": "https://mirror/kubenode.tar.gz?sig=a%26b", "bundle_sha256": SHA,
    }  # fmt: skip
    return UserDataSettings(**{**given, **change})


def effect(wanted: UserData | None, **change: Any) -> CreateInstance:
    """A call that is to make the instance of m1."""
    given = {
        "machine": Ref(kind="Machine", name="m1", uid=UID), "provider": "slow", "token": "t", "parameters": {}, "choice": 0,
        "launch": "", "tags": {}, "user_data": wanted,
    }  # fmt: skip
    return CreateInstance(**{**given, **change})
