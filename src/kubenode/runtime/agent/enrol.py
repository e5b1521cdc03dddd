"""Enrolment from the host's side: a key that is made here, a request, and the certificate that answers it.

The key is on the disk before anybody is asked, since a token is good for one key: whatever dies in between, the next
start asks with the same key under the same name, and finds what was answered.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
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
_RENEW_AGAIN: Final = timedelta(minutes=1)
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
    """See to it that there is a certificate that is still good; ask for one with the token when there is none.

    A server that is away is waited for.

    Raises:
        NotEnrolled: there is no token, the server does not know it, or the request was denied.
        InvalidObjectError: what was given cannot be read.
    """
    held = await called(_DISK, wanted.certificate)
    if held is not None and now < (await keywork.certificate(held)).end:
        return
    token = _token(wanted)
    async with _Asking(
        lambda: by_token(wanted.server, wanted.authority, token), field_manager=FIELD_MANAGER
    ) as store:
        groups = await _patient(store.groups, sleep)
        prefix = token_group("")
        uid = next((group.removeprefix(prefix) for group in groups if group.startswith(prefix)), "")
        if not uid:
            raise NotEnrolled("the token is of no Machine", f"kubenode machine token {wanted.machine}")
        await _obtain(store, wanted, groups_of(uid), token.partition(".")[0], sleep)


async def renew(
    store: KubeStore, wanted: Enrolment, now: Callable[[], datetime], sleep: Sleep = asyncio.sleep
) -> None:
    """Renew the certificate, with a new key, whenever two thirds of its time are over; until cancelled.

    The store goes on with the old one and takes the new one when the server refuses the old one.
    """
    while True:
        held = await called(_DISK, wanted.certificate)
        if held is None:
            return
        said = await keywork.certificate(held)
        lifetime = said.end - said.begin
        due = said.begin + lifetime * (2 / 3) + _spread(wanted.machine, lifetime)
        await sleep(max(0.0, (due - now()).total_seconds()))
        try:
            uid = next(group.removeprefix(UID) for group in said.organizations if group.startswith(UID))
            await _obtain(store, wanted, groups_of(uid), "", sleep)
        except (KubenodeError, StopIteration) as error:
            LOG.warning("event=not-renewed error=%s: %s", type(error).__name__, error)
            await sleep(_RENEW_AGAIN.total_seconds())


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


async def _patient(ask: Callable[[], Awaitable[Any]], sleep: Sleep) -> Any:
    """Ask until there is an answer; a token that the server does not know yet is given a minute."""
    pause, unknown = _AGAIN[0], 0.0
    while True:
        try:
            return await ask()
        except Unauthorized as error:
            unknown += pause
            if unknown > _UNKNOWN_LIMIT:
                text = (
                    "the server does not know the token: it was used, has expired, or is of another cluster"
                )
                raise NotEnrolled(text, "make a new one: kubenode machine token MACHINE") from error
            LOG.warning("event=token-unknown error=%s", error)
        except ApiError as error:
            if error.retry is not Retry.BACKOFF:
                raise
            LOG.warning("event=waits-for-the-server error=%s", error)
        await sleep(pause)
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

    await _patient(asked, sleep)
    LOG.info("event=asked request=%s", name)
    pause = _POLL[0]
    while not (certificate := _answer(await _patient(lambda: store.get(_KIND, name), sleep))):
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
