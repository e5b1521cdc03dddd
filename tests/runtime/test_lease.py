"""The keeper of a Lease: what it writes, how it settles what was lost, and who may decide while two want to."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from kubenode.core.errors import Forbidden, InvalidObjectError, ObjectNotFound, ServerFailed, Unreachable
from kubenode.core.lease import LeaseTimes
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import MergePatch, Patch
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.lease import LEASE, Lease, LeaseKeeper
from tests.runtime.api_server import ApiServer, FakeTime, hangs, store_of

KIND = LEASE.within("kubenode-system")
MINE = Lease(holder="a")


class Stop(Exception):
    """The time of a test is over."""


class Time(FakeTime):
    """A clock that ends the test at some time."""

    def __init__(self, until: float = 1e9) -> None:
        super().__init__()
        self._until = until

    async def sleep(self, seconds: float) -> None:
        """Move on at once, or stop."""
        if self.now().elapsed / 1e9 + seconds > self._until:
            raise Stop
        await super().sleep(seconds)


class Store(EmbeddedStore):
    """An API server with Leases whose writes a test can lose, and which may say no."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__([(LEASE, None)], clock=lambda: time.now().wall, namespaces=["kubenode-system"])
        self.faults: list[Callable[[], Awaitable[None]] | None] = []
        self.after: list[bool] = []
        self.writes: list[Json] = []

    async def _fault(self) -> bool:
        """Raise the next fault, or tell whether it comes after the write."""
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            return False
        if self.after and self.after.pop(0):
            return True
        await fault()
        return False

    async def create(self, kind: Kind, obj: Json, *, dry_run: bool = False) -> Json:
        """Create, perhaps."""
        await self._fault()
        self.writes.append(obj["spec"])
        return await super().create(kind, obj, dry_run=dry_run)

    async def patch(
        self, kind: Kind, name: str, patch: Patch, *, subresource: str = "", dry_run: bool = False
    ) -> Json:
        """Patch, perhaps, and perhaps the answer is lost."""
        is_lost = await self._fault()
        answer = await super().patch(kind, name, patch, subresource=subresource, dry_run=dry_run)
        assert isinstance(patch, MergePatch)
        self.writes.append(dict(patch.body["spec"]))
        if is_lost:
            raise Unreachable("the answer was lost")
        return answer


def fails(error: Exception) -> Callable[[], Awaitable[None]]:
    """Fail with an error."""

    async def fail() -> None:
        raise error

    return fail


class Watched(LeaseKeeper):
    """A keeper that notes its terms, by the second."""

    def __init__(self, store: Any, time: FakeTime, lease: Lease = MINE) -> None:
        self.terms: list[tuple[int, int | None]] = []
        self._time = time
        self.troubles: list[str] = []
        super().__init__(
            lease, store, changed=self._note, troubled=lambda: self.troubles.append(self.trouble),
            clock=time, sleep=time.sleep, jitter=lambda: 0.0,
        )  # fmt: skip

    def _note(self) -> None:
        self.terms.append((round(self._time.now().elapsed / 1e9), self.term()))


def kept(until: float, *faults: Callable[[], Awaitable[None]] | None, after: tuple[bool, ...] = ()) -> tuple[Watched, Store]:  # fmt: skip
    """Keep a lease for some seconds, and give what came of it."""
    time = Time(until)
    store = Store(time)
    store.faults, store.after = list(faults), list(after)
    keeper = Watched(store, time)

    async def main() -> None:
        with pytest.raises(Stop):
            await keeper.keep()

    asyncio.run(main())
    return keeper, store


def test_it_is_made_and_renewed_in_the_form_that_everybody_reads() -> None:
    """A coordination.k8s.io Lease as client-go writes it; `kubectl get lease` shows the holder."""
    keeper, store = kept(5)
    assert keeper.terms == [(0, 1)]
    raw = asyncio.run(store.get(KIND, "kubenode-controller"))
    assert raw["spec"] == {
        "holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0,
        "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:04.000000Z",
    }  # fmt: skip
    assert len(store.writes) == 3


def test_a_write_whose_answer_was_lost_is_settled_by_looking() -> None:
    """It may be mine by now: it is read, found mine, and renewed; the term goes on."""
    keeper, store = kept(9, None, fails(Unreachable("reset")), None, after=(True,))
    assert keeper.terms == [(0, 1)]
    assert [spec["leaseTransitions"] for spec in store.writes] == [0] * len(store.writes)


def test_a_leader_that_cannot_renew_stops_in_time_and_begins_another_term() -> None:
    """Ten seconds after the last renewal that succeeded began; what it knew then counts no more."""
    broken = [fails(ServerFailed("503"))] * 5
    keeper, _ = kept(30, None, *broken)
    assert [term for _, term in keeper.terms] == [1, None, 2]
    assert keeper.terms[1][0] in (10, 11, 12)


def test_a_process_that_was_stopped_finds_its_term_over() -> None:
    """Before it has asked anybody: the clock says so. Who took the lease meanwhile keeps it."""
    time = Time(1)
    store = Store(time)
    keeper = Watched(store, time)

    async def main() -> None:
        with pytest.raises(Stop):
            await keeper.keep()
        assert keeper.term() == 1
        time._elapsed += 40 * 10**9  # SIGSTOP, and SIGCONT 40 s later
        assert keeper.term() is None
        other = Watched(store, Time(40), Lease(holder="b"))
        with pytest.raises(Stop):
            await other.keep()
        assert [term for _, term in other.terms] == [1]
        time._until = 50
        with pytest.raises(Stop):
            await keeper.keep()
        assert keeper.term() is None
        assert keeper.holder == "b"

    asyncio.run(main())
    assert keeper.terms == [(0, 1), (40, None)]
    assert store.writes[-1]["leaseTransitions"] == 1


def test_a_released_lease_is_another_ones_at_the_next_look() -> None:
    """Nobody waits for the duration after an orderly end."""

    async def main() -> None:
        time = Time(1)
        store = Store(time)
        keeper, other = Watched(store, time), Watched(store, time, Lease(holder="b"))
        with pytest.raises(Stop):
            await keeper.keep()
        with pytest.raises(Stop):
            await other.keep()
        assert (keeper.term(), other.term()) == (1, None)
        await keeper.release()
        assert keeper.term() is None
        time._until = 3
        with pytest.raises(Stop):
            await other.keep()
        assert other.term() == 1
        await keeper.release()  # it is not mine any more: nothing is written
        assert other.term() == 1
        assert [spec.get("holderIdentity") for spec in store.writes] == ["a", None, "b"]

    asyncio.run(main())


def test_a_release_that_fails_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The lease ends by itself; the log says that it could not be released."""
    keeper, store = kept(1)
    store.faults = [fails(Unreachable("reset"))]
    asyncio.run(keeper.release())
    assert keeper.term() is None
    assert "event=lease-not-released" in caplog.text


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Forbidden("forbidden"), "grant the rights: kubenode manifests"),
        (ServerFailed("503", status={"code": 503}), "503"),
    ],
)
def test_trouble_is_told_with_its_fix_and_forgotten_when_it_is_over(error: Exception, says: str) -> None:
    """Readiness shows it; that a right was lost is told apart."""
    keeper, _ = kept(1, fails(error))
    assert says in keeper.trouble
    assert keeper.lost == (keeper.trouble if isinstance(error, Forbidden) else "")
    assert keeper.troubles == [keeper.trouble]
    keeper, _ = kept(10, fails(error))
    assert (keeper.trouble, keeper.lost, keeper.term()) == ("", "", 1)
    assert [bool(one) for one in keeper.troubles] == [True, False]


def test_a_right_that_is_lost_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whichever verb is refused next; another kind of trouble after it is another line."""

    class Shut(Store):
        """It may be made, and neither renewed nor read after that."""

        async def get(self, kind: Kind, name: str) -> Json:
            """Refuse it, and be away in the end."""
            if time.now().elapsed > 20e9:
                raise ServerFailed("503", status={"code": 503})
            if self.writes:
                raise Forbidden("cannot get")
            return await super().get(kind, name)

    time = Time(30)
    store = Shut(time)
    store.faults = [None, fails(Forbidden("cannot patch"))]

    async def main() -> None:
        with pytest.raises(Stop):
            await Watched(store, time).keep()

    asyncio.run(main())
    lines = [one.getMessage() for one in caplog.records if "lease-trouble" in one.getMessage()]
    assert [("cannot patch" in line, "503" in line) for line in lines] == [(True, False), (False, True)]


def test_a_missing_namespace_is_told_with_its_fix() -> None:
    """A create answers 404 only for that."""
    keeper, _ = kept(1, fails(ObjectNotFound('namespaces "kubenode-system" not found')))
    assert "make the namespace kubenode-system: kubenode manifests" in keeper.trouble


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": "x", "leaseDurationSeconds": None}])
def test_a_lease_that_says_little_is_read(spec: Json | None) -> None:
    """As one that somebody made by hand: free at once, or after my own duration."""

    async def main() -> int:
        time = Time(14 if spec else 1)
        store = Store(time)
        body = {"apiVersion": KIND.api_version, "kind": "Lease", "metadata": {"name": "kubenode-controller"}}
        await store.create(KIND, {**body, "spec": spec if spec is not None else {}})
        keeper = Watched(store, time)
        with pytest.raises(Stop):
            await keeper.keep()
        before = keeper.term()
        time._until += 4
        with pytest.raises(Stop):
            await keeper.keep()
        assert keeper.term() == 1
        return before or 0

    assert asyncio.run(main()) == (0 if spec else 1)


def test_a_half_open_connection_costs_half_a_term() -> None:
    """Each question ends in time for another one before the term is over."""

    async def main() -> None:
        times = LeaseTimes(
            duration=timedelta(seconds=2), renew_within=timedelta(milliseconds=200), every=timedelta(milliseconds=50)
        )  # fmt: skip
        async with ApiServer(hangs, hangs) as server, store_of(server) as store:
            keeper = LeaseKeeper(Lease(times=times), store, jitter=lambda: 0.0)
            task = asyncio.create_task(keeper.keep())
            async with asyncio.timeout(20):
                while len(server.asked) < 2:
                    await asyncio.sleep(0.01)
            assert keeper.trouble == "no answer in time"
            task.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("name", ["", "Upper", "a" * 64, "a/b", "-a"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """Both are parts of a path."""
    with pytest.raises(InvalidObjectError) as found:
        Lease(name=name, namespace=name)
    assert [problem.where for problem in found.value.problems] == ["lease.name", "lease.namespace"]


def test_no_two_processes_have_the_same_name() -> None:
    """A pod that is restarted has its host's name and process number again."""
    assert len({Lease().holder for _ in range(20)}) == 20
