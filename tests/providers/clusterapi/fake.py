"""A management cluster in memory: objects with resourceVersions, merge patches, selectors, pages, and its controllers.

Its controllers are those of Cluster API as far as they matter: an owner has as many Machines as it is to have, scales down
by those marked first, and a Machine that is deleted waits for the hooks before it goes.
"""

import copy
import itertools
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from kubenode.providers.clusterapi.client import Answer
from kubenode.providers.clusterapi.reading import GROUP

HOME = "/apis/cluster.x-k8s.io/{version}/namespaces/default/"
HOOKS = "pre-drain.delete.hook.machine.cluster.x-k8s.io/"
DELETE = "cluster.x-k8s.io/delete-machine"


class FakeManagement:
    """One namespace.

    Args:
        owners: names of MachineDeployments, with the replicas that each has at first.
        late: so many requests pass before the controllers act.
        versions: of Cluster API that are served.
        phase: of each Machine that is made.
    """

    def __init__(
        self, owners: Mapping[str, int], *, late: int = 0, versions: tuple[str, ...] = ("v1beta2",), phase: str = "Running"
    ) -> None:  # fmt: skip
        self.versions = versions
        self.phase = phase
        self.late = late
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.made = 0
        self.deleted: list[str] = []
        self.sent: list[str] = []
        self.before: Callable[[str, str], None] = lambda method, path: None
        self._count = itertools.count(1)
        self._due: list[int] = []
        self._lock = threading.RLock()
        for name, replicas in owners.items():
            self.put("machinedeployments", name, spec={
                "replicas": replicas, "selector": {"matchLabels": {f"{GROUP}/deployment-name": name}},
            })  # fmt: skip
        self.reconcile()

    def put(self, resource: str, name: str, **fields: Any) -> dict[str, Any]:
        """Create an object."""
        number = next(self._count)
        metadata = {
            "name": name, "namespace": "default", "uid": f"uid-{number}", "resourceVersion": str(number),
            "creationTimestamp": f"2026-03-02T09:{number // 60 % 60:02}:{number % 60:02}Z",
            **fields.pop("metadata", {}),
        }  # fmt: skip
        self.objects[resource, name] = {"metadata": metadata, **fields}
        return self.objects[resource, name]

    def machines(self, owner: str = "") -> list[dict[str, Any]]:
        """Give the Machines, of one owner or all, by name."""
        found = [one for (resource, _), one in sorted(self.objects.items()) if resource == "machines"]
        return [one for one in found if not owner or _labels(one).get(f"{GROUP}/deployment-name") == owner]

    def owner(self, name: str) -> dict[str, Any]:
        """Give a MachineDeployment."""
        return self.objects["machinedeployments", name]

    def remove(self, name: str) -> None:
        """Ask for the deletion of a Machine, as a person or a health check does."""
        self.objects["machines", name]["metadata"].setdefault("deletionTimestamp", "2026-03-02T10:00:00Z")
        self._touch(self.objects["machines", name])

    def reconcile(self) -> None:
        """Let the controllers do all there is to do."""
        for (resource, name), owner in sorted(self.objects.items()):
            if resource == "machinedeployments":
                self._scale(name, owner)
        for machine in self.machines():
            hooks = [key for key in _annotations(machine) if key.startswith(HOOKS)]
            if "deletionTimestamp" in machine["metadata"] and not hooks:
                del self.objects["machines", machine["metadata"]["name"]]
                self.deleted.append(machine["metadata"]["name"])

    def _scale(self, name: str, owner: dict[str, Any]) -> None:
        alive = [one for one in self.machines(name) if "deletionTimestamp" not in one["metadata"]]
        for _ in range(owner["spec"]["replicas"] - len(alive)):
            self.made += 1
            made = self.put(
                "machines", f"{name}-{self.made:04}", metadata={
                    "labels": {f"{GROUP}/deployment-name": name, f"{GROUP}/cluster-name": "c"}, "annotations": {},
                },
                spec={"failureDomain": "a", "providerID": f"fake:///a/{name}-{self.made}"}, status={"phase": self.phase},
            )  # fmt: skip
            made["status"]["nodeRef"] = {"name": made["metadata"]["name"]}
        marked = sorted(alive, key=lambda one: (DELETE not in _annotations(one), one["metadata"]["name"]))
        for one in marked[: max(0, len(alive) - owner["spec"]["replicas"])]:
            self.remove(one["metadata"]["name"])

    def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        """Answer one request."""
        with self._lock:
            self.before(method, path)
            self.sent.append(f"{method} {path}")
            answer = self._answer(method, path, copy.deepcopy(dict(body)) if body is not None else None)
            self._due.append(len(self.sent) + self.late)
            if self._due[0] <= len(self.sent):
                self._due.clear()
                self.reconcile()
            return answer

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        url = urlsplit(path)
        if url.path == f"/apis/{GROUP}":
            return Answer(status=200, body={"versions": [{"version": one} for one in self.versions]})
        home = next(
            (
                HOME.format(version=one)
                for one in self.versions
                if url.path.startswith(HOME.format(version=one))
            ),
            "",
        )
        if not home:
            return Answer(status=404, body={"message": "no such path"})
        resource, _, name = url.path.removeprefix(home).partition("/")
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if not name:
            return self._list(resource, query)
        found = self.objects.get((resource, unquote(name)))
        if found is None:
            return Answer(status=404, body={"message": f"{resource} {name} not found"})
        if method == "PATCH":
            return self._patch(found, body or {}, dry="dryRun" in query)
        if method == "DELETE":
            self.remove(found["metadata"]["name"])
        return Answer(status=200, body=copy.deepcopy(found))

    def _list(self, resource: str, query: Mapping[str, str]) -> Answer:
        wanted = [one.partition("=") for one in query.get("labelSelector", "").split(",") if one]
        items = [
            one for (kind, _), one in sorted(self.objects.items())
            if kind == resource and all(
                key in _labels(one) and (not sign or _labels(one)[key] == value) for key, sign, value in wanted
            )
        ]  # fmt: skip
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        more = str(begin + limit) if len(items) > begin + limit else ""
        page = copy.deepcopy(items[begin : begin + limit])
        return Answer(status=200, body={"metadata": {"continue": more}, "items": page})

    def _patch(self, found: dict[str, Any], body: dict[str, Any], *, dry: bool) -> Answer:
        given = body.get("metadata", {})
        for key in ("uid", "resourceVersion"):
            if key in given and given[key] != found["metadata"][key]:
                return Answer(status=409, body={"message": "the object has been modified"})
        if not dry:
            _merge(found, body)
            self._touch(found)
        return Answer(status=200, body=copy.deepcopy(found))

    def _touch(self, obj: dict[str, Any]) -> None:
        obj["metadata"]["resourceVersion"] = str(next(self._count))


def book_of(fake: FakeManagement, owner: str) -> dict[str, Any]:
    """Give what the book of a MachineDeployment says."""
    text = _annotations(fake.owner(owner)).get("clusterapi.kubenode.dev/book", "{}")
    return dict(json.loads(text))


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}
