"""The API server's audit log: who wrote what, how often, when; also what was refused and tried again."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs

_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@attrs.frozen(kw_only=True)
class Entry:
    """One request that was answered, whatever the answer."""

    user: str
    verb: str
    resource: str
    name: str
    code: int
    began: datetime
    ended: datetime


class Audit:
    """Reads the log from where it was left the last time. The server writes a line before it answers."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._at = 0
        if log.exists():
            self._lines()  # what was written before is nobody's business; a line that is half written is not over

    def entries(self, true: Callable[[Entry], bool] = lambda _: True) -> list[Entry]:
        """Give the writes since the last time for which something is true."""
        found = (_entry(json.loads(line)) for line in self._lines())
        return [one for one in found if one is not None and true(one)]

    def _lines(self) -> list[bytes]:
        """Give the whole lines since the last time."""
        with self.log.open("rb") as log:
            log.seek(self._at)
            whole, end, _ = log.read().rpartition(b"\n")
        self._at += len(whole) + len(end)
        return whole.splitlines()


def _entry(raw: Any) -> Entry | None:
    where = raw.get("objectRef") or {}
    if raw["verb"] not in _WRITES or where.get("resource") in (None, "selfsubjectaccessreviews"):
        return None
    resource = where["resource"] + (f"/{where['subresource']}" if where.get("subresource") else "")
    return Entry(
        user=raw["user"]["username"], verb=raw["verb"], resource=resource, name=where.get("name", ""),
        code=raw.get("responseStatus", {}).get("code", 0), began=_time(raw["requestReceivedTimestamp"]),
        ended=_time(raw["stageTimestamp"]),
    )  # fmt: skip


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
