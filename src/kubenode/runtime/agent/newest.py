"""The newest of something, on its way to the disk: whoever hands it over does not wait, whatever hangs."""

import logging
import threading
from collections.abc import Callable
from typing import Final

LOG = logging.getLogger("kubenode.agent")

_NAME: Final = "kubenode newest"


class Newest:
    """Writes the newest of what it is given, in a thread of its own, one write at a time. Safe to use from several threads.

    What is given while a write is under way takes the place of what waited: only the last of it is written then.

    Args:
        write: puts it on the disk; it deals with what fails.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._next: bytes | None = None
        self._given = 0
        self._dealt_with = 0
        self._writes = False

    def give(self, content: bytes) -> None:
        """Let this be written next; there is no thread when nothing is to be written."""
        with self._changed:
            self._next = content
            self._given += 1
            if self._writes:
                return
            self._writes = True
        threading.Thread(target=self._work, name=_NAME, daemon=True).start()

    def wait(self, within: float | None = None) -> bool:
        """Wait until all that was given before this call is dealt with; tell whether it was within so many seconds."""
        with self._changed:
            until = self._given
            return self._changed.wait_for(lambda: self._dealt_with >= until, within)

    def _work(self) -> None:
        while True:
            with self._changed:
                content, self._next, number = self._next, None, self._given
                if content is None:
                    self._writes = False
                    return
            try:
                self._write(content)
            except Exception as error:  # whoever waits goes on
                LOG.critical("event=bug part=newest error=%r", error, exc_info=error)
            with self._changed:
                self._dealt_with = number
                self._changed.notify_all()
