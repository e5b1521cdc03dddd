"""Listings of the embedded store: pages, and the token from one page to the next.

Later pages are of the state at the first one. That state is worked out from the events since, so it is there as
long as the kind's window of events is, as it is on the server, and keeping it costs nothing.
"""

import base64
import json
from collections.abc import Iterable
from typing import Final

from kubenode.core.model import Json
from kubenode.runtime.store import refusals
from kubenode.runtime.store.contract import Listing
from kubenode.runtime.store.history import History
from kubenode.runtime.store.objectmeta import place
from kubenode.runtime.store.selector import Selection

_ENCODING: Final = "meta.k8s.io/v1"
_NEWEST: Final = -1
"""The version of a cursor that goes on in whatever state there is."""


class Pages:
    """The listings of one kind."""

    def __init__(self, history: History) -> None:
        self._history = history

    def page(
        self, objects: Iterable[Json], version: int, wanted: Selection, *, limit: int, cursor: str, exact: int = _NEWEST
    ) -> Listing:  # fmt: skip
        """Give one page; all that is left when the limit is 0.

        Args:
            objects: all that there are, by place.
            version: of the store.
            wanted: which of them.
            limit: of the page.
            cursor: of the page before, or empty.
            exact: the version to list instead of the newest.

        Raises:
            Expired: the state that is asked for is forgotten; for a cursor, the Status has one for the newest state.
            Refused: it is no cursor.
        """
        if not limit and not cursor and exact == _NEWEST:
            found = filter(wanted.has, objects) if wanted else objects
            return Listing(items=tuple(found), resource_version=str(version))
        asked, start = _read(cursor) if cursor else (exact, "")
        state = tuple(filter(wanted.is_near, objects))
        if asked != _NEWEST:
            version = asked
            if self._history.after(asked) < 0:
                raise refusals.page_too_old(_written(_NEWEST, start)) if cursor else refusals.list_too_old()
            state = tuple(filter(wanted.is_near, self._history.rewound(state, asked)))
        items: list[Json] = []
        last = -1
        for at, item in enumerate(state):
            if place(item["metadata"]) >= start and wanted.has(item):
                items.append(item)
                last = at
                if len(items) == limit:
                    break
        left = len(state) - last - 1
        if not limit or len(items) < limit or not left or wanted.name is not None:
            return Listing(items=tuple(items), resource_version=str(version))
        token = _written(version, f"{place(items[-1]['metadata'])}\0")
        remaining = None if wanted.is_picky else left
        return Listing(items=tuple(items), resource_version=str(version), cursor=token, remaining=remaining)


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
