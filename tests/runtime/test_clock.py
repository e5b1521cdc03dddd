"""How far a clock is ahead of a server's, by the date of its answers."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kubenode.core.model import Machine
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import ahead
from tests.runtime.api_server import ApiServer, listing, says, store_of

DATE = "Mon, 02 Mar 2026 09:00:00 GMT"
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
S = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("sent", "received", "is_ahead"),
    [
        (-5 * S, 5 * S, 0 * S),  # somewhere between the two it was nine there
        (0 * S, 0 * S, 0 * S),
        (1 * S, 2 * S, 0 * S),  # the server's second was not over
        (3 * S, 60 * S, 2 * S),
        (-60 * S, -3 * S, -3 * S),
        (3600 * S, 3601 * S, 3599 * S),
    ],
)
def test_what_is_known_for_sure(sent: timedelta, received: timedelta, is_ahead: timedelta) -> None:
    """How long an answer took is no difference of clocks."""
    assert ahead(DATE, NINE + sent, NINE + received, 7 * S) == is_ahead


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 02 Mar 2026 09:00:00 -0000"])
def test_what_is_no_date_tells_nothing(date: str) -> None:
    """What was known stands."""
    for known in (None, 5 * S):
        assert ahead(date, NINE, NINE, known) is known


def test_a_store_tells_it() -> None:
    """By whichever answer came last; a clock that stands still at new year is behind."""

    async def asked(store: KubeStore) -> timedelta | None:
        async with store:
            assert store.ahead is None
            await store.find(Machine.KIND)
        return store.ahead

    async def main() -> tuple[timedelta | None, timedelta | None]:
        async with ApiServer(says(listing()), says(listing())) as server:
            connection = Connection(url=server.url)
            real = KubeStore(lambda: connection, field_manager="tester")
            return await asked(real), await asked(store_of(server))

    real, fake = asyncio.run(main())
    assert real is not None
    assert abs(real) < 30 * S
    assert fake is not None
    assert fake < -30 * S
