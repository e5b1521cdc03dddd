"""What `kubenode provider check` asks of ECS: dry runs and look-ups, one wire call each.

A dry run of RunInstances checks rights, parameters, quotas and stock; the others say which of them it was.
"""

from collections.abc import Mapping
from typing import Any

from kubenode.core.capability import Finding
from kubenode.core.errors import ProviderError
from kubenode.core.hookspecs import CreateRequest
from kubenode.providers.aliyun.answers import rows
from kubenode.providers.aliyun.client import NONE, Client
from kubenode.providers.aliyun.codes import Call
from kubenode.providers.aliyun.params import AliyunParams, Spot, launch, numbered, tagged
from kubenode.providers.asking import allowed, image, known, looked_up, refused, rehearsed, without_parameters

NAME = "kubenode-check"
DRY: Mapping[str, str] = {"DryRun": "true"}
NOBODY = "i-bp100000000000000000"
"""The id of no instance: what is asked of it is done to nobody."""
RIGHTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "delete": ("DeleteInstance", {"InstanceId": NOBODY, "Force": "true", **DRY}),
    # Without a dry run in ECS.
    "tag": (
        "TagResources",
        {"ResourceType": "instance", "ResourceId.1": NOBODY, **tagged({"kubenode.dev/check": "x"})},
    ),
    "reboot": ("RebootInstance", {"InstanceId": NOBODY, **DRY}),
    "stop": ("StopInstance", {"InstanceId": NOBODY, **DRY}),
    "start": ("StartInstance", {"InstanceId": NOBODY, **DRY}),
}


def named(params: AliyunParams | None) -> tuple[str, ...]:
    """Name what can be checked of these parameters."""
    account = ("credentials", "look", *RIGHTS)
    if params is None:
        return (*account, "quota")
    given = {"image": params.image, "zone": params.zone and params.instance_type}
    return (*account, "create", *(about for about, value in given.items() if value), "quota")


def asked(client: Client, about: str, params: AliyunParams | None) -> Finding:
    """Check one thing."""
    if about == "credentials":
        return known(
            lambda: _called(client, "DescribeInstances", DRY), f"Alibaba Cloud knows them in {client.region}"
        )
    if about == "look":
        return rehearsed(
            about, lambda: _called(client, "DescribeInstances", DRY), "ecs:DescribeInstances is allowed"
        )
    if about in RIGHTS:
        action, told = RIGHTS[about]
        return allowed(about, lambda: _called(client, action, told), f"ecs:{action}")
    if about == "quota":
        return _quota(client, spot=params is not None and params.spot is not Spot.NO)
    if params is None:
        return without_parameters(about)
    if about == "create":
        return _create(client, params)
    if about == "image":
        return looked_up(
            about,
            lambda: _called(client, "DescribeImages", {"ImageId": params.image}),
            lambda answer: image(
                params.image, [one.get("Status", "") for one in rows(answer, "Images", "Image")], "Available"
            ),
        )
    wanted = {
        "DestinationResource": "InstanceType",
        "InstanceType": params.instance_type,
        "ZoneId": params.zone,
    }
    return looked_up(
        about,
        lambda: _called(client, "DescribeAvailableResource", wanted),
        lambda answer: _zone(answer, params),
    )


def _called(client: Client, action: str, told: Mapping[str, str]) -> Mapping[str, Any]:
    return client.call(action, {"RegionId": client.region, **told}, Call.READ)


def _create(client: Client, params: AliyunParams) -> Finding:
    request = CreateRequest(token=NAME, machine=NAME, params=params, tags={"kubenode.dev/managed": "true"})
    try:
        told, _ = launch(request, client.region)
    except ProviderError as error:
        return refused("create", error)
    # Without the token: nothing is made that could be asked for again.
    told = {**{name: value for name, value in told.items() if name != "ClientToken"}, **DRY}
    return rehearsed(
        "create", lambda: client.call("RunInstances", told, Call.READ, secret=NONE),
        "ecs:RunInstances with these parameters is allowed; rights, quota and stock are there",
    )  # fmt: skip


def _zone(answer: Mapping[str, Any], params: AliyunParams) -> Finding:
    for zone in rows(answer, "AvailableZones", "AvailableZone"):
        for kind in rows(zone, "AvailableResources", "AvailableResource"):
            for one in rows(kind, "SupportedResources", "SupportedResource"):
                if (zone.get("ZoneId"), one.get("Value")) != (params.zone, params.instance_type):
                    continue
                if one.get("Status") == "Available":
                    return Finding(
                        about="zone", holds=True, text=f"{params.instance_type} is to be had in {params.zone}"
                    )
                return Finding(
                    about="zone", holds=False, text=f"{params.instance_type} is sold out in {params.zone}",
                    fix="name another zone or type, or list them under `fallback`",
                )  # fmt: skip
    return Finding(
        about="zone", holds=False, text=f"{params.instance_type} is not offered in {params.zone}",
        fix="name another zone or type",
    )  # fmt: skip


def _quota(client: Client, *, spot: bool) -> Finding:
    kind = "spot" if spot else "postpaid"
    names = (f"max-{kind}-instance-vcpu-count", f"used-{kind}-instance-vcpu-count")

    def judge(answer: Mapping[str, Any]) -> Finding:
        found = {
            item["AttributeName"]: int(value.get("Value") or 0)
            for item in rows(answer, "AccountAttributeItems", "AccountAttributeItem")
            for value in rows(item, "AttributeValues", "ValueItem")
        }
        most, used = found.get(names[0]), found.get(names[1], 0)
        if most is None:
            return Finding(about="quota", holds=None, text="ECS does not tell it")
        text = f"{used} of {most} vCPUs of {kind} instances are used"
        fix = "" if used < most else "raise it in the Quota Center, or delete what is not needed"
        return Finding(about="quota", holds=used < most, text=text, fix=fix)

    told = numbered("AttributeName", names)
    return looked_up("quota", lambda: _called(client, "DescribeAccountAttributes", told), judge)
