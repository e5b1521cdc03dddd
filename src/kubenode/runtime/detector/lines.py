"""Lines out of bytes as they come, bounded: a line that never ends is dropped and counted, not kept."""

from collections import deque
from typing import Final

LONGEST: Final = 1 << 18
"""Bytes of the longest line that is kept whole."""


class Lines:
    """Gathers lines. `lost` says how many were too long since that was asked last."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._whole: deque[tuple[bytes, int]] = deque()
        self._part = b""
        self._dropping = False
        self._dropped = 0
        self._lost = 0

    def __len__(self) -> int:
        return len(self._whole)

    def feed(self, more: bytes) -> None:
        """Take the next bytes."""
        *ends, rest = (self._part + more).split(b"\n")
        for one in ends:
            if self._dropping or len(one) > self._longest:
                self._whole.append((b"", self._dropped + len(one) + 1))
                self._lost += 1
            else:
                self._whole.append((one, len(one) + 1))
            self._dropping, self._dropped = False, 0
        if self._dropping or len(rest) > self._longest:
            self._dropping = True
            self._dropped += len(rest)
            rest = b""
        self._part = rest

    def take(self, most: int) -> list[tuple[bytes, int]]:
        """Give so many whole lines at most, each without its end and with how many bytes it had; a dropped one is empty."""
        return [self._whole.popleft() for _ in range(min(most, len(self._whole)))]

    def lost(self) -> int:
        """Give how many lines were dropped, and count anew."""
        lost, self._lost = self._lost, 0
        return lost

    def clear(self) -> None:
        """Forget what is not a whole line."""
        self._part, self._dropping, self._dropped = b"", False, 0
