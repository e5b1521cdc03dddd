"""What EC2 is asked before a machine is made: one call each, nothing is made, and what is wrong has its fix."""

from typing import Any

import attrs
import pytest

from kubenode.core.capability import Finding
from kubenode.providers import conformance
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings, Spot
from kubenode.providers.aws.checks import NAME, NOBODY, RIGHTS
from kubenode.providers.aws.quota import CODES, vcpus
from tests.providers.aws.fake import IMAGE, FakeEc2, Refuse
from tests.providers.aws.loopback import in_process

ACCOUNT = ("credentials", "look", "delete", "tag", "reboot", "stop", "start")
PARAMS = AwsParams(instance_type="m7i.large", image="ami-1", zone="eu-west-1a")


def found(fake: FakeEc2, about: str, params: AwsParams | None = PARAMS) -> Finding:
    """Check one thing, by one call."""
    before = len(fake.calls)
    seen = in_process(conformance.Wire(), fake, quotas=about == "quota").check(about, params)
    assert (len(fake.calls) - before, fake.rows, seen.about) == (1, {}, about)
    return seen


@pytest.mark.parametrize(
    ("code", "status", "credentials", "create"),
    [
        ("AuthFailure", 401, False, False),
        ("UnauthorizedOperation", 403, True, False),
        ("VcpuLimitExceeded", 400, False, False),
        ("InvalidAMIID.NotFound", 400, False, False),
        ("RequestLimitExceeded", 503, None, None),
        ("InternalError", 500, None, None),
    ],
)
def test_what_is_refused_is_told_with_its_code_and_fix(
    code: str, status: int, credentials: bool | None, create: bool | None
) -> None:
    """Who is known and may not is no stranger; what passes by itself is not wrong, and not well either."""
    fake = FakeEc2(refusals={name: [Refuse(code, status)] for name in ("RunInstances", "DescribeInstances")})
    seen = found(fake, "create")
    assert (seen.holds, code in seen.text) == (create, True)
    assert seen.fix or create is None
    assert fake.bodies[0]["ClientToken"] != NAME, "boto3 makes one up, which nobody repeats"
    assert found(fake, "credentials").holds is credentials


def test_a_cloud_that_takes_no_notice_of_a_dry_run_is_not_believed() -> None:
    """Neither yes nor no."""

    class Deaf(FakeEc2):
        def _done(self, operation: str, params: dict[str, str]) -> dict[str, object]:
            return super()._done(operation, {**params, "DryRun": "false"})

    seen = in_process(conformance.Wire(), Deaf()).check("look", None)
    assert (seen.holds, seen.text) == (None, "the cloud took no notice that it was a dry run")
    assert in_process(conformance.Wire(), Deaf()).check("credentials", None).holds is True


@pytest.mark.parametrize("about", ["image", "zone"])
def test_a_right_that_only_the_check_needs_is_not_missing(about: str) -> None:
    """So it is no fault that it is denied."""
    names = ("DescribeImages", "DescribeInstanceTypeOfferings", "DescribeSubnets")
    refusals = {name: [Refuse("UnauthorizedOperation", 403)] for name in names}
    for params in (PARAMS, AwsParams(instance_type="m7i.large", image="ami-1", subnet="subnet-1")):
        seen = found(FakeEc2(refusals={name: [*one] for name, one in refusals.items()}), about, params)
        assert (seen.holds, seen.fix.startswith("only this check needs it")) == (None, True)


def test_without_a_region_or_parameters_nothing_is_sent() -> None:
    """It is said what is missing."""
    nowhere = AwsProvider(AwsSettings())
    seen = nowhere.check("credentials", None)
    assert (seen.holds, "region" in f"{seen.text} {seen.fix}") == (False, True)
    assert nowhere.check("image", None).holds is None
    assert nowhere.checks(None) == ACCOUNT
    assert [
        nowhere.check("quota", one).holds for one in (None, attrs.evolve(PARAMS, instance_type="mac2.metal"))
    ] == [None, None]
    many = AwsParams(instance_type="m7i.large", image="ami-1", tags={f"t{n}": "x" for n in range(60)})
    assert nowhere.check("create", many).holds is False
    assert nowhere.checks(AwsParams(instance_type="u-6tb1.metal", image="ami-1")) == (
        *ACCOUNT,
        "create",
        "image",
    )


def test_where_all_is_well_every_check_says_so() -> None:
    """Nothing is made, tagged, ended or restarted, whatever EC2 makes of the dry run: no instance has that id."""
    fake = FakeEc2()
    params = attrs.evolve(PARAMS, image=IMAGE)
    everything = (*ACCOUNT, "create", "image", "zone", "quota")
    assert AwsProvider(AwsSettings()).checks(params) == everything
    assert [found(fake, about, params).holds for about in everything] == [True] * len(everything)
    acts = {"TerminateInstances", "CreateTags", "RebootInstances", "StopInstances", "StartInstances"}
    sent = [body for body in fake.bodies if body["Action"] in acts]
    assert {body["Action"] for body in sent} == acts
    assert all(body["DryRun"] == "true" and NOBODY in body.values() for body in sent)


@pytest.mark.parametrize("about", ["delete", "tag", "reboot", "stop", "start"])
def test_a_right_to_act_on_machines(about: str) -> None:
    """Refused is told with its fix; that there is no such instance is as good as a yes; what passes by itself is neither."""
    right = RIGHTS[about][0]
    fake = FakeEc2(
        refusals={
            right: [
                Refuse("UnauthorizedOperation", 403),
                Refuse("InvalidInstanceID.NotFound"),
                Refuse("InternalError", 500),
            ]
        }
    )
    seen = found(fake, about, None)
    assert (seen.holds, f"{right}: UnauthorizedOperation" in seen.text) == (False, True)
    assert seen.fix.startswith("let the IAM policy of the controller allow it")
    assert f"allows ec2:{right} only for instances with certain tags" in seen.fix
    assert [found(fake, about, None).holds for _ in range(2)] == [True, None]


@pytest.mark.parametrize(
    ("changes", "code", "value", "holds", "text"),
    [
        ({}, "L-1216C47A", 5.0, True, "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances: 5 vCPUs in all (L-1216C47A)"),
        ({"instance_type": "m7i.xlarge"}, "L-1216C47A", 4.0, True, "4 vCPUs"),
        ({"instance_type": "m7i.2xlarge"}, "L-1216C47A", 7.0, False, "7 vCPUs in all (L-1216C47A); m7i.2xlarge has 8 or more"),
        ({"instance_type": "im4gn.large"}, "L-1216C47A", 0.0, False, "im4gn.large has 1 or more"),
        ({"instance_type": "g5.xlarge", "spot": Spot()}, "L-3819A6DF", 0.0, False, "All G and VT Spot Instance Requests: 0 vCPUs"),
        ({"instance_type": "c7g.metal-16xl"}, "L-1216C47A", 63.0, False, "has 64 or more"),
        ({"instance_type": "p5.48xlarge"}, "L-417A185B", None, None, "NoSuchResourceException"),
    ],
)  # fmt: skip
def test_the_quota_is_that_of_the_type_and_of_how_it_is_paid(
    changes: dict[str, Any], code: str, value: float | None, holds: bool | None, text: str
) -> None:
    """Below what one machine needs, none can be made; the others' quota says nothing of it."""
    others = {other: 9999.0 for kind in CODES.values() for other in kind if other != code}
    fake = FakeEc2(quotas={**others, **({code: value} if value is not None else {})})
    seen = found(fake, "quota", attrs.evolve(PARAMS, **changes))
    assert (seen.holds, text in seen.text) == (holds, True)
    assert ("Service Quotas" in seen.fix) is (holds is False)


def test_a_quota_that_may_not_be_read() -> None:
    """It is no fault of the controller's rights."""
    seen = found(FakeEc2(refusals={"GetServiceQuota": [Refuse("AccessDeniedException")]}), "quota")
    assert (seen.holds, seen.fix.startswith("only this check needs it")) == (None, True)


@pytest.mark.parametrize(
    ("instance_type", "least"),
    [("m7i.large", 1), ("t3.nano", 1), ("m7i.xlarge", 4), ("m7i.24xlarge", 96), ("m7i.metal-48xl", 192), ("i3.metal", 1), ("u-6tb1.112xlarge", 1), ("x", 1)],
)  # fmt: skip
def test_the_size_says_how_many_vcpus_at_least(instance_type: str, least: int) -> None:
    """Where it says nothing, one."""
    assert vcpus(instance_type) == least
