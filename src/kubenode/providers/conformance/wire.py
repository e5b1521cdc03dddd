"""The wire between a provider and its cloud, as the kit watches it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

A = ParamSpec("A")
R = TypeVar("R")


class Wire:
    """Stands between a provider and its transport: counts wire calls, loses their answers, and hears what the cloud did."""

    def __init__(self, lost: BaseException | None = None) -> None:
        self.calls = 0
        self.acts: list[tuple[str, str]] = []
        self._lost = lost
        self._losing = 0
        self._lock = threading.Lock()

    def __call__(self, send: Callable[A, R]) -> Callable[A, R]:
        """Give a function that sends as `send` does, and is watched."""

        def watched(*args: A.args, **kwargs: A.kwargs) -> R:
            with self._lock:
                self.calls += 1
                lost = 0 < self._losing <= self.calls
            answer = send(*args, **kwargs)
            if lost and self._lost is not None:
                raise self._lost
            return answer

        return watched

    def did(self, act: str, instance_id: str) -> None:
        """Hear from a fake cloud that it did something to an instance.

        Args:
            act: the method that asked for it: redeploy, reimage, run_command.
            instance_id: by the name that the provider gives it.
        """
        with self._lock:
            self.acts.append((act, instance_id))

    @contextlib.contextmanager
    def losing(self, after: int = 0) -> Iterator[None]:
        """Lose every answer inside: what was asked for is done, and the caller hears of a time-out.

        Args:
            after: so many answers come through first.
        """
        self._losing = self.calls + after + 1
        try:
            yield
        finally:
            self._losing = 0
