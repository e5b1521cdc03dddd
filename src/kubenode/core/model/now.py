"""The one `now` of a decision. Nothing in core reads a clock; a `Now` is given."""

from datetime import UTC, datetime, timedelta

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.quantity import nanoseconds


def _check(value: object) -> None:
    if not isinstance(value, datetime):
        what = f"{value!r} is no datetime"
    elif value.tzinfo is None:
        what = f"{value.isoformat()} has no time zone"
    else:
        return
    raise InvalidObjectError((Problem(where="now", what=what, fix="datetime.now(UTC)"),))


def _aware(_: object, __: "attrs.Attribute[datetime]", value: datetime) -> None:
    _check(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class Now:
    """Two readings of the moment a decision is made.

    Attributes:
        wall: aware UTC, only for stamps that people read.
        elapsed: monotonic nanoseconds since an arbitrary start; every duration, time limit and window.
    """

    wall: datetime = attrs.field(validator=_aware)
    elapsed: int

    @classmethod
    def at(cls, value: "Now | datetime") -> "Now":
        """Accept a plain aware datetime for a hand-made snapshot; its distance from 1970 stands in for elapsed.

        Raises:
            InvalidObjectError: it is no datetime, or has no time zone.
        """
        if isinstance(value, Now):
            return value
        _check(value)
        return cls(wall=value, elapsed=nanoseconds(value - _EPOCH))

    @property
    def by_hand(self) -> bool:
        """Whether both readings are one clock's, as `at` makes them of a datetime: then stamps can be counted from."""
        return self.elapsed == nanoseconds(self.wall - _EPOCH)

    def plus(self, duration: timedelta) -> "Now":
        """The moment `duration` later, on both readings."""
        return Now(wall=self.wall + duration, elapsed=self.elapsed + nanoseconds(duration))


def moment(value: Now | datetime) -> Now:
    """Give `Now.at(value)`; for use as an attrs converter, since mypy knows none that is a classmethod."""
    return Now.at(value)
