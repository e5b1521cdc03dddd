"""`kubenode machine import` as a person types it, on hosts in folders: what is said, where, and how it ends."""

import json
import os
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from kubenode.core.errors import Forbidden, InvalidObjectError, Problem
from kubenode.core.model import Now
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.remote import Lost
from kubenode.runtime.cli import importing, live
from kubenode.runtime.cli.app import app
from tests.runtime.bootstrap.rooted import AUTHORITY, NOW, Direct, Fault, RootedHost, Server, packed


class _Stopped:
    """The clock of the certificates in `rooted`."""

    def now(self) -> Now:
        """Give one moment."""
        return Now(wall=NOW, elapsed=0)


class Site:
    """Two hosts, a server, a bundle, and a command line that reaches them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.server, self.folder = Server(), folder
        self.hosts = {name: RootedHost(folder / name, self.server) for name in ("h1", "h2")}
        self.bundle = packed(folder)
        (folder / "ca.crt").write_bytes(AUTHORITY)

        @asynccontextmanager
        async def way(name: str) -> Any:
            if name == "h3":
                raise Lost("h3 is not reached", "ssh root@h3 has to work")
            if name == "h4":
                raise InvalidObjectError((Problem(where="h4", what="has another key", fix="--host-key"),))
            yield Direct(self.hosts[name], Fault())

        patch.setattr(live, "connect", lambda *_, **__: nullcontext(self.server))
        patch.setattr(importing, "_ways", lambda *_: way)
        patch.setattr(importing, "SystemClock", _Stopped)

    def run(self, *words: str, code: int = 0) -> Result:
        """Run a command line."""
        server = () if "--server" in words else ("--server", "https://10.0.0.1:6443")
        more = (*server, "--ca", str(self.folder / "ca.crt"), "--bundle", str(self.bundle))
        result = CliRunner().invoke(app, ["machine", "import", *words, *more])
        assert result.exit_code == code, (result.stdout, result.stderr)
        return result


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Make one."""
    return Site(tmp_path, monkeypatch)


def test_hosts_are_imported_with_progress_and_adopted_again(site: Site) -> None:
    """A line a step on stderr, each with its host; on stdout what was done; the unit is the one of the docs."""
    result = site.run("h1", "h2", "--label", "pool=general")
    for name in ("h1", "h2"):
        assert f"{name}: Machine {name} Running\n" in result.stdout
        for text in (
            f"made Machine {name}",
            "waits for its certificate",
            "its certificate is approved",
            "Running",
        ):
            assert f"{name}: {text}" in result.stderr
        assert site.server.objects["Machine", name]["metadata"]["labels"] == {"pool": "general"}
        unit = site.hosts[name].root / s.UNIT_FILE[1:]
        assert unit.read_bytes() == Path("docs/examples/kubenode-agent.service").read_bytes()
    assert "nothing to do on the host" in site.run("h1").stdout


def test_a_dry_run_says_what_it_would_do(site: Site) -> None:
    """In a document, too; nothing is changed anywhere."""
    before = site.hosts["h1"].state()
    document = json.loads(site.run("h1", "--dry-run", "-o", "json").stdout)
    assert document["dry_run"]
    (host,) = document["hosts"]
    assert (host["host"], host["machine"], host["created"], host["phase"], host["error"]) == (
        "h1",
        "h1",
        True,
        None,
        None,
    )
    assert host["steps"][0].startswith("unpack kubenode.tar.gz to /opt/kubenode/0.1.0-")
    assert "(dry run, nothing changed): Machine h1 would be made" in site.run("h1", "--dry-run").stdout
    assert (site.hosts["h1"].state(), site.server.objects) == (before, {})


def test_one_that_fails_stops_no_other(site: Site) -> None:
    """The exit status is of the worst; each has its error with a fix, in the document or on stderr."""
    document = json.loads(site.run("h1", "h3", "h4", "-o", "json", code=1).stdout)
    first, third, fourth = document["hosts"]
    assert first["phase"] == "Running"
    assert third["error"] == {
        "code": "Lost",
        "message": "h3 is not reached",
        "fix": "ssh root@h3 has to work",
    }
    assert (fourth["error"]["code"], fourth["error"]["fix"]) == ("InvalidObjectError", "--host-key")
    result = site.run("h2", "h3", code=3)
    assert "h3 is not reached\n    fix: ssh root@h3 has to work" in result.stderr
    assert "h2: Machine h2 Running" in result.stdout


def test_a_right_that_is_missing_has_the_fix_of_every_command(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr and in the document."""

    async def create(*_: Any, **__: Any) -> Any:
        raise Forbidden("machines is forbidden")

    monkeypatch.setattr(site.server, "create", create)
    assert "fix: have it granted to you" in site.run("h1", code=1).stderr
    document = json.loads(site.run("h1", "-o", "json", code=1).stdout)
    assert document["hosts"][0]["error"]["fix"].startswith("have it granted to you")


def test_an_agent_that_does_not_come_is_an_answer_of_no(site: Site) -> None:
    """With what it said; the host is as it was."""
    before = site.hosts["h1"].state()
    site.hosts["h1"].refuses = True
    result = site.run("h1", code=1)
    assert "the host is as it was" in result.stderr
    assert site.hosts["h1"].state() == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("h1", "h2", "--name", "x"), 2, "of one host"),
        (("h1", "h1"), 2, "named twice"),
        (("h1", "--label", "x"), 2, "is no KEY=VALUE"),
        (("h1", "--bundle-url", "https://x"), 2, "needs --paste"),
        (("h1", "--paste"), 2, "is needed with --paste"),
        (("h1", "--server", "https://127.0.0.1:6443"), 1, "is each host itself"),
        (("h1", "--server", "http://10.0.0.1"), 1, "is no https URL"),
        (("h1", "--server", "https://x y"), 1, "is no https URL"),
    ],
)
def test_what_is_wrong_is_said_before_a_host_is_touched(
    site: Site, words: tuple[str, ...], code: int, said: str
) -> None:
    """Wrong use is 2, a wrong value 1."""
    before = site.hosts["h1"].state()
    result = site.run(*words, code=code)
    assert said in " ".join(result.stderr.split())
    assert (site.hosts["h1"].state(), site.server.objects) == (before, {})


def test_a_file_with_a_private_key_is_no_authority(site: Site) -> None:
    """It would be copied to every host."""
    (site.folder / "ca.crt").write_bytes(AUTHORITY + b"-----BEGIN PRIVATE KEY-----\n")
    assert "or a private key" in site.run("h1", code=1).stderr


def test_a_line_to_paste_has_the_token_that_was_made(site: Site) -> None:
    """On stdout alone; in a dry run no token is made."""
    words = ("h1", "--paste", "--bundle-url", "https://mirror/b.tar.gz")
    assert "would be printed" in site.run(*words, "--dry-run").stdout
    assert site.server.objects == {}
    result = site.run(*words)
    assert result.stdout.startswith(" printf %s ")
    assert len(site.server.tokens()) == 1
    assert "paste this into a root shell of h1" in result.stderr


def test_a_defect_met_with_one_host_ends_when_the_others_have(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's half-done import is cut short for it, and it is not kept quiet."""
    first = site.hosts["h1"]

    def broken(_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(first, "execute", broken)
    said = site.run("h1", "h2", code=4).stderr
    assert "h2: Running" in said
    assert "this is a bug of ours: ZeroDivisionError: a bug" in said


def test_who_logs_in_is_no_part_of_the_host(site: Site) -> None:
    """As ssh would have it: the Machine would be called so."""
    assert "who logs in is named by --user" in site.run("root@h1", code=2).stderr
    assert site.server.objects == {}


def test_a_line_that_a_plain_terminal_would_cut_off_is_told_as_such(site: Site) -> None:
    """An authority of many certificates."""
    words = ("h1", "--paste", "--bundle-url", "https://mirror/b.tar.gz")
    assert "edits lines" not in site.run(*words).stderr
    (site.folder / "ca.crt").write_bytes(AUTHORITY + os.urandom(2000).hex().encode())
    result = site.run(*words)
    assert "the shell has to be one that edits lines, as bash" in result.stderr
    assert len(result.stdout) > 4096
