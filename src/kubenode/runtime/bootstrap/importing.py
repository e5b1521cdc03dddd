"""The import of a host, whole: its Machine and token, the agent on it, and all that follows until it is Running.

Done again it goes on where it was. What fails before the agent has reported is undone on the host; from then on the
host is the agent's, and a time that is over ends the watching only. Where the server cannot be asked, nobody knows whether
it has: the agent stays.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from kubenode.core import wire
from kubenode.core.enrol.identity import NAME_LIMIT
from kubenode.core.errors import ApiError, InvalidObjectError, KubenodeError, ObjectNotFound, Problem
from kubenode.core.model import Host, Json, Machine
from kubenode.core.model.meta import LABEL, MACHINE_LABEL, matches
from kubenode.core.wish import machine as wish
from kubenode.runtime.agent.tree import StepFailed
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.arrival import Arrival, NotImported, StillComing, overtaken
from kubenode.runtime.bootstrap.install import Installation, look
from kubenode.runtime.bootstrap.remote import Lost, Remote
from kubenode.runtime.engine.apply import TOKENS, secret_name
from kubenode.runtime.enrolment import BootstrapToken, issue
from kubenode.runtime.fulfil import Overtaken, fulfil
from kubenode.runtime.store.contract import Api

TOKEN_FOR: Final = timedelta(hours=1)
_REPORT_LIMIT: Final = 180.0
_POLL: Final = 1.0
_NAME: Final = rf"^{LABEL}(\.{LABEL})*$"


@attrs.frozen(kw_only=True)
class Order:
    """A host to import.

    Attributes:
        host: how people name it; also what its Machine says as its address.
        name: of its Machine.
        labels: of its Machine, when that has to be made.
        server: URL of the API server, as the host reaches it.
        authority: the certificates that the server's is checked against; PEM.
        unit: the agent's unit file.
        bundle: None: kubenode is there already.
        limit: how long it may take until it is Running; None: as long as it takes.
    """

    host: str
    name: str
    labels: Mapping[str, str] = attrs.field(factory=dict)
    server: str
    authority: bytes
    unit: bytes
    bundle: s.Bundle | None = None
    limit: timedelta | None = None


@attrs.frozen(kw_only=True)
class Imported:
    """What was done, or in a dry run would be.

    Attributes:
        created: the Machine was not there before.
        steps: on the host.
        phase: of the Machine.
    """

    created: bool
    steps: tuple[str, ...]
    phase: str = ""


Connect = Callable[[], AbstractAsyncContextManager[Remote]]


@attrs.frozen(kw_only=True)
class Import:
    """One import.

    Attributes:
        order: what is wanted.
        store: with the rights to make Machines, and those of `issue`.
        connect: the way to the host; asked again when a connection broke off.
        tell: is told what happens, in one line.
        now: gives the moment.
        poll: seconds between two looks at the server.
        report: seconds that an agent has to get its certificate and to report; its signer may be slow.
    """

    order: Order
    store: Api
    connect: Connect
    tell: Callable[[str], None]
    now: Callable[[], datetime]
    poll: float = _POLL
    report: float = _REPORT_LIMIT

    async def plan(self) -> Imported:
        """Connect, look, and give what would be done; nothing is changed, on the host or on the server.

        Raises:
            InvalidObjectError: this host, or this Machine, cannot be imported.
            Lost: the host is not reached.
            NotImported: the host does not answer what it is asked.
            ApiError: the server refuses, or cannot be reached.
        """
        raw, created = await machine_for(self.order, self.store, dry_run=True)
        async with self.connect() as host:
            found = await self._look(host)
        target = target_of(self.order, "" if created else raw["metadata"]["uid"])
        self._check(found, target)
        return Imported(created=created, steps=tuple(map(str, s.plan(found, target, ""))))

    async def run(self) -> Imported:
        """Import it.

        Raises:
            InvalidObjectError, Lost, ApiError: as `plan`.
            NotImported: a step failed, or the agent did not come; the host is as it was.
            StillComing: the agent has come, and the Machine is not Running in time; or the agent was started, and
                the server cannot be asked what became of it; or another import of the host is at work.
        """
        async with self.connect() as host:
            found = await self._look(host)
            self._check(found, target_of(self.order, ""))
            raw, created = await machine_for(self.order, self.store, dry_run=False)
            if created:
                self.tell(f"made Machine {self.order.name}")
            target = target_of(self.order, raw["metadata"]["uid"])
            steps = s.plan(found, target, "")
            if steps:
                await self._install(host, raw, found, target)
            else:
                self.tell("its agent is there and runs: nothing is changed on the host")
        phase = await self._arrival.running(self.order.limit)
        return Imported(created=created, steps=tuple(map(str, steps)), phase=phase)

    async def _look(self, host: Remote) -> s.Found:
        try:
            return await look(host, self.order.bundle, self.order.host, self.now())
        except StepFailed as error:
            raise NotImported(str(error), "nothing was changed; mend it, and repeat the command") from error

    def _check(self, found: s.Found, target: s.Target) -> None:
        problems = s.refusals(found, target, self.order.host)
        if problems:
            raise InvalidObjectError(problems)

    @property
    def _arrival(self) -> Arrival:
        return Arrival(
            machine=self.order.name, store=self.store, tell=self.tell, poll=self.poll, report=self.report
        )

    async def _install(self, host: Remote, raw: Json, found: s.Found, target: s.Target) -> None:
        """Install the agent and wait for its first report, or undo all of it."""
        token: BootstrapToken | None = None
        work, arrival = Installation(found, self.tell), self._arrival
        enrolment = wire.read(raw, Machine).status.enrolment
        token_id = "" if enrolment is None else enrolment.token_id
        try:
            if s.needs_token(found, target):
                token = await issue(self.store, raw, self.now().replace(microsecond=0) + TOKEN_FOR)
                self.tell("made a bootstrap token, good once")
            *steps, start = s.plan(found, target, "" if token is None else token.text)
            await work.do(host, steps)
            before = await arrival.latest(found.boot_id, token_id)
            await work.do(host, (start,))
            await arrival.reported(host, found.boot_id, before, token)
        except StillComing:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if token is not None and await self._is_overtaken(token_id, token):
                raise self._left(error) from error
            raise await self._undone(host, work, token, error) from error
        with suppress(StepFailed, Lost):  # it is of no use to anybody any more
            await work.spend(host)

    async def _is_overtaken(self, token_id: str, token: BootstrapToken) -> bool:
        """Tell whether the host is another import's by now; where the server cannot be asked it is ours."""
        try:
            return await self._arrival.is_overtaken(token_id, token)
        except ApiError:
            return False

    def _left(self, error: BaseException) -> BaseException:
        """Leave the host to another import: what it has installed would be undone with what this one has. Give what to raise."""
        left = overtaken(str(error) or type(error).__name__)
        self.tell(str(left))
        return left if isinstance(error, KubenodeError) else error

    async def _undone(
        self, host: Remote, work: Installation, token: BootstrapToken | None, error: BaseException
    ) -> BaseException:
        """Undo what was done; give what to raise."""
        if not work.begun:
            with suppress(ApiError):
                await self._revoke(token)
            return error
        self.tell(f"failed: {str(error) or type(error).__name__}; undoing what was done on the host")
        fix = str(getattr(error, "fix", "")) or "mend it, and repeat the command"
        how = "the host is as it was"
        try:
            try:
                left = await work.undo(host)
            except Lost:  # once more, on a new connection
                async with self.connect() as again:
                    left = await work.undo(again)
            if left:
                how = f"not undone on the host: {'; '.join(left)}"
        except (KubenodeError, OSError):
            how = "what was done on the host stays, since it is not reached"
            fix = "repeat the command when it is reached again: it goes on where it was"
        with suppress(ApiError):
            await self._revoke(token)
        self.tell(how)
        if not isinstance(error, KubenodeError):
            return error
        return NotImported(f"{error}; {how}", fix)

    async def _revoke(self, token: BootstrapToken | None) -> None:
        """Delete the token that this import has made."""
        if token is None:
            return
        for old in (await self.store.find(TOKENS, labels={MACHINE_LABEL: token.machine})).items:
            if old["metadata"]["name"] == secret_name(token.id):
                await self.store.delete(TOKENS, old["metadata"]["name"], uid=old["metadata"]["uid"])


async def machine_for(order: Order, store: Api, *, dry_run: bool) -> tuple[Json, bool]:
    """Give the Machine of a host, made when it is not there, and whether it was made.

    Raises:
        InvalidObjectError: its name is none, or too long for a certificate; the one of that name is of another host, or goes.
        ApiError: the server refuses, or cannot be reached.
    """
    _check_name(order.name)
    try:
        raw = await store.get(Machine.KIND, order.name)
    except ObjectNotFound:
        asked = wish.create(order.name, Host(address=order.host), order.labels)
        try:
            made = await fulfil(store, asked, dry_run=dry_run)
        except Overtaken:  # another import of the same host was quicker
            made = await store.get(Machine.KIND, order.name)
        return made or {}, True
    machine = wire.read(raw, Machine)
    what, fix = "", "choose another --name"
    if machine.spec.host is not None and machine.spec.host.address != order.host:
        what = f"is of host {machine.spec.host.address}"
    elif machine.metadata.deletion_timestamp is not None:
        what, fix = "is being deleted", "wait until it is gone, and repeat the command"
    if what:
        raise InvalidObjectError((Problem(where=f"Machine {order.name}", what=what, fix=fix),))
    return raw, False


def _check_name(name: str) -> None:
    """Look whether a Machine may be called so and have an agent, before anything is made. Raises InvalidObjectError."""
    what, fix = "", "--name, a shorter one"
    if not matches(_NAME, name):
        what, fix = "is no name of an object", "--name, of small letters, digits, dots and hyphens"
    elif len(name) > NAME_LIMIT:
        what = f"is longer than the {NAME_LIMIT} characters that a certificate has for it"
    if what:
        raise InvalidObjectError((Problem(where=f"Machine {name}", what=what, fix=fix),))


def target_of(order: Order, uid: str) -> s.Target:
    """Give what the host is to have; `uid` is of its Machine."""
    return s.Target(
        machine=order.name, uid=uid, server=order.server, authority=order.authority, unit=order.unit, bundle=order.bundle
    )  # fmt: skip


async def pasted(
    order: Order, store: Api, now: datetime, line: Callable[[s.Target, str], str], *, dry_run: bool
) -> tuple[bool, str]:
    """Make the Machine and a token; give whether the Machine was made, and what `line` makes of them; empty in a dry run.

    Raises:
        InvalidObjectError, ApiError: as `machine_for`.
    """
    raw, created = await machine_for(order, store, dry_run=dry_run)
    if dry_run:
        return created, ""
    token = await issue(store, raw, now.replace(microsecond=0) + TOKEN_FOR)
    return created, line(target_of(order, raw["metadata"]["uid"]), token.text)


def summary(done: Imported) -> dict[str, Any]:
    """Give it for programs."""
    return {"created": done.created, "steps": list(done.steps), "phase": done.phase or None}
