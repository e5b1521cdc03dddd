"""docs/write-a/provider.md, tried as a new user would: its files become a distribution, which is installed where nothing is, and the kit is green."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "write-a" / "provider.md"


def ran(*command: str | Path, cwd: Path) -> str:
    """Run a command with nothing of this process's Python; give what it says."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL", "COV_"))
    }
    environment = {**ours, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new environment, in which kubenode and the page's distribution are installed from wheels.

    What they need from elsewhere is lent by the environment that runs the tests, so that nothing is downloaded.
    """
    for needed in ("hatchling", "pip"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed}, which makes the distributions, is not installed")
    home = tmp_path_factory.mktemp("user")
    source = home / "kubenode-rack"
    source.mkdir()
    text = PAGE.read_text()
    for name, code in re.findall(r"^`(\w+\.py)`\n\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (source / name).write_text(code)
    (project,) = re.findall(r"^`pyproject.toml`.*?```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (source / "pyproject.toml").write_text(project)
    pip = (sys.executable, "-m", "pip")
    ran(
        *pip,
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        home / "wheels",
        source,
        ROOT,
        cwd=home,
    )
    venv.create(home / "new", with_pip=False)
    python = home / "new" / "bin" / "python"
    install = ("install", "-q", "--no-deps", "--no-index", "--no-compile")
    ran(*pip, "--python", python, *install, *(home / "wheels").glob("*.whl"), cwd=home)
    (site,) = (home / "new" / "lib").glob("python*/site-packages")
    # Behind their own: and a path that is lent brings none of the .pth files in it, as that of an editable install.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def test_the_kit_is_green(user: Path) -> None:
    """Every law, of the provider that is installed; the test and the fake stand elsewhere, as in a repository with src/."""
    tests = user / "tests"
    tests.mkdir()
    for name in ("test_rack.py", "rackd.py"):
        (user / "kubenode-rack" / name).rename(tests / name)
    where = "import kubenode, kubenode_rack; print(kubenode.__file__); print(kubenode_rack.__file__)"
    python = user / "new" / "bin" / "python"
    for file in ran(python, "-c", where, cwd=tests).splitlines():
        assert Path(file).is_relative_to(user / "new")
    said = ran(
        python,
        "-m",
        "pytest",
        "-v",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        tests,
        tests,
        cwd=tests,
    )
    passed = re.findall(r"test_rack\[(.*?)\] PASSED", said)
    applied = [law for law in passed if "not applicable" not in law]
    assert len(applied) == 17
    assert "failed" not in said


def test_kubenode_finds_it(user: Path) -> None:
    """By its entry point, beside its own, with its distribution and version."""
    said = json.loads(ran(user / "new" / "bin" / "kubenode", "provider", "list", "-o", "json", cwd=user))
    found = {one["name"]: one["plugin"] for one in said["providers"]}
    assert found["rack"] == "rack (kubenode-rack 0.3.0)"
    assert said["problems"] == []
