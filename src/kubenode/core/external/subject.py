"""Whom a request for a remedy is about: by who owns it."""

from typing import Final

import attrs

from kubenode.core.model.remediation import KubenodeRemediation

CLUSTER_API: Final = "cluster.x-k8s.io"
NODE_NAME: Final = "remediation.medik8s.io/node-name"
"""An annotation: the node, where the request has another name."""
MACHINE_TAG: Final = "cluster.x-k8s.io/machine"
"""A tag of an instance: `namespace/name` of the Machine of Cluster API that it is."""


@attrs.frozen(kw_only=True)
class Subject:
    """A Node by its name, or a Machine of Cluster API by `namespace/name`; one of the two is empty."""

    node: str = ""
    machine: str = ""

    def __str__(self) -> str:
        return f"Machine {self.machine} of Cluster API" if self.machine else f"Node {self.node}"


def wants_of(request: KubenodeRemediation) -> Subject:
    """Say whom a request is about: the Machine of Cluster API that owns it, else the Node that it is named after."""
    metadata = request.metadata
    for owner in metadata.owner_references:
        if owner.kind == "Machine" and owner.api_version.partition("/")[0] == CLUSTER_API:
            return Subject(machine=f"{metadata.namespace}/{owner.name}")
    return Subject(node=metadata.annotations.get(NODE_NAME, metadata.name))
