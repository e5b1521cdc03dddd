"""What becomes of a notice: an Event, one more of an Event that stands, or nothing, so that nobody is flooded.

As the correlator of client-go does (tools/record/events_cache.go): a bucket an object, so that one that flaps cannot
drown the others; many different messages of one reason become one Event; the same message again is counted. Beside
it one bucket for all. Pure: the moment is given.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import attrs

from kubenode.core import wire
from kubenode.core.identity import digest
from kubenode.core.model import Json, Now
from kubenode.runtime.events.notice import Notice

K = TypeVar("K")
V = TypeVar("V")
SECOND: Final = 1_000_000_000
DEFAULT: Final = "default"
"""Where Events about cluster-scoped objects are, as the server demands."""
OBJECT_BURST: Final = 25
OBJECT_EVERY: Final = 300 * SECOND
"""Of one object: 25 at once, then one in five minutes."""
ALL_BURST: Final = 100
ALL_EVERY: Final = SECOND // 10
"""Of all: a hundred at once, then ten a second."""
ALIKE: Final = 10
"""So many different messages of one reason and object within `WINDOW` are told one by one; then they are combined."""
WINDOW: Final = 600 * SECOND
REMEMBERED: Final = 4096
"""Objects, Events and reasons that are remembered, each; the least lately used are forgotten."""
COMBINED: Final = "(combined from similar events): "
LONGEST: Final = 1024
"""Most bytes of a message."""
NAME_LIMIT: Final = 230
"""Of the object's name in the name of an Event, which has at most 253 characters."""


class Bucket:
    """So many at once, then one in a while. Time that runs backwards adds nothing."""

    def __init__(self, burst: int, every: int) -> None:
        self._burst = burst
        self._every = every
        self._full_at: int | None = None

    def take(self, now: int) -> bool:
        """Take one, if there is one. Within any span t at most `burst + t / every` are taken."""
        full_at = now if self._full_at is None else max(self._full_at, now)
        if full_at - now > (self._burst - 1) * self._every:
            return False
        self._full_at = full_at + self._every
        return True


@attrs.frozen(kw_only=True)
class Write:
    """An Event to be written.

    Attributes:
        name: of it.
        namespace: where it is.
        body: the whole of it, as it is to be.
        stands: it was written before, so count, time and message alone are to be changed.
    """

    name: str
    body: Json
    stands: bool
    namespace: str = DEFAULT

    @property
    def change(self) -> Json:
        """What is to be changed of one that stands."""
        return {key: self.body[key] for key in ("count", "lastTimestamp", "message")}


@attrs.define(kw_only=True)
class _Kept:
    name: str
    first: str
    count: int = 0
    stands: bool = False


@attrs.define(kw_only=True)
class _Alike:
    since: int
    messages: set[str] = attrs.field(factory=set)


class Correlator:
    """Remembers what was told."""

    def __init__(self, identity: str = "kubenode") -> None:
        self._identity = identity
        self._all = Bucket(ALL_BURST, ALL_EVERY)
        self._objects: OrderedDict[str, Bucket] = OrderedDict()
        self._alike: OrderedDict[tuple[str, ...], _Alike] = OrderedDict()
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    def see(self, notice: Notice, now: Now) -> Write | None:
        """Give what to write; None when it is one too many."""
        bucket = _of(self._objects, notice.about.uid, lambda: Bucket(OBJECT_BURST, OBJECT_EVERY))
        if not bucket.take(now.elapsed) or not self._all.take(now.elapsed):
            return None
        group = (notice.about.uid, notice.type, notice.reason)
        alike = _of(self._alike, group, lambda: _Alike(since=now.elapsed))
        if now.elapsed - alike.since > WINDOW:
            alike.since, alike.messages = now.elapsed, set()
        many = notice.message not in alike.messages and len(alike.messages) >= ALIKE
        if not many:
            alike.messages.add(notice.message)
        stamp = _stamp(now.wall)
        key = (*group, "" if many else notice.message)
        if notice.kind is None:
            kept = _of(self._kept, key, lambda: self._new(notice, key, now))
        else:
            kept = self._new(notice, key, now)
        kept.count += 1
        text = f"{COMBINED if many else ''}{notice.message}"
        body = self._body(notice, kept, stamp, text)
        namespace = DEFAULT if notice.kind is None else notice.kind.namespace
        return Write(name=kept.name, body=body, stands=kept.stands, namespace=namespace)

    def written(self, write: Write) -> None:
        """Note that an Event stands now."""
        self._mark(write, stands=True)

    def gone(self, write: Write) -> None:
        """Note that an Event is no more: the server forgets them after an hour."""
        self._mark(write, stands=False)

    def _mark(self, write: Write, *, stands: bool) -> None:
        for kept in reversed(self._kept.values()):
            if kept.name == write.name:
                kept.stands = stands
                return

    def _new(self, notice: Notice, key: tuple[str, ...], now: Now) -> _Kept:
        name = f"{notice.about.name[:NAME_LIMIT]}.{digest(self._identity, now.wall.isoformat(), now.elapsed, *key)}"  # fmt: skip
        return _Kept(name=name, first=_stamp(now.wall))

    def _body(self, notice: Notice, kept: _Kept, stamp: str, text: str) -> Json:
        about = notice.about
        kind = notice.kind if notice.kind is not None else wire.kind_of(about.kind).KIND
        where = {"namespace": kind.namespace} if kind.namespace else {}
        return {
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": kept.name},
            "involvedObject": {"apiVersion": kind.api_version, "kind": about.kind, "name": about.name, "uid": about.uid, **where},
            "type": notice.type, "reason": notice.reason, "message": _cut(text),
            "source": {"component": "kubenode"}, "reportingComponent": "kubenode.dev/controller", "reportingInstance": self._identity,
            "firstTimestamp": kept.first, "lastTimestamp": stamp, "count": kept.count,
        }  # fmt: skip


def _cut(text: str) -> str:
    """Keep what the server takes, which counts bytes."""
    return text.encode()[:LONGEST].decode(errors="ignore")


def _stamp(wall: datetime) -> str:
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _of(there: OrderedDict[K, V], key: K, make: Callable[[], V]) -> V:
    """Give what is kept under a key, made when there is none; it is the last to be forgotten then."""
    if key not in there:
        there[key] = make()
        if len(there) > REMEMBERED:
            there.popitem(last=False)
    there.move_to_end(key)
    return there[key]
