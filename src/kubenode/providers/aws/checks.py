"""What `kubenode provider check` asks of AWS: dry runs and look-ups, one wire call each.

The quota is that of Service Quotas: EC2's dry run checks permissions, and its account attributes "do not reflect your actual
vCPU limit". How much of it is used AWS tells when an instance is asked for.
"""

from collections.abc import Mapping
from typing import Any

from kubenode.core.capability import Finding
from kubenode.core.errors import ProviderError
from kubenode.core.hookspecs import CreateRequest
from kubenode.providers.asking import allowed, image, known, looked_up, refused, rehearsed, without_parameters
from kubenode.providers.aws import quota
from kubenode.providers.aws.client import QUOTAS, Ec2
from kubenode.providers.aws.launch import launch
from kubenode.providers.aws.params import AwsParams

NAME = "kubenode-check"
SOME: Mapping[str, Any] = {"MaxResults": 5}
NOBODY = "i-00000000000000000"
"""The id of no instance: what is asked of it is done to nobody, whatever becomes of the dry run."""
RIGHTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "delete": ("TerminateInstances", {"InstanceIds": [NOBODY]}),
    "tag": ("CreateTags", {"Resources": [NOBODY], "Tags": [{"Key": "kubenode.dev/check", "Value": ""}]}),
    "reboot": ("RebootInstances", {"InstanceIds": [NOBODY]}),
    "stop": ("StopInstances", {"InstanceIds": [NOBODY]}),
    "start": ("StartInstances", {"InstanceIds": [NOBODY]}),
}


def named(params: AwsParams | None) -> tuple[str, ...]:
    """Name what can be checked of these parameters."""
    account = ("credentials", "look", *RIGHTS)
    if params is None:
        return account
    given = {
        "image": params.image, "zone": params.subnet or (params.zone and params.instance_type), "quota": quota.of(params),
    }  # fmt: skip
    return (*account, "create", *(about for about, value in given.items() if value))


def asked(ec2: Ec2, about: str, params: AwsParams | None) -> Finding:
    """Check one thing."""
    if about == "credentials":
        return known(lambda: _dry(ec2, "DescribeInstances", SOME), f"AWS knows them in {_region(ec2)}")
    if about == "look":
        return rehearsed(
            about, lambda: _dry(ec2, "DescribeInstances", SOME), "ec2:DescribeInstances is allowed"
        )
    if about in RIGHTS:
        operation, told = RIGHTS[about]
        return allowed(about, lambda: _dry(ec2, operation, told), f"ec2:{operation}")
    if params is None:
        return without_parameters(about)
    if about == "quota":
        return _quota(ec2, params)
    if about == "create":
        return _create(ec2, params)
    if about == "image":
        return looked_up(
            about,
            lambda: ec2.call("DescribeImages", {"ImageIds": [params.image]}),
            lambda answer: image(
                params.image,
                [one.get("State", "") for one in answer.get("Images", ())],
                "available",
                "an AMI id",
            ),
        )
    return _zone(ec2, params)


def _region(ec2: Ec2) -> str:
    try:
        return ec2.region
    except ProviderError:
        return "no region"


def _dry(ec2: Ec2, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return ec2.call(operation, {**arguments, "DryRun": True})


def _create(ec2: Ec2, params: AwsParams) -> Finding:
    request = CreateRequest(token=NAME, machine=NAME, params=params, tags={"kubenode.dev/managed": "true"})
    try:
        told = {name: value for name, value in launch(request).items() if name != "ClientToken"}
    except ProviderError as error:
        return refused("create", error)
    return rehearsed(
        "create", lambda: _dry(ec2, "RunInstances", told),
        "ec2:RunInstances with these parameters and tags is allowed",
    )  # fmt: skip


def _quota(ec2: Ec2, params: AwsParams) -> Finding:
    found = quota.of(params)
    if found is None:
        text = f"{params.instance_type or 'the type of the template'} is under no quota of vCPUs that kubenode knows"
        return Finding(
            about="quota", holds=None, text=text, fix="look it up under Service Quotas, Amazon EC2"
        )
    asked = {"ServiceCode": "ec2", "QuotaCode": found.code}
    return looked_up(
        "quota", lambda: ec2.call("GetServiceQuota", asked, service=QUOTAS), lambda answer: quota.judged(answer, params, found)
    )  # fmt: skip


def _zone(ec2: Ec2, params: AwsParams) -> Finding:
    if params.subnet:
        return looked_up(
            "zone", lambda: ec2.call("DescribeSubnets", {"SubnetIds": [params.subnet]}), lambda answer: _subnet(answer, params)
        )  # fmt: skip
    wanted = {
        "LocationType": "availability-zone",
        "Filters": [{"Name": "instance-type", "Values": [params.instance_type]}],
    }
    return looked_up(
        "zone",
        lambda: ec2.call("DescribeInstanceTypeOfferings", wanted),
        lambda answer: _offered(answer, params),
    )


def _subnet(answer: Mapping[str, Any], params: AwsParams) -> Finding:
    found = [
        (one.get("AvailabilityZone", ""), one.get("AvailableIpAddressCount", 0))
        for one in answer.get("Subnets", ())
    ]
    if not found:
        return Finding(
            about="zone",
            holds=False,
            text=f"{params.subnet} is not shown in this region",
            fix="name a subnet of this region",
        )
    zone, free = found[0]
    if params.zone and zone != params.zone:
        return Finding(
            about="zone", holds=False, text=f"{params.subnet} is in {zone}, and the zone is to be {params.zone}",
            fix="leave the zone out, or name a subnet of it; failureDomains of a MachineSet set the zone",
        )  # fmt: skip
    if not free:
        return Finding(
            about="zone",
            holds=False,
            text=f"{params.subnet} has no free address",
            fix="free some, or name another subnet",
        )
    return Finding(
        about="zone", holds=True, text=f"{params.subnet} is in {zone} and has {free} free addresses"
    )


def _offered(answer: Mapping[str, Any], params: AwsParams) -> Finding:
    zones = sorted(one["Location"] for one in answer.get("InstanceTypeOfferings", ()))
    if params.zone in zones:
        return Finding(about="zone", holds=True, text=f"{params.instance_type} is offered in {params.zone}")
    return Finding(
        about="zone", holds=False, text=f"{params.instance_type} is not offered in {params.zone}",
        fix=f"it is in {', '.join(zones)}" if zones else "name an instance type of this region",
    )  # fmt: skip
