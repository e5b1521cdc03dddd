"""The canonical form of a cluster: what must be equal when the same story was told elsewhere.

Left out: uid, resourceVersion, generation, managedFields, every stamp, ledger time, bucket numbers and the record of closed permits.
Names and op-ids that derive from uids are replaced by owner and number. Of Nodes, only what kubenode keeps.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.model.meta import GROUP, SYNCED_LABELS
from kubenode.core.model.remedy import origin_of_drift

STAMPS = frozenset({
    "lastTransitionTime", "lastHeartbeatTime", "openedAt", "closedAt", "creationTimestamp", "firstRunning",
    "checkpoint", "blindUntil", "grantedAt", "acts", "actsDropped", "observedGeneration", "since",
    "driftedAt",
})  # fmt: skip
METADATA = ("name", "labels", "finalizers")


def canonical(objects: Iterable[m.Json]) -> dict[str, m.Json]:
    """Give the objects by `Kind/name`, comparable across servers and runs.

    Args:
        objects: raw, of all our kinds and Nodes; one cluster's.
    """
    found = list(objects)
    names = _names(found)
    made: dict[str, m.Json] = {}
    for one in sorted((_one(raw, names) for raw in found), key=_name):
        name = _name(one)
        while name in made:  # two jobs of one episode, which must never be: both are shown
            name += "+"
        made[name] = one
    return made


def _name(one: m.Json) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def _names(objects: list[m.Json]) -> dict[str, str]:
    """Map every uid and whatever derives from one to a name by owner and number."""
    names: dict[str, str] = {}
    for raw in objects:
        names[raw["metadata"]["uid"]] = f"uid-of-{raw['kind']}-{raw['metadata']['name']}"
        if raw["kind"] == m.RemedyOperationJob.KIND.name:
            spec = raw["spec"]
            origin = spec.get("remedier") or origin_of_drift(spec["component"])
            owner = f"{spec['machine']['name']}.{origin}.{spec['episode']}"
            names[raw["metadata"]["name"]] = owner
            names[raw["metadata"]["uid"]] = f"uid-of-{raw['kind']}-{owner}"
            for attempt in raw.get("status", {}).get("attempts", []):
                names[attempt["opID"]] = f"{owner}.{attempt['number']}"
        instance = raw.get("status", {}).get("instance") if raw["kind"] == m.Machine.KIND.name else None
        if instance:
            names[instance["token"]] = f"{raw['metadata']['name']}.{instance['attempt']}"
            names[instance.get("id") or "-"] = f"instance-of-{raw['metadata']['name']}.{instance['attempt']}"
            names[instance.get("providerID") or "-"] = (
                f"provider-id-of-{raw['metadata']['name']}.{instance['attempt']}"
            )
        for member in (
            ((raw.get("status", {}).get("batch") or {}).get("members") or [])
            if raw["kind"] == m.MachineComponentSet.KIND.name
            else []
        ):
            names[member["opID"]] = f"{raw['metadata']['name']}.{member['name']}"
    return names


def _one(raw: m.Json, names: Mapping[str, str]) -> m.Json:
    if raw["kind"] == m.Node.KIND.name:
        return _node(raw)
    metadata = {key: raw["metadata"][key] for key in METADATA if raw["metadata"].get(key)}
    metadata["annotations"] = _ours(raw["metadata"])
    body = {
        "kind": raw["kind"],
        "metadata": metadata,
        "spec": raw.get("spec", {}),
        "status": raw.get("status", {}),
    }
    renamed: m.Json = _renamed(body, names)
    if raw["kind"] == m.RiskLedger.KIND.name:
        closed = renamed["status"].get("closed", {})
        renamed["status"]["closed"] = {scope: _total(text) for scope, text in sorted(closed.items())}
    return renamed


def _node(raw: m.Json) -> m.Json:
    metadata = raw["metadata"]
    annotations = _ours(metadata)
    synced = json.loads(annotations.get(SYNCED_LABELS) or "{}")
    labels = {
        key: value
        for key, value in metadata.get("labels", {}).items()
        if key in synced or key.startswith(f"{GROUP}/")
    }
    taints = [
        taint
        for taint in raw.get("spec", {}).get("taints", [])
        if not taint["key"].startswith("node.kubernetes.io/")
    ]
    mirrored = {key for key in annotations.get(f"{GROUP}/mirrored-conditions", "").split(",") if key}
    conditions = {
        one["type"]: (one["status"], one.get("reason")) for one in raw.get("status", {}).get("conditions", [])
        if one["type"] == "Ready" or one["type"] in mirrored
    }  # fmt: skip
    return {
        "kind": raw["kind"], "metadata": {"name": metadata["name"], "labels": labels, "annotations": annotations},
        "taints": [{key: value for key, value in taint.items() if key != "timeAdded"} for taint in taints],
        "conditions": conditions,
    }  # fmt: skip


def _ours(metadata: m.Json) -> m.Json:
    """Give our annotations; kubectl, for one, leaves some of its own."""
    return {
        key: value for key, value in metadata.get("annotations", {}).items() if key.startswith(f"{GROUP}/")
    }


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            names.get(key, key): _renamed(inner, names) for key, inner in value.items() if key not in STAMPS
        }
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    if isinstance(value, str):
        return names.get(value, value)
    return value


def _total(text: str) -> int:
    """Sum the hour buckets of a scope's counters: how many grants ended there."""
    hours = next((part for part in text.split(";") if part.startswith("h:")), "h:")
    return sum(int(count) for count in re.findall(r"=(\d+)", hours))
