"""An orphan on both clouds, through the real SDKs: a set that may terminates it, with one call."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenode.core import model as m
from kubenode.core.instance.turn import SECOND
from kubenode.core.machineset import orphans
from kubenode.runtime.embed import EmbeddedStore, engine
from kubenode.runtime.observe import instances
from kubenode.runtime.store.contract import MergePatch
from tests.providers.aws.loopback import keys
from tests.providers.regions import Region, calls, ec2, ecs
from tests.runtime.embed.test_bad_regions import A_WHILE, running
from tests.runtime.embed.world import LEDGER, until


@pytest.fixture(params=["ec2", "ecs"])
def region(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Region]:
    """Each cloud, looked at twice a second; two looks half a second apart are enough."""
    keys(tmp_path, monkeypatch)
    monkeypatch.setattr(instances, "SPACING", SECOND // 4)
    monkeypatch.setattr(engine, "RESYNC", SECOND // 2)
    monkeypatch.setattr(orphans, "ABSENCE", SECOND // 2)
    with ec2() if request.param == "ec2" else ecs(tmp_path) as one:
        yield one


def pool(region: Region, policy: m.OrphanPolicy) -> m.MachineSet:
    """A set of one machine."""
    wanted = m.Infrastructure(provider=region.provider.name, parameters=region.parameters)
    template = m.MachineTemplate(labels={"pool": "x"}, spec=m.MachineTemplateSpec(infrastructure=wanted))
    spec = m.MachineSetSpec(
        selector=m.Selector(match_labels={"pool": "x"}), template=template, orphans=policy
    )
    return m.MachineSet(metadata=m.ObjectMeta(name="pool"), spec=spec)


@pytest.mark.parametrize("policy", list(m.OrphanPolicy))
def test_what_a_machine_left_whose_finalizer_was_taken_away(region: Region, policy: m.OrphanPolicy) -> None:
    """Another is made in its place; the old one is terminated once, or named and left."""

    async def story() -> None:
        store = EmbeddedStore([LEDGER, pool(region, policy)], cel=False)
        async with running(store, region.provider):
            await until(
                lambda: any(
                    one.status.instance and one.status.instance.id for one in store.objects(m.Machine)
                )
            )
        (old,) = region.there()
        (one,) = store.objects(m.Machine)
        await store.patch(m.Machine.KIND, one.metadata.name, MergePatch({"metadata": {"finalizers": []}}))
        await store.delete(m.Machine.KIND, one.metadata.name)
        region.tick()
        ends = policy is m.OrphanPolicy.TERMINATE
        async with running(store, region.again()):
            await until(lambda: region.made() == 2)
            if ends:
                await until(lambda: calls(region)["delete"] == 1)
                region.tick()
                await until(lambda: old not in region.there() or not region.there()[old].runs)
            else:
                await until(
                    lambda: (
                        "Orphans" in {each.type for each in store.objects(m.MachineSet)[0].status.conditions}
                    )
                )
            await asyncio.sleep(A_WHILE)
        recorded = [each.id for each in store.objects(m.MachineSet)[0].status.orphans_ended]
        assert (calls(region)["delete"], recorded) == ((1, [old]) if ends else (0, []))
        assert (region.made(), len(store.objects(m.Machine))) == (2, 1)
        (new,) = store.objects(m.Machine)
        assert new.status.instance is not None
        assert new.status.instance.id in region.there()

    asyncio.run(story())
