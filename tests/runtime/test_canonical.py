"""The canonical form: equal for the same story told elsewhere, unequal for any other."""

import json
from typing import Any

from kubenode.core import model as m
from kubenode.runtime.testing.canonical import canonical


def cluster(uid: str, version: int, stamp: str, *, phase: str = "Running", rack: str = "r7") -> list[m.Json]:
    """A machine, its Node, a closed episode and the ledger, as a server shows them."""
    job, op = f"m1-{uid}", f"remedy-{uid}"

    def metadata(name: str, **more: Any) -> m.Json:
        return {
            "name": name,
            "uid": f"{uid}-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": stamp,
            "generation": version,
            **more,
        }

    return [
        {
            "kind": "Machine", "metadata": metadata("m1", managedFields=[], annotations={"kubectl.kubernetes.io/x": "y"}), "spec": {"host": {"address": "10.0.0.1"}},
            "status": {
                "phase": phase, "observedGeneration": version, "nodeRef": {"name": "n1", "uid": f"{uid}-n1"}, "firstRunning": stamp,
                "conditions": [{"type": "Ready", "status": "True", "reason": "AllReady", "lastTransitionTime": stamp}],
                "agent": {"operation": {"opID": op, "state": "Done"}},
            },
        },
        {
            "kind": "Node",
            "metadata": metadata("n1", labels={"rack": rack, "beta.kubernetes.io/os": uid}, annotations={
                "kubenode.dev/synced-labels": json.dumps({"rack": rack}), "kubenode.dev/mirrored-conditions": "KernelDeadlock",
            }),
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule", "timeAdded": stamp}, {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": stamp},
                {"type": "KernelDeadlock", "status": "False", "reason": "NoFault"},
                {"type": "MemoryPressure", "status": "Unknown", "reason": uid},
            ]},
        },
        {
            "kind": "RemedyOperationJob", "metadata": metadata(job),
            "spec": {"machine": {"name": "m1", "uid": f"{uid}-m1"}, "remedier": "hung", "episode": 0},
            "status": {"phase": "Succeeded", "attempts": [{"number": 1, "opID": op, "since": stamp}], "closedAt": stamp},
        },
        {
            "kind": "RiskLedger", "metadata": metadata("cluster"),
            "status": {"checkpoint": version, "holds": [], "closed": {"cluster": f"s:{version}=1;m:{version}=1;h:{version}=1"}},
        },
    ]  # fmt: skip


def test_uids_versions_and_stamps_do_not_count() -> None:
    """Two servers, two days, other uids: the same."""
    one = canonical(cluster("aaa", 7, "2026-01-01T00:00:00Z"))
    other = canonical(cluster("bbb", 99, "2026-05-05T05:05:05Z"))
    assert one == other
    assert "RemedyOperationJob/m1.hung.0" in one


def test_what_kubenode_keeps_does_count() -> None:
    """Another phase, another label, another condition, another number of grants: not the same."""
    one = canonical(cluster("aaa", 7, "x"))
    assert canonical(cluster("aaa", 7, "x", phase="Repairing")) != one
    assert canonical(cluster("aaa", 7, "x", rack="r8")) != one
    sick = cluster("aaa", 7, "x")
    sick[1]["status"]["conditions"][1]["status"] = "True"
    assert canonical(sick) != one
    tainted = cluster("aaa", 7, "x")
    tainted[1]["spec"]["taints"] = []
    assert canonical(tainted) != one
    busier = cluster("aaa", 7, "x")
    busier[3]["status"]["closed"]["cluster"] = "s:7=2;m:7=2;h:7=2"
    assert canonical(busier) != one
