"""The server of the fake ends with the session, and has had no fault of its own."""

from collections.abc import Iterator

import pytest

from tests.providers.aliyun.rig import CLIENTS, server


@pytest.fixture(scope="session", autouse=True)
def _server() -> Iterator[None]:
    made, _ = server()
    yield
    for client in CLIENTS:
        client.close()
    made.shutdown()
    made.server_close()
    assert made.errors == []
