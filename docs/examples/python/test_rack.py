"""The kit of providers, with a fake daemon of a few lines."""

import threading
from collections.abc import Mapping
from typing import Any

from rack import RackParams, RackProvider

from kubenode.providers import conformance


def rackd(power: str = "on") -> Any:
    """Make a new fake: yours may be a recording, a mock transport or a staging server."""
    hosts: dict[str, dict[str, Any]] = {}
    asked: dict[str, Mapping[str, Any]] = {}
    lock = threading.Lock()

    def send(method: str, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        key = path.removeprefix("/hosts").strip("/")
        with lock:
            if method == "PUT":
                if asked.setdefault(key, body) != body:
                    return 409, {}
                made = {"id": key, "row": body["row"], "power": power, "tags": body["tags"]}
                return 200, hosts.setdefault(key, made)
            if method == "DELETE":
                return (200, {}) if hosts.pop(key, None) else (404, {})
            if key:
                return (200, hosts[key]) if key in hosts else (404, {})
            rest = [hosts[name] for name in sorted(hosts) if name > body["after"]]
            page = [host for host in rest if body["tags"].items() <= host["tags"].items()]
            return 200, {"hosts": page[:50], "next": page[49]["id"] if len(page) > 50 else None}

    return send


def make(wire: conformance.Wire) -> RackProvider:
    """Make a provider before a new fake; `wire` counts calls and loses answers."""
    return RackProvider(wire(rackd()))


test_rack = conformance.provider(make, params=RackParams(row="r1"), lost=TimeoutError("lost"))
