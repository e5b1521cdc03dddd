"""A small cluster on the embedded store, for tests of the engine as embedders have it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.byhand import make_machine, make_node
from kubenode.core.model.remedy import ConditionMatch
from kubenode.runtime.embed import EmbeddedStore
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.contract import Patch

PATIENCE = 30
"""Seconds after which a test that waits has failed."""
SINCE = datetime(2026, 3, 2, 9, tzinfo=UTC)
OURS = Plugins.discover()


def sick(name: str = "n1", *, zone: str = "a") -> tuple[m.Node, m.Machine]:
    """Make a machine that was Running, and whose Node now says that its kernel hangs."""
    hung = m.NodeCondition(type="KernelDeadlock", status=m.Switch.TRUE, reason="TaskHung")
    node = make_node(name, zone=zone, conditions=(hung,))
    return node, make_machine(node, since=SINCE)


def well(name: str, *, zone: str = "a") -> tuple[m.Node, m.Machine]:
    """Make a machine that was Running and is well."""
    node = make_node(name, zone=zone)
    return node, make_machine(node, since=SINCE)


LEDGER = m.RiskLedger(
    metadata=m.ObjectMeta(name="cluster"), status=m.RiskLedgerStatus(checkpoint=100 * 3600 * 10**9)
)
"""A ledger that has been written before: without one, machines that ran mean that history was lost."""
REBOOT = m.NodeRemedier(
    metadata=m.ObjectMeta(name="hung-task"),
    spec=m.NodeRemedierSpec(condition=ConditionMatch(type="KernelDeadlock"), ladder=(m.Rung(action="reboot"),)),
)  # fmt: skip


def hung_cluster(*more: m.Object) -> EmbeddedStore:
    """Make a cluster in which one machine of five hangs, and is to be rebooted at once."""
    machines = [one for name in ("n2", "n3", "n4", "n5") for one in well(name)]
    return EmbeddedStore([LEDGER, *more, *sick(), *machines], cel=False)


def granted(store: EmbeddedStore) -> list[str]:
    """Name the machines that hold a permit."""
    return [hold.machine for one in store.objects(m.RiskLedger) for hold in one.status.holds]


class Counting(EmbeddedStore):
    """A store that counts what is written, however that is done."""

    writes = 0

    async def create(self, kind: m.Kind, obj: m.Json) -> m.Json:
        """Count."""
        self.writes += 1
        return await super().create(kind, obj)

    async def patch(self, kind: m.Kind, name: str, patch: Patch, *, subresource: str = "", **more: Any) -> m.Json:  # fmt: skip
        """Count."""
        self.writes += 1
        return await super().patch(kind, name, patch, subresource=subresource, **more)

    async def delete(self, kind: m.Kind, name: str, **more: Any) -> m.Json:
        """Count."""
        self.writes += 1
        return await super().delete(kind, name, **more)


class Broken(EmbeddedStore):
    """A store whose next write ends the engine: what it raises means nothing to anybody."""

    armed = True

    async def create(self, kind: m.Kind, obj: m.Json) -> m.Json:
        """Fail."""
        if self.armed:
            raise ZeroDivisionError("the store is broken")
        return await super().create(kind, obj)


async def until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Check that a block leaves neither a thread nor, in a loop, a task behind."""
    threads = set(threading.enumerate())
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        tasks = set()
    yield
    assert set(threading.enumerate()) - threads == set()
    if tasks:
        assert asyncio.all_tasks() - tasks == set()


def patient(remedier: m.NodeRemedier, lasting: timedelta) -> m.NodeRemedier:
    """Give a rule that waits longer."""
    condition = attrs.evolve(remedier.spec.condition, lasting=lasting)
    return attrs.evolve(remedier, spec=attrs.evolve(remedier.spec, condition=condition))
