"""The trial of a new agent as it stands on the disk, in the agent's own folder; the old agent, the new one and the fallback share it.

    upgrade.json       which trial there is; it is gone when what it led to has been done
    upgrade.watches    how often the fallback has begun to watch over it
    upgrade.arrival    what the new agent says of itself
    upgrade.verdict    how it ended: made once, by whoever comes first, and never changed

All of it outlives a power cut before anything that follows from it is done.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.core.host.journal import ROLLED_BACK
from kubenode.core.host.trial import Arrival, Trial, Verdict
from kubenode.runtime.agent.disk import FOLDER, Disk
from kubenode.runtime.agent.tree import NOTHING, Form, StepFailed, Tree, Was, explained

TRIAL: Final = "upgrade.json"
_WATCHES: Final = "upgrade.watches"
_ARRIVAL: Final = "upgrade.arrival"
_VERDICT: Final = "upgrade.verdict"
WHO: Final = ("agent", "fallback")
"""Who may make a verdict, each in a file of its own before it gets its name."""


class RolledBack(StepFailed):
    """A new agent was found bad; the text is the whole message of its operation."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{ROLLED_BACK}: {why}")


class Trials:
    """The one trial that there is, if there is one. Every method raises StepFailed when nobody can tell, or it cannot be written.

    Args:
        folder: the agent's own.
        disk: does what is done.
        who: which process this is, of WHO.
    """

    def __init__(self, folder: Path, disk: Disk, who: str) -> None:
        self._folder = folder
        self._disk = disk
        self._tree = Tree(folder, disk)
        self._new = f"{_VERDICT}.{who}"
        self._news = tuple(f"{_VERDICT}.{one}" for one in WHO)

    def begin(self, trial: Trial) -> None:
        """Let this be the trial; what is left of one before is gone first."""
        for name in (TRIAL, _VERDICT, *self._news, _WATCHES, _ARRIVAL):
            self._tree.put(f"/{name}", NOTHING)
        self._write(TRIAL, json.dumps(attrs.asdict(trial)))

    def current(self) -> Trial | None:
        """Give the trial that is not over, or of which not all is done."""
        raw = self._read(TRIAL)
        if raw is None:
            return None
        try:
            return Trial(**json.loads(raw))
        except (ValueError, TypeError) as error:
            raise StepFailed(f"{self._folder}/{TRIAL} is damaged: {error}") from error

    def end(self) -> None:
        """Forget the trial, when all is done; its verdict stays until the next one begins."""
        for name in (*self._news, _WATCHES, _ARRIVAL, TRIAL):  # it may have been cut short at any of them
            self._tree.put(f"/{name}", NOTHING)

    def watch(self) -> int:
        """Count a watch that begins; give how many there have been."""
        number = self.watches() + 1
        self._write(_WATCHES, str(number))
        return number

    def watches(self) -> int:
        """Give how often it was begun to watch over it."""
        raw = self._read(_WATCHES) or b"0"
        return int(raw) if raw.isdigit() else 0

    def arrive(self, trial: str, arrival: Arrival) -> None:
        """Say how far the new agent is."""
        self._write(_ARRIVAL, f"{trial} {arrival.value}")

    def arrival(self, trial: str) -> Arrival | None:
        """Give how far the new agent is, as it says."""
        said = (self._read(_ARRIVAL) or b"").decode(errors="replace").split()
        return next((one for one in Arrival if said == [trial, one.value]), None)

    def verdict(self, trial: str) -> Verdict | None:
        """Give how a trial ended, by what is on the disk; None while it has not."""
        raw = self._read(_VERDICT)
        if raw is None:
            return None
        with explained(str(self._folder)):  # whoever made it may not have come so far
            folder = os.open(self._folder, FOLDER)
            try:
                self._disk.sync(folder)
            finally:
                os.close(folder)
        try:
            found: dict[str, Any] = json.loads(raw)
        except ValueError as error:
            raise StepFailed(f"{self._folder}/{_VERDICT} is damaged: {error}") from error
        return Verdict(stays=found["stays"], why=found["why"]) if found["trial"] == trial else None

    def conclude(self, trial: str, verdict: Verdict) -> Verdict:
        """End a trial so, unless somebody has ended it; give how it ended."""
        said = self.verdict(trial)
        if said is not None:
            return said
        self._write(
            self._new, json.dumps({"trial": trial, "stays": verdict.stays, "why": verdict.why[:1024]})
        )
        with explained(str(self._folder)), self._tree.folder_of(f"/{_VERDICT}") as (folder, name):
            if folder is not None:
                with suppress(FileExistsError, FileNotFoundError):  # somebody was quicker, and has done all
                    self._disk.name_too(self._new, name, folder)
                with suppress(FileNotFoundError):
                    self._disk.unlink(self._new, folder)
                self._disk.sync(folder)
        return self.verdict(trial) or verdict

    def _read(self, name: str) -> bytes | None:
        return self._tree.read(f"/{name}")

    def _write(self, name: str, text: str) -> None:
        was = Was(form=Form.FILE, content=text.encode(), mode=0o600, user=os.geteuid(), group=os.getegid())
        self._tree.put(f"/{name}", was)
