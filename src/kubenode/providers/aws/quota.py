"""Which quota of vCPUs an instance type is under, and what Service Quotas says of it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import attrs

from kubenode.core.capability import Finding
from kubenode.providers.aws.params import AwsParams


@attrs.frozen
class Quota:
    """One quota, of a kind of instance types.

    Attributes:
        kind: what AWS calls the types.
        code: of the quota, in Service Quotas.
    """

    kind: str
    code: str


STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
KINDS: Mapping[str, str] = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), STANDARD),
    "f": "F", "g": "G and VT", "vt": "G and VT", "inf": "Inf", "p": "P", "x": "X", "dl": "DL", "trn": "Trn",
}  # fmt: skip
"""By the letters that a type begins with."""
CODES: Mapping[str, tuple[str, str]] = {
    STANDARD: ("L-1216C47A", "L-34B43A08"), "F": ("L-74FC7D96", "L-88CF9481"), "G and VT": ("L-DB2E81BA", "L-3819A6DF"),
    "Inf": ("L-1945791B", "L-B5D1601B"), "P": ("L-417A185B", "L-7212CCBC"), "X": ("L-7295265B", "L-E3A00192"),
    "DL": ("L-6E869C2A", "L-85EED4F7"), "Trn": ("L-2C3B7624", "L-6B0D517C"),
}  # fmt: skip
"""On demand, then spot: each has its own, and one says nothing of the other."""
_FAMILY = re.compile(r"([a-z]+)[0-9][a-z0-9-]*\.(?:(?P<times>[0-9]*)xlarge|metal-(?P<metal>[0-9]+)xl|.*)")
XLARGE = 4
"""Its vCPUs; smaller sizes have 1 or more."""


def of(params: AwsParams) -> Quota | None:
    """Give the quota that machines with these parameters count against; None where kubenode knows none."""
    family = _FAMILY.fullmatch(params.instance_type)
    kind = KINDS.get(family[1]) if family is not None else None
    if kind is None:
        return None
    on_demand, spot = CODES[kind]
    if params.spot is not None:
        return Quota(f"All {kind} Spot Instance Requests", spot)
    return Quota(f"Running On-Demand {kind} instances", on_demand)


def vcpus(instance_type: str) -> int:
    """Give how many vCPUs an instance of a type has at least, by its size."""
    size = _FAMILY.fullmatch(instance_type)
    if size is None or not (size["metal"] or size["times"] is not None):
        return 1
    return XLARGE * int(size["metal"] or size["times"] or 1)


def judged(answer: Mapping[str, Any], params: AwsParams, quota: Quota) -> Finding:
    """Judge the answer of GetServiceQuota: whether one machine is below it. What is used of it is not told there."""
    value = answer.get("Quota", {}).get("Value")
    if value is None:
        return Finding(about="quota", holds=None, text=f"AWS does not tell {quota.kind} ({quota.code})")
    most, needs = int(value), vcpus(params.instance_type)
    text = f"{quota.kind}: {most} vCPUs in all ({quota.code}); what is used of them AWS tells when a machine is made"
    if most >= needs:
        return Finding(about="quota", holds=True, text=text)
    return Finding(
        about="quota", holds=False, text=f"{quota.kind}: {most} vCPUs in all ({quota.code}); {params.instance_type} has {needs} or more",
        fix=f"ask for more of {quota.code} under Service Quotas, Amazon EC2, in this region",
    )  # fmt: skip
