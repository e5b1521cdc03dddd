"""The library's face as type checkers see it: what is right passes, what is wrong is told by name."""

import re
import subprocess
import sys
from pathlib import Path

API = Path(__file__).parent / "typing" / "api.py"
SAID = re.compile(rf"^{re.escape(str(API))}:(\d+): (?:error|note): (.*)$", re.MULTILINE)


def test_the_face_is_typed(tmp_path: Path) -> None:
    """A strict mypy says of each line that is wrong what it has to say, and nothing of any other."""
    result = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--config-file=", "--hide-error-codes", "--no-error-summary",
            "--no-pretty", "--cache-dir", tmp_path, API,
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1, result.stdout + result.stderr
    said: dict[int, list[str]] = {}
    for line, text in SAID.findall(result.stdout):
        said.setdefault(int(line), []).append(text)
    lines = API.read_text().splitlines()
    wanted = {number: line.partition("# E: ")[2] for number, line in enumerate(lines, 2) if "# E: " in line}
    assert len(wanted) == 26
    for number, text in wanted.items():
        assert any(text in one for one in said.get(number, [])), f"line {number}: {said.get(number)}"
    assert {number: said[number] for number in said.keys() - wanted.keys()} == {}, result.stdout
