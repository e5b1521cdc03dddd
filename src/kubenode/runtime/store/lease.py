"""The Lease of a controller on a Store: asks what `core/lease.py` wants asked, and tells who leads.

It keeps controllers from working against each other; that a late one does no harm is not its business.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from kubenode.core.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    InvalidObjectError,
    ObjectNotFound,
    Problem,
)
from kubenode.core.lease import (
    CONTROLLER,
    JITTER,
    NAMESPACE,
    Absent,
    Found,
    Hold,
    LeaseAct,
    LeaseAnswer,
    LeaseRecord,
    LeaseState,
    LeaseTimes,
    Look,
    Lost,
    Make,
    Moved,
    Wait,
    after,
    next_act,
    term_of,
)
from kubenode.core.model import Json, Kind, Ref
from kubenode.core.model.meta import GROUP, LABEL, matches
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.clock import Clock, SystemClock
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.store.installed import INSTALL, how_to_be_allowed

LOG = logging.getLogger("kubenode.lease")

LEASE: Final = Kind(
    name="Lease", plural="leases", group="coordination.k8s.io", version="v1", served=False, namespaced=True
)
DEGRADED: Final = f"{GROUP}/degraded"
"""Annotation of a Lease: what its holder cannot do at the moment, as a condition in JSON; missing when there is nothing."""
_RELEASED_S: Final = 1


def _myself() -> str:
    """Name this process as no other one is named: a restarted pod has its host's name again."""
    return f"{socket.gethostname()[:200]}_{os.getpid()}_{secrets.token_hex(4)}"


@attrs.frozen(kw_only=True)
class Lease:
    """Which Lease an engine keeps, and how.

    Attributes:
        name: of the Lease; engines with the same one never decide at the same time.
        namespace: where it is; has to exist.
        holder: who this is; no two processes are to have the same name.
        times: how long is what.

    Raises:
        InvalidObjectError: a name is none.
    """

    name: str = CONTROLLER
    namespace: str = NAMESPACE
    holder: str = attrs.field(factory=_myself)
    times: LeaseTimes = LeaseTimes()

    def __attrs_post_init__(self) -> None:
        wrong = tuple(
            Problem(where=f"lease.{field}", what=f"{value!r} is no name", fix="kubenode-controller")
            for field, value in (("name", self.name), ("namespace", self.namespace))
            if len(value) > 63 or not matches(f"^{LABEL}$", value)
        )
        if wrong:
            raise InvalidObjectError(wrong)


class LeaseKeeper:
    """Keeps one Lease, or waits for it. Inert until `keep`.

    Args:
        lease: which one.
        store: where it is.
        changed: is called when a term has begun or ended; in the loop's thread.
        troubled: is called when the trouble with the Lease is another, or over.
        degraded: gives the condition that says what a leader cannot do, which its Lease then carries; empty when it can do all.
        clock: for durations by its monotonic reading, and for stamps that people read.
        sleep: waits for some seconds.
        jitter: gives a number from 0 up to 1.
    """

    def __init__(
        self, lease: Lease, store: Store, *, changed: Callable[[], None] = lambda: None,
        troubled: Callable[[], None] = lambda: None, degraded: Callable[[], str] = str, clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, jitter: Callable[[], float] | None = None,
    ) -> None:  # fmt: skip
        self._lease = lease
        self._kind = LEASE.within(lease.namespace)
        self._store = store
        self._changed = changed
        self._troubled = troubled
        self._degraded = degraded
        self._clock = clock if clock is not None else SystemClock()
        self._sleep = sleep
        self._jitter = jitter if jitter is not None else secrets.SystemRandom().random
        self._state = LeaseState(me=lease.holder)
        self._told: int | None = None
        self.trouble = ""
        """Why the Lease could not be read or written the last time; empty when it could."""
        self.lost = ""
        """The same, where it is that the right to it was taken away."""
        self.ref = Ref(kind=LEASE.name, name=lease.name)
        """Which incarnation it is, as last seen."""

    def term(self) -> int | None:
        """Give the number of the term that is led at this moment; None when another leads, or nobody."""
        return term_of(self._state, self._clock.now().elapsed, self._lease.times)

    @property
    def kind(self) -> Kind:
        """Leases, in the namespace of this one."""
        return self._kind

    @property
    def holder(self) -> str:
        """Who holds it, as last seen; empty when nobody does, or nothing is known."""
        return self._state.record.holder if self._state.record is not None else ""

    async def keep(self) -> None:
        """Keep the Lease, or wait for it, until cancelled."""
        while True:
            act = next_act(self._state, self._clock.now().elapsed)
            if isinstance(act, Wait):
                await self._sleep(max(0.0, (act.until - self._clock.now().elapsed) / 1e9))
            else:
                await self._do(act)
            self._tell()

    async def release(self) -> None:
        """Let another one lead at once, if this one leads; nothing is raised when that cannot be said."""
        record, leads = self._state.record, self.term() is not None
        self._state = attrs.evolve(self._state, renewed_at=None)
        self._tell()
        if record is None or not leads or record.holder != self._lease.holder:
            return
        spec = {"holderIdentity": None, "leaseDurationSeconds": _RELEASED_S, "renewTime": self._stamp()}
        try:
            async with asyncio.timeout(self._patience):
                await self._write(record.version, spec)
        except (ApiError, TimeoutError) as error:
            LOG.warning("event=lease-not-released lease=%s error=%s", self._lease.name, _said(error))
        else:
            LOG.info("event=lease-released lease=%s holder=%s", self._lease.name, self._lease.holder)

    @property
    def _patience(self) -> float:
        """How long one act may take: two fit into the time that a leader has."""
        return self._lease.times.renew_within.total_seconds() / 2

    async def _do(self, act: LeaseAct) -> None:
        begun = self._clock.now().elapsed
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._ask(act)
        except (ApiError, TimeoutError) as error:
            answer = Lost()
            self._say(f"{_said(error)}{_advice(error, self._lease)}", is_lost=isinstance(error, Forbidden))
        else:
            self._say("")
        every = self._lease.times.every
        pause = nanoseconds(every * (1 + JITTER * self._jitter()))
        now = self._clock.now().elapsed
        self._state = after(self._state, answer, begun=begun, now=now, pause=pause, times=self._lease.times)

    async def _ask(self, act: LeaseAct) -> LeaseAnswer:
        match act:
            case Look():
                try:
                    return Found(self._read(await self._store.get(self._kind, self._lease.name)))
                except ObjectNotFound:
                    return Absent()
            case Make():
                try:
                    return Found(self._read(await self._make()), mine=True)
                except AlreadyExists:
                    return Moved()
            case Hold():
                try:
                    return Found(self._read(await self._hold(act)), mine=True)
                except (Conflict, ObjectNotFound):
                    return Moved()
            case Wait():
                raise TypeError("to wait is nothing to ask")

    async def _make(self) -> Json:
        kind = self._kind
        metadata = {"name": self._lease.name, "namespace": self._lease.namespace}
        spec = {**self._spec(0), "acquireTime": self._stamp()}
        body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
        return await self._store.create(kind, body)

    async def _hold(self, act: Hold) -> Json:
        more = {"acquireTime": self._stamp()} if act.takes else {}
        return await self._write(act.version, {**self._spec(act.transitions), **more})

    async def _write(self, version: str, spec: Json) -> Json:
        degraded = self._degraded() or None
        metadata = {"resourceVersion": version, "annotations": {DEGRADED: degraded}}
        body = MergePatch({"metadata": metadata, "spec": spec})
        return await self._store.patch(self._kind, self._lease.name, body)

    def _spec(self, transitions: int) -> Json:
        seconds = -(-self._lease.times.duration // timedelta(seconds=1))
        return {
            "holderIdentity": self._lease.holder, "leaseDurationSeconds": seconds, "renewTime": self._stamp(),
            "leaseTransitions": transitions,
        }  # fmt: skip

    def _stamp(self) -> str:
        return micro_time(self._clock.now().wall)

    def _read(self, raw: Json) -> LeaseRecord:
        """Read a Lease; one that says nothing of use is free after my own duration."""
        self.ref = attrs.evolve(self.ref, uid=str(raw["metadata"].get("uid") or ""))
        spec: Any = raw.get("spec") or {}
        seconds = spec.get("leaseDurationSeconds")
        duration = timedelta(seconds=seconds) if isinstance(seconds, int) else self._lease.times.duration
        return LeaseRecord(
            holder=str(spec.get("holderIdentity") or ""), duration=duration,
            transitions=int(spec.get("leaseTransitions") or 0), version=str(raw["metadata"]["resourceVersion"]),
        )  # fmt: skip

    def _say(self, trouble: str, *, is_lost: bool = False) -> None:
        if trouble == self.trouble:
            return
        if trouble and not (is_lost and self.lost):  # a right is lost once, whichever verb is refused next
            LOG.warning("event=lease-trouble lease=%s error=%s", self._lease.name, trouble)
        self.trouble, self.lost = trouble, trouble if is_lost else ""
        self._troubled()

    def _tell(self) -> None:
        """Tell of a term that has begun or ended."""
        term = self.term()
        if term == self._told:
            return
        self._told = term
        event = "lease-lost" if term is None else "lease-taken"
        LOG.info("event=%s lease=%s holder=%s term=%s", event, self._lease.name, self.holder, term)
        self._changed()


def micro_time(wall: datetime) -> str:
    """Give a moment as a Lease has it."""
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _said(error: ApiError | TimeoutError) -> str:
    return str(error) or "no answer in time"


def _advice(error: ApiError | TimeoutError, lease: Lease) -> str:
    if isinstance(error, ObjectNotFound):
        return f"; fix: make the namespace {lease.namespace}: {INSTALL}"
    return how_to_be_allowed(error)
