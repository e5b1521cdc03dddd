"""Cluster API as a provider: registered by the public hook, when the extra `clusterapi` is installed."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from kubenode.core.hookspecs import Provider, Settings, hookimpl
from kubenode.providers.clusterapi.driver import ClusterApiProvider
from kubenode.providers.clusterapi.params import ClusterApiParams, ClusterApiSettings

__all__ = ["ClusterApiParams", "ClusterApiProvider", "ClusterApiSettings", "register_providers"]


@hookimpl
def register_providers(settings: Settings) -> Iterable[Provider[Any]]:
    """Register the namespace of [clusterapi], unless the client is not installed: `pip install 'kubenode[clusterapi]'`."""
    wanted = settings.of("clusterapi", ClusterApiSettings)
    return [ClusterApiProvider(wanted)] if find_spec("kubernetes") is not None else []
