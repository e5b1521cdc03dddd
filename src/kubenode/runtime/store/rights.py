"""A right on a server, and those that it takes to keep a Lease."""

from typing import Final

import attrs

from kubenode.core.lease import CONTROLLER, NAMESPACE, OBSERVER

LEASE_GROUP: Final = "coordination.k8s.io"
LEASES: Final = (CONTROLLER, OBSERVER)
"""The Leases that the installed roles know."""


@attrs.frozen(kw_only=True, order=True)
class Right:
    """One verb on one resource.

    Attributes:
        resource: plural, with a subresource after a slash.
        name: of the only object that is meant; empty for all.
        namespace: the only one that is meant; empty for cluster-scoped resources.
    """

    group: str
    resource: str
    verb: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        one = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{one}" + (f" in {self.namespace}" if self.namespace else "")


def lease_events(namespace: str = NAMESPACE) -> Right:
    """Give what it takes to tell of a Lease: who leads, and what that one lost."""
    return Right(group="", resource="events", verb="create", namespace=namespace)


def lease_rights(name: str, namespace: str = NAMESPACE) -> tuple[Right, ...]:
    """Give what it takes to keep a Lease; to create one cannot be limited to a name."""
    return tuple(
        Right(
            group=LEASE_GROUP, resource="leases", verb=verb, name="" if verb == "create" else name, namespace=namespace
        )
        for verb in ("create", "get", "patch")
    )  # fmt: skip
