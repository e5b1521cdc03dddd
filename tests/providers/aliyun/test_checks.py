"""What ECS is asked before a machine is made: one call each, nothing is made, and what is wrong has its fix."""

from collections.abc import Callable

import attrs
import pytest

from kubenode.core.capability import Finding
from kubenode.providers.aliyun import AliyunParams, Spot
from kubenode.providers.aliyun.checks import NOBODY, RIGHTS
from tests.providers.aliyun.rig import PARAMS, Rig, rig

ACCOUNT = ("credentials", "look", "delete", "tag", "reboot", "stop", "start")
ALL = (*ACCOUNT, "create", "image", "zone", "quota")


def found(one: Rig, about: str, params: AliyunParams | None = PARAMS) -> Finding:
    """Check one thing, by one call."""
    given: list[Finding] = []
    assert len(one.calls(lambda: given.append(one.provider.check(about, params)))) == 1
    assert one.cloud.made == 0
    assert given[0].about == about
    return given[0]


def test_where_all_is_well_every_check_says_so() -> None:
    """With parameters, and without any; what they do not say is not asked for."""
    one = rig()
    assert one.provider.checks(PARAMS) == ALL
    assert [found(one, about).holds for about in ALL] == [True] * len(ALL)
    assert one.provider.checks(None) == (*ACCOUNT, "quota")
    assert [found(one, about, None).holds for about in one.provider.checks(None)] == [True] * 8
    assert one.provider.checks(attrs.evolve(PARAMS, zone="", image="", launch_template="lt-1")) == (
        *ACCOUNT, "create", "quota",
    )  # fmt: skip
    ran = [heard.params for heard in one.account.heard if heard.params["Action"] == "RunInstances"]
    assert [(asked["DryRun"], "ClientToken" in asked, asked["ImageId"]) for asked in ran] == [
        ("true", False, "m-1")
    ]


@pytest.mark.parametrize(
    ("code", "status", "credentials", "create"),
    [
        ("InvalidAccessKeyId.NotFound", 404, False, False),
        ("Forbidden.RAM", 403, True, False),
        ("QuotaExceed.ElasticQuota", 403, False, False),
        ("OperationDenied.NoStock", 403, False, False),
        ("Throttling.User", 400, None, None),
        ("ServiceUnavailable", 503, None, None),
    ],
)
def test_what_is_refused_is_told_with_its_code_and_fix(
    code: str, status: int, credentials: bool | None, create: bool | None
) -> None:
    """Who is known and may not is no stranger; what passes by itself is not wrong, and not well either."""
    one = rig()
    one.cloud.fail("RunInstances", status, code)
    seen = found(one, "create")
    assert (seen.holds, code in seen.text) == (create, True)
    assert seen.fix or create is None
    other = rig()
    other.cloud.fail("DescribeInstances", status, code)
    assert found(other, "credentials").holds is credentials


@pytest.mark.parametrize("about", ["delete", "tag", "reboot", "stop", "start"])
def test_a_right_to_act_on_machines(about: str) -> None:
    """Refused is told with its fix; that there is no such instance is as good as a yes; what passes by itself is neither."""
    one = rig()
    action, told = RIGHTS[about]
    for status, code in (
        (403, "Forbidden.RAM"),
        (404, "InvalidInstanceId.NotFound"),
        (503, "ServiceUnavailable"),
    ):
        one.cloud.fail(action, status, code)
    seen = found(one, about, None)
    assert (seen.holds, f"{action}: Forbidden.RAM" in seen.text) == (False, True)
    assert seen.fix.startswith("let the RAM policy of the user allow it")
    assert [found(one, about, None).holds for _ in range(2)] == [True, None]
    assert NOBODY in told.values()
    assert told.get("DryRun") == ("true" if about != "tag" else None), "ECS has none for tags"


def test_a_secret_that_is_wrong() -> None:
    """The signature says so, and the secret is in no word of it."""
    one = rig()
    one.account.secret = "another"
    seen = found(one, "credentials")
    assert (seen.holds, "credentials" in seen.fix) == (False, True)
    assert one.credentials.secret not in f"{seen}"


def soldout(params: AliyunParams) -> AliyunParams:
    """A zone without stock."""
    return attrs.evolve(params, zone="cn-hangzhou-i")


def elsewhere(params: AliyunParams) -> AliyunParams:
    """A zone where it is not offered."""
    return attrs.evolve(params, zone="cn-hangzhou-k")


def unknown(params: AliyunParams) -> AliyunParams:
    """An image of another region."""
    return attrs.evolve(params, image="m-2")


@pytest.mark.parametrize(
    ("about", "change", "text"),
    [
        ("zone", soldout, "sold out"),
        ("zone", elsewhere, "not offered"),
        ("image", unknown, "not shown in this region"),
    ],
)
def test_an_image_or_zone_that_does_not_do(
    about: str, change: Callable[[AliyunParams], AliyunParams], text: str
) -> None:
    """With what to name instead."""
    seen = found(rig(), about, change(PARAMS))
    assert (seen.holds, text in seen.text, seen.fix.startswith("name an")) == (False, True, True)


def test_a_spent_quota() -> None:
    """Of the kind that is asked for; where ECS does not tell it, nobody knows."""
    one = rig()
    one.cloud.quotas["used-postpaid-instance-vcpu-count"] = 100
    seen = found(one, "quota")
    assert (seen.holds, seen.text) == (False, "100 of 100 vCPUs of postpaid instances are used")
    assert "Quota Center" in seen.fix
    assert found(one, "quota", attrs.evolve(PARAMS, spot=Spot.AS_PRICE_GO)).holds is None
    one.cloud.fail("DescribeAccountAttributes", 403, "Forbidden.RAM")
    denied = found(one, "quota")
    assert (denied.holds, denied.fix.startswith("only this check needs it")) == (None, True)


def test_without_parameters_what_needs_them_cannot_be_told() -> None:
    """And nothing is sent."""
    one = rig()
    assert one.provider.check("image", None).holds is None
    assert one.account.heard == []
    bad = attrs.evolve(PARAMS, tags={f"t{n}": "x" for n in range(30)})
    assert (one.provider.check("create", bad).holds, one.account.heard) == (False, [])
