"""What the operator of a controller gives it so that instances enrol: where the server is, what to install, and a key.

The bootstrap token of an attempt is computed from that key. So the user data of an attempt is the same bytes whenever it
is asked for again, also by another process, and no token is kept or read anywhere.
"""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.identity import digest
from kubenode.core.naming import is_sha256, is_url
from kubenode.runtime.enrolment import ALPHABET, BootstrapToken
from kubenode.runtime.userdata.render import Enrolling

KEY_LEAST: Final = 32
"""Bytes of the key, at least."""
TOKEN_LIFE: Final = timedelta(hours=1)
"""An attempt that has not come up by then was given up long ago (`watch.CREATION`, `watch.JOIN`)."""
_ID, _SECRET = 6, 16


@attrs.frozen(kw_only=True)
class UserDataSettings:
    """With what instances enrol their agents.

    Attributes:
        server: https URL of the API server, as instances reach it.
        authority: the certificates that the server's is checked against; PEM.
        unit: the agent's unit file.
        key: 32 random bytes or more, the same for all controllers of a cluster; whoever has it can enrol as any machine
            that is being made.
        bundle_url: where instances get the bundle; empty: the image brings kubenode.
        bundle_sha256: of the bundle.

    Raises:
        InvalidObjectError: every problem at once.
    """

    server: str
    authority: str
    unit: str
    key: bytes = attrs.field(repr=False)
    bundle_url: str = attrs.field(default="", repr=False)
    bundle_sha256: str = ""

    def __attrs_post_init__(self) -> None:
        if problems := tuple(self._problems()):
            raise InvalidObjectError(problems)

    def _problems(self) -> Iterator[Problem]:
        parts = urlsplit(self.server)
        if (
            parts.scheme != "https"
            or not parts.hostname
            or not self.server.isascii()
            or set(self.server) & set(" \"'\\$\n")
        ):
            yield Problem(where="server", what="is no https URL", fix="as https://10.0.0.1:6443")
        text = self.authority
        if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE KEY" in text or not text.isascii():
            yield Problem(
                where="ca", what="holds no certificates, or a private key", fix="certificates in PEM"
            )
        if len(self.key) < KEY_LEAST:
            what = f"has {len(self.key)} bytes; {KEY_LEAST} random ones are needed"
            yield Problem(where="key_file", what=what, fix="head -c 32 /dev/urandom > key")
        if self.bundle_url and not is_url(self.bundle_url):
            yield Problem(where="bundle_url", what="is no plain http or https URL")
        if bool(self.bundle_url) != bool(self.bundle_sha256):
            yield Problem(where="bundle_sha256", what="goes with bundle_url, and only with it")
        elif self.bundle_sha256 and not is_sha256(self.bundle_sha256):
            yield Problem(where="bundle_sha256", what="is no SHA-256", fix="write what sha256sum prints")

    @property
    def fingerprint(self) -> str:
        """A digest of all of it, which tells nothing of the key: another one means other user data."""
        told = self._derived("fingerprint", 32).hex()
        return digest(self.server, self.authority, self.unit, told, self.bundle_url, self.bundle_sha256)

    def token(self, machine: str, uid: str, attempt: int, now: datetime) -> BootstrapToken:
        """Give the token of one attempt to make an instance for one incarnation of a machine, as if it were made now."""
        drawn = _letters(self._derived(f"token\0{uid}\0{attempt}", 64), _ID + _SECRET)
        return BootstrapToken(
            machine=machine, uid=uid, id=drawn[:_ID], secret=drawn[_ID:], expires=now + TOKEN_LIFE
        )

    def enrolling(self, token: BootstrapToken) -> Enrolling:
        """Give what the instance of a token is to have."""
        sha256 = self.bundle_sha256
        return Enrolling(
            machine=token.machine, server=self.server, authority=self.authority, unit=self.unit, token=token.text,
            bundle=(sha256[:12], sha256, self.bundle_url) if self.bundle_url else (),
        )  # fmt: skip

    def _derived(self, what: str, length: int) -> bytes:
        return hmac.digest(self.key, f"kubenode user data: {what}".encode(), hashlib.sha512)[:length]


def _letters(drawn: bytes, length: int) -> str:
    number, found = int.from_bytes(drawn, "big"), ""
    for _ in range(length):
        number, one = divmod(number, len(ALPHABET))
        found += ALPHABET[one]
    return found
