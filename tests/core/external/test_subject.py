"""Whom a request is about."""

import pytest

from kubenode.core import model as m
from kubenode.core.external.subject import NODE_NAME, Subject, wants_of
from kubenode.core.model.meta import ObjectMeta, OwnerReference

MHC = OwnerReference(api_version="cluster.x-k8s.io/v1beta2", kind="Machine", name="md-0-1")
NHC = OwnerReference(api_version="remediation.medik8s.io/v1alpha1", kind="NodeHealthCheck", name="nhc")


@pytest.mark.parametrize(
    ("owners", "annotations", "subject", "words"),
    [
        ((NHC, MHC), {}, Subject(machine="ns/md-0-1"), "Machine ns/md-0-1 of Cluster API"),
        ((NHC,), {}, Subject(node="n1"), "Node n1"),
        ((NHC,), {NODE_NAME: "n2"}, Subject(node="n2"), "Node n2"),
        ((), {}, Subject(node="n1"), "Node n1"),
        (
            (OwnerReference(api_version="kubenode.dev/v1alpha1", kind="Machine", name="x"),),
            {},
            Subject(node="n1"),
            "Node n1",
        ),
        (
            (OwnerReference(api_version="cluster.x-k8s.io/v1beta2", kind="Cluster", name="x"),),
            {},
            Subject(node="n1"),
            "Node n1",
        ),
    ],
)
def test_it_is_the_machine_that_owns_it_or_the_node_of_its_name(
    owners: tuple[OwnerReference, ...], annotations: dict[str, str], subject: Subject, words: str
) -> None:
    """A Machine of Cluster API in the namespace of the request; a Node by annotation, else by name."""
    metadata = ObjectMeta(name="n1", namespace="ns", annotations=annotations, owner_references=owners)
    found = wants_of(m.KubenodeRemediation(metadata=metadata))
    assert (found, str(found)) == (subject, words)
