"""The book of an owner: which of the Machines that a MachineDeployment or MachineSet makes were asked for by us. Pure.

Cluster API takes no idempotency token: whoever scales up twice gets two Machines. So the token goes into an annotation of
the owner, by the very write that scales it, at the owner's resourceVersion: there is no moment at which one is done and
the other is not. Which Machine is whose is written there too, before the Machine itself is told.
"""

import enum
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import attrs

from kubenode.core.errors import Invalid

BOOK: Final = "clusterapi.kubenode.dev/book"
"""The annotation of the owner."""
ENDED_KEPT: Final = 200
"""So many tokens that were ended are remembered, so that a create that comes late makes nothing."""


class Line(enum.Enum):
    """How a token stands."""

    PENDING = "pending"
    """The owner was scaled up for it; no Machine is its own yet."""
    ASSIGNED = "assigned"
    """A Machine is its own, and is yet to be told."""
    TOLD = "told"
    """Its Machine bears it."""
    ENDED = "ended"
    """The owner was scaled down for it, or another token has taken its place."""


_MADE: Final = (Line.ASSIGNED, Line.TOLD)


@attrs.frozen(kw_only=True)
class Entry:
    """What is written of one token.

    Attributes:
        machine: the name of its Machine; empty while it has none.
        tags: what its Machine is told.
    """

    line: Line
    machine: str = ""
    tags: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Made:
    """A Machine of an owner, as far as the book is concerned.

    Attributes:
        at: when it was made, as the server writes it.
        claim: the token that it bears; empty when it bears none.
        leaving: somebody has asked for its deletion, so the owner does not count it any more.
    """

    name: str
    at: str = ""
    claim: str = ""
    leaving: bool = False


@attrs.frozen(kw_only=True)
class Plan:
    """What an owner is to say."""

    book: "Book"
    replicas: int


@attrs.frozen
class Book:
    """The entries by token, in the order in which they were written."""

    entries: Mapping[str, Entry] = attrs.field(factory=dict)

    @classmethod
    def read(cls, text: str | None) -> "Book":
        """Read the annotation.

        Raises:
            Invalid: somebody else has written it; nothing is scaled by what it says.
        """
        try:
            raw: Any = json.loads(text or "{}")
            return cls({token: _entry(one) for token, one in raw.items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Invalid(
                f"the annotation {BOOK} cannot be read, so nothing is scaled; fix: put back what kubenode wrote there"
            ) from None

    def text(self) -> str:
        """Give the annotation; of old tokens that were ended as many as are remembered."""
        ended = [token for token, one in self.entries.items() if one.line is Line.ENDED]
        forgotten = set(ended[: max(0, len(ended) - ENDED_KEPT)])
        kept = {token: _raw(one) for token, one in self.entries.items() if token not in forgotten}
        return json.dumps(kept, separators=(",", ":"))

    def entry(self, token: str) -> Entry | None:
        """Give what is written of a token."""
        return self.entries.get(token)

    @property
    def asked(self) -> tuple[str, ...]:
        """The tokens for which the owner is to have a Machine."""
        return tuple(token for token, one in self.entries.items() if one.line is not Line.ENDED)

    @property
    def open(self) -> tuple[str, ...]:
        """The tokens for which there is something to do yet, oldest first."""
        return tuple(
            token for token, one in self.entries.items() if one.line in (Line.PENDING, Line.ASSIGNED)
        )

    @property
    def pending(self) -> tuple[str, ...]:
        """The tokens that have no Machine yet, oldest first."""
        return tuple(token for token, one in self.entries.items() if one.line is Line.PENDING)

    def lost(self, machines: Iterable[Made]) -> tuple[str, ...]:
        """Give the tokens whose Machine is no more though nobody here has ended it: the owner makes another in its place."""
        there = {one.name for one in machines if not one.leaving}
        return tuple(
            token for token, one in self.entries.items() if one.line in _MADE and one.machine not in there
        )

    def create(self, token: str, tags: Mapping[str, str], replicas: int, machines: Collection[Made]) -> Plan:
        """Ask for one more Machine: what replaces a lost one is taken, else the owner is scaled up by one.

        Invariant: what others want of the owner, its replicas less those asked for here, is what it was.
        """
        others = max(0, replicas - len(self.asked))
        over = dict.fromkeys(self.lost(machines), Entry(line=Line.ENDED))
        new = {token: Entry(line=Line.PENDING, tags=tags)}
        book = Book({**self.entries, **over, **new})
        return Plan(book=book, replicas=others + len(book.asked))

    def end(self, token: str, replicas: int) -> Plan:
        """Ask for one Machine less; once only for each token, be it one that was adopted."""
        known = self.entry(token)
        if known is not None and known.line is Line.ENDED:
            return Plan(book=self, replicas=replicas)
        rest = {name: one for name, one in self.entries.items() if name != token}
        book = Book({**rest, token: Entry(line=Line.ENDED)})
        return Plan(book=book, replicas=max(0, replicas - 1))

    def free(self, replicas: int, machines: Collection[Made]) -> tuple[Made, ...]:
        """Give the Machines that are nobody's and may be ours, the newest first: never more than others leave."""
        taken = {one.machine for one in self.entries.values()}
        alive = [one for one in machines if not one.leaving]
        loose = [one for one in alive if not one.claim and one.name not in taken]
        adopted = [one for one in alive if one.claim and self.entry(one.claim) is None]
        others = max(0, replicas - len(self.asked) - len(adopted))
        newest = sorted(loose, key=lambda one: (one.at, one.name), reverse=True)
        return tuple(newest[: max(0, len(loose) - others)])

    def assign(self, replicas: int, machines: Collection[Made]) -> "Book":
        """Give Machines to tokens that have none, and note who bears its token; the same book when there is nothing new.

        Of whoever bears it the tags are forgotten: a book of thousands would be too long with them.
        """
        bear = {one.claim for one in machines}
        pairs = zip(self.pending, reversed(self.free(replicas, machines)), strict=False)
        new = {
            token: attrs.evolve(self.entries[token], line=Line.ASSIGNED, machine=one.name)
            for token, one in pairs
        }
        new |= {
            token: Entry(line=Line.TOLD, machine=one.machine) for token, one in self.entries.items()
            if one.line is Line.ASSIGNED and token in bear
        }  # fmt: skip
        return Book({**self.entries, **new}) if new else self


def _entry(raw: Any) -> Entry:
    return Entry(
        line=Line(raw["is"]), machine=str(raw.get("machine", "")), tags={str(k): str(v) for k, v in raw.get("tags", {}).items()}
    )  # fmt: skip


def _raw(one: Entry) -> Mapping[str, Any]:
    told = {"is": one.line.value, "machine": one.machine, "tags": dict(one.tags)}
    return {name: value for name, value in told.items() if value}
