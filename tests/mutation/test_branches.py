"""What is left out when the branches of core are measured: the end of an exhaustive match, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = """\
from typing import assert_never, overload


@overload
def shown(value: int) -> str: ...
@overload
def shown(value: str) -> str: ...
def shown(value):
    match value:
        case int():
            return "number"
        case str():
            return "text"
        case _:
            assert_never(value)


def hidden(value):
    if value:  # pragma: no branch
        value += 1
    return value


def unseen():  # pragma: no cover
    return 1


shown(1)
shown("a")
hidden(1)
"""


@pytest.mark.parametrize("planted", [(), ("hidden",), ("unseen",)])
def test_no_pragma_hides_a_branch(planted: tuple[str, ...], tmp_path: Path) -> None:
    """Each plant is found; what no caller can reach, and the words of an overload, are no branches."""
    source = SOURCE
    for name in {"hidden", "unseen"}.difference(planted):
        begin = source.index(f"def {name}")
        source = source[:begin] + source[source.index("\n\n\n", begin) + 3 :]
        source = source.replace(f"{name}(1)\n", "")
    (tmp_path / "planted.py").write_text(source)
    coverage = [sys.executable, "-m", "coverage"]
    config = ["--rcfile", ROOT / "pyproject.toml", "--data-file", tmp_path / "data"]
    subprocess.run([*coverage, "run", *config, "--source", tmp_path, "planted.py"], cwd=tmp_path, check=True)
    report = subprocess.run(
        [*coverage, "report", *config, "--fail-under", "100"], cwd=tmp_path, check=False, capture_output=True, text=True
    )  # fmt: skip
    assert (report.returncode == 0) is (not planted), report.stdout
