"""What docs/reference/aliyun.md says is so: the policy has exactly the actions that are called, the examples are read."""

import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from kubenode.providers import Power
from kubenode.providers.aliyun import AliyunParams, AliyunSettings
from kubenode.providers.aliyun.driver import AliyunProvider
from kubenode.providers.conformance.further import methods_of
from kubenode.runtime.parameters import structured
from tests.providers.aliyun.rig import Rig, request, rig

PAGE = (Path(__file__).parents[3] / "docs/reference/aliyun.md").read_text()
MADE = "cn-hangzhou.i-bp00000000"


def block(language: str) -> str:
    """Give the one block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def stopped(one: Rig) -> None:
    """Replace the system disk, for which it has to be off."""
    one.provider.power(MADE, Power.OFF, "off-2")
    one.provider.reimage(MADE, "m-1", "i")


def test_the_policy_has_exactly_the_actions_that_are_called() -> None:
    """Every method is called once; nothing that is allowed is not used."""
    one = rig()
    one.cloud.maintain("i-bp00000000", "e-1", status="Inquiring")
    cloud = one.provider
    acts = {
        "create": lambda: cloud.create(request()), "get": lambda: cloud.get(MADE), "find": lambda: cloud.find({}, None),
        "confirm_event": lambda: cloud.confirm_event("e-1"),
        "power": lambda: [cloud.power(MADE, action, action.value) for action in Power],
        "redeploy": lambda: cloud.redeploy(MADE, "r"), "reimage": lambda: stopped(one), "set_tags": lambda: cloud.set_tags(MADE, {"a": "b"}),
        "console_log": lambda: cloud.console_log(MADE), "events": lambda: cloud.events(None),
        "ended_events": lambda: cloud.ended_events(("e-1",)),
        "run_command": lambda: cloud.run_command(MADE, b"true", "c", timedelta(seconds=60)),
        "command": lambda: cloud.command(MADE, "t-hz0000"), "instance_of": lambda: cloud.instance_of(MADE),
        "choices": lambda: cloud.choices(request().params), "checks": lambda: cloud.checks(None),
        "check": lambda: cloud.check("look", None), "delete": lambda: cloud.delete(MADE),
    }  # fmt: skip
    assert set(acts) == {"create", "get", "find", "delete", *methods_of(cloud)}
    public = {name for name in vars(AliyunProvider) if not name.startswith("_")} - {"name", "params"}
    assert set(acts) == public
    for act in acts.values():
        act()
    called = set(one.cloud.calls)
    for about in cloud.checks(request().params):
        cloud.check(about, request().params)
    needed, checked = (statement["Action"] for statement in json.loads(block("json"))["Statement"])
    assert len([*needed, *checked]) == len({*needed, *checked})
    assert set(needed) == {f"ecs:{action}" for action in called}
    assert set(checked) == {f"ecs:{action}" for action in one.cloud.calls if action not in called}


def test_the_examples_are_read() -> None:
    """The settings with every line uncommented, and the parameters as they stand."""
    uncommented = re.sub(r"^# ", "", block("toml"), flags=re.MULTILINE)
    settings = structured(tomllib.loads(uncommented)["aliyun"], AliyunSettings, "settings.aliyun")
    written = {name for name in vars(AliyunSettings)["__annotations__"] if f"{name} =" in uncommented}
    assert written == {field.name for field in AliyunSettings.__attrs_attrs__}
    plain = AliyunSettings(region="cn-hangzhou")
    assert (settings.read_seconds, settings.burst) == (plain.read_seconds, plain.burst)
    read = structured(yaml.safe_load(block("yaml")), AliyunParams, "spec.infrastructure.parameters")
    assert len(rig().provider.choices(read)) == 3


@pytest.mark.parametrize("field", [field.name for field in AliyunParams.__attrs_attrs__])
def test_every_parameter_is_explained(field: str) -> None:
    """In the table of the page."""
    assert f"`{field}`" in PAGE
