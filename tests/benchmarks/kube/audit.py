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
        self._at = log.stat().st_size if log.exists() else 0

    def entries(self, true: Callable[[Entry], bool] = lambda _: True) -> list[Entry]:
        """Give the writes since the last time for which something is true."""
        with self.log.open("rb") as log:
            log.seek(self._at)
            read = log.read()
        whole, _, _ = read.rpartition(b"\n")
        self._at += len(whole) + (1 if whole else 0)
        found = (_entry(json.loads(line)) for line in whole.splitlines())
        return [one for one in found if one is not None and true(one)]


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
