"""To leave a cluster: every finalizer of ours goes, nothing is terminated, no controller may act, and it can be repeated."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import attrs
import pytest
from typer.testing import CliRunner

from kubenode.core import model as m
from kubenode.core.errors import Conflict, ObjectNotFound, Unreachable
from kubenode.core.lease import LeaseTimes
from kubenode.core.model import Json, Kind
from kubenode.runtime.cli import uninstall as command
from kubenode.runtime.cli.app import app
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.store.contract import MergePatch, Patch
from kubenode.runtime.store.embedded import now_or_never
from kubenode.runtime.store.lease import LEASE, Lease
from kubenode.runtime.uninstall import HOLDER, ControllerRuns, Release, uninstall
from tests.runtime.embed.world import LEDGER, OURS

OTHER = "example.com/mine"


class Store(EmbeddedStore):
    """A store with our namespace, which notes writes and can be made to break."""

    def __init__(self, *objects: m.Object) -> None:
        self.writes: list[str] = []
        self.namespaced = True
        self.breaks_at = -1
        self.moves: list[str] = []
        super().__init__(objects, cel=False)
        self.writes.clear()

    async def get(self, kind: Kind, name: str) -> Json:
        """Know one namespace."""
        if kind.name == "Namespace":
            if not self.namespaced:
                raise ObjectNotFound(name)
            return {"kind": "Namespace"}
        return await super().get(kind, name)

    async def patch(self, kind: Kind, name: str, patch: Patch, **more: Any) -> Json:
        """Note it; break, or be overtaken by somebody else's change."""
        if kind.name != "Lease":
            if len(self.writes) == self.breaks_at:
                self.breaks_at = -1
                raise Unreachable("reset")
            if name in self.moves:
                self.moves.remove(name)
                await super().patch(kind, name, MergePatch({"metadata": {"labels": {"moved": "1"}}}))
                raise Conflict("moved")
        answer = await super().patch(kind, name, patch, **more)
        self.writes.append(f"{kind.name} {name}")
        return answer


def cluster() -> Store:
    """A set with two machines, one of them being deleted; another one with a finalizer of somebody else's."""
    kept = m.MachineSpec(infrastructure=m.Infrastructure(provider="memory"))
    spec = attrs.evolve(kept, deletion_policy=m.DeletionPolicy.TERMINATE)
    template = m.MachineTemplate(labels={"pool": "a"}, spec=spec)
    pool = m.MachineSet(
        metadata=m.ObjectMeta(name="pool", finalizers=("kubenode.dev/machineset",)),
        spec=m.MachineSetSpec(replicas=2, selector=m.Selector(match_labels={"pool": "a"}), template=template),
    )
    machines = [
        m.Machine(metadata=m.ObjectMeta(name=name, finalizers=finalizers), spec=each)
        for name, finalizers, each in (
            ("m1", ("kubenode.dev/machine",), spec),
            ("m2", (OTHER, "kubenode.dev/machine"), spec),
            ("m3", ("kubenode.dev/machine",), kept),
            ("m4", (OTHER,), spec),
        )
    ]
    store = Store(LEDGER, pool, *machines)
    now_or_never(store.delete(m.Machine.KIND, "m1"))
    now_or_never(store.delete(m.Machine.KIND, "m3"))
    return store


RELEASES = (
    Release(kind="MachineSet", name="pool", finalizers=("kubenode.dev/machineset",)),
    Release(kind="Machine", name="m1", finalizers=("kubenode.dev/machine",), orphan="memory"),
    Release(kind="Machine", name="m2", finalizers=("kubenode.dev/machine",)),
    Release(kind="Machine", name="m3", finalizers=("kubenode.dev/machine",)),
)


def finalizers(store: Store) -> dict[str, tuple[str, ...]]:
    """Give the finalizers that are left."""
    return {
        one.metadata.name: one.metadata.finalizers
        for kind in (m.MachineSet, m.Machine)
        for one in store.objects(kind)
    }


def test_ours_go_and_others_stay() -> None:
    """Sets before machines; what was being deleted is gone then, the rest is there, and nothing was deleted."""
    store = cluster()
    assert asyncio.run(uninstall(store)) == RELEASES
    assert finalizers(store) == {"pool": (), "m2": (OTHER,), "m4": (OTHER,)}
    assert store.writes == ["MachineSet pool", "Machine m1", "Machine m2", "Machine m3"]
    assert asyncio.run(uninstall(store)) == ()


def test_a_dry_run_says_the_same_and_writes_nothing() -> None:
    """Not even the Lease."""
    store = cluster()
    before = finalizers(store)
    assert asyncio.run(uninstall(store, dry_run=True)) == RELEASES
    assert (store.writes, finalizers(store)) == ([], before)
    assert now_or_never(store.find(LEASE)).items == ()


@pytest.mark.parametrize("at", range(4))
def test_whoever_was_interrupted_goes_on(at: int) -> None:
    """At whatever object: what is left is a cluster on which it can be run again, without waiting."""
    store = cluster()
    store.breaks_at = at
    with pytest.raises(Unreachable):
        asyncio.run(uninstall(store))
    first = len(store.writes)
    assert first == at
    assert asyncio.run(uninstall(store, within=timedelta(seconds=5))) == RELEASES[at:]
    assert finalizers(store) == {"pool": (), "m2": (OTHER,), "m4": (OTHER,)}


def test_an_object_that_changes_meanwhile_is_looked_at_again() -> None:
    """A finalizer that somebody adds in between is not lost."""
    store = cluster()
    store.moves = ["m2", "pool"]
    assert asyncio.run(uninstall(store)) == RELEASES
    labels = {one.metadata.name: dict(one.metadata.labels) for one in store.objects(m.Machine)}
    assert labels["m2"] == {"moved": "1"}
    assert finalizers(store)["m2"] == (OTHER,)


def test_a_controller_that_runs_is_not_worked_against() -> None:
    """Nothing is taken off while it renews its Lease; the error names it and says what to do."""
    store = Store(
        LEDGER, m.Machine(metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(host=m.Host(address="h")))
    )
    times = LeaseTimes(
        duration=timedelta(seconds=1), renew_within=timedelta(milliseconds=600), every=timedelta(milliseconds=100)
    )  # fmt: skip

    async def main() -> None:
        lease = Lease(holder="pod-1", times=times)
        async with Engine(store, plugins=OURS, lease=lease) as engine:
            await engine.settled()
            with pytest.raises(ControllerRuns, match=r"pod-1 holds the Lease.*stop it first"):
                await uninstall(store, within=timedelta(seconds=3))
            assert finalizers(store) == {"m1": ("kubenode.dev/machine",)}
        assert len(await uninstall(store)) == 1

    asyncio.run(main())
    assert finalizers(store) == {"m1": ()}


def test_a_controller_that_still_waits_does_not_begin_anew() -> None:
    """The Lease stays held for a while: nothing is put back before the definitions are deleted."""
    store = cluster()
    asyncio.run(uninstall(store))
    (raw,) = now_or_never(store.find(LEASE)).items
    assert (raw["spec"]["holderIdentity"], raw["spec"]["leaseDurationSeconds"]) == (HOLDER, 600)

    async def main() -> None:
        async with Engine(store, plugins=OURS, lease=Lease(holder="late")):
            await asyncio.sleep(0.3)

    asyncio.run(main())
    assert finalizers(store) == {"pool": (), "m2": (OTHER,), "m4": (OTHER,)}


def test_without_its_namespace_there_is_no_lease_to_wait_for() -> None:
    """Somebody deleted it first: no controller can lead then."""
    store = cluster()
    store.namespaced = False
    assert asyncio.run(uninstall(store)) == RELEASES
    assert now_or_never(store.find(LEASE)).items == ()


def test_the_command_says_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a table, with a warning for an instance that nobody ends now; or as one document."""
    store = cluster()
    monkeypatch.setattr(command, "connect", lambda *_, **__: store)
    dry = CliRunner().invoke(app, ["uninstall", "--dry-run", "-o", "json"])
    assert (dry.exit_code, dry.stderr) == (0, "")
    assert json.loads(dry.stdout)["released"][1] == {
        "kind": "Machine", "name": "m1", "finalizers": ["kubenode.dev/machine"], "orphan": "memory",
    }  # fmt: skip
    done = CliRunner().invoke(app, ["uninstall"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].split() == ["KIND", "NAME", "FINALIZERS"]
    assert (
        done.stdout.splitlines()[-1] == "4 objects released; next: kubenode manifests | kubectl delete -f -"
    )
    assert (
        done.stderr
        == "warning: Machine m1 was being deleted; its instance of provider memory is nobody's now\n"
    )


def test_the_command_says_that_a_controller_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1, one line with the fix."""

    async def runs(*_: Any, **__: Any) -> None:
        raise ControllerRuns("pod-1 holds the Lease, so a controller runs; fix: stop it first")

    monkeypatch.setattr(command, "connect", lambda *_, **__: cluster())
    monkeypatch.setattr(command, "release", runs)
    done = CliRunner().invoke(app, ["uninstall"])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "stop it first" in done.stderr
