"""Distributions of others, installed by pip: the good are found, the broken are named, the rest works."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NAMES = ("kubenode_rack", "kubenode_chrony", "kubenode_gpu", "kubenode_incidents", "kubenode_broken")
FOUND = """
import datetime, json, sys
from kubenode.runtime.plugins import Plugins
settings = {"rack": {"address": "rackd:80"}, "incidents": {"address": "desk:80"}}
found = Plugins.discover(settings, limit=datetime.timedelta(seconds=float(sys.argv[1])))
kinds = {kind: sorted(getattr(found, kind)) for kind in ("providers", "components", "remedies", "inspections")}
print(json.dumps({**kinds, "origins": dict(found.origins), "problems": [str(one) for one in found.problems]}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process finds that has all four distributions."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the distributions, is not installed")
    folder = tmp_path_factory.mktemp("site")
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-compile"]
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(
        [sys.executable, "-m", "pip", *install, "--target", folder, *(HERE / name for name in NAMES)],
        env={**os.environ, **quiet}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", FOUND, "2"],
        env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_the_good_are_found_by_name_and_origin(found: dict[str, Any]) -> None:
    """Beside ours, and whatever the broken one does."""
    assert found["providers"] == ["aliyun", "aws", "clusterapi", "memory", "rack"]
    assert found["components"] == [
        "artifact",
        "chrony",
        "containerd",
        "file",
        "kernel",
        "kubelet",
        "kubenode-agent",
        "package",
        "unit",
    ]
    assert found["remedies"] == [
        "confirm-event", "drain-and-reinstall-component", "gpu-reset", "reboot", "reboot-instance", "reinstall-component", "replace",
        "restart-unit", "spare",
    ]  # fmt: skip
    assert found["inspections"] == ["incidents", "prometheus"]
    where = ("providers/rack", "components/chrony", "remedies/gpu-reset", "inspections/incidents")
    origins = {one: found["origins"][one] for one in where}
    assert origins == {
        "providers/rack": "rack (kubenode-rack 0.3.0)",
        "components/chrony": "chrony (kubenode-chrony 0.2.0)",
        "remedies/gpu-reset": "gpu (kubenode-gpu 0.1.1)",
        "inspections/incidents": "incidents (kubenode-incidents 0.4.0)",
    }


@pytest.mark.parametrize(
    "text",
    [
        "async (kubenode-broken 0.0.7), register_providers()[0]: AsyncCloud.get is async\n    fix: write a plain def",
        "remedies/twice: registered by clash-one (kubenode-broken 0.0.7) and by clash-two (kubenode-broken 0.0.7)\n    fix: neither is used; uninstall one",
        "exits (kubenode-broken 0.0.7): import raised SystemExit: no licence",
        "hangs (kubenode-broken 0.0.7): register_components() gave no answer within 2 s, and is given up\n    fix: connect in the driver's methods, not at start",
        "misspelt (kubenode-broken 0.0.7): unknown hook 'register_provider'\n    fix: did you mean 'register_providers'?",
        "raises (kubenode-broken 0.0.7): register_providers() raised RuntimeError: no cloud today",
        "unimportable (kubenode-broken 0.0.7): import raised ModuleNotFoundError: No module named 'kubenode_no_such_sdk'",
    ],
    ids=lambda text: text.split()[0],
)  # fmt: skip
def test_the_broken_is_blamed_by_distribution_and_version(found: dict[str, Any], text: str) -> None:
    """Each fault is told once, with what to do."""
    assert found["problems"].count(text) == 1
    assert len(found["problems"]) == 7
