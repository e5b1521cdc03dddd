"""The engine: key -> snapshot -> decide -> apply -> requeue. Free of I/O; a driver feeds it and does its calls."""

from kubenode.runtime.engine.loop import Call, Controller, Done, Engine, Event, Relist, Step, Synced

__all__ = ["Call", "Controller", "Done", "Engine", "Event", "Relist", "Step", "Synced"]
