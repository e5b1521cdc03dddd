"""Objects that people wrote meet the plugins installed here, before anything is applied."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from kubenode.runtime.cli.app import app
from kubenode.runtime.fitting import misfits, strangers
from kubenode.runtime.manifests import review
from kubenode.runtime.plugins import Plugins

PLUGINS = Plugins.discover()
COMPONENT = 'kind: MachineComponent\nspec: {version: "1", driver: %s, parameters: %s}'
REMEDIER = "kind: NodeRemedier\nspec: {condition: {type: Ready}, ladder: [{action: reboot}, {action: %s, parameters: %s}]}"
SET = """\
kind: MachineComponentSet
spec: {name: a, component: a-1, rollout: {inspection: {hooks: [{name: h, inspector: %s, parameters: %s}]}}}"""
MACHINE = "kind: Machine\nspec: {infrastructure: {provider: %s, parameters: %s}}"
MACHINES = """\
kind: MachineSet
spec: {replicas: 1, selector: {matchLabels: {a: b}}, %stemplate: {labels: {a: b}, spec: {infrastructure: {provider: %s, parameters: %s}}}}"""
HOOK = "spec.rollout.inspection.hooks[0]"


def written(tmp_path: Path, *texts: str) -> Path:
    """Write objects, all of one name."""
    path = tmp_path / "objects.yaml"
    head = "apiVersion: kubenode.dev/v1alpha1\nmetadata: {name: a-1}\n"
    path.write_text("---\n".join(f"{head}{text}\n" for text in texts))
    return path


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (COMPONENT % ("file", "{path: 5, content: [1], unit: {}}"), ["spec.parameters.path", "spec.parameters.content", "spec.parameters.unit"]),
        (COMPONENT % ("file", '{path: etc, content: ""}'), ["spec.parameters"]),
        (COMPONENT % ("package", "{}"), ["spec.parameters.package"]),
        (REMEDIER % ("restart-unit", "{unit: 3}"), ["spec.ladder[1].parameters.unit"]),
        (REMEDIER % ("reboot", "{x: 1}"), ["spec.ladder[1].parameters"]),
        (SET % ("prometheus", '{url: "http://p:9090", query: up, max: "x"}'), [f"{HOOK}.parameters.max"]),
        (MACHINE % ("memory", "{zone: 7}"), ["spec.infrastructure.parameters.zone"]),
        (MACHINES % ("", "memory", "{size: 7}"), ["spec.template.spec.infrastructure.parameters"]),
        # The zone is the set's to say where it has failure domains.
        (MACHINES % ("failureDomains: [a], ", "memory", "{zone: 7}"), []),
        (MACHINES % ("", "memory", "{zone: 7}"), ["spec.template.spec.infrastructure.parameters.zone"]),
        (COMPONENT % ("file", '{path: "/etc/a", content: x}'), []),
        # What a machine fills in is judged where it is filled in.
        (COMPONENT % ("file", '{path: "${zone}", content: x}'), []),
        (COMPONENT % ("nowhere", "{path: 5}"), []),
        ("kind: RiskPolicy\nspec: {limits: [{scope: zone, max: 1}]}", []),
    ],
)  # fmt: skip
def test_parameters_of_the_wrong_type_are_named_by_path(tmp_path: Path, text: str, wrong: list[str]) -> None:
    """All of them, of every kind of driver; and `validate` says no, with a line and what to do."""
    path = written(tmp_path, text)
    (obj,) = review([path]).objects
    found = list(misfits(obj, PLUGINS))
    assert sorted(problem.where for problem in found) == sorted(wrong)
    assert all(problem.what and problem.fix for problem in found)
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == (1 if wrong else 0)
    assert all(f"objects.yaml:4: {where}: " in result.stderr for where in wrong)


def test_what_no_plugin_here_brings_is_a_warning(tmp_path: Path) -> None:
    """It may be installed where the object is going; a word that is near is told."""
    texts = (COMPONENT % ("fiel", "{}"), REMEDIER % ("rebot", "{}"), SET % ("prom", "{}"), MACHINE % ("cloud", "{}"), MACHINES % ("", "cloud", "{}"))  # fmt: skip
    path = written(tmp_path, *texts)
    found = review([path], PLUGINS)
    assert [problem.where for obj in found.objects for problem in strangers(obj, PLUGINS)] == [
        "spec.driver", "spec.ladder[1].action", f"{HOOK}.inspector", "spec.infrastructure.provider",
        "spec.template.spec.infrastructure.provider",
    ]  # fmt: skip
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 0
    said = "warning: {}:4: spec.driver: no plugin that is installed here brings the component driver 'fiel'"
    assert said.format(path) in result.stderr
    assert "did you mean 'file'?" in result.stderr


def test_every_fault_of_every_document_is_told_at_once(tmp_path: Path) -> None:
    """What core refuses of one object does not hide what a plugin refuses of another."""
    path = written(
        tmp_path, COMPONENT % ("file", "{path: 5, content: x}"), 'kind: Machine\nspec: {labels: {a: "b c"}}'
    )
    assert {problem.where for problem in review([path], PLUGINS).problems} >= {
        "spec.parameters.path",
        "spec.labels.a",
    }
