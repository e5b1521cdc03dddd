"""The import contract holds, and fails when it is broken; `import kubenode` loads no SDK."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "kubenode"
SIDES = frozenset({"providers", "components", "remedies", "inspections"})
IMPURE = frozenset({
    "time", "random", "os", "io", "logging", "threading", "socket", "asyncio", "subprocess", "pathlib", "secrets", "uuid",
    "kubernetes", "boto3", "aliyunsdkcore", "aiohttp", "orjson", "yaml",
})  # fmt: skip


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the package, so that the copy and not the installed one is judged."""
    lint = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    return subprocess.run(
        [lint, "--config", "pyproject.toml", "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contract."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contract_holds(copy: Path) -> None:
    """Imports run downwards, siblings never meet, core is pure, an SDK has one home."""
    result = _lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("core/policy.py", "import time"),
        ("core/policy.py", "import kubenode.runtime.clock"),
        ("remedies/reboot.py", "import kubenode.components.package"),
        ("components/package.py", "import kubenode.runtime.clock"),
        ("inspections/prometheus.py", "import kubenode.remedies.reboot"),
        ("core/rollout/batch.py", "import kubenode.core.remedy.ladder"),
        ("runtime/plugins.py", "import kubernetes"),
        ("runtime/engine/loop.py", "import asyncio"),
        ("runtime/controller/risk.py", "import kubenode.runtime.sim.run"),
    ],
)
def test_the_contract_fails_when_broken(copy: Path, where: str, line: str) -> None:
    """Each kind of forbidden import is found."""
    path = copy / "src" / "kubenode" / where
    path.write_text(f"{path.read_text()}\n{line}\n")
    result = _lint(copy)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout


def test_another_package_fails(copy: Path) -> None:
    """The packages of the contract are all there are."""
    other = copy / "src" / "kubenode" / "helpers"
    other.mkdir()
    (other / "__init__.py").write_text("")
    assert _lint(copy).returncode == 1


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append(node.module or "")
    return found


def test_the_same_without_a_tool() -> None:
    """Core imports nothing impure, and nothing below runtime imports runtime; read from the syntax tree alone."""
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        room = path.relative_to(SOURCE).parts[0]
        for name in _imports(path):
            parts = name.split(".")
            inner = parts[1] if parts[0] == "kubenode" and len(parts) > 1 else ""
            if room == "core" and (parts[0] in IMPURE or inner in SIDES | {"runtime"}):
                wrong.append(f"{path}: {name}")
            if room in SIDES and (inner == "runtime" or inner in SIDES - {room}):
                wrong.append(f"{path}: {name}")
    assert wrong == []


def test_import_kubenode_loads_no_sdk() -> None:
    """Importing the package loads none of the SDKs, nor what only the command line needs."""
    code = "import sys, kubenode, kubenode.runtime.plugins; print(sorted(sys.modules.keys() & {'kubernetes', 'boto3', 'aliyunsdkcore', 'aiohttp', 'typer', 'rich', 'hypothesis'}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
