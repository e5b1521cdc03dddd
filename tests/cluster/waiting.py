"""Waiting for what a real cluster does in its own time."""

import time
from collections.abc import Callable

import pytest


def until(
    what: str, true: Callable[[], object], patience: float = 120.0, logs: Callable[[], object] = str, every: float = 0.2
) -> None:  # fmt: skip
    """Wait until something is true.

    Args:
        what: for the failure when it does not come.
        true: asked again and again.
        patience: how long it may take, seconds.
        logs: what is told of it then.
        every: how often it is asked, seconds.
    """
    end = time.monotonic() + patience
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come within {patience} s\n{logs()}")
        time.sleep(every)
