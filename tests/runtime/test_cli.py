"""The command line: words, exit codes, one document or nothing on stdout, errors with their fix."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from kubenode.core.model import KINDS
from kubenode.runtime.cli.app import app

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
RUNNER = CliRunner()

TEN = """\
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata:
  name: Bad_Name
spec:
  name: kubelet
  component: kubelet-1.31
  sate: Running
  selector:
    matchLabels: [a]
  rollout:
    batches: [1, 0%]
    maxUnavailable: -1
    observation: 5 minutes
---
apiVersion: kubenode.dev/v1alpha1
kind: NodeRemedier
metadata: {name: hung}
spec:
  condition: {type: KernelDeadlock, status: Maybe}
  ladder: []
---
apiVersion: kubenode.dev/v2
kind: Machine
metadata: {name: m1}
spec: {host: {address: 10.0.0.1}}
---
apiVersion: kubenode.dev/v1alpha1
kind: Machine
metadata: {name: m2}
spec:
  host: {address: 10.0.0.1}
  infrastructure: {provider: aws}
"""


def test_a_manifest_with_ten_mistakes_lists_ten(tmp_path: Path) -> None:
    """Every mistake is told at once, with file, line and path."""
    path = tmp_path / "ten.yaml"
    path.write_text(TEN)
    result = RUNNER.invoke(app, ["validate", str(path), "-o", "json"])
    assert result.exit_code == 1
    assert result.stdout == ""
    problems = json.loads(result.stderr)["error"]["problems"]
    assert {problem["file"] for problem in problems} == {str(path)}
    told = sorted((problem["line"], problem["where"]) for problem in problems)
    assert told == [
        (4, "metadata.name"),
        (8, "spec.sate"),
        (10, "spec.selector.matchLabels"),
        (12, "spec.rollout.batches[1]"),
        (13, "spec.rollout.maxUnavailable"),
        (14, "spec.rollout.observation"),
        (20, "spec.condition.status"),
        (21, "spec.ladder"),
        (23, "apiVersion"),
        (31, "spec"),
    ]


def test_warnings_are_told_beside_problems(tmp_path: Path) -> None:
    """A policy that never acts is named with what is wrong elsewhere, for people and for programs."""
    path = tmp_path / "both.yaml"
    head = "apiVersion: kubenode.dev/v1alpha1\nkind: RiskPolicy\nmetadata: {name: p}\nspec:\n  limits:\n  - {scope: zone, max: %s}\n"
    path.write_text("---\n".join((head % "0", head % "-1")))
    result = RUNNER.invoke(app, ["validate", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"warning: {path}:6: spec.limits[0]" in result.stderr
    assert f"\n{path}:13: spec.limits[0].max: " in result.stderr
    said = json.loads(RUNNER.invoke(app, ["validate", str(path), "-o", "json"]).stderr)["error"]
    assert [problem["line"] for problem in said["problems"]] == [13]
    (warning,) = said["warnings"]
    assert warning.startswith(f"{path}:6: spec.limits[0]")


def test_valid_files_say_so(tmp_path: Path) -> None:
    """The examples are valid; a set whose component is in no file is only a warning."""
    result = RUNNER.invoke(app, ["validate", *map(str, sorted(EXAMPLES.glob("*.yaml")))])
    assert (result.exit_code, result.stderr) == (0, "")
    lone = tmp_path / "set.yaml"
    lone.write_text(
        "apiVersion: kubenode.dev/v1alpha1\nkind: MachineComponentSet\nmetadata: {name: s}\nspec: {name: x, component: gone}\n"
    )
    result = RUNNER.invoke(app, ["validate", str(lone)])
    assert result.exit_code == 0
    assert "gone" in result.stderr


def test_manifests_print_every_crd_first_and_the_same_as_json() -> None:
    """What is printed is what is installed: one CRD a kind, then RBAC."""
    printed = list(yaml.safe_load_all(RUNNER.invoke(app, ["manifests"]).stdout))
    listed = json.loads(RUNNER.invoke(app, ["manifests", "-o", "json"]).stdout)["items"]
    assert printed == listed
    table = RUNNER.invoke(app, ["manifests", "-o", "table"]).stdout.splitlines()
    assert [line.split()[1] for line in table[1:]] == [one["metadata"]["name"] for one in listed]
    names = [one["spec"]["names"]["kind"] for one in printed[: len(KINDS)]]
    assert names == [kind.KIND.name for kind in KINDS]
    assert {one["kind"] for one in printed[len(KINDS) :]} >= {
        "ClusterRole",
        "ClusterRoleBinding",
        "ServiceAccount",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["demo", "--story", "imprt"], 2, "no story 'imprt'"),
        (["demo", "--file", "x.yaml"], 2, "your own file needs one story"),
        (["demo", "--report", "no/such/x.html"], 2, "there is no folder no/such; make it first"),
        (
            ["demo", "--story", "hung", "--record", "no/such/x"],
            2,
            "there is no folder no/such; make it first",
        ),
        (["demo", "--story", "hung", "--file", "no-such.yaml"], 1, "no-such.yaml"),
        (["validate", "no-such.yaml"], 1, "no-such.yaml"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], code: int, text: str) -> None:
    """Usage is 2, an answer of no is 1, and the text names what is wrong."""
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == code
    assert text in result.stderr


def test_plain_lines_when_not_a_terminal() -> None:
    """Piped, the demo prints plain lines without control characters, and its summary."""
    kubenode = Path(sys.executable).with_name("kubenode")
    result = subprocess.run([kubenode, "demo", "--story", "hung"], capture_output=True, text=True, check=True)
    assert "\x1b" not in result.stdout
    assert "hung     ok: n003 healed in" in result.stdout
    assert result.stdout.rstrip().endswith("checks passed")


def test_help_and_version_are_useful() -> None:
    """Every command says what it does."""
    text = RUNNER.invoke(app, ["--help"]).stdout
    for word in (
        "demo",
        "validate",
        "plan",
        "explain",
        "manifests",
        "controller",
        "plugins",
        "sim",
        "version",
    ):
        assert word in text
    assert RUNNER.invoke(app, ["version"]).stdout.strip()
    assert "restart-unit" in RUNNER.invoke(app, ["plugins"]).stdout
