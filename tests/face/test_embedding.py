"""The page for embedders: its code is that of the examples and runs, and what it says of mistakes is what is said."""

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from typer.testing import CliRunner

import kubenode
from kubenode import Policy, RemedySnapshot, decide, load
from kubenode import model as m
from kubenode.components import Desired, RestartUnit
from kubenode.components import conformance as components
from kubenode.core.policy import BUILT_IN
from kubenode.providers import conformance as providers
from kubenode.remedies import Reboot
from kubenode.remedies import conformance as remedies
from kubenode.runtime.cli.app import app
from tests.test_docs import blocks
from tests.third_party.kit import broken, laws

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "embedding.md"
EXAMPLES = ROOT / "docs" / "examples" / "python"
SHOWN = ("a_decide.py", "rack.py", "test_rack.py", "d_e.py", "test_d_e.py", "h_replay.py")
INSIDE = ("b_embed.py", "b_threads.py", "settle.py")
"""Run by test_inside.py, and on a real server by tests/cluster/test_embedding.py."""
SIMULATED = ("test_policy.py", "notebook.py")
"""Run by tests/stories/test_face.py, with fewer examples."""


def test_the_page_shows_the_examples() -> None:
    """One source: each block is a file, letter by letter."""
    shown = blocks(PAGE)
    assert set(shown) == {*SHOWN, *INSIDE, *SIMULATED}
    for name, code in shown.items():
        assert code == (EXAMPLES / name).read_text(), name


def test_the_example_of_deciding_runs() -> None:
    """As it stands, with warnings as errors."""
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "a_decide.py"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_every_driver_of_the_page_is_green_under_its_kit(tmp_path: Path) -> None:
    """Provider, component driver and remedy, all laws of each."""
    for name in SHOWN:
        (tmp_path / name).write_text((EXAMPLES / name).read_text())
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert f"{len(providers.LAWS) + len(components.LAWS) + len(remedies.LAWS)} passed" in result.stdout


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example's policies and a recording, as the page says it is made."""
    folder = tmp_path_factory.mktemp("night")
    (folder / "policies").symlink_to(EXAMPLES / "policies")
    words = ["demo", "--story", "outage", "--record", str(folder / "monday.knrec")]
    assert " ".join(words[:-1]) in PAGE.read_text()
    assert CliRunner().invoke(app, words).exit_code == 0
    return folder


def test_the_example_of_replay_runs(night: Path) -> None:
    """The same policy changes nothing; the other says what it would have done, a line a change."""
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "h_replay.py"], cwd=night, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    first, *changes = result.stdout.splitlines()
    assert first.startswith(f"{len(changes)} of ")
    assert changes
    assert all(" -> Verdict." in line for line in changes)


def test_a_spoilt_recording_is_told_as_the_page_says(night: Path, tmp_path: Path) -> None:
    """Each line of its table."""
    lines = (night / "monday.knrec").read_text().splitlines(keepends=True)
    path = tmp_path / "monday.knrec"
    newer = lines[0].replace('"version":1', '"version":2')
    newer = re.sub('"kubenode":"[^"]*"', '"kubenode":"9.0"', newer)
    spoilt = {
        "not there": None,
        "a damaged line": [*lines[:8], "{\n", *lines[9:]],
        "of a newer format": [newer, *lines[1:]],
    }
    table = PAGE.read_text().partition("| recording | said |")[2].partition("\n\n")[0]
    told = dict(re.findall(r"^\| ([^`|]*) \| `(.*)` \|$", table, re.MULTILINE))
    assert set(spoilt) <= set(told)
    for what, content in spoilt.items():
        if content is not None:
            path.write_text("".join(content))
        with pytest.raises(kubenode.InvalidObjectError) as caught:
            kubenode.replay(path)
        for part in told[what].split("`, fix: `"):
            assert part in str(caught.value)
    path.write_text("".join(lines[:57])[:-10])
    assert kubenode.replay(path).changes == ()
    said = CliRunner().invoke(app, ["replay", str(path)]).stderr
    shown = said.replace(f"{tmp_path}/", "").strip()
    assert (
        f"| cut off in its last line | no error: the line is left out, and `kubenode replay` says `{shown}` |"
        in PAGE.read_text()
    )


def test_the_examples_are_typed(tmp_path: Path) -> None:
    """All of them pass a strict mypy."""
    result = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path,
            *sorted(EXAMPLES.glob("*.py")),
        ],
        cwd=EXAMPLES, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout


MACHINE = m.make_machine(m.make_node("n7"), since=datetime.fromisoformat("2026-03-02T09:00:00Z"))
NAIVE = datetime.fromisoformat("2026-03-02T09:00:00")
SEEN = RemedySnapshot(machine=MACHINE, now=datetime.fromisoformat("2026-03-02T09:00:00Z"))
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "RemedySnapshot(machine=machine, now=datetime(2026, 3, 2, 9))": (
        lambda: RemedySnapshot(machine=MACHINE, now=NAIVE),
        "now: 2026-03-02T09:00:00 has no time zone`, fix: `datetime.now(UTC)",
    ),
    "decide(seen, limits)": (
        lambda: decide(SEEN, BUILT_IN),  # type: ignore[call-overload]
        "policy: a value of type RiskPolicy is not a Policy; wrap it: Policy(risk=(policy,))",
    ),
    "decide(machine, Policy.default())": (
        lambda: decide(MACHINE, Policy.default()),  # type: ignore[call-overload]
        "seen: a value of type Machine is no snapshot",
    ),
    "Policy.of([machine])": (lambda: Policy.of([MACHINE]), "Machine n7: is no part of a policy"),
    'load({"kind": "Machin"})': (
        lambda: load({"kind": "Machin"}),
        "'Machin' is no kind of kubenode`, fix: `did you mean 'Machine'?",
    ),
    "kubenode.Polcy": (
        lambda: kubenode.Polcy,  # type: ignore[attr-defined]
        "module 'kubenode' has no attribute 'Polcy'; did you mean 'Policy'?",
    ),
}


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_is_told_as_the_page_says(code: str) -> None:
    """What is wrong, and what to write instead."""
    wrong, said = MISTAKES[code]
    assert f"| `{code}` | `{said}` |" in PAGE.read_text()
    with pytest.raises((kubenode.InvalidObjectError, AttributeError)) as caught:
        wrong()
    for part in said.split("`, fix: `"):
        assert part in str(caught.value)


def test_every_mistake_of_the_page_is_tried() -> None:
    """No line of its first table goes unchecked."""
    table = PAGE.read_text().partition("| code | said |")[2].partition("\n\n")[0]
    assert len(re.findall(r"^\| `", table, re.MULTILINE)) == len(MISTAKES)


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example drivers, imported from where they stand."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import d_e
    import rack
    import test_rack

    yield d_e, rack, test_rack
    for name in ("d_e", "rack", "test_rack"):
        del sys.modules[name]


def test_the_kits_find_the_mistakes_of_the_page(examples: Any) -> None:
    """Each planted fault is found with the words that are shown."""
    d_e, rack, test_rack = examples

    class Restless(d_e.Chrony):  # type: ignore[misc]
        def plan(self, want: Any, have: Any, /) -> Any:
            return super().plan(want, have) or (RestartUnit(unit=d_e.UNIT),)

    class Careless(rack.RackProvider):  # type: ignore[misc]
        count = 0

        def create(self, request: Any) -> Any:
            Careless.count += 1
            return super().create(attrs.evolve(request, token=f"mine-{Careless.count}"))

    class Rough(d_e.GpuReset):  # type: ignore[misc]
        def plan(self, case: Any, /) -> Any:
            return (Reboot(),)

    want = Desired(version="4.5", params=d_e.ChronyParams(text="pool a"))
    params = rack.RackParams(row="r1")
    said = (
        _told(components.component(Restless(), want=want)),
        _told(providers.provider(lambda wire: Careless(wire(test_rack.rackd())), params=params)),
        _told(remedies.remedy(Rough(), params=d_e.GpuParams(gpu=0))),
    )
    shown = re.findall(
        r"^\| [^|`]*(?:`\w+`)?[^|`]* \| `(.*)` \|$",
        PAGE.read_text().partition("| driver | said |")[2].partition("\n\n")[0],
        re.MULTILINE,
    )
    assert len(shown) == len(said)
    for text, told in zip(shown, said, strict=True):
        assert text in told, told


def _told(test: Callable[..., None]) -> str:
    return "\n".join(broken(test, law) for law in laws(test))


def test_the_page_lists_the_public_names() -> None:
    """All of them, and no other."""
    names = PAGE.read_text().partition("## Names\n\n")[2].partition("\n\n")[0]
    assert re.findall(r"`(\w+)`", names) == list(kubenode.__all__)
