"""What the management cluster answers, as kubenode's messages, and the words that are written there. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import attrs

from kubenode.core.errors import Invalid, NotFound
from kubenode.core.hookspecs import Guard, Instance, InstanceState
from kubenode.providers.clusterapi.book import Made

GROUP: Final = "cluster.x-k8s.io"
VERSIONS: Final = ("v1beta2", "v1beta1")
"""Those whose fields are known, the best first. What is read and written here is the same in both."""
CLAIM: Final = "clusterapi.kubenode.dev/claim"
"""A label of a Machine: the token of the Machine of kubenode whose instance it is."""
TAGS: Final = "clusterapi.kubenode.dev/tags"
"""An annotation of a Machine: the tags of the instance."""
PENDING: Final = "clusterapi.kubenode.dev/pending"
"""A label of an owner whose book has tokens without a Machine."""
DELETE: Final = f"{GROUP}/delete-machine"
SKIP: Final = f"{GROUP}/skip-remediation"
MANAGED_BY: Final = f"{GROUP}/replicas-managed-by"
HOOK: Final = "pre-drain.delete.hook.machine.cluster.x-k8s.io/kubenode"
HANDS_OFF: Final = "clusterapi.kubenode.dev/hands-off"
"""That we want SKIP there; whether it is ours or a person's own, it is left when that ends if it is not ours."""
OURS: Final = "kubenode"
"""The value of what is written by us; a person's own has another one, and stays."""
MACHINE_NAME: Final = "cluster.x-k8s.io/machine"
"""A tag that every instance shows: `namespace/name` of its Machine. It is read from the Machine, and nowhere written."""

MACHINES, DEPLOYMENTS, SETS = "machines", "machinedeployments", "machinesets"
KINDS: Mapping[str, str] = MappingProxyType({
    "Machine": MACHINES, "MachineDeployment": DEPLOYMENTS, "MachineSet": SETS,
})  # fmt: skip

PHASES: Mapping[str, InstanceState] = MappingProxyType({
    "": InstanceState.PENDING, "Pending": InstanceState.PENDING, "Provisioning": InstanceState.PENDING,
    "Provisioned": InstanceState.RUNNING, "Running": InstanceState.RUNNING, "Updating": InstanceState.RUNNING,
    "Deleting": InstanceState.DELETING, "Deleted": InstanceState.TERMINATED,
})  # fmt: skip
"""`Provisioned`: its infrastructure is there, and no Node has registered. `Failed` is no state but a verdict: UNKNOWN."""
ADDRESSES: Final = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS")


@attrs.frozen(kw_only=True)
class Where:
    """An instance id taken apart: what was scaled, or the Machine that was adopted, and the token."""

    resource: str
    name: str
    token: str

    @property
    def id(self) -> str:
        """It as an instance id."""
        return f"{self.resource}/{self.name}/{self.token}"

    @classmethod
    def read(cls, instance_id: str) -> "Where":
        """Take an id apart.

        Raises:
            NotFound: it is no id of this provider.
        """
        parts = instance_id.split("/")
        if len(parts) != 3 or parts[0] not in KINDS.values() or not all(parts):
            raise NotFound(instance_id)
        return cls(resource=parts[0], name=parts[1], token=parts[2])


def made(machine: Mapping[str, Any]) -> Made:
    """Read a Machine as the book takes it."""
    metadata = machine["metadata"]
    return Made(
        name=metadata["name"], at=metadata.get("creationTimestamp", ""), claim=labels(machine).get(CLAIM, ""),
        leaving="deletionTimestamp" in metadata,
    )  # fmt: skip


def instance(machine: Mapping[str, Any], where: Where) -> Instance:
    """Read a Machine that bears a claim."""
    metadata, spec, status = machine["metadata"], machine.get("spec", {}), machine.get("status", {})
    state = PHASES.get(status.get("phase", ""), InstanceState.UNKNOWN)
    seen = status.get("addresses", ())
    return Instance(
        id=where.id, state=InstanceState.DELETING if "deletionTimestamp" in metadata else state,
        zone=spec.get("failureDomain", ""),
        tags={**tags(machine), MACHINE_NAME: f"{metadata['namespace']}/{metadata['name']}"},
        addresses=tuple(one["address"] for kind in ADDRESSES for one in seen if one.get("type") == kind),
        provider_id=spec.get("providerID", ""), created_at=_time(metadata.get("creationTimestamp", "")),
        guard=_guard(annotations(machine)),
    )  # fmt: skip


def guarding(machine: Mapping[str, Any], guard: Guard) -> Mapping[str, str | None]:
    """Give the annotations to change so that Cluster API leaves to us what it is to; none when it is so.

    `skip-remediation` of a person counts, and stays.
    """
    known, changes = annotations(machine), dict[str, str | None]()
    for key, on in ((HANDS_OFF, guard.hands_off), (HOOK, guard.holds_end)):
        if (key in known) != on:
            changes[key] = OURS if on else None
    if guard.hands_off and SKIP not in known:
        changes[SKIP] = OURS
    if not guard.hands_off and known.get(SKIP) == OURS:
        changes[SKIP] = None
    return changes


def _guard(known: Mapping[str, str]) -> Guard:
    return Guard(hands_off=HANDS_OFF in known and SKIP in known, holds_end=HOOK in known)


def pending(where: Where, told: Mapping[str, str]) -> Instance:
    """Give the instance of a token whose Machine is not made yet."""
    return Instance(id=where.id, state=InstanceState.PENDING, zone="", tags=told)


def origin(machine: Mapping[str, Any], token: str) -> Where | None:
    """Say what was scaled for a Machine, by what it says itself; None: it does not say."""
    found = annotations(machine).get(f"{CLAIM}-of", "")
    resource, _, name = found.partition("/")
    return Where(resource=resource, name=name, token=token) if resource in KINDS.values() and name else None


def labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """Give the labels of an object."""
    return obj["metadata"].get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """Give the annotations of an object."""
    return obj["metadata"].get("annotations") or {}


def tags(machine: Mapping[str, Any]) -> Mapping[str, str]:
    """Give the tags that a Machine was told; none when somebody has spoilt them, so that it counts as untagged."""
    try:
        found = json.loads(annotations(machine).get(TAGS, "{}"))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def selector(owner: Mapping[str, Any]) -> str:
    """Give the selector of an owner's Machines as a query takes it.

    Raises:
        Invalid: it has none that could be read.
    """
    wanted = owner.get("spec", {}).get("selector") or {}
    same = [f"{key}={value}" for key, value in sorted((wanted.get("matchLabels") or {}).items())]
    if not same or wanted.get("matchExpressions"):
        raise Invalid(
            f"{owner['metadata']['name']} selects its Machines by expressions, or by nothing; fix: give spec.selector.matchLabels"
        )
    return ",".join(same)


def managed(owner: Mapping[str, Any]) -> str:
    """Say who else decides how many replicas an owner has; empty when nobody does."""
    named = annotations(owner).get(MANAGED_BY)
    if named is not None:
        return f"{MANAGED_BY}: {named or 'somebody'}"
    for entry in owner["metadata"].get("managedFields") or ():
        if entry.get("manager") == "capi-topology" and "f:replicas" in (
            entry.get("fieldsV1", {}).get("f:spec") or {}
        ):
            return "the topology of its Cluster"
    return ""


def rolls(owner: Mapping[str, Any]) -> bool:
    """Tell whether a MachineDeployment replaces its Machines at this moment: which of them a scale-down ends is open then."""
    conditions = owner.get("status", {}).get("conditions") or ()
    return any(one.get("type") == "RollingOut" and one.get("status") == "True" for one in conditions)


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
