"""What `spec.infrastructure.parameters` says for an ECS instance, and RunInstances is told."""

import base64
import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final

import attrs

from kubenode.core.errors import Invalid, InvalidObjectError, Problem
from kubenode.core.hookspecs import CreateRequest

USER_DATA_MAX: Final = 32 * 1024
TAGS_MAX: Final = 20
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,64}")
_RESERVED: Final = ("acs:", "aliyun")


class Spot(enum.Enum):
    """How to bid for a spot instance."""

    NO = "NoSpot"
    AS_PRICE_GO = "SpotAsPriceGo"
    WITH_LIMIT = "SpotWithPriceLimit"


class MetadataTokens(enum.Enum):
    """Whether the metadata service of the instance asks for a token."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@attrs.frozen(kw_only=True)
class Disk:
    """A disk. `size` is in GiB."""

    size: int
    category: str = "cloud_essd"
    performance_level: str = ""
    encrypted: bool = False
    kms_key: str = ""

    def told(self) -> Mapping[str, str]:
        """Give it as ECS names its parts."""
        return _given(
            Category=self.category, Size=str(self.size), PerformanceLevel=self.performance_level,
            Encrypted="true" if self.encrypted else "", KMSKeyId=self.kms_key,
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class DataDisk(Disk):
    """A further disk."""

    snapshot: str = ""
    delete_with_instance: bool = True

    def told(self) -> Mapping[str, str]:
        """Give it as ECS names its parts."""
        return {
            **super().told(),
            **_given(
                SnapshotId=self.snapshot, DeleteWithInstance="true" if self.delete_with_instance else "false",
            ),
        }  # fmt: skip


@attrs.frozen(kw_only=True)
class Placement:
    """Another place or type, for when there is no capacity. What is empty is as in the first one."""

    zone: str = ""
    vswitch: str = ""
    instance_type: str = ""


@attrs.frozen(kw_only=True)
class AliyunParams:
    """One way to launch an instance. What is empty is left to the launch template, or to ECS."""

    zone: Annotated[str, "the zone, as cn-hangzhou-h; that of the vswitch when empty"] = ""
    vswitch: Annotated[str, "the vswitch, as vsw-..."] = ""
    instance_type: Annotated[str, "as ecs.g7.xlarge"] = ""
    image: Annotated[str, "the image, as m-... or the name of a public one"] = ""
    security_groups: Annotated[tuple[str, ...], "each as sg-..."] = ()
    system_disk: Disk | None = None
    data_disks: tuple[DataDisk, ...] = ()
    key_pair: Annotated[str, "the name of an SSH key pair"] = ""
    ram_role: Annotated[str, "the RAM role that the instance has"] = ""
    spot: Spot = Spot.NO
    spot_price_limit: Annotated[float | None, "per hour, with SpotWithPriceLimit"] = None
    launch_template: Annotated[str, "the id, as lt-..."] = ""
    launch_template_version: Annotated[int | None, "the default version when empty"] = None
    resource_group: Annotated[str, "as rg-..."] = ""
    deletion_protection: bool = False
    metadata_tokens: MetadataTokens = MetadataTokens.REQUIRED
    fallback: Annotated[tuple[Placement, ...], "tried in order when there is no capacity"] = ()
    tags: Annotated[Mapping[str, str], "besides those of kubenode"] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Refuse what ECS would refuse, all at once."""
        if problems := tuple(self._problems()):
            raise InvalidObjectError(problems)

    def at(self, place: Placement) -> "AliyunParams":
        """Give the same in another place. With another vswitch the zone is another too, so it is not kept."""
        return attrs.evolve(
            self, zone=place.zone or ("" if place.vswitch else self.zone), vswitch=place.vswitch or self.vswitch,
            instance_type=place.instance_type or self.instance_type, fallback=(),
        )  # fmt: skip

    def _problems(self) -> Iterator[Problem]:
        needed = ("vswitch", "instance_type", "image", "security_groups")
        if not self.launch_template:
            for name in needed:
                if not getattr(self, name):
                    yield Problem(
                        where=name, what="is missing", fix="give it, or a launch_template that has it"
                    )
        if self.launch_template_version is not None and not self.launch_template:
            yield Problem(where="launch_template_version", what="has no launch_template beside it")
        if (self.spot is Spot.WITH_LIMIT) != (self.spot_price_limit is not None):
            yield Problem(
                where="spot_price_limit", what="goes with spot: SpotWithPriceLimit, and only with it"
            )
        for where, disk in (
            ("system_disk", self.system_disk),
            *((f"data_disks[{n}]", disk) for n, disk in enumerate(self.data_disks)),
        ):
            if disk is not None and disk.kms_key and not disk.encrypted:
                yield Problem(where=f"{where}.kms_key", what="goes with encrypted: true, and only with it")
        if len(self.data_disks) > 16:
            yield Problem(where="data_disks", what="has more than 16")
        for n, place in enumerate(self.fallback):
            if place == Placement():
                yield Problem(
                    where=f"fallback[{n}]", what="is empty", fix="give a vswitch or an instance_type"
                )
        for key in self.tags:
            if key.startswith(_RESERVED):
                yield Problem(
                    where=f"tags[{key}]", what="begins with a word that Alibaba Cloud keeps for itself"
                )


def launch(request: CreateRequest[AliyunParams], region: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Give what RunInstances is told: the open part, and the secret one.

    It is the first placement: what follows is for `choices`. The same request gives the same parts in the
    same order, since a token stands for all of them.

    Raises:
        Invalid: the token, the tags or the user data are more than ECS takes.
    """
    params = request.params
    if not _TOKEN.fullmatch(request.token):
        raise Invalid("the token must have 1 to 64 ASCII characters without spaces")
    if len(request.user_data) > USER_DATA_MAX:
        raise Invalid(f"user data has {len(request.user_data)} bytes; fix: ECS takes {USER_DATA_MAX}")
    told = _given(
        RegionId=region, ClientToken=request.token, Amount="1", InstanceName=request.machine,
        HostName=request.machine, ZoneId=params.zone, VSwitchId=params.vswitch,
        InstanceType=params.instance_type, ImageId=params.image, KeyPairName=params.key_pair,
        RamRoleName=params.ram_role, LaunchTemplateId=params.launch_template,
        LaunchTemplateVersion=_number(params.launch_template_version),
        ResourceGroupId=params.resource_group, HttpEndpoint="enabled", HttpTokens=params.metadata_tokens.value,
        DeletionProtection="true" if params.deletion_protection else "",
        SpotStrategy=params.spot.value if params.spot is not Spot.NO else "",
        SpotPriceLimit=_number(params.spot_price_limit),
    )  # fmt: skip
    told |= numbered("SecurityGroupIds", params.security_groups)
    if params.system_disk is not None:
        told |= {f"SystemDisk.{name}": value for name, value in params.system_disk.told().items()}
    for n, disk in enumerate(params.data_disks, 1):
        told |= {f"DataDisk.{n}.{name}": value for name, value in disk.told().items()}
    told |= tagged({**params.tags, **request.tags})
    secret = {"UserData": base64.b64encode(request.user_data).decode()} if request.user_data else {}
    return told, secret


def tagged(tags: Mapping[str, str]) -> dict[str, str]:
    """Give tags as parameters, in the order of their keys.

    Raises:
        Invalid: there are more than ECS takes.
    """
    if len(tags) > TAGS_MAX:
        raise Invalid(f"{len(tags)} tags, with those of kubenode; fix: ECS takes {TAGS_MAX}")
    told: dict[str, str] = {}
    for n, (key, value) in enumerate(sorted(tags.items()), 1):
        told |= {f"Tag.{n}.Key": key, f"Tag.{n}.Value": value}
    return told


def numbered(name: str, values: Sequence[str]) -> dict[str, str]:
    """Give the values of a list as parameters, which ECS counts from 1."""
    return {f"{name}.{n}": value for n, value in enumerate(values, 1)}


def _given(**params: str) -> dict[str, str]:
    """Leave out what is empty: the SDK would send the word None for None."""
    return {name: value for name, value in params.items() if value}


def _number(value: float | None) -> str:
    return "" if value is None else str(value)
