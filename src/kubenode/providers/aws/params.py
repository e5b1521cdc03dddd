"""What people write for AWS: the parameters of a machine class, and the table [aws] of kubenode.toml."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import attrs

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@attrs.frozen(kw_only=True)
class Disk:
    """An EBS volume; what is left out is as the image has it."""

    device: Annotated[str, "the name of the device, as /dev/xvda"]
    size_gib: Annotated[int, "its size; 0: the image's"] = 0
    type: Annotated[str, "gp3, io2, ..."] = ""
    iops: Annotated[int, "of gp3, io1 and io2; 0: AWS's default"] = 0
    throughput_mib: Annotated[int, "MiB/s, of gp3; 0: AWS's default"] = 0
    snapshot: Annotated[str, "what it is made from"] = ""
    encrypted: Annotated[bool, "whether it is encrypted; true does, false leaves it to the account"] = False
    kms_key: Annotated[str, "by which key"] = ""
    keep: Annotated[bool, "whether it outlives the instance"] = False


@attrs.frozen(kw_only=True)
class LaunchTemplate:
    """A launch template; what the parameters say too counts instead of what it says."""

    id: Annotated[str, "lt-..."]
    version: Annotated[str, "a number: with $Latest the same token could mean another machine"]

    def __attrs_post_init__(self) -> None:
        if not self.version.isdecimal():
            raise ValueError(
                f"launch_template.version is {self.version!r}; write a number: a machine is repeated as it was begun"
            )


@attrs.frozen(kw_only=True)
class Spot:
    """Spare capacity, which AWS may take back after two minutes."""

    max_price: Annotated[str, 'in dollars an hour, as "0.05"; empty: the price on demand'] = ""


@attrs.frozen(kw_only=True)
class Placement:
    """Where to try next, and as what. What is empty is as in the parameters."""

    instance_type: str = ""
    zone: str = ""
    subnet: str = ""


@attrs.frozen(kw_only=True)
class AwsParams:
    """What `spec.infrastructure.parameters` says for `aws`."""

    instance_type: Annotated[str, "as m7i.large; may be left to a launch template"] = ""
    image: Annotated[str, "ami-...; may be left to a launch template"] = ""
    zone: Annotated[str, "as eu-west-1a; may be left to the subnet"] = ""
    subnet: Annotated[str, "subnet-..."] = ""
    fallback: Annotated[tuple[Placement, ...], "in order, when there is no capacity"] = ()
    launch_template: Annotated[LaunchTemplate | None, "what the rest of it is taken from"] = None
    security_groups: Annotated[tuple[str, ...], "sg-..."] = ()
    disks: tuple[Disk, ...] = ()
    key_name: Annotated[str, "of a key pair, for people"] = ""
    iam_profile: Annotated[str, "name or ARN of an instance profile"] = ""
    spot: Spot | None = None
    placement_group: str = ""
    metadata_hops: Annotated[
        int, "1: pods without host network do not reach the metadata service; 2: they do"
    ] = 1
    termination_protection: Annotated[bool, "then kubenode cannot delete it either"] = False
    tags: Annotated[Mapping[str, str], "besides kubenode's own"] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for name in ("instance_type", "image"):
            if not getattr(self, name) and self.launch_template is None:
                raise ValueError(f"{name} is missing; write it, or a launch_template that has it")


def _private(settings: "AwsSettings", field: "attrs.Attribute[str]", value: str) -> None:
    url = urlsplit(value)
    if value and url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
        raise ValueError(f"{field.name} is {value!r}; write https://...: what is sent holds keys")


def _positive(settings: "AwsSettings", field: "attrs.Attribute[Any]", value: float) -> None:
    if value <= 0:
        raise ValueError(f"{field.name} is {value}; write more than 0")


@attrs.frozen(kw_only=True)
class AwsSettings:
    """The table [aws] of kubenode.toml.

    Attributes:
        region: what is called; empty: as AWS's standard chain says (AWS_REGION, the profile).
        profile: of the shared credentials and config files; empty: the standard chain.
        endpoint_url: instead of AWS's own; https, or http on the loopback for tests.
        quotas_endpoint_url: the same of Service Quotas, which `kubenode provider check` asks.
        ca_bundle: the path of certificates to trust; empty: those of boto3.
        calls_per_second: to this account in this region, in the long run.
        burst: calls at once, after a quiet time.
    """

    region: str = ""
    profile: str = ""
    endpoint_url: str = attrs.field(default="", validator=_private)
    quotas_endpoint_url: str = attrs.field(default="", validator=_private)
    ca_bundle: str = ""
    calls_per_second: float = attrs.field(default=10.0, validator=_positive)
    burst: int = attrs.field(default=50, validator=_positive)
