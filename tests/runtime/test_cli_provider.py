"""`kubenode provider`: who makes machines here, and what would be in the way; through the real SDKs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kubenode.core.capability import Finding
from kubenode.providers.memory import MemoryProvider
from kubenode.runtime.cli.app import app
from kubenode.runtime.plugins import Plugins
from tests.providers.aws.loopback import keys
from tests.providers.regions import EC2, ECS, SECRET, Ec2Region, EcsRegion, ec2, ecs

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
RUNNER = CliRunner()
ACCOUNT = ("credentials", "look", "delete", "tag", "reboot", "stop", "start")
SET = """\
apiVersion: kubenode.dev/v1alpha1
kind: MachineSet
metadata: {name: pool}
spec:
  replicas: 4
  selector: {matchLabels: {pool: a}}
  failureDomains: [ZONES]
  template:
    labels: {pool: a}
    spec:
      infrastructure:
        provider: aliyun
        parameters: {vswitch: vsw-1, instance_type: ecs.g7.xlarge, image: m-1, security_groups: [sg-1]}
"""


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EcsRegion]:
    """ECS, with its settings and its credentials where the command looks for them."""
    keys(tmp_path, monkeypatch)
    with ecs(tmp_path) as one:
        table = (
            f'[aliyun]\nregion = "{ECS}"\nendpoint = "{one.endpoint}"\nca_file = "{tmp_path / "ca.crt"}"\n'
        )
        (tmp_path / "kubenode.toml").write_text(table)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIregion")
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        yield one


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2Region]:
    """EC2 and Service Quotas, likewise."""
    keys(tmp_path, monkeypatch)
    with ec2() as one:
        table = f'[aws]\nregion = "{EC2}"\nendpoint_url = "{one.endpoint}"\nquotas_endpoint_url = "{one.endpoint}"\n'
        (tmp_path / "kubenode.toml").write_text(table)
        yield one


def check(folder: Path, *more: str, code: int = 0, name: str = "aliyun") -> Any:
    """Check a cloud; give what is said to programs."""
    settings = ("--settings", str(folder / "kubenode.toml"))
    done = RUNNER.invoke(app, ["provider", "check", name, *settings, "-o", "json", *more])
    assert done.exit_code == code, (done.stdout, done.stderr)
    return json.loads(done.stdout or done.stderr)


def manifest(folder: Path, zones: str) -> str:
    """Write a set over some zones."""
    path = folder / "set.yaml"
    path.write_text(SET.replace("ZONES", zones))
    return str(path)


def test_they_are_listed_with_what_they_can() -> None:
    """Each with its plugin."""
    done = RUNNER.invoke(app, ["provider", "list", "-o", "json"])
    found = {one["name"]: one for one in json.loads(done.stdout)["providers"]}
    assert (done.exit_code, set(found)) == (0, {"aliyun", "aws", "clusterapi", "memory"})
    assert {"power", "events", "checks", "fallback"} <= set(found["aws"]["can"])
    assert found["clusterapi"]["can"] == ["checks", "guard"]
    assert "events" not in found["memory"]["can"]
    table = RUNNER.invoke(app, ["provider", "list"]).stdout.splitlines()
    assert (table[0].split(), len(table)) == (["NAME", "PLUGIN", "CAN"], 5)


def test_an_account_is_checked_and_what_machines_need(region: EcsRegion, tmp_path: Path) -> None:
    """What is the account's once, the rest for each zone of the set; nothing is made."""
    said = check(tmp_path)
    assert [(one["about"], one["holds"]) for one in said["checks"]] == [
        (about, True) for about in (*ACCOUNT, "quota")
    ]
    said = check(tmp_path, "-f", manifest(tmp_path, "cn-hangzhou-h, cn-hangzhou-i"), code=1)
    seen = [(one["about"], one["for"], one["holds"]) for one in said["checks"]]
    of_set = [("create", True), ("image", True), ("zone", True), ("quota", True)]
    assert seen == [
        *((about, "", True) for about in ACCOUNT), *((about, "MachineSet pool", holds) for about, holds in of_set),
        *((about, "MachineSet pool", holds and about != "zone") for about, holds in of_set),
    ]  # fmt: skip
    assert region.made() == 0
    settings = ["--settings", str(tmp_path / "kubenode.toml"), "-f", str(tmp_path / "set.yaml")]
    table = RUNNER.invoke(app, ["provider", "check", "aliyun", *settings])
    assert "zone         no   MachineSet pool  ecs.g7.xlarge is sold out in cn-hangzhou-i" in table.stdout
    assert "fix zone: name another zone or type, or list them under `fallback`" in table.stdout


def test_what_is_wrong_is_1_and_what_cannot_be_told_is_3(region: EcsRegion, tmp_path: Path) -> None:
    """Wrong before unknown."""
    region.hands.refuses["DescribeAccountAttributes"] = (403, "Forbidden.RAM")
    assert check(tmp_path, code=3)["checks"][-1]["holds"] is None
    region.hands.refuses["DescribeInstances"] = region.codes["credentials"]
    first = check(tmp_path, code=1)["checks"][0]
    assert (first["holds"], "credentials" in first["fix"]) == (False, True)
    assert SECRET not in json.dumps(first)


def test_ec2_is_checked_alike(aws: Ec2Region, tmp_path: Path) -> None:
    """Rights, image, zone and quota of each placement; what is wrong has its fix, and what cannot be told is no fault."""
    path = tmp_path / "set.yaml"
    parameters = "{instance_type: m7i.2xlarge, image: ami-0123456789abcdef0}"
    text = SET.replace("ZONES", "eu-west-1a").replace("provider: aliyun", "provider: aws")
    path.write_text(re.sub(r"parameters: .*", f"parameters: {parameters}", text))
    said = check(tmp_path, "-f", str(path), name="aws")
    seen = [(one["about"], one["for"], one["holds"]) for one in said["checks"]]
    of_set = ("create", "image", "zone", "quota")
    assert seen == [
        *((about, "", True) for about in ACCOUNT),
        *((about, "MachineSet pool", True) for about in of_set),
    ]
    aws.fake.quotas["L-1216C47A"] = 5
    aws.hands.refuses |= {"TerminateInstances": aws.codes["rights"], "DescribeImages": aws.codes["rights"]}
    said = {one["about"]: one for one in check(tmp_path, "-f", str(path), name="aws", code=1)["checks"]}
    assert {about for about, one in said.items() if one["holds"] is False} == {"delete", "quota"}
    assert "IAM policy" in said["delete"]["fix"]
    assert "L-1216C47A under Service Quotas" in said["quota"]["fix"]
    assert said["image"]["holds"] is None
    assert aws.made() == 0


def test_bad_questions_have_their_fix(
    region: EcsRegion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such provider, no machine of it, parameters that cannot be read, a provider without checks, a plugin that fails."""
    done = RUNNER.invoke(app, ["provider", "check", "alyun"])
    assert (done.exit_code, "did you mean 'aliyun'?" in done.stderr) == (1, True)
    said = check(tmp_path, "-f", str(EXAMPLES / "machineset.yaml"), code=1)
    assert said["error"]["fix"] == "spec.infrastructure.provider: aliyun"
    (tmp_path / "bad.yaml").write_text(SET.replace("ZONES", "").replace("vswitch", "vswich"))
    said = check(tmp_path, "-f", str(tmp_path / "bad.yaml"), code=1)
    assert "vswich" in said["error"]["message"]
    done = RUNNER.invoke(app, ["provider", "check", "memory"])
    assert (done.exit_code, "has no checks" in done.stderr) == (3, True)

    class Faulty(MemoryProvider):
        def checks(self, params: Any) -> tuple[str, ...]:
            return ("credentials",)

        def check(self, about: str, params: Any) -> Finding:
            raise ZeroDivisionError

    plugins = Plugins.given(providers=[Faulty()])
    monkeypatch.setattr(Plugins, "discover", lambda settings=None: plugins)
    done = RUNNER.invoke(app, ["provider", "check", "memory", "-o", "json"])
    assert (done.exit_code, json.loads(done.stdout)["checks"][0]["text"]) == (
        3,
        "the plugin raised ZeroDivisionError",
    )
    assert region.heard() == []
