"""Recordings: every decision of a run with all that it depended on, in a file that can be decided anew.

An engine gives a `Record` of each decision to its sinks; `Recorder` is the sink that writes a file, `Recording`
reads it, `replay` decides it again.
"""

from kubenode.runtime.record.record import Record, Sink, recorded

__all__ = ["Record", "Sink", "recorded"]
