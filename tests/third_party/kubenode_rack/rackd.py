"""The rack daemon, as a fake in memory."""

import threading
from collections.abc import Mapping
from typing import Any

PAGE = 50


class FakeRack:
    """Machines by id, and what each token asked for."""

    def __init__(self, power: str = "on", late: int = 0) -> None:
        self.power = power
        self.late = late  # looks that find nothing
        self.hosts: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {}
        self.acts: set[str] = set()
        self._lock = threading.Lock()

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Answer one request."""
        with self._lock:
            self.late -= method == "GET"
            match method, path.strip("/").split("/"):
                case "PUT", ["hosts", token]:
                    asked, host = self.tokens.setdefault(token, (body, self._host(body)))
                    return (200, self.hosts.setdefault(host["id"], host)) if asked == body else (409, {})
                case "PUT", ["hosts", name, "power", token]:
                    if token not in self.acts:
                        self.acts.add(token)
                        self.hosts[name]["power"] = "off" if body["act"] == "off" else "on"
                    return 200, {}
                case "DELETE", ["hosts", name]:
                    return (200, {}) if self.hosts.pop(name, None) else (404, {})
                case "GET", [*_, name] if self.late >= 0:
                    return (200, {"hosts": [], "next": None}) if name == "hosts" else (404, {})
                case "GET", ["hosts"]:
                    rest = [
                        h
                        for name, h in sorted(self.hosts.items())
                        if name > body["after"] and body["tags"].items() <= h["tags"].items()
                    ]
                    return 200, {
                        "hosts": rest[:PAGE],
                        "next": rest[PAGE - 1]["id"] if len(rest) > PAGE else None,
                    }
                case _, [*_, name]:
                    return (200, self.hosts[name]) if name in self.hosts else (404, {})
        raise AssertionError(path)

    def _host(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": f"m{len(self.tokens):05}",
            "row": body["row"],
            "power": self.power,
            "tags": body["tags"],
        }
