"""A Debian as argvs see it: systemctl, apt-get, dpkg, in a file, so that it outlives whoever calls it."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kubenode.runtime.agent.commands import Ran

GOOD = Ran(code=0)


def nothing(_: str) -> None:
    """Do nothing at a point where a test could let the agent die."""


class Debian:
    """Packages and units under a folder; implements Runner.

    Args:
        folder: where its root and its state are.
        point: is told of what is about to be done, and of what has been done.
    """

    def __init__(self, folder: Path, point: Callable[[str], None] = nothing) -> None:
        self.root = folder / "root"
        self.root.mkdir(parents=True, exist_ok=True)
        self._file = folder / "debian.json"
        self.point = point
        if not self._file.exists():
            self._save(
                {
                    "packages": {},
                    "archive": {},
                    "held": [],
                    "units": {},
                    "starts": 0,
                    "calls": [],
                    "trouble": [],
                }
            )

    @property
    def state(self) -> dict[str, Any]:
        """All that there is."""
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def _save(self, state: dict[str, Any]) -> None:
        new = self._file.with_suffix(f".{threading.get_ident()}")
        new.write_text(json.dumps(state))
        new.replace(self._file)  # others may look at the same time

    def change(self, **parts: Any) -> None:
        """Change some of it by hand."""
        self._save({**self.state, **parts})

    def unit(self, name: str, active: bool = True, reads: str = "") -> None:
        """Have a unit, that reads a file when it starts; with `bad` in the file it does not start."""
        state = self.state
        state["units"][name] = {"active": "inactive", "reads": reads, "read": "", "id": ""}
        self._save(state)
        if active:
            self._start(name)

    def package(self, name: str, version: str, *versions: str) -> None:
        """Have a package at a version, and others in the archive."""
        state = self.state
        state["archive"][name] = [version, *versions] if version else [*versions]
        if version:
            state["packages"][name] = version
        self._save(state)

    def path(self, path: str) -> Path:
        """Give where a path of it is."""
        return self.root / path.lstrip("/")

    def led(self, path: str) -> Path:
        """Give what a path of it leads to: its links lead from its own root."""
        where = self.path(path)
        return self.path(os.readlink(where)) if where.is_symlink() else where

    def boot(self) -> None:
        """Start anew, after the power was cut: what ran runs."""
        for name, unit in self.state["units"].items():
            if unit["active"] != "inactive":
                self._start(name)

    def calls(self, program: str = "") -> list[list[str]]:
        """Give what was called."""
        return [call for call in self.state["calls"] if call[0].startswith(program)]

    def __call__(self, argv: Sequence[str], limit: float) -> Ran:
        """Run a program."""
        assert all(isinstance(one, str) for one in argv)
        state = self.state
        state["calls"].append(list(argv))
        trouble = state["trouble"].pop(0) if state["trouble"] and argv[0] in ("apt-get", "dpkg") else ""
        self._save(state)
        if trouble:
            return Ran(code=100, tail=trouble)
        changes = argv[0] not in ("dpkg-query", "rpm") and "show" not in argv
        if changes:
            self.point("before")
        ran = self._ran(list(argv))
        if changes:
            self.point("after")
        return ran

    def _ran(self, argv: list[str]) -> Ran:
        match argv[0]:
            case "systemctl":
                return self._systemctl([one for one in argv[1:] if not one.startswith("--") or one == "--"])
            case "dpkg-query":
                return self._query(argv[-1])
            case "apt-get":
                return GOOD if argv[-1] == "update" else self._install(*argv[-1].split("="))
            case "apt-mark":
                return self._mark(argv[1], argv[-1])
            case "dpkg" if "--remove" in argv:
                state = self.state
                state["packages"].pop(argv[-1], None)
                state["held"] = [one for one in state["held"] if one != argv[-1]]
                self._save(state)
                return GOOD
            case "dpkg":
                return GOOD
        raise AssertionError(f"not known: {argv}")

    def _systemctl(self, words: list[str]) -> Ran:
        verb, name = words[0], words[-1]
        state = self.state
        if verb == "show":
            return Ran(code=0, out=self._shown(name))
        if verb in ("daemon-reload", "reset-failed", "reboot"):
            return GOOD
        if name not in state["units"]:
            return Ran(code=5, tail=f"Failed to {verb} {name}: Unit {name} not found.")
        if verb in ("stop", "enable", "disable"):
            state["units"][name] |= {"active": "inactive"} if verb == "stop" else {"enabled": f"{verb}d"}
            self._save(state)
            return GOOD
        if verb == "reload":
            return self._start(name, anew=False)
        return self._start(name)

    def _start(self, name: str, *, anew: bool = True) -> Ran:
        state = self.state
        unit = state["units"][name]
        path = self.led(unit["reads"]) if unit["reads"] else None
        unit["read"] = path.read_text() if path is not None and path.exists() else ""
        unit["active"] = "failed" if "bad" in unit["read"] else "active"
        if anew:
            state["starts"] += 1
            unit["id"] = f"run{state['starts']}"
        self._save(state)
        if unit["active"] == "failed":
            return Ran(
                code=1, tail=f"Job for {name} failed because the control process exited with error code."
            )
        return GOOD

    def _shown(self, name: str) -> str:
        unit = self.state["units"].get(name)
        file = unit.get("file") if unit is not None else None
        if unit is None or (file and not unit["id"] and not self.path(file).exists()):
            return "LoadState=not-found\nActiveState=inactive\nInvocationID=\n"
        return (
            f"LoadState=loaded\nActiveState={unit['active']}\nSubState=x\nResult=success\nType=simple\n"
            f"NeedDaemonReload=no\nInvocationID={unit['id']}\n"
            f"UnitFileState={unit.get('enabled', 'disabled')}\n"
        )

    def _mark(self, verb: str, name: str) -> Ran:
        state = self.state
        others = [one for one in state["held"] if one != name]
        state["held"] = [*others, name] if verb == "hold" else others
        self._save(state)
        return GOOD

    def _query(self, name: str) -> Ran:
        state = self.state
        if name not in state["packages"]:
            return Ran(code=1, tail=f"dpkg-query: no packages found matching {name}")
        want = "hold" if name in state["held"] else "install"
        return Ran(code=0, out=f"{want} ok installed {state['packages'][name]}\n")

    def _install(self, name: str, version: str) -> Ran:
        state = self.state
        if name in state["held"]:
            return Ran(
                code=100,
                tail="E: Held packages were changed and -y was used without --allow-change-held-packages.",
            )
        if version not in state["archive"].get(name, []):
            return Ran(code=100, tail=f"E: Version '{version}' for '{name}' was not found")
        state["packages"][name] = version
        self._save(state)
        return GOOD
