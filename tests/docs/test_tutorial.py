"""The tutorial is played from top to bottom, in one shell: every command is run, every output compared.

`python -m tests.docs.test_tutorial` plays it and writes anew what the page shows: outputs, and the example's files.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.docs.console import CONSOLE, steps

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
FILES = ROOT / "docs" / "examples" / "tutorial"
SHOWN = re.compile(r"^`my/([\w/.]+)`\n\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "=== end of a command ==="
VARIES = re.compile(r"(?<=passed|failed) in \d+\.\d+s$|^/.*\.py:\d+: .*\n", re.MULTILINE)
"""What differs from run to run, or from machine to machine: how long it took, and where it was installed."""


def play(commands: list[str], folder: Path) -> list[str]:
    """Type commands into one shell, in a copy of what the repository installs, and give what each prints.

    pip finds what it needs where this Python does, so nothing is fetched.
    """
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("src", "docs/examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    script = "".join(f"{command}\nstatus=$?; echo '{MARK}'; (exit $status)\n" for command in commands)
    quiet = {
        "PYTHONPATH": sysconfig.get_path("purelib"), "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    # In CI pytest shortens nothing, but a reader's pytest does.
    ours = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    result = subprocess.run(
        ["bash"], input=script, cwd=folder, env={**ours, **quiet},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=540,
    )  # fmt: skip
    printed = result.stdout.split(f"{MARK}\n")
    assert printed.pop() == "", "the shell ended early"
    return printed


def stable(text: str) -> str:
    """Take out what varies, and space at the ends of lines."""
    lines = (line.rstrip() for line in VARIES.sub("", text).splitlines())
    return "\n".join(lines).strip()


@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    """From pip install to a policy that was tried."""
    pytest.importorskip("hatchling", reason="pip builds the package with it")
    said = list(steps(PAGE.read_text(encoding="utf-8")))
    printed = play([step.command for step in said], tmp_path)
    for step, output in zip(said, printed, strict=True):
        assert stable(output) == stable(step.output), f"$ {step.command}"


def test_the_tutorial_shows_its_files() -> None:
    """All of them, as they are."""
    shown = {name: text for name, _, text in SHOWN.findall(PAGE.read_text(encoding="utf-8"))}
    files = (path for path in FILES.rglob("*") if path.is_file() and path.suffix in (".yaml", ".py"))
    assert shown == {path.relative_to(FILES).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_no_block_of_the_tutorial_goes_untested() -> None:
    """A block is a console or a file."""
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("```") == 2 * (len(CONSOLE.findall(page)) + len(SHOWN.findall(page)))


def _drawn(page: str) -> str:
    """Give the page with the files as they are and with what the commands print now."""
    page = SHOWN.sub(lambda found: _file(found[1], found[2]), page)
    commands = [step.command for step in steps(page)]
    with tempfile.TemporaryDirectory() as folder:
        printed = iter(play(commands, Path(folder)))

    def block(found: re.Match[str]) -> str:
        typed = [step.command for step in steps(found[0])]
        return "```console\n" + "".join(f"$ {one}\n{_shown(next(printed))}" for one in typed) + "```"

    return CONSOLE.sub(block, page)


def _file(name: str, language: str) -> str:
    return f"`my/{name}`\n\n```{language}\n{(FILES / name).read_text(encoding='utf-8')}```"


def _shown(output: str) -> str:
    text = stable(output)
    return f"{text}\n" if text else ""


if __name__ == "__main__":
    PAGE.write_text(_drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
