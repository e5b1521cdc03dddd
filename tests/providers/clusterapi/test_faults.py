"""However answers are lost and controllers race, Cluster API makes as many Machines as were asked for, and no more."""

from collections.abc import Callable
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kubenode.core.errors import NotFound, ProviderError, Retry
from kubenode.providers.clusterapi import ClusterApiProvider, ClusterApiSettings
from kubenode.providers.clusterapi.client import Answer
from kubenode.providers.clusterapi.reading import GROUP
from tests.providers.clusterapi.fake import FakeManagement, book_of
from tests.providers.clusterapi.test_driver import asked, looked, replicas

SETTINGS = ClusterApiSettings(calls_per_second=1e6, burst=1_000_000)
STEPS = 12
TAG = "kubenode.dev/machine-uid"


def tried(call: Callable[[], object]) -> ProviderError | None:
    """Give the error that a call raised."""
    try:
        call()
    except ProviderError as error:
        return error
    return None


def losing(fake: FakeManagement, number: int, *, applied: bool) -> Callable[..., Answer]:
    """A wire on which one answer does not come: what was asked for is done, or is not."""
    count = 0

    def send(method: str, path: str, body: Any) -> Answer:
        nonlocal count
        count += 1
        if count != number:
            return fake.send(method, path, body)
        if applied:
            fake.send(method, path, body)
        raise TimeoutError

    return send


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("late", [0, 3])
@pytest.mark.parametrize("step", range(1, STEPS))
@pytest.mark.parametrize("act", ["create", "adopt", "look", "delete"])
def test_every_answer_that_is_lost_costs_a_repeat_and_nothing_else(
    act: str, step: int, late: int, applied: bool
) -> None:
    """One Machine more after a create, one less after a delete, whichever request it was."""
    fake = FakeManagement({"md-0": 2}, late=late)
    sound = ClusterApiProvider(SETTINGS, send=fake.send)
    weak = ClusterApiProvider(SETTINGS, send=losing(fake, step, applied=applied))
    adopt = asked("adopt-1", type(asked().params)(machine="md-0-0001"))
    acts: dict[str, Callable[[ClusterApiProvider], Any]] = {
        "create": lambda cloud: cloud.create(asked()), "adopt": lambda cloud: cloud.create(adopt), "look": looked,
        "delete": lambda cloud: cloud.delete("machinedeployments/md-0/create-1"),
    }  # fmt: skip
    if act != "create":
        sound.create(asked())
    if act == "delete":
        fake.reconcile()
        looked(sound)
    for cloud in (weak, sound):
        error = tried(partial(acts[act], cloud))
        assert error is None or (cloud is weak and error.retry is not Retry.NEVER)
    fake.reconcile()
    found = looked(sound)
    ours = {one.id for one in found.values()}
    wanted = {
        "create": {"machinedeployments/md-0/create-1"}, "look": {"machinedeployments/md-0/create-1"}, "delete": set[str](),
        "adopt": {"machinedeployments/md-0/create-1", "machines/md-0-0001/adopt-1"},
    }[act]  # fmt: skip
    assert ours == wanted
    assert (fake.made, replicas(fake)) == (3, 2 if act == "delete" else 3)
    assert len(fake.machines()) == replicas(fake)


def test_a_controller_that_comes_between_any_two_requests_makes_no_second() -> None:
    """The other one asks for the very same, whole, before each request of the first."""
    for step in range(1, STEPS):
        fake = FakeManagement({"md-0": 2})
        other, count = ClusterApiProvider(SETTINGS, send=fake.send), 0

        def send(method: str, path: str, body: Any, fake: FakeManagement = fake, step: int = step) -> Answer:
            nonlocal count
            count += 1
            if count == step:
                ClusterApiProvider(SETTINGS, send=fake.send).create(asked())
            return fake.send(method, path, body)

        slow = ClusterApiProvider(SETTINGS, send=send)
        error = tried(partial(slow.create, asked()))
        assert error is None or error.retry is not Retry.NEVER
        assert other.create(asked()).id == "machinedeployments/md-0/create-1"
        assert (fake.made, replicas(fake)) == (3, 3)


def test_a_person_who_scales_meanwhile_is_not_undone() -> None:
    """Before any request of ours: what they want is what others have, and ours comes on top."""
    for step in range(1, STEPS):
        fake = FakeManagement({"md-0": 2})
        count = 0

        def send(method: str, path: str, body: Any, fake: FakeManagement = fake, step: int = step) -> Answer:
            nonlocal count
            count += 1
            if count == step:
                path_ = f"/apis/{GROUP}/v1beta2/namespaces/default/machinedeployments/md-0"
                fake.send("PATCH", path_, {"spec": {"replicas": replicas(fake) + 3}})
            return fake.send(method, path, body)

        slow, sound = ClusterApiProvider(SETTINGS, send=send), ClusterApiProvider(SETTINGS, send=fake.send)
        error = tried(partial(slow.create, asked()))
        assert error is None or error.retry is not Retry.NEVER
        sound.create(asked())
        looked(sound)
        assert (replicas(fake), fake.made) == ((6, 6) if count >= step else (3, 3))


class Fleet(RuleBasedStateMachine):
    """Two controllers, faults, a health check that deletes, a person who scales; and how many Machines there should be."""

    @initialize(others=st.integers(0, 3), late=st.integers(0, 4))
    def begin(self, others: int, late: int) -> None:
        """A namespace with Machines of others."""
        self.fake = FakeManagement({"md-0": others}, late=late)
        self.others = others
        self.clouds = [ClusterApiProvider(SETTINGS, send=self.fake.send) for _ in range(2)]
        self.wanted: set[str] = set()
        self.spent: set[str] = set()
        self.lost = self.taken = 0

    @rule(
        which=st.integers(0, 1), number=st.integers(0, 4), step=st.integers(0, STEPS), applied=st.booleans()
    )
    def create(self, which: int, number: int, step: int, applied: bool) -> None:
        """Ask for an instance, perhaps again, perhaps with an answer lost."""
        token = f"create-{number}"
        cloud = (
            self.clouds[which]
            if not step
            else ClusterApiProvider(SETTINGS, send=losing(self.fake, step, applied=applied))
        )
        error = tried(partial(cloud.create, asked(token)))
        if error is not None and step:
            return
        assert error is None or token in book_of(self.fake, "md-0")
        if token not in self.spent:
            self.wanted.add(token)

    @rule(
        which=st.integers(0, 1), number=st.integers(0, 4), step=st.integers(0, STEPS), applied=st.booleans()
    )
    def delete(self, which: int, number: int, step: int, applied: bool) -> None:
        """Ask for an end, until it is done."""
        token = f"create-{number}"
        if token not in book_of(self.fake, "md-0"):
            return
        self.settle()
        weak = ClusterApiProvider(SETTINGS, send=losing(self.fake, step, applied=applied))
        for cloud in (weak, self.clouds[which]):
            error = tried(partial(cloud.delete, f"machinedeployments/md-0/{token}"))
            good = error is None or isinstance(error, NotFound)
            assert good or (cloud is weak and error is not None and error.retry is not Retry.NEVER)
        self.wanted.discard(token)
        self.spent.add(token)

    @rule()
    def look(self) -> None:
        """As controllers do all the time."""
        looked(self.clouds[0])

    @rule()
    def settle(self) -> None:
        """Let Cluster API do what it is to do, and look."""
        self.fake.reconcile()
        looked(self.clouds[1])
        self.fake.reconcile()

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A health check deletes a Machine, and its owner makes another."""
        self.settle()
        alive = [one["metadata"]["name"] for one in self.fake.machines()]
        if alive:
            self.fake.remove(data.draw(st.sampled_from(alive)))
            self.lost += 1

    @rule(more=st.integers(1, 2))
    def scale(self, more: int) -> None:
        """A person wants more."""
        owner = self.fake.owner("md-0")
        owner["spec"]["replicas"] += more
        self.fake._touch(owner)
        self.others += more

    @invariant()
    def no_machine_too_many(self) -> None:
        """The owner is to have what others want and what its book says; no Machine is two tokens'."""
        if not hasattr(self, "fake"):
            return
        book = book_of(self.fake, "md-0")
        asked_for = [token for token, one in book.items() if one["is"] != "ended"]
        assert replicas(self.fake) == self.others + len(asked_for)
        assert self.wanted & set(book) <= {*asked_for, *self.spent, *self.superseded(book)}
        names = [one["machine"] for one in book.values() if "machine" in one]
        assert len(names) == len(set(names))
        claims = [
            one["metadata"]["labels"].get("clusterapi.kubenode.dev/claim") for one in self.fake.machines()
        ]
        told = [claim for claim in claims if claim]
        assert len(told) == len(set(told))

    def superseded(self, book: dict[str, Any]) -> set[str]:
        """Tokens whose Machine was lost, and whose place another one has taken."""
        return {token for token, one in book.items() if one["is"] == "ended"} if self.lost else set()

    def teardown(self) -> None:
        """At the end there are as many Machines as are wanted, and no more were made than were wanted, lost and ended."""
        if not hasattr(self, "fake"):
            return
        for _ in range(4):
            self.settle()
        assert len(self.fake.machines()) == replicas(self.fake)
        ended = len(self.fake.deleted) - self.lost
        assert self.fake.made == len(self.fake.machines()) + len(self.fake.deleted)
        assert ended <= len(self.spent) + self.lost


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
