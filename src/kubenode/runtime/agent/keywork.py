"""What an agent asks about keys and certificates, answered by `keys` in a process of its own, which ends then.

An agent needs that once in its certificate's life, and `cryptography` would take 9 MiB of it for ever. The key goes to
the child by its standard input, and nowhere else.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from kubenode.core.errors import InvalidObjectError, KubenodeError, Problem
from kubenode.runtime.threads import called

_KEYS: Final = "kubenode.runtime.agent.keys"
_LIMIT: Final = 60.0
WORD: Final = "keys"
"""The word of a bundle's command line that answers."""


class NoKeys(KubenodeError):
    """The process that knows about keys failed."""


@attrs.frozen(kw_only=True)
class Certificate:
    """What a certificate says.

    Attributes:
        begin: from when it is valid.
        end: until when.
        organizations: the groups that it is for.
        key: the SHA-256 of its public key, in hex.
    """

    begin: datetime
    end: datetime
    organizations: tuple[str, ...]
    key: str


@attrs.frozen(kw_only=True)
class Requested:
    """A key and a request for a certificate, both PEM, and the SHA-256 of the key's public part, in hex."""

    key: bytes = attrs.field(repr=False)
    request: bytes
    fingerprint: str


async def certificate(pem: bytes) -> Certificate:
    """Give what a certificate says; the first, if there are several, and whatever else stands there.

    Raises:
        InvalidObjectError: it cannot be read.
        NoKeys: nobody can tell.
    """
    said = await _asked({"certificate": pem.decode(errors="replace")})
    return Certificate(
        begin=datetime.fromisoformat(said["begin"]), end=datetime.fromisoformat(said["end"]),
        organizations=tuple(said["organizations"]), key=said["key"],
    )  # fmt: skip


async def request(key: bytes, user: str, groups: Iterable[str]) -> Requested:
    """Make a request for a certificate.

    Args:
        key: PEM; empty for a new one.
        user: that it is for.
        groups: that it is for.

    Raises:
        InvalidObjectError: the key cannot be read.
        NoKeys: it cannot be made.
    """
    said = await _asked({"key": key.decode(errors="replace"), "user": user, "groups": [*groups]})
    return Requested(
        key=said["key"].encode(), request=said["request"].encode(), fingerprint=said["fingerprint"]
    )


async def _asked(question: Mapping[str, Any]) -> Mapping[str, Any]:
    if _KEYS in sys.modules:  # it is loaded anyway, so a child would save nothing
        return dict(sys.modules[_KEYS].answer(question))
    said: Mapping[str, Any] = await called("kubenode keys", lambda: _of_child(question))
    if "problems" in said:
        raise InvalidObjectError(tuple(Problem(**problem) for problem in said["problems"]))
    return said


def _of_child(question: Mapping[str, Any]) -> Mapping[str, Any]:
    if importlib.util.find_spec("cryptography") is None:
        raise NoKeys("this needs cryptography: pip install 'kubenode[agent]'")
    argv, environ = _child()
    try:
        done = subprocess.run(  # noqa: S603 - an argv: no shell takes it apart
            argv, input=json.dumps(question), env=environ, capture_output=True, text=True, check=False, timeout=_LIMIT,
        )  # fmt: skip
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise NoKeys(f"{argv[-1]}: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise NoKeys(f"{argv[-1]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return found


def _child() -> tuple[tuple[str, ...], dict[str, str]]:
    """Give what runs `keys` as this process runs: out of the same bundle, or with the same modules."""
    if getattr(sys, "frozen", False):
        return (os.readlink("/proc/self/exe"), WORD), {}
    return (sys.executable, "-m", _KEYS), {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
