"""Whose word stands where two processes look at the same thing: that of who looked last.

Only one controller decides at a time, by the Lease; but one that has lost it may not know that yet, and one that has it
again looked before the other one did. Their clocks are two, so no stamps are compared: each process knows what it said
itself, and when it first saw what somebody else said. What it has learned since then is newer, and nothing else is.
"""

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Heard:
    """What stands, to one process.

    Attributes:
        word: a digest of it.
        own: this process said it.
        since: `Now.elapsed` when this process first saw it, or said it.
    """

    word: str
    own: bool
    since: int

    def outlasts(self, learned: int) -> bool:
        """Tell whether it is kept against what this process learned at `learned`, which may be the older of the two."""
        return not self.own and learned <= self.since

    def remembered(self, said: str, now: int) -> Mapping[str, int]:
        """Give the sightings by which it is known again, and what this process says now, by its digest."""
        known = {(_said if self.own else _heard)(self.word): self.since}
        return known if said == self.word else {**known, _said(said): now}


def heard(word: str, now: int, sightings: Mapping[str, int]) -> Heard:
    """Take in what stands, by its digest."""
    own = sightings.get(_said(word))
    since = sightings.get(_heard(word), now) if own is None else own
    return Heard(word=word, own=own is not None, since=since)


def first_said(word: str, now: int) -> Mapping[str, int]:
    """Give the sightings of who says something where nothing stands."""
    return {_said(word): now}


def _said(word: str) -> str:
    return f"said:{word}"


def _heard(word: str) -> str:
    return f"heard:{word}"
