"""Several engines in one process, and any subset of the controllers."""

import asyncio
import itertools
import threading
from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.core.policy import Policy
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.embed import Engine, Record
from kubenode.runtime.plugins import Plugins
from tests.runtime.embed.world import (
    OURS,
    PATIENCE,
    REBOOT,
    granted,
    hung_cluster,
    nothing_left,
    patient,
    until,
)

SUBSETS = [
    frozenset(some) for size in (1, 2, 3, len(NAMES) - 1) for some in itertools.combinations(NAMES, size)
]
"""Each alone, with every one and every two others, and each missing: who needs one that is not there is found."""
SET = m.MachineComponentSet(
    metadata=m.ObjectMeta(name="exporter"),
    spec=m.MachineComponentSetSpec(name="exporter", component="exporter-1", selector=m.Selector(match_labels={"a": "b"})),
)  # fmt: skip
OWNER = m.MachineSet(
    metadata=m.ObjectMeta(name="pool"),
    spec=m.MachineSetSpec(
        replicas=1, selector=m.Selector(match_labels={"pool": "p"}), template=m.MachineTemplate(labels={"pool": "p"}, spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory")))
    ),
)  # fmt: skip


@pytest.mark.parametrize("only", SUBSETS, ids=lambda only: "+".join(name for name in NAMES if name in only))
def test_any_subset_of_the_controllers_works_alone(only: frozenset[str]) -> None:
    """All of those named decide, and no other; and none needs one that is not there."""
    records: list[Record] = []
    store = hung_cluster(REBOOT, SET, OWNER)
    engine = Engine(store, plugins=OURS, controllers=only, sinks={"seen": records.append})
    engine.run_until_settled()
    # An episode is opened by `remedy`, and only then is there one that could be abandoned; nothing drifts, is a dry run, or has an instance.
    expected = (only if "remedy" in only else only - {"abandoned"}) - {"rehearsal", "repair", "doctor"}
    assert {record.controller for record in records} == expected


def test_two_engines_share_the_work_of_one_store() -> None:
    """One gives permits, the other does all the rest: together they are one."""
    store = hung_cluster(REBOOT)

    async def host() -> None:
        with nothing_left():
            async with (
                Engine(store, plugins=OURS, controllers={"risk"}, identity="permits"),
                Engine(store, plugins=OURS, controllers=set(NAMES) - {"risk"}, identity="work"),
            ):
                await until(lambda: any(one.spec.operation for one in store.objects(m.Machine)))

    asyncio.run(host())
    assert granted(store) == ["n1"]


def test_without_the_controller_of_permits_nothing_is_disrupted() -> None:
    """Who leaves one out gets less, never more."""
    store = hung_cluster(REBOOT)
    Engine(store, plugins=OURS, controllers=set(NAMES) - {"risk"}).run_until_settled()
    (job,) = store.objects(m.RemedyOperationJob)
    assert [attempt.state for attempt in job.status.attempts] == [m.AttemptState.WAITING]
    assert granted(store) == []
    assert not any(one.spec.operation for one in store.objects(m.Machine))


def test_two_engines_have_two_policies_and_two_sets_of_plugins() -> None:
    """In one loop, on two stores: what one knows the other does not."""
    first, second = hung_cluster(), hung_cluster()
    slow = Policy(remediers=(patient(REBOOT, timedelta(hours=1)),))

    async def host() -> None:
        async with (
            Engine(first, plugins=OURS, policy=Policy(remediers=(REBOOT,)), identity="first") as one,
            Engine(second, plugins=Plugins.given(remedies=OURS.remedies.values()), policy=slow, identity="second") as two,
        ):  # fmt: skip
            await one.settled()
            await two.settled()

    asyncio.run(host())
    assert (granted(first), granted(second)) == (["n1"], [])


def test_engines_of_many_threads_do_not_disturb_each_other() -> None:
    """Each with its own loop and store; all come to the same, and nothing is left."""
    stores = [hung_cluster(REBOOT) for _ in range(6)]
    with nothing_left():
        threads = [threading.Thread(target=Engine(store, plugins=OURS).run_until_settled) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert [granted(store) for store in stores] == [["n1"]] * 6
