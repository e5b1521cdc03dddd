"""What EC2 is asked before a machine is made: one call each, nothing is made, and what is wrong has its fix."""

import pytest

from kubenode.core.capability import Finding
from kubenode.providers import conformance
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings
from kubenode.providers.aws.checks import NAME
from tests.providers.aws.fake import FakeEc2, Refuse
from tests.providers.aws.loopback import in_process

PARAMS = AwsParams(instance_type="m7i.large", image="ami-1", zone="eu-west-1a")


def found(fake: FakeEc2, about: str, params: AwsParams | None = PARAMS) -> Finding:
    """Check one thing, by one call."""
    before = len(fake.calls)
    seen = in_process(conformance.Wire(), fake).check(about, params)
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
    assert nowhere.checks(None) == ("credentials", "look")
    many = AwsParams(instance_type="m7i.large", image="ami-1", tags={f"t{n}": "x" for n in range(60)})
    assert nowhere.check("create", many).holds is False
    assert nowhere.checks(AwsParams(instance_type="m7i.large", image="ami-1")) == (
        "credentials",
        "look",
        "create",
        "image",
    )
