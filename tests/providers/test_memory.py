"""The memory provider keeps the provider contract."""

import threading

import pytest

from kubenode.core.hookspecs import SupportsPower
from kubenode.providers import (
    CreateRequest,
    Instance,
    InstanceState,
    MemoryProvider,
    NotFound,
    Power,
    TokenConflict,
)
from kubenode.providers.memory import PAGE, MemoryParams


def request(token: str, zone: str = "a", **tags: str) -> CreateRequest[MemoryParams]:
    """A create request."""
    return CreateRequest(token=token, machine="m1", params=MemoryParams(zone=zone), tags=tags)


def test_the_same_token_makes_one_instance() -> None:
    """A repeat gives the first instance; another token another one; other parameters are a conflict."""
    cloud = MemoryProvider()
    first = cloud.create(request("t1"))
    assert cloud.create(request("t1")) == first
    assert cloud.create(request("t2")).id != first.id
    with pytest.raises(TokenConflict):
        cloud.create(request("t1", zone="b"))


def test_racing_creates_with_one_token_make_one_instance() -> None:
    """Eight threads, one token, one instance."""
    cloud, made = MemoryProvider(), list[Instance]()
    threads = [threading.Thread(target=lambda: made.append(cloud.create(request("t")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.id for one in made}) == 1
    assert len(cloud.find({}, None).items) == 1


def test_find_gives_every_instance_once_over_its_pages() -> None:
    """Paging loses and repeats nothing, and tags select."""
    cloud = MemoryProvider()
    for number in range(PAGE * 2 + 3):
        cloud.create(request(f"t{number}", owner="x" if number % 2 else "y"))
    seen: list[str] = []
    cursor = None
    while True:
        page = cloud.find({}, cursor)
        seen += [one.id for one in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == PAGE * 2 + 3
    assert {one.tags["owner"] for one in cloud.find({"owner": "x"}, None).items} == {"x"}


def test_delete_twice_is_no_error_and_terminated_stays_visible() -> None:
    """Terminated is a state, not an absence; what never was is NotFound."""
    cloud = MemoryProvider()
    made = cloud.create(request("t"))
    cloud.delete(made.id)
    cloud.delete(made.id)
    cloud.delete("i-nobody")
    assert cloud.get(made.id).state is InstanceState.TERMINATED
    with pytest.raises(NotFound):
        cloud.get("i-nobody")


def test_power_is_a_capability_and_idempotent_by_token() -> None:
    """It has the method, so it has the capability; a token stands for one act."""
    cloud = MemoryProvider()
    assert isinstance(cloud, SupportsPower)
    made = cloud.create(request("t"))
    cloud.power(made.id, Power.OFF, "p1")
    assert cloud.get(made.id).state is InstanceState.STOPPED
    cloud.power(made.id, Power.OFF, "p1")
    with pytest.raises(TokenConflict):
        cloud.power(made.id, Power.ON, "p1")
    cloud.power(made.id, Power.ON, "p0")
    cloud.power(made.id, Power.OFF, "p1")
    assert cloud.get(made.id).state is InstanceState.RUNNING, (
        "a late repeat does not stop what was started since"
    )
    cloud.delete(made.id)
    with pytest.raises(NotFound):
        cloud.power(made.id, Power.ON, "p2")
