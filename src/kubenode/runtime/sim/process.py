"""An engine as a process of the simulation, which steps when it is its turn, and can crash."""

from collections.abc import Callable, Sequence

from kubenode.core import model as m
from kubenode.core.errors import Expired
from kubenode.runtime.engine.apply import NO_CLOUDS, Clouds, Hands, Watchman, apply, pass_by
from kubenode.runtime.engine.loop import Call, Done, Engine, Event, Input, Relist, Synced
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.embedded import EmbeddedStore, EmbeddedWatch, now_or_never


class SimulatedCrash(Exception):
    """The process is gone at a crash point; what it had in memory with it."""


class Process:
    """One engine as a process that can crash: its watches, its inputs, its calls.

    Until `deaf_until`, in elapsed nanoseconds, its watches deliver nothing: it decides on old data.
    """

    def __init__(
        self,
        build: Callable[[], Engine],
        store: EmbeddedStore,
        hands: Hands,
        first: Sequence[Input],
        clouds: Clouds = NO_CLOUDS,
    ) -> None:
        self._build = build
        self.clouds = clouds
        self._store = store
        self.writes_to: Store = store
        self._hands = hands
        self._first = first
        self.watchman: Watchman = pass_by
        self.deaf_until = 0
        self.calls = 0
        self.decisions = 0
        self.start()

    def start(self) -> None:
        """Start afresh, as after a crash: an empty cache, no memory."""
        self.inputs: list[Input] = list(self._first)
        self.engine = self._build()
        self._watches: dict[type[m.Object], EmbeddedWatch] = {}
        self.wake_at: int | None = None
        for kind in self.engine.cache.kinds:
            self._list(kind)

    def _list(self, kind: type[m.Object]) -> None:
        listing = now_or_never(self._store.find(kind.KIND))
        version = listing.resource_version
        self.inputs.append(Synced(kind=kind, items=listing.items, version=int(version)))
        self._watches[kind] = now_or_never(self._store.watch(kind.KIND, resource_version=version))

    def turn(self, now: m.Now) -> bool:
        """Take what has come, step once, do the calls; tell whether anything was done."""
        for kind, watch in list(self._watches.items()) if now.elapsed >= self.deaf_until else ():
            try:
                self.inputs.extend(Event(kind=kind, event=event) for event in watch.drain())
            except Expired:
                self._list(kind)
        if not self.inputs and (self.wake_at is None or self.wake_at > now.elapsed):
            return False
        inputs, self.inputs = self.inputs, []
        step = self.engine.step(inputs, now)
        self.wake_at = step.wake_at
        try:
            for call in step.calls:
                self._do(call)
        except SimulatedCrash:
            self.start()
        return True

    def _do(self, call: Call | Relist) -> None:
        if isinstance(call, Relist):
            self._list(call.kind)  # and watches from it
            return
        self.calls += 1
        outcome = now_or_never(apply(call.acts, self.writes_to, self._hands, self.watchman, self.clouds))
        self.inputs.append(Done(key=call.key, written=outcome.written, error=outcome.error))
