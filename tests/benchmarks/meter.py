"""What a piece of work costs its process: CPU seconds, and how many of them the garbage collector took."""

import gc
import time
from types import TracebackType
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Sample:
    """What one run found.

    Attributes:
        operations: what was done so often: decisions, steps, or machines held; of a rollout, decisions and effects.
        seconds: of CPU, of this process.
        collecting: how many of them garbage was collected.
        decisions: of a rollout.
        held: bytes.
    """

    operations: int
    seconds: float = 0
    collecting: float = 0
    decisions: int = 0
    held: int = 0

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds


class Meter:
    """Measures the block it is entered for. Whatever was made before it is no garbage of the block's."""

    def __enter__(self) -> "Meter":
        gc.collect()
        self._collecting = 0.0
        gc.callbacks.append(self._collected)
        self._began = time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds = time.process_time() - self._began
        gc.callbacks.remove(self._collected)

    def sample(self, operations: int, **more: Any) -> Sample:
        """Give what the block took."""
        return Sample(operations=operations, seconds=self._seconds, collecting=self._collecting, **more)

    def _collected(self, phase: str, _: object) -> None:
        self._collecting += time.process_time() * (1 if phase == "stop" else -1)
