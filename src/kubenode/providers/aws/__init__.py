"""AWS EC2 as a provider: registered by the public hook, when the extra `aws` is installed."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from kubenode.core.hookspecs import Provider, Settings, hookimpl
from kubenode.providers.aws.driver import AwsProvider
from kubenode.providers.aws.params import AwsParams, AwsSettings, Disk, LaunchTemplate, Placement, Spot

__all__ = [
    "AwsParams", "AwsProvider", "AwsSettings", "Disk", "LaunchTemplate", "Placement", "Spot", "register_providers",
]  # fmt: skip


@hookimpl
def register_providers(settings: Settings) -> Iterable[Provider[Any]]:
    """Register EC2 in the region of [aws], unless boto3 is not installed: `pip install 'kubenode[aws]'`."""
    return [AwsProvider(settings.of("aws", AwsSettings))] if find_spec("boto3") is not None else []
