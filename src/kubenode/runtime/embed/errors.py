"""What goes wrong with an engine: it failed, it was misused, or it is not done yet."""

from datetime import timedelta

from kubenode.core.errors import KubenodeError


class EngineFailed(KubenodeError):
    """An engine met what it cannot go on with; `__cause__` is what. Its host's block was cancelled."""


class EngineMisused(KubenodeError):
    """An engine was asked for what it cannot do in this place or at this time; the message says what to do."""


class NotSettled(KubenodeError):
    """There is still something to do after the time that was given; `waits_for` says what."""

    def __init__(self, within: timedelta, waits_for: tuple[str, ...]) -> None:
        self.waits_for = waits_for
        text = "; ".join(waits_for) or "nothing in particular"
        super().__init__(f"not settled within {within.total_seconds():g} s, waiting for: {text}")
