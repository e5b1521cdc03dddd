"""A dry run on a cluster: no job, no permit, no operation; the remedier's status says what would have been."""

import asyncio
from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.runtime.embed import EmbeddedStore, Engine, Record
from kubenode.runtime.store.contract import MergePatch
from tests.runtime.embed.world import OURS, REBOOT, granted, hung_cluster, patient, sick, well

DRY = attrs.evolve(REBOOT, spec=attrs.evolve(REBOOT.spec, dry_run=True))


def run(store: EmbeddedStore) -> list[Record]:
    """Let a new engine do all there is to do, and forget all it knew."""
    records: list[Record] = []
    Engine(store, plugins=OURS, sinks={"seen": records.append}).run_until_settled()
    return records


def ruling(store: EmbeddedStore) -> m.NodeRemedier:
    """The remedier as it stands."""
    (one,) = store.objects(m.NodeRemedier)
    return one


def patch(store: EmbeddedStore, kind: m.Kind, name: str, body: m.Json, subresource: str = "") -> None:
    """Change an object, as a person or a kubelet does."""
    change = MergePatch(body)
    asyncio.run(store.patch(kind, name, change, subresource=subresource))


def heal(store: EmbeddedStore, name: str) -> None:
    """Let a Node be well."""
    conditions = [{"type": "Ready", "status": "True"}]
    patch(store, m.Node.KIND, name, {"status": {"conditions": conditions}}, "status")


def test_nothing_is_done_and_the_status_says_what_would_be() -> None:
    """One of five hangs: its name, the job's, the rung; and Effective says why nothing happens."""
    store, twin = hung_cluster(DRY), hung_cluster(REBOOT)
    run(store)
    run(twin)
    assert not store.objects(m.RemedyOperationJob)
    assert granted(store) == []
    assert not any(one.spec.operation for one in store.objects(m.Machine))
    told = ruling(store).status
    (job,) = twin.objects(m.RemedyOperationJob)
    assert told.dry_run is not None
    (episode,) = told.dry_run.episodes
    assert (told.dry_run.machines, episode.machine, episode.job) == (1, "n1", job.metadata.name)
    assert (episode.rung, episode.action, episode.until) == (0, "reboot", None)
    effective = next(one for one in told.conditions if one.type == "Effective")
    assert (effective.status, effective.reason) == (m.Switch.FALSE, "DryRun")


def test_it_comes_to_rest_and_a_restart_changes_nothing() -> None:
    """Neither does the status wake itself, nor does who starts anew end or repeat what it does not remember."""
    store = hung_cluster(DRY)
    run(store)
    before = ruling(store)
    run(store)
    assert ruling(store) == before


def test_a_restart_before_the_condition_has_lasted_anew_keeps_the_episode() -> None:
    """With a rule that waits: the status of before stands while the condition does."""
    store = hung_cluster(DRY)
    run(store)
    patch(store, m.NodeRemedier.KIND, "hung-task", {"spec": {"condition": {"for": "1h"}}})
    run(store)
    told = ruling(store).status.dry_run
    assert told is not None
    assert [(one.machine, one.until) for one in told.episodes] == [("n1", None)]


@pytest.mark.parametrize("gone", [False, True])
def test_an_episode_is_over_when_its_condition_is_gone_or_its_machine(*, gone: bool) -> None:
    """Also when that was while nobody ran."""
    store = hung_cluster(DRY)
    run(store)
    if gone:
        asyncio.run(store.delete(m.Machine.KIND, "n1"))
    else:
        heal(store, "n1")
    run(store)
    told = ruling(store).status.dry_run
    assert told is not None
    assert told.machines == 0
    assert [one.machine for one in told.episodes if one.until is not None] == ["n1"]


def test_while_it_runs_machines_come_and_go() -> None:
    """Of one engine: a second one hangs, the first heals."""
    store = hung_cluster(DRY)

    async def host() -> None:
        async with Engine(store, plugins=OURS):
            await told(store, {"n1": False})
            hung = {"type": "KernelDeadlock", "status": "True", "reason": "TaskHung"}
            body = {"status": {"conditions": [{"type": "Ready", "status": "True"}, hung]}}
            change = MergePatch(body)
            await store.patch(m.Node.KIND, "n2", change, subresource="status")
            await told(store, {"n1": False, "n2": False})
            body = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
            await store.patch(m.Node.KIND, "n1", MergePatch(body), subresource="status")
            await told(store, {"n1": True, "n2": False})

    asyncio.run(host())
    assert not store.objects(m.RemedyOperationJob)


async def told(store: EmbeddedStore, expected: dict[str, bool]) -> None:
    """Wait until the status lists these machines, and whether each is over."""

    def said() -> dict[str, bool]:
        found = ruling(store).status.dry_run
        return {} if found is None else {one.machine: one.until is not None for one in found.episodes}

    async with asyncio.timeout(30):
        while said() != expected:
            await asyncio.sleep(0.01)


def test_when_it_is_made_live_it_acts_from_the_beginning() -> None:
    """The job that was told of is opened; no episode of the dry run stands any more."""
    store = hung_cluster(DRY)
    run(store)
    stored = ruling(store).status.dry_run
    assert stored is not None
    patch(store, m.NodeRemedier.KIND, "hung-task", {"spec": {"dryRun": False}})
    run(store)
    (job,) = store.objects(m.RemedyOperationJob)
    assert (job.metadata.name, job.spec.episode, job.spec.first_rung) == (stored.episodes[0].job, 0, 0)
    assert granted(store) == ["n1"]
    status = ruling(store).status
    assert status.dry_run is not None
    assert [one.until is None for one in status.dry_run.episodes] == [False]
    assert [one.type for one in status.conditions] == ["Accepted"]


def test_what_the_status_says_concerns_no_machine() -> None:
    """A write of it, of which there may be many, is no reason to decide every machine again."""
    store = hung_cluster(patient(DRY, timedelta(0)))
    looked = [one.key for one in run(store) if one.controller == "remedy" and one.key == "n5"]
    again = hung_cluster(patient(REBOOT, timedelta(hours=1)))
    assert len(looked) == len([1 for one in run(again) if one.controller == "remedy" and one.key == "n5"])


def test_more_machines_than_the_list_has_room_for_are_counted() -> None:
    """Forty hang in a cluster of two hundred: all are counted, thirty-two listed, and it comes to rest."""
    machines = [one for number in range(40) for one in sick(f"s{number:02}", zone=str(number % 8))]
    others = [one for number in range(160) for one in well(f"w{number:03}", zone=str(number % 8))]
    store = EmbeddedStore([DRY, *machines, *others], cel=False)
    run(store)
    before = ruling(store)
    assert before.status.dry_run is not None
    assert (before.status.dry_run.machines, len(before.status.dry_run.episodes)) == (40, 32)
    run(store)
    assert ruling(store) == before
    assert not store.objects(m.RemedyOperationJob)
