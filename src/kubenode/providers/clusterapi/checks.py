"""What `kubenode provider check` asks of a management cluster: look-ups and a dry run."""

from collections.abc import Mapping
from typing import Any

from kubenode.core.capability import Finding
from kubenode.core.errors import ProviderError
from kubenode.providers.asking import known, looked_up, refused, without_parameters
from kubenode.providers.clusterapi import reading
from kubenode.providers.clusterapi.book import BOOK, Book
from kubenode.providers.clusterapi.client import Management
from kubenode.providers.clusterapi.params import ClusterApiParams
from kubenode.providers.clusterapi.reading import DEPLOYMENTS, GROUP, MACHINES, SETS


def named(params: ClusterApiParams | None) -> tuple[str, ...]:
    """Name what can be checked."""
    return ("credentials", "look") if params is None else ("credentials", "look", "owner", "create")


def asked(management: Management, about: str, params: ClusterApiParams | None) -> Finding:
    """Check one thing."""
    if about == "credentials":
        return known(management.discovered, f"the management cluster serves {GROUP}")
    if about == "look":
        text = f"machines of namespace {management.namespace} may be listed"
        return looked_up(
            about,
            lambda: management.page(MACHINES, "", 1),
            lambda _: Finding(about=about, holds=True, text=text),
        )
    if params is None:
        return without_parameters(about)
    resource, name = _named(params)
    if about == "owner":
        return _owner(management, resource, name)
    return _create(management, resource, name)


def _named(params: ClusterApiParams) -> tuple[str, str]:
    if params.machine_deployment:
        return DEPLOYMENTS, params.machine_deployment
    return (SETS, params.machine_set) if params.machine_set else (MACHINES, params.machine)


def _owner(management: Management, resource: str, name: str) -> Finding:
    """Judge what is to be scaled or adopted."""
    try:
        found = management.get(resource, name)
        other = "" if resource == MACHINES else reading.managed(found)
        if resource != MACHINES:
            reading.selector(found)
            Book.read(reading.annotations(found).get(BOOK))
    except ProviderError as error:
        return refused("owner", error)
    if other:
        fix = "let only one decide how many replicas there are"
        return Finding(
            about="owner", holds=False, text=f"{other} decides how many replicas {name} has", fix=fix
        )
    return Finding(about="owner", holds=True, text=f"{resource} {name} is there")


def _create(management: Management, resource: str, name: str) -> Finding:
    """Rehearse the one write that asks for a machine."""
    body: Mapping[str, Any] = {"metadata": {"annotations": {f"{BOOK}-check": "dry run"}}}
    try:
        management.patch(resource, name, body, dry=True)
    except ProviderError as error:
        return refused("create", error)
    return Finding(about="create", holds=True, text=f"{resource} {name} may be changed")
