"""The only clock of the project. Whoever needs the time is given a Clock, or the `Now` it read."""

import time
from datetime import UTC, datetime
from typing import Protocol

from kubenode.core.model import Now


class Clock(Protocol):
    """Gives the moment; the simulator has one of its own."""

    def now(self) -> Now:
        """Read the wall clock and the monotonic one together."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> Now:
        """Read the wall clock and the monotonic one together."""
        return Now(wall=datetime.now(UTC), elapsed=time.monotonic_ns())
