"""Recordings: every decision with all that it depended on, so that it can be made again later.

A sink is given one `Record` a decision; `recorder(path)` is the sink that writes a `.knrec` file,
`Recording.load` reads one, and `replay` decides all of it anew, under the same policy or another one.
"""

from kubenode.runtime.record.coding import canonical
from kubenode.runtime.record.file import Recorder, Recording, RecordingError, recorder
from kubenode.runtime.record.record import Record, Sink
from kubenode.runtime.record.replays import Change, Replay, replay

__all__ = [
    "Change", "Record", "Recorder", "Recording", "RecordingError", "Replay", "Sink", "canonical", "recorder", "replay",
]  # fmt: skip
