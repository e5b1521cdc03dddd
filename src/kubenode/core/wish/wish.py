"""A wish: the change of one object that says what a person wants, its making or its end, and what follows from it.

Nothing here acts. The change names what was read, so that whoever applies it loses no change of somebody else's.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from kubenode.core.errors import KubenodeError
from kubenode.core.model.meta import Json, Ref

ABSENT: Final = object()


class Unwished(KubenodeError):
    """The object is not in a state in which the wish means anything; nothing was changed.

    Attributes:
        where: the object.
        fix: what to do instead; empty when there is nothing to be done.
    """

    def __init__(self, where: str, what: str, fix: str = "") -> None:
        self.where = where
        self.fix = fix
        super().__init__(f"{where}: {what}")


@attrs.frozen(kw_only=True)
class Wish:
    """One change that a person wants.

    Attributes:
        object: of which object; its uid is empty when it is to be made.
        operations: RFC 6902, each value that is changed tested before; empty when it is so already.
        made: the object to make, where there is none yet; None where there is.
        deletes: whether the object is deleted, after its change, if it is still the one that was read.
        did: what is so then, in one clause.
        next: what will happen, in one sentence.
    """

    object: Ref
    operations: tuple[Mapping[str, Any], ...] = ()
    made: Json | None = None
    deletes: bool = False
    did: str
    next: str = ""

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        return self.made is not None or self.deletes or bool(self.operations)


def swapped(raw: Json, path: tuple[str, ...], value: Any) -> tuple[Mapping[str, Any], ...]:
    """Give the operations that put a value where another one stands, if it still does; none when they are equal.

    Args:
        raw: the object as it was read.
        path: of the value; all but its last part exist.
        value: to stand there.

    >>> raw = {"metadata": {"uid": "u"}, "spec": {"paused": False}}
    >>> [step["op"] for step in swapped(raw, ("spec", "paused"), True)]
    ['test', 'test', 'add']
    >>> swapped(raw, ("spec", "paused"), False)
    ()
    """
    there: Any = raw
    for part in path:
        there = there.get(part, ABSENT) if isinstance(there, dict) else ABSENT
    if there == value:
        return ()
    pointer = "".join(f"/{part}" for part in path)
    return (
        {"op": "test", "path": "/metadata/uid", "value": raw["metadata"]["uid"]},
        {"op": "test", "path": pointer, "value": None if there is ABSENT else there},
        {"op": "add", "path": pointer, "value": value},
    )
