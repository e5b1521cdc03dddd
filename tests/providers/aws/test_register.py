"""How the provider is found, what may be written for it, and what is sent to whom."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode import Plugins
from kubenode.core.errors import InvalidObjectError
from kubenode.providers import (
    Power,
    SupportsConsoleLog,
    SupportsEvents,
    SupportsFallback,
    SupportsPower,
    SupportsProviderId,
    SupportsReimage,
    SupportsTags,
    conformance,
)
from kubenode.providers.aws import AwsParams, AwsProvider, Disk, LaunchTemplate, Placement, Spot
from kubenode.runtime.parameters import structured
from tests.providers.aws.fake import FakeEc2, Refuse
from tests.providers.aws.loopback import in_process
from tests.providers.aws.test_driver import request

PAGE = Path(__file__).parents[3] / "docs/reference/aws.md"


def test_it_is_found_by_its_entry_point_with_its_settings() -> None:
    """Nothing is sent or imported when it is registered; its capabilities are its methods."""
    found = Plugins.discover({"aws": {"region": "eu-west-1"}})
    aws = found.providers["aws"]
    assert found.origins["providers/aws"] == f"kubenode-aws (kubenode {version('kubenode')})"
    assert isinstance(aws, AwsProvider)
    assert repr(aws) == "AwsProvider(Ec2(region='eu-west-1'), name='aws')"
    for kind in (
        SupportsPower,
        SupportsEvents,
        SupportsTags,
        SupportsConsoleLog,
        SupportsProviderId,
        SupportsFallback,
        SupportsReimage,
    ):
        assert isinstance(aws, kind)


def test_without_the_extra_it_is_not_there() -> None:
    """No boto3, no provider, no problem; who calls it all the same is told what to install."""
    code = """
import sys
sys.modules["boto3"] = None
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "boto3" else real(name, package)
from kubenode.runtime.plugins import Plugins
found = Plugins.discover()
print(sorted(found.providers), found.problems)
from kubenode.providers.aws import AwsProvider, AwsSettings
try:
    AwsProvider(AwsSettings()).get("i-01234567")
except Exception as error:
    print(type(error).__name__, error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert lines[0] == "['aliyun', 'clusterapi', 'memory'] ()"
    assert lines[1] == "Invalid AWS needs the package boto3: pip install 'kubenode[aws]'"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"endpoint_url": "http://ec2.eu-west-1.amazonaws.com"}, "write https://...: what is sent holds keys"),
        ({"endpoint_url": "ec2.eu-west-1.amazonaws.com"}, "write https://"),
        ({"calls_per_second": 0}, "calls_per_second is 0.0; write more than 0"),
        ({"burst": -1}, "burst is -1; write more than 0"),
        ({"regoin": "x"}, "regoin"),
    ],
)  # fmt: skip
def test_wrong_settings_are_a_problem_of_this_plugin(section: dict[str, Any], words: str) -> None:
    """It costs itself only."""
    found = Plugins.discover({"aws": section})
    assert "aws" not in found.providers
    (problem,) = [one for one in found.problems if "kubenode-aws" in one.where]
    assert words in problem.what


def test_parameters_are_read_from_an_object() -> None:
    """As they stand in a Machine, nested ones too."""
    raw = {
        "instance_type": "m7i.large", "launch_template": {"id": "lt-1", "version": "3"}, "subnet": "subnet-1",
        "fallback": [{"zone": "eu-west-1c"}], "disks": [{"device": "/dev/xvda", "size_gib": 50}], "spot": {},
        "security_groups": ["sg-1"], "tags": {"team": "a"},
    }  # fmt: skip
    assert structured(raw, AwsParams, "spec") == AwsParams(
        instance_type="m7i.large", launch_template=LaunchTemplate(id="lt-1", version="3"), subnet="subnet-1",
        fallback=(Placement(zone="eu-west-1c"),), disks=(Disk(device="/dev/xvda", size_gib=50),), spot=Spot(),
        security_groups=("sg-1",), tags={"team": "a"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"image": "ami-1"}, "instance_type is missing; write it, or a launch_template that has it"),
        ({"instance_type": "m7i.large"}, "image is missing"),
        ({"launch_template": {"id": "lt-1", "version": "$Latest"}}, "write a number: a machine is repeated as it was begun"),
        ({"instance_type": "m7i.large", "image": "ami-1", "user_data": "x"}, "user_data"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_told_before_a_call(raw: dict[str, Any], words: str) -> None:
    """With what to write."""
    with pytest.raises(InvalidObjectError) as caught:
        structured(raw, AwsParams, "spec")
    assert words in str(caught.value)


def test_the_policy_of_the_page_is_exactly_what_is_called() -> None:
    """Each EC2 action in it is called by a method, and each call is in it; the rest is what RunInstances passes on."""
    fake = FakeEc2()
    provider = in_process(conformance.Wire(), fake, quotas=True)
    made = provider.create(request()).id
    provider.get(made)
    provider.find({}, None)
    provider.events(None)
    provider.set_tags(made, {"a": "b"})
    provider.reimage(made, "ami-2", "r")
    provider.console_log(made)
    for action in Power:
        provider.power(made, action, action.value)
    provider.delete(made)
    params = AwsParams(instance_type="m7i.large", image="ami-1", zone="eu-west-1a")
    looked_up = ("DescribeImages", "DescribeInstanceTypeOfferings", "DescribeSubnets")
    fake.refusals = {name: [Refuse("UnauthorizedOperation", 403)] for name in looked_up}
    for about in provider.checks(params):
        provider.check(about, params)
    provider.check("zone", attrs.evolve(params, subnet="subnet-1"))
    (policy,) = re.findall("```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    actions = {action for statement in json.loads(policy)["Statement"] for action in statement["Action"]}
    others = {"GetServiceQuota": "servicequotas:GetServiceQuota"}
    assert actions == {others.get(call, f"ec2:{call}") for call in fake.calls} | {"iam:PassRole"}
