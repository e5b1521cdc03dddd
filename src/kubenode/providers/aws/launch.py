"""A create request as RunInstances takes it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from kubenode.core.errors import Invalid
from kubenode.core.hookspecs import CreateRequest
from kubenode.providers.aws.params import AwsParams, Disk

TOKEN = 64
USER_DATA = 16 * 1024
TAGS = 50
_TOKEN = re.compile(f"[\\x21-\\x7e]{{1,{TOKEN}}}")


def launch(request: CreateRequest[AwsParams]) -> Mapping[str, Any]:
    """Give the arguments of RunInstances, all but the user data. One request gives one answer, byte for byte.

    Raises:
        Invalid: AWS would refuse it in any case.
    """
    params, tags = request.params, tags_of(request)
    if not _TOKEN.fullmatch(request.token):
        raise Invalid(f"a token is 1 to {TOKEN} printable ASCII characters")
    if len(request.user_data) > USER_DATA:
        raise Invalid(f"user data has {len(request.user_data)} bytes; AWS takes {USER_DATA}")
    listed = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    asked = {
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": request.token,
        "ImageId": params.image,
        "InstanceType": params.instance_type,
        "LaunchTemplate": _template(params),
        "SubnetId": params.subnet,
        "Placement": _filled({"AvailabilityZone": params.zone, "GroupName": params.placement_group}),
        "SecurityGroupIds": list(params.security_groups),
        "KeyName": params.key_name,
        "IamInstanceProfile": _profile(params.iam_profile),
        "BlockDeviceMappings": [{"DeviceName": disk.device, "Ebs": _ebs(disk)} for disk in params.disks],
        "InstanceMarketOptions": _market(params),
        "DisableApiTermination": params.termination_protection,
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": params.metadata_hops},
        "TagSpecifications": [{"ResourceType": kind, "Tags": listed} for kind in ("instance", "volume")],
    }  # fmt: skip
    return _filled(asked)


def tags_of(request: CreateRequest[AwsParams]) -> Mapping[str, str]:
    """Give all tags of an instance; those of the request are not to be changed by parameters.

    Raises:
        Invalid: too many, or one that AWS keeps to itself.
    """
    tags = {"Name": request.machine, **request.params.tags, **request.tags}
    if len(tags) > TAGS:
        raise Invalid(f"{len(tags)} tags; AWS takes {TAGS}")
    if own := [key for key in tags if key.lower().startswith("aws:")]:
        raise Invalid(f"tag {own[0]!r}: AWS keeps aws: to itself")
    return tags


def _filled(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value}


def _template(params: AwsParams) -> Mapping[str, Any]:
    template = params.launch_template
    return {} if template is None else {"LaunchTemplateId": template.id, "Version": template.version}


def _profile(profile: str) -> Mapping[str, Any]:
    return _filled({"Arn" if profile.startswith("arn:") else "Name": profile})


def _market(params: AwsParams) -> Mapping[str, Any]:
    if params.spot is None:
        return {}
    return {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", **_filled({"MaxPrice": params.spot.max_price})},
    }


def _ebs(disk: Disk) -> Mapping[str, Any]:
    filled = _filled({
        "VolumeSize": disk.size_gib, "VolumeType": disk.type, "Iops": disk.iops, "Throughput": disk.throughput_mib,
        "SnapshotId": disk.snapshot, "Encrypted": disk.encrypted, "KmsKeyId": disk.kms_key,
    })  # fmt: skip
    return {**filled, "DeleteOnTermination": not disk.keep}
