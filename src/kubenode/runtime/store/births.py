"""What an API server gives a new object: a uid, perhaps a name, and the time. Here all of it can be repeated."""

import hashlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

_NAME_LIMIT: Final = 58


class Births:
    """Makes uids and names from a seed and the number of objects that were born.

    Args:
        clock: gives the time.
        seed: of the uids and names.
    """

    def __init__(self, clock: Callable[[], datetime], seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._born = 0

    def uid(self) -> str:
        """Give the uid of the next object."""
        digest = hashlib.sha256(f"{self._seed}:{self._born}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def name(self, prefix: str) -> str:
        """Give the next object a name that begins so; empty when there is no prefix."""
        if not prefix:
            return ""
        digest = hashlib.sha256(f"{self._seed}:{self._born}:{prefix}".encode()).hexdigest()
        return f"{prefix[:_NAME_LIMIT]}{digest[:5]}"

    def note(self) -> None:
        """Say that the next object is born."""
        self._born += 1

    def stamp(self) -> str:
        """Give the time as metadata has it."""
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
