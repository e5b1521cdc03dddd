"""Recordings: every decision of a run with all that it depended on, in a file that can be decided anew.

An engine gives a `Record` of each decision to its sinks; `Recorder` is the sink that writes a file, `Recording`
reads it, `replay` decides it again. A `Record` is one of the public names, and so is `replay`.
"""

from kubenode.runtime.record.file import Recorder, Recording
from kubenode.runtime.record.record import Record, Sink, recorded
from kubenode.runtime.record.replay import Change, Replay, replay

__all__ = ["Change", "Record", "Recorder", "Recording", "Replay", "Sink", "recorded", "replay"]
