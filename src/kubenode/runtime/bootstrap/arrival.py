"""The wait for an agent that was started on a host: its certificate, its first report, and its Machine until that is Running.

What was there before it was started is no sign of it: not another token's certificate, and not what an earlier agent reported
in the same boot.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core import wire
from kubenode.core.errors import ApiError, KubenodeError, ObjectNotFound, Retry
from kubenode.core.model import AgentStatus, Machine, Switch
from kubenode.core.model.condition import find
from kubenode.core.model.machine import MachineStatus
from kubenode.core.model.meta import MACHINE_LABEL
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.remote import Lost, Remote
from kubenode.runtime.engine.apply import TOKENS, secret_name
from kubenode.runtime.enrolment import BootstrapToken
from kubenode.runtime.policies import AGENTS_NAMESPACE
from kubenode.runtime.store.contract import Api
from kubenode.runtime.store.lease import LEASE

_RESTARTS: Final = 3
"""So often an agent may end that has not reported, before it is given up."""


class NotImported(KubenodeError):
    """A host was not imported, and is as it was before, as far as the text does not say otherwise.

    Attributes:
        fix: what to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        self.fix = fix
        super().__init__(message)


class StillComing(NotImported):
    """A host is, or may be, its agent's, and was not seen Running; it goes on."""


@attrs.frozen(kw_only=True)
class Before:
    """What the server said of a Machine before an agent of it was started.

    Attributes:
        token_id: the token that a certificate was asked for with last, before ours was made; empty when there was none.
        agent: what an agent had reported last.
        sign: when its agent had renewed its Lease last; None: never, or it had not reported in this boot of the host.
    """

    token_id: str
    agent: AgentStatus | None
    sign: str | None = None


@attrs.frozen(kw_only=True)
class Arrival:
    """What is waited for.

    Attributes:
        machine: its name.
        store: is asked.
        tell: is told what happens, in one line.
        poll: seconds between two looks at the server.
        report: seconds that an agent has to get its certificate and to report.
    """

    machine: str
    store: Api
    tell: Callable[[str], None]
    poll: float
    report: float

    async def latest(self, boot_id: str, token_id: str) -> Before:
        """Say what there is of a Machine at the moment before its agent is started; the one before may report until then.

        Raises:
            NotImported: the Machine was deleted.
            ApiError: the server cannot be asked.
        """
        agent = (await self._seen()).status.agent
        was_here = agent is not None and agent.boot_id == boot_id
        return Before(token_id=token_id, agent=agent, sign=await self._sign() if was_here else None)

    async def reported(
        self, host: Remote, boot_id: str, before: Before, token: BootstrapToken | None
    ) -> None:
        """Wait until the agent that was started has its certificate and has reported from this boot of the host.

        Raises:
            NotImported: it has not in time, or ends again and again; or the Machine was deleted.
            StillComing: the server cannot be asked, or another import has taken the place of this one.
            Lost: the host is not reached any more.
        """
        approved, silence = token is None, None
        if token is not None:
            self.tell("waits for its certificate")
        try:
            async with asyncio.timeout(self.report):
                while True:
                    try:
                        status = (await self._seen()).status
                        is_fresh = await self._is_fresh(status, boot_id, before)
                    except ApiError as error:
                        silence = self._unanswered(error, silence)
                        await asyncio.sleep(self.poll)
                        continue
                    silence = None
                    if not approved and token is not None:
                        approved = self._approved(status, before, token)
                    if approved and is_fresh and status.agent is not None:
                        self.tell(f"its agent {status.agent.version} has reported")
                        return
                    await self._alive(host)
                    await asyncio.sleep(self.poll)
        except TimeoutError:
            if silence is not None:
                raise _unknown(silence) from silence
            what = "its agent has not reported" if approved else "its certificate was not approved"
            fix = "kubenode controller --enrolment has to run, and the host has to reach --server"
            raise NotImported(f"{what} within {self.report:.0f} s{await self._log(host)}", fix) from None

    def _approved(self, status: MachineStatus, before: Before, token: BootstrapToken) -> bool:
        """Tell whether the certificate was asked for with our token. Raises StillComing: with another one."""
        found = "" if status.enrolment is None else status.enrolment.token_id
        if found == token.id:
            self.tell("its certificate is approved")
        elif found != before.token_id:
            raise overtaken("")
        return found == token.id

    async def _is_fresh(self, status: MachineStatus, boot_id: str, before: Before) -> bool:
        """Tell whether a report is of the agent that was started: an earlier one may have reported in the same boot."""
        if status.agent is None or status.agent.boot_id != boot_id:
            return False
        return status.agent != before.agent or await self._sign() != before.sign

    async def _sign(self) -> str | None:
        try:
            lease = await self.store.get(LEASE.within(AGENTS_NAMESPACE), self.machine)
        except ObjectNotFound:
            return None
        return str(lease["spec"].get("renewTime"))

    async def is_overtaken(self, token_id: str, token: BootstrapToken) -> bool:
        """Tell whether another import has made a token since, by which ours was deleted; `token_id` is the one before. Raises ApiError."""
        held = (await self.store.find(TOKENS, labels={MACHINE_LABEL: self.machine})).items
        if any(one["metadata"]["name"] != secret_name(token.id) for one in held):
            return True
        try:
            enrolment = (await self._seen()).status.enrolment
        except NotImported:  # nobody imports it any more
            return False
        return enrolment is not None and enrolment.token_id not in (token_id, token.id)

    def _unanswered(self, error: ApiError, before: ApiError | None) -> ApiError:
        """Go on while the server is away. Raises StillComing when it will not tell later either."""
        if error.retry is Retry.NEVER:
            raise _unknown(error) from error
        return self._waits(error, before)

    def _waits(self, error: ApiError, before: ApiError | None) -> ApiError:
        """Say, once, that the server is waited for."""
        if before is None:
            self.tell(f"the server does not answer, and is asked again: {error}")
        return error

    async def _alive(self, host: Remote) -> None:
        """Give up an agent that ends again and again."""
        shown = (await host.run(("systemctl", "show", "-P", "NRestarts", s.UNIT))).out.strip()
        if shown.isdecimal() and int(shown) >= _RESTARTS:
            fix = "mend what it says, and repeat the command"
            raise NotImported(f"its agent ends again and again{await self._log(host)}", fix)

    @staticmethod
    async def _log(host: Remote) -> str:
        """Give what the agent said last, for a message."""
        with suppress(Lost):
            ran = await host.run(
                ("journalctl", "--no-pager", "-o", "cat", "-n", "6", f"_SYSTEMD_UNIT={s.UNIT}")
            )
            return f"; it said: {' | '.join(ran.out.splitlines())[-900:]}" if ran.out.strip() else ""
        return ""

    async def _seen(self) -> Machine:
        try:
            return wire.read(await self.store.get(Machine.KIND, self.machine), Machine)
        except ObjectNotFound:
            fix = "repeat the command if it was not meant to be deleted"
            raise NotImported(f"Machine {self.machine} was deleted meanwhile", fix) from None

    async def running(self, limit: timedelta | None) -> str:
        """Tell each new state until the Machine is Running and Ready; give its phase.

        Raises:
            NotImported: the Machine was deleted.
            StillComing: it is not in time.
            ApiError: the server refuses.
        """
        last, silence = "", None
        try:
            async with asyncio.timeout(None if limit is None else limit.total_seconds()):
                while True:
                    try:
                        seen = await self._seen()
                    except ApiError as error:
                        if error.retry is Retry.NEVER:
                            raise
                        silence = self._waits(error, silence)
                        await asyncio.sleep(self.poll)
                        continue
                    silence = None
                    text, over = _state(seen)
                    if text != last:
                        self.tell(text)
                        last = text
                    if over:
                        return seen.status.phase
                    await asyncio.sleep(self.poll)
        except TimeoutError:
            fix = f"kubenode machine explain {self.machine}; the same command watches it again"
            raise StillComing(f"is not Running in time, and goes on: {last}", fix) from None


def overtaken(why: str) -> StillComing:
    """Say that another import of the host is at work, or will be, and has it."""
    what = "somebody has made another token for it since, and the host is left to it"
    fix = "wait for that one; then repeat the command: it goes on where that ends"
    return StillComing(f"{why}; {what}" if why else what, fix)


def _unknown(error: ApiError) -> StillComing:
    fix = "mend that, and repeat the command: it goes on where it was"
    return StillComing(
        f"its agent was started and stays; the server cannot be asked whether it came: {error}", fix
    )


def _state(machine: Machine) -> tuple[str, bool]:
    """Say how far a machine is, and whether that is the end."""
    phase, ready = machine.status.phase, find(machine.status.conditions, "Ready")
    said = "" if ready is None else f"  {ready.reason} {ready.message}".rstrip()
    over = phase == "Running" and ready is not None and ready.status is Switch.TRUE
    return f"{phase or 'not looked at yet'}{said}", over
