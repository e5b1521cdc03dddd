"""Alibaba ECS. Nothing here imports its SDK; a call does."""

import importlib.util
from collections.abc import Iterable
from typing import Any

from kubenode.core.hookspecs import Provider, Settings, hookimpl
from kubenode.providers.aliyun.client import AliyunSettings, Client
from kubenode.providers.aliyun.credentials import Credentials
from kubenode.providers.aliyun.driver import AliyunProvider
from kubenode.providers.aliyun.params import AliyunParams, DataDisk, Disk, MetadataTokens, Placement, Spot

__all__ = [
    "AliyunParams", "AliyunProvider", "AliyunSettings", "Client", "Credentials", "DataDisk", "Disk", "MetadataTokens",
    "Placement", "Spot", "register_providers",
]  # fmt: skip


@hookimpl
def register_providers(settings: Settings) -> Iterable[Provider[Any]]:
    """Register ECS, when the extra `kubenode[aliyun]` is installed."""
    if importlib.util.find_spec("aliyunsdkecs") is None:
        return []
    return [AliyunProvider(Client(settings.of("aliyun", AliyunSettings)))]
