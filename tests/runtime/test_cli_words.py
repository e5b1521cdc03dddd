"""Every command word: its examples run, its output parses, its ends have the exit codes of their meaning."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from kubenode.core.errors import ServerFailed, Unreachable
from kubenode.runtime.cli import files
from kubenode.runtime.cli.app import app
from kubenode.runtime.cli.output import Output, wanted
from kubenode.runtime.manifests import Manifests

ROOT = Path(__file__).resolve().parents[2]
KUBENODE = str(Path(sys.executable).with_name("kubenode"))
WORDS = ("demo", "manifests", "validate", "plan", "explain", "replay", "plugins", "version")
RUNNER = CliRunner()


def examples(word: str) -> list[str]:
    """Give the examples of a word's --help."""
    text = RUNNER.invoke(app, [word, "--help"]).stdout
    _, found, rest = text.partition("Examples:\n")
    assert found, f"{word} --help has no examples"
    return [line.strip() for line in rest.splitlines() if line.strip().startswith("kubenode ")]


@pytest.fixture(scope="session")
def monday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a recording, as the command itself makes one."""
    path = tmp_path_factory.mktemp("recordings") / "monday.knrec"
    assert RUNNER.invoke(app, ["demo", "--story", "outage", "--record", str(path)]).exit_code == 0
    return path


EXAMPLES = [(word, line) for word in WORDS for line in examples(word)]


@pytest.mark.parametrize(("word", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_every_example_of_every_help_runs(word: str, line: str, tmp_path: Path, monday: Path) -> None:
    """As a person would type it, in a folder with the docs and a recording; it succeeds, and says something."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "monday.knrec").symlink_to(monday)
    assert line.split()[1] == word
    command = line.replace("kubenode", shlex.quote(KUBENODE), 1)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.strip()
    if "-o json" in line:
        json.loads(done.stdout)
    if "--report" in line:
        assert (tmp_path / "upgrade.html").stat().st_size > 100_000


def test_every_word_has_two_examples() -> None:
    """One to begin with, and one that shows more."""
    assert {word for word in WORDS if len(examples(word)) < 2} == set()


DATA = [
    ["demo", "--story", "hung"], ["validate", str(ROOT / "docs/examples/hung.yaml")], ["plugins"], ["version"],
    ["plan", "-f", str(ROOT / "docs/examples/import.yaml")], ["manifests"],
    ["explain", "node", "n003", "--story", "hung"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", DATA, ids=[arguments[0] for arguments in DATA])
def test_json_yaml_and_table_say_the_same(arguments: list[str]) -> None:
    """One document or another form of it; a table for people; nothing on stderr."""
    said = {form: RUNNER.invoke(app, [*arguments, "-o", form]) for form in ("json", "yaml", "table")}
    assert {form: (one.exit_code, one.stderr) for form, one in said.items()} == dict.fromkeys(said, (0, ""))
    documents = list(yaml.safe_load_all(said["yaml"].stdout))
    body = json.loads(said["json"].stdout)
    assert (body["items"] if arguments == ["manifests"] else [body]) == documents
    with pytest.raises(json.JSONDecodeError):
        json.loads("[" + said["table"].stdout)


def error_of(result: Any) -> dict[str, Any]:
    """Give the error document of a result: all of stderr, and nothing on stdout."""
    assert result.stdout == ""
    body = json.loads(result.stderr)
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert {"code", "message", "fix", "where"} <= set(error)
    assert error["message"]
    return error


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["validate", "no-such.yaml"], 1, "InvalidObjectError"),
        (["plan", "-f", "no-such.yaml"], 1, "InvalidObjectError"),
        (["demo", "--story", "imprt"], 2, "UsageError"),
        (["plan"], 2, "UsageError"),
        (["nonsense"], 2, "UsageError"),
        (["explain", "node", "n1", "--story", "hung", "--at", "soon"], 2, "UsageError"),
        (["explain", "node", "no-such", "--story", "hung"], 3, "CouldNotTell"),
        (["explain", "node", "n1", "--kubeconfig", "no-such"], 1, "InvalidObjectError"),
        (["explain", "node", "n1", "--story", "hung", "--recording", "x"], 2, "UsageError"),
        (["explain", "node", "n1", "--recording", "no-such.knrec"], 3, "InvalidObjectError"),
        (["demo", "--record", "x.knrec"], 2, "UsageError"),
        (["replay", "no-such.knrec"], 3, "InvalidObjectError"),
        (["replay", "x.knrec", "--policy", "no-such"], 1, "InvalidObjectError"),
        (["replay"], 2, "UsageError"),
    ],
)
@pytest.mark.parametrize("form", ["-o json", "-ojson", "--output=json", "--output json"])
def test_an_error_is_one_document_on_stderr(arguments: list[str], status: int, code: str, form: str) -> None:
    """Code, message, fix and where, however the format is asked for; also when the words themselves are wrong."""
    if code == "CouldNotTell" and form != "-o json":
        return  # one story is enough
    result = RUNNER.invoke(app, [*arguments, *form.split()])
    assert result.exit_code == status
    assert error_of(result)["code"] == code


def test_an_error_in_yaml_is_a_document_too() -> None:
    """The same keys."""
    result = RUNNER.invoke(app, ["validate", "no-such.yaml", "-o", "yaml"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert yaml.safe_load(result.stderr)["error"]["code"] == "InvalidObjectError"


def test_a_usage_error_says_how_to_go_on() -> None:
    """For people with the usage line, for programs with the command to run and the option that is wrong."""
    plain = RUNNER.invoke(app, ["demo", "--story", "imprt"])
    assert "kubenode demo --help" in plain.stderr
    error = error_of(RUNNER.invoke(app, ["demo", "--story", "imprt", "-o", "json"]))
    assert (error["fix"], error["where"]) == ("kubenode demo --help", "--story")


def test_yes_is_0_and_no_is_1() -> None:
    """Plan says no only where it is asked: when something would change."""
    changed = ["plan", "-f", str(ROOT / "docs/examples/import.yaml")]
    same = [*changed, "--installed", changed[-1]]
    codes = [RUNNER.invoke(app, words).exit_code for words in (
        changed, [*changed, "--exit-code"], same, [*same, "--exit-code"],
    )]  # fmt: skip
    assert codes == [0, 1, 0, 0]


def test_what_is_broken_is_a_no_of_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin with a problem: the list on stdout, and status 1."""
    from kubenode.core.errors import Problem
    from kubenode.runtime.cli import installed

    found = installed.Plugins.discover()
    broken = type(found)(**{
        **{name: getattr(found, name) for name in ("providers", "components", "remedies", "origins")},
        "problems": (Problem(where="rack 1.0", what="raised", fix="mend it"),),
    })  # fmt: skip
    monkeypatch.setattr(installed.Plugins, "discover", lambda: broken)
    result = RUNNER.invoke(app, ["plugins", "-o", "json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"] == [
        {"where": "rack 1.0", "message": "raised", "fix": "mend it"}
    ]


def test_a_full_disk_is_3() -> None:
    """Nobody can tell what was answered when it could not be written."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [KUBENODE, "manifests"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 3
    assert "cannot write the output" in done.stderr


def test_a_report_that_cannot_be_written_is_3(tmp_path: Path) -> None:
    """The stories ended, but what was asked for is not there."""
    result = RUNNER.invoke(
        app,
        ["demo", "--story", "hung", "-o", "json", "--report", str(tmp_path)],  # it is a folder
    )
    assert result.exit_code == 3
    assert error_of(result)["code"] == "CannotWrite"


@pytest.mark.parametrize("error", [Unreachable("refused"), ServerFailed("503")])
def test_a_server_that_does_not_answer_is_3(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot be asked has not said no."""

    def asked(*_: object) -> Manifests:
        raise error

    monkeypatch.setattr(files, "review", asked)
    result = RUNNER.invoke(app, ["validate", "x.yaml", "-o", "json"])
    assert result.exit_code == 3
    assert error_of(result)["code"] == type(error).__name__


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_bug_of_ours_is_4_and_says_so(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a traceback for people; for programs the place is in the document."""

    def broken(*_: object) -> Manifests:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(files, "review", broken)
    result = RUNNER.invoke(app, ["validate", "x.yaml", "-o", form])
    assert result.exit_code == 4
    if form == "json":
        error = error_of(result)
        assert (error["code"], error["where"].partition(",")[0]) == ("Bug", "broken")
    else:
        assert "Traceback" in result.stderr
        assert "this is a bug of ours: ZeroDivisionError: oh" in result.stderr


@pytest.mark.parametrize("raised", [KeyboardInterrupt, typer.Abort])
def test_interrupted_is_130(raised: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """However the interruption is told."""

    def interrupted(*_: object) -> Manifests:
        raise raised

    monkeypatch.setattr(files, "review", interrupted)
    result = RUNNER.invoke(app, ["validate", "x.yaml"])
    assert (result.exit_code, result.stdout) == (130, "")


def test_interrupting_a_demo_is_130() -> None:
    """A real SIGINT after its first line of progress, and no traceback."""
    running = subprocess.Popen(
        [KUBENODE, "demo", "--story", "upgrade"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate()
    assert running.returncode == 130
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ([], Output.TABLE), (["-o", "yaml"], Output.YAML), (["demo", "-ojson"], Output.JSON),
        (["--output=json"], Output.JSON), (["-o=json"], Output.JSON), (["-o"], Output.TABLE),
        (["-o", "xml"], Output.TABLE), (["--story", "json"], Output.TABLE),
    ],
)  # fmt: skip
def test_the_wanted_output_is_known_also_of_wrong_words(words: list[str], output: Output) -> None:
    """Read from the words alone, since what is wrong may come before the option."""
    assert wanted(words) is output


def completed(words: str) -> list[str]:
    """Ask bash itself, with our completion installed, what comes next."""
    environment = {**os.environ, "PATH": f"{Path(KUBENODE).parent}:{os.environ['PATH']}"}
    script = subprocess.run(
        [KUBENODE],
        env={**environment, "_KUBENODE_COMPLETE": "source_bash"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    typed = words.split(" ")
    ask = (
        f"{script}\nCOMP_WORDS=({shlex.join(typed)}); COMP_CWORD={len(typed) - 1}; "
        "$(complete -p kubenode | sed 's/.*-F \\([^ ]*\\).*/\\1/') kubenode; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", ask], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_bash_completes_words_and_stories() -> None:
    """The completion that typer writes is answered by the installed command, in a real bash."""
    assert completed("kubenode ex") == ["explain"]
    assert completed("kubenode demo --story ou") == ["outage"]
    assert completed("kubenode rep") == ["replay"]
    assert set(completed("kubenode p")) == {"plan", "plugins", "provider"}
