"""Enrolment from the host's side: a key that is made here, a request, and the certificate that answers it.

The key is on the disk before anybody is asked, since a token is good for one key: whatever dies in between, the next
start asks with the same key under the same name, and finds what was answered. Whether a certificate is still good is the
server's to say: this host's clock may be wrong.
"""

import asyncio
import base64
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from kubenode.core.enrol.identity import UID, groups_of, token_group, user_of
from kubenode.core.enrol.request import CLIENT_AUTH, LONGEST
from kubenode.core.errors import AlreadyExists, ApiError, KubenodeError, Retry, Unauthorized
from kubenode.core.identity import digest
from kubenode.core.model import Json
from kubenode.core.model.world import SIGNER, CertificateSigningRequest
from kubenode.runtime.agent import keywork
from kubenode.runtime.agent.connection import by_certificate, by_token
from kubenode.runtime.agent.own import FIELD_MANAGER
from kubenode.runtime.agent.tree import StepFailed, Tree
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Request
from kubenode.runtime.threads import called

LOG = logging.getLogger("kubenode.agent")

IDENTITY: Final = "/identity.pem"
"""The key and the certificate in use, in one file: there is no moment at which they do not belong together."""
_KEY: Final = "/next.key"
"""A key that has no certificate yet."""
_KIND: Final = CertificateSigningRequest.KIND
_PRIVATE: Final = 0o600
_DISK: Final = "kubenode identity"
"""The thread of what waits for a disk: the loop does not."""
_POLL: Final = (0.25, 5.0)
_AGAIN: Final = (1.0, 30.0)
_UNKNOWN_LIMIT: Final = 60.0
"""Seconds that a server is given to hear of a token that was just made."""
_RENEW_AGAIN: Final = (60.0, 300.0)
"""Seconds between two tries of a renewal, at first and at last; up to twice as many, so that agents spread out."""
_CHANCE: Final = secrets.SystemRandom().random
Sleep = Callable[[float], Awaitable[None]]


class NotEnrolled(KubenodeError):
    """A host could not become the agent of its machine.

    Attributes:
        fix: what to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        self.fix = fix
        super().__init__(message)


class _Asking(KubeStore):
    """The store of who has a token: requests for certificates, and who it is."""

    async def groups(self) -> tuple[str, ...]:
        """Give the groups in which the server sees us. Raises ApiError."""
        body = orjson.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        answer = await self._transport.call(Request(method="POST", path=path, body=body))
        return tuple(answer["status"]["userInfo"].get("groups") or ())


@attrs.frozen(kw_only=True)
class Enrolment:
    """Of which machine a host is to be the agent, and with what.

    Attributes:
        machine: its name.
        server: the URL of the API server.
        authority: a file with the certificates that the server's is checked against.
        state: the agent's own folder.
        token_file: with a bootstrap token, as text or as `kubenode machine token -o json` prints it; None: there is
            none, and the certificate is there already.
    """

    machine: str
    server: str
    authority: Path
    state: Path
    token_file: Path | None = None

    @property
    def identity(self) -> Path:
        """The file with the key and the certificate."""
        return self.state / IDENTITY[1:]

    def connection(self) -> Connection:
        """Give how to reach the server as the agent. Raises InvalidObjectError."""
        return by_certificate(self.server, self.authority, self.identity)

    def certificate(self) -> bytes | None:
        """Give the certificate in use, with its key; None when there is none. Raises NotEnrolled."""
        try:
            return Tree(self.state).read(IDENTITY)
        except StepFailed as error:
            raise NotEnrolled(str(error), "see to it that the agent can read its own folder") from error


async def enrol(wanted: Enrolment, now: datetime, sleep: Sleep = asyncio.sleep) -> None:
    """See to it that there is a certificate that the server takes; ask for one with the token when there is none.

    A server that is away is waited for. It is asked about a certificate that is over by this host's clock.

    Raises:
        NotEnrolled: there is no token, the server does not know it, or the request was denied.
        InvalidObjectError: what was given cannot be read.
    """
    held = await called(_DISK, wanted.certificate)
    if held is not None and (now < (await keywork.certificate(held)).end or await _is_taken(wanted, sleep)):
        return
    await _by_token(wanted, sleep)


async def _is_taken(wanted: Enrolment, sleep: Sleep) -> bool:
    """Ask the server whether it takes a certificate that is over by this host's clock."""
    async with _Asking(wanted.connection, field_manager=FIELD_MANAGER) as store:
        try:
            await _patient(store.groups, sleep)
        except Unauthorized:
            return False
    _tell_clock()
    return True


def _tell_clock() -> None:
    LOG.warning(
        "event=clock-wrong why='the certificate is over by this host's clock, and good by the server's' "
        "fix='timedatectl set-ntp true'"
    )


async def _by_token(wanted: Enrolment, sleep: Sleep) -> None:
    token = _token(wanted)
    async with _Asking(
        lambda: by_token(wanted.server, wanted.authority, token), field_manager=FIELD_MANAGER
    ) as store:
        try:
            groups = await _patient(store.groups, sleep, unknown=_UNKNOWN_LIMIT)
            prefix = token_group("")
            uid = next((group.removeprefix(prefix) for group in groups if group.startswith(prefix)), "")
            if not uid:
                raise NotEnrolled("the token is of no Machine", f"kubenode machine token {wanted.machine}")
            await _obtain(store, wanted, groups_of(uid), token.partition(".")[0], sleep)
        except Unauthorized as error:
            text = "the server does not know the token: it was used, has expired, or is of another cluster"
            fix = f"make a new one: kubenode machine token {wanted.machine}"
            raise NotEnrolled(text, fix) from error


async def renew(
    store: KubeStore, wanted: Enrolment, now: Callable[[], datetime], sleep: Sleep = asyncio.sleep, *,
    refused: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Renew the certificate, with a new key, whenever two thirds of its time are over; until cancelled.

    The store goes on with the old one and takes the new one when the server refuses the old one. Where the server takes
    the old one no more, a token is asked with, which is read anew each time: a person may have made one since.

    Args:
        store: with the certificate in use.
        wanted: of which machine it is.
        now: this host's time; how far it is from the server's is known to the store.
        sleep: waits for some seconds.
        refused: tells whether the server does not know us; then it is not waited until the time is over.
    """
    shortest, longest = _RENEW_AGAIN
    least, pause = 0.0, shortest
    while True:
        try:
            said = await _held(wanted)
            if said is None:
                await _by_token(wanted, sleep)
            else:
                if _right(store, now) < said.end <= now():
                    _tell_clock()
                await _until(_due(said, wanted.machine), partial(_right, store, now), sleep, refused, least)
                await _renewed(store, wanted, said, sleep)
            least, pause = shortest, shortest
        except (KubenodeError, OSError) as error:
            fix = getattr(error, "fix", "") or "see to the server; it is tried again"
            LOG.warning("event=not-renewed error=%r fix=%r", f"{type(error).__name__}: {error}", fix)
            await sleep(pause * (1 + _CHANCE()))
            least, pause = 0.0, min(pause * 2, longest)


async def _held(wanted: Enrolment) -> keywork.Certificate | None:
    held = await called(_DISK, wanted.certificate)
    return None if held is None else await keywork.certificate(held)


def _right(store: KubeStore, now: Callable[[], datetime]) -> datetime:
    """Give the server's time, as far as it is known: by its clock a certificate is good or not."""
    return now() - (store.ahead or timedelta())


def _due(said: keywork.Certificate, machine: str) -> datetime:
    lifetime = said.end - said.begin
    return said.begin + lifetime * (2 / 3) + _spread(machine, lifetime)


async def _until(
    due: datetime, now: Callable[[], datetime], sleep: Sleep, refused: Callable[[], bool], least: float
) -> None:
    """Wait until a moment or a refusal, `least` seconds at any rate; a clock that is set meanwhile is heeded."""
    while True:
        left = (due - now()).total_seconds()
        await sleep(max(least, min(left, _RENEW_AGAIN[0])))
        if left <= _RENEW_AGAIN[0] or refused():
            return
        least = 0.0


async def _renewed(store: KubeStore, wanted: Enrolment, said: keywork.Certificate, sleep: Sleep) -> None:
    uid = next((group.removeprefix(UID) for group in said.organizations if group.startswith(UID)), "")
    try:
        await _obtain(store, wanted, groups_of(uid), "", sleep)
    except Unauthorized as error:
        LOG.warning("event=certificate-refused error=%s", error)
        await _by_token(wanted, sleep)


def _spread(machine: str, lifetime: timedelta) -> timedelta:
    """Spread the renewals of machines that were made at once over a twelfth of the lifetime."""
    return lifetime / 12 * (int(digest("renewal", machine)[:4], 16) / 0x10000)


def _token(wanted: Enrolment) -> str:
    fix = f"kubenode machine token {wanted.machine}, and write what it prints to the file of --token-file"
    if wanted.token_file is None:
        raise NotEnrolled("there is no certificate that is still good, and no token to ask for one", fix)
    try:
        text = wanted.token_file.read_text(encoding="ascii").strip()
        found = str(json.loads(text)["token"]) if text.startswith("{") else text.split("\n")[0].strip()
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NotEnrolled(f"{wanted.token_file} holds no token: {type(error).__name__}", fix) from error
    if len(found) > 256 or not found.isprintable() or "." not in found or " " in found:
        raise NotEnrolled(f"{wanted.token_file} holds no token", fix)
    return found


async def _patient(ask: Callable[[], Awaitable[Any]], sleep: Sleep, *, unknown: float = 0.0) -> Any:
    """Ask until there is an answer; a server that does not know us may hear of us within some seconds.

    Raises:
        Unauthorized: it has not.
    """
    pause, waited = _AGAIN[0], 0.0
    while True:
        try:
            return await ask()
        except Unauthorized as error:
            waited += pause
            if waited > unknown:
                raise
            LOG.warning("event=token-unknown error=%s", error)
        except ApiError as error:
            if error.retry is not Retry.BACKOFF:
                raise
            LOG.warning("event=waits-for-the-server error=%s", error)
        await sleep(pause * (1 + _CHANCE()) / 2)
        pause = min(pause * 2, _AGAIN[1])


async def _obtain(
    store: KubeStore, wanted: Enrolment, groups: tuple[str, ...], token: str, sleep: Sleep
) -> None:
    """Ask for a certificate, wait for it, and put it in the place of the one before."""
    tree = Tree(wanted.state)
    kept = await called(_DISK, lambda: tree.read(_KEY))
    made = await keywork.request(kept or b"", user_of(wanted.machine), groups)
    if not kept:
        await called(_DISK, lambda: tree.write(_KEY, made.key, _PRIVATE))
    name = f"kubenode-{wanted.machine}-{digest(made.fingerprint, token)}"
    text = base64.b64encode(made.request).decode()
    spec = {
        "request": text, "signerName": SIGNER, "usages": [CLIENT_AUTH, "digital signature"],
        "expirationSeconds": int(LONGEST.total_seconds()),
    }  # fmt: skip
    body = {"apiVersion": _KIND.api_version, "kind": _KIND.name, "metadata": {"name": name}, "spec": spec}

    async def asked() -> None:
        try:
            await store.create(_KIND, body)
        except AlreadyExists:
            LOG.info("event=asked-before request=%s", name)

    unknown = _UNKNOWN_LIMIT if token else 0.0
    await _patient(asked, sleep, unknown=unknown)
    LOG.info("event=asked request=%s", name)
    pause = _POLL[0]
    while not (
        certificate := _answer(await _patient(lambda: store.get(_KIND, name), sleep, unknown=unknown))
    ):
        await sleep(pause)
        pause = min(pause * 1.2, _POLL[1])
    said = await keywork.certificate(certificate)
    if said.key != made.fingerprint:
        raise NotEnrolled(
            f"request {name} was answered for another key", "delete it, and start the agent anew"
        )
    await called(_DISK, lambda: tree.write(IDENTITY, made.key + certificate, _PRIVATE))
    await called(_DISK, (wanted.state / _KEY[1:]).unlink)
    LOG.info("event=enrolled request=%s until=%s", name, said.end.isoformat())


def _answer(found: Json) -> bytes:
    """Give the certificate of a request, empty while there is none. Raises NotEnrolled when there will be none."""
    status = found.get("status") or {}
    for one in status.get("conditions") or ():
        if one["type"] in ("Denied", "Failed") and one["status"] == "True":
            text = (
                f"the request {found['metadata']['name']} was {one['type'].lower()}: {one.get('reason', '')}"
            )
            fix = "mend what it says, and start the agent anew with a new token"
            raise NotEnrolled(f"{text}: {one.get('message', '')}"[:600], fix)
    return base64.b64decode(status.get("certificate") or "")
