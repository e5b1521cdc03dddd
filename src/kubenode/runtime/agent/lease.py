"""The Lease of an agent: a sign of life every few minutes, so that one that is at rest differs from one that is gone.

Ten thousand agents that renewed one every ten seconds would cost the API server three cores; nobody acts on its silence
by itself, it matters when the agent is asked for something.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from kubenode.core.enrol.identity import user_of
from kubenode.core.errors import ApiError, ObjectNotFound
from kubenode.core.model import Json
from kubenode.runtime.policies import AGENTS_NAMESPACE
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.store.lease import LEASE, micro_time

LOG = logging.getLogger("kubenode.agent")

EVERY: Final = timedelta(minutes=3)
"""From one renewal to the next, at least; twice as long at most, so that agents which started at once spread out."""
LASTS: Final = timedelta(minutes=10)
"""After which an agent that has not renewed is silent."""
_CHANCE: Final = secrets.SystemRandom().random


async def keep_lease(
    store: Store, machine: str, now: Callable[[], datetime], *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, jitter: Callable[[], float] = _CHANCE,
) -> None:  # fmt: skip
    """Renew the Lease of a machine's agent, or make it, until cancelled; what fails is told once, and tried again.

    Args:
        store: with the agent's rights.
        machine: its Machine's name, which is the Lease's.
        now: for the stamp that others read.
        sleep: waits for some seconds.
        jitter: gives a number from 0 up to 1.
    """
    trouble = ""
    while True:
        try:
            await _renew(store, machine, now())
            told = ""
        except ApiError as error:
            told = f"{type(error).__name__}: {error}"
        if told != trouble:
            LOG.log(
                logging.WARNING if told else logging.INFO, "event=%s error=%r",
                "lease-not-renewed" if told else "lease-renewed", told,
            )  # fmt: skip
        trouble = told
        await sleep(EVERY.total_seconds() * (1 + jitter()))


async def _renew(store: Store, machine: str, now: datetime) -> None:
    kind = LEASE.within(AGENTS_NAMESPACE)
    spec: Json = {
        "holderIdentity": user_of(machine), "leaseDurationSeconds": int(LASTS.total_seconds()), "renewTime": micro_time(now),
    }  # fmt: skip
    try:
        await store.patch(kind, machine, MergePatch({"spec": spec}))
    except ObjectNotFound:
        metadata = {"name": machine, "namespace": AGENTS_NAMESPACE}
        body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
        await store.create(kind, body)
