"""Listings of the embedded store: selectors, pages, and the token from one page to the next.

Later pages are of the state at the first one. Since objects are never changed, that state is a tuple of them,
kept until the kind's window of events has passed it, as the server keeps what its window holds.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from kubenode.core.model import Json
from kubenode.runtime.store import refusals
from kubenode.runtime.store.contract import Listing
from kubenode.runtime.store.history import History

_ENCODING: Final = "meta.k8s.io/v1"
_NEWEST: Final = -1
"""The version of a cursor that goes on in whatever state there is."""
_NAME: Final = "metadata.name"


@attrs.frozen(kw_only=True)
class Selection:
    """Which objects are wanted."""

    labels: Mapping[str, str]
    name: str | None

    @classmethod
    def of(cls, labels: Mapping[str, str] | None, fields: Mapping[str, str] | None) -> "Selection":
        """Make a selection. Raises Refused: a field cannot be selected by."""
        for field in fields or {}:
            if field != _NAME:
                raise refusals.bad_request(f"field label not supported: {field}")
        return cls(labels=labels or {}, name=(fields or {}).get(_NAME))

    def __bool__(self) -> bool:
        return bool(self.labels) or self.name is not None

    def has(self, obj: Json) -> bool:
        """Tell whether an object is wanted."""
        metadata = obj["metadata"]
        if self.name is not None and metadata["name"] != self.name:
            return False
        return not self.labels or self.labels.items() <= metadata.get("labels", {}).items()


class Pages:
    """The states that somebody may still read on."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._states: dict[int, tuple[Json, ...]] = {}

    def page(
        self, objects: Iterable[Json], version: int, wanted: Selection, *, limit: int, cursor: str
    ) -> Listing:
        """Give one page; all that is left when the limit is 0.

        Raises:
            Expired: the state that the cursor is of is forgotten; the Status has one for the newest state.
            Refused: it is no cursor.
        """
        if not limit and not cursor:
            found = filter(wanted.has, objects) if wanted else objects
            return Listing(items=tuple(found), resource_version=str(version))
        asked, start = _read(cursor) if cursor else (_NEWEST, "")
        state = tuple(objects)
        if asked != _NEWEST:
            version = asked
            state = self._state(asked, start)
        items: list[Json] = []
        last = -1
        for at, item in enumerate(state):
            if item["metadata"]["name"] >= start and wanted.has(item):
                items.append(item)
                last = at
                if len(items) == limit:
                    break
        left = len(state) - last - 1
        if not limit or len(items) < limit or not left or wanted.name is not None:
            return Listing(items=tuple(items), resource_version=str(version))
        self._keep(version, state)
        token = _written(version, f"{items[-1]['metadata']['name']}\0")
        remaining = None if wanted else left
        return Listing(items=tuple(items), resource_version=str(version), cursor=token, remaining=remaining)

    def _state(self, version: int, start: str) -> tuple[Json, ...]:
        state = self._states.get(version) if self._history.after(version) >= 0 else None
        if state is None:
            raise refusals.page_too_old(_written(_NEWEST, start))
        return state

    def _keep(self, version: int, state: tuple[Json, ...]) -> None:
        for old in [old for old in self._states if self._history.after(old) < 0]:
            del self._states[old]
        self._states[version] = state


def _written(version: int, start: str) -> str:
    token = {"v": _ENCODING, "rv": version, "start": f"/{start}"}
    text = json.dumps(token, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _read(cursor: str) -> tuple[int, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        token = json.loads(text)
        if token["v"] == _ENCODING:
            return int(token["rv"]), str(token["start"]).removeprefix("/")
        fault = f"server does not recognize this encoded version {token['v']}"
    except (ValueError, LookupError, TypeError) as wrong:
        fault = str(wrong)
    raise refusals.bad_request(f"invalid continue token: continue key is not valid: {fault}")
