"""Artifacts on a host: what was fetched is what was asked for, the path changes all at once, and nobody else's file is lost."""

import errno
import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core.host.journal import JournalState
from kubenode.core.probe import ArtifactAt
from kubenode.core.step import (
    ArtifactFormat,
    InstallArtifact,
    InstallPackage,
    RemoveArtifact,
    RestartUnit,
    Step,
    WriteFile,
)
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.download import Unreached
from kubenode.runtime.agent.slots import STORE
from kubenode.runtime.agent.stage import Supply
from kubenode.runtime.agent.tree import StepFailed
from tests.runtime.agent.tars import Entry, folders, tar, zipped
from tests.runtime.agent.test_work import UNIT, Host, write

TOOL, TOKEN = "/usr/local/bin/tool", "s3cr3t-t0ken"
ONE, TWO, THREE = b"#!/bin/sh\necho 1\n", b"#!/bin/sh\necho 2\n", b"#!/bin/sh\necho 3\n"
TREE = zipped(
    tar(*folders("bin", "share"), Entry(path="bin/tool", content=ONE, mode=0o755), Entry(path="share/x"))
)


def sha(content: bytes) -> str:
    """Give a digest."""
    return hashlib.sha256(content).hexdigest()


class Served:
    """What is to be had by URL, and how often it was asked for."""

    def __init__(self) -> None:
        self.files = {f"http://x/{name}?token={TOKEN}": content for name, content in (
            ("1", ONE), ("2", TWO), ("3", THREE), ("tree", TREE),
        )}  # fmt: skip
        self.asked: list[str] = []
        self.trouble: list[Exception] = []

    def __call__(self, url: str, take: Callable[[bytes], None]) -> None:
        """Hand over a file, in two parts."""
        self.asked.append(url)
        content = self.files[url]
        take(content[:5])
        if self.trouble:
            raise self.trouble.pop(0)
        take(content[5:])


class Real(Host):
    """A host with an agent that fetches from memory."""

    def __init__(self, folder: Path) -> None:
        self.served = Served()
        self.left = 0
        self.disk = Disk()
        super().__init__(folder)

    def made(self) -> dict[str, Any]:
        """Give what the agent is made with."""
        return {"supply": Supply(fetch=self.served, left=self.left), "disk": self.disk}

    def mark(self, path: str = TOOL) -> str | None:
        """Give what is found at a path."""
        return self.agent.look("m1", (ArtifactAt(path),)).artifacts.get(path)

    def content(self, path: str = TOOL) -> bytes:
        """Give what stands at a path: below the root of a host, links lead from there."""
        where = self.debian.path(path)
        if where.is_symlink():
            where = self.debian.path(os.readlink(where))
        return where.read_bytes()

    def slots(self) -> list[str]:
        """Name what is kept: number and the begin of the digest."""
        store = self.debian.path(STORE)
        return sorted(name[:6] for name in os.listdir(store)) if store.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Real:
    """One host."""
    return Real(tmp_path)


def install(content: bytes, url: str, **more: Any) -> InstallArtifact:
    """Install a program."""
    made = InstallArtifact(path=TOOL, url=f"http://x/{url}?token={TOKEN}", sha256=sha(content), then=None)
    return attrs.evolve(made, **more)


FIRST, SECOND, THIRD = install(ONE, "1"), install(TWO, "2"), install(THREE, "3")
WHOLE = install(TREE, "tree", format=ArtifactFormat.TAR)
ops = iter(range(10_000))


def done(host: Real, *steps: Step) -> None:
    """Do steps that succeed."""
    op = f"op{next(ops)}"
    host.run(*steps, op=op)
    assert host.said(op) == (JournalState.DONE, "")


def failed(host: Real, *steps: Step) -> str:
    """Do steps that fail; give why."""
    op = f"op{next(ops)}"
    host.run(*steps, op=op)
    state, why = host.said(op)
    assert state is JournalState.FAILED
    assert TOKEN not in why
    return why


def test_a_program_is_fetched_and_led_to(host: Real) -> None:
    """It can be run by everybody, is written by root only, and once more it is not fetched."""
    done(host, FIRST)
    assert (host.content(), host.mark()) == (ONE, FIRST.mark)
    held = host.debian.path(os.readlink(host.debian.path(TOOL))).stat()
    assert (stat.S_IMODE(held.st_mode), held.st_uid) == (0o755, os.geteuid())
    done(host, FIRST)
    assert len(host.served.asked) == 1


def test_a_tar_is_unpacked_and_led_to(host: Real) -> None:
    """All of it, and one member of it, which are told apart."""
    done(host, WHOLE)
    top = host.debian.path(os.readlink(host.debian.path(TOOL)))
    assert (top / "bin" / "tool").read_bytes() == ONE
    assert host.mark() == f"{sha(TREE)}:/"
    member = attrs.evolve(WHOLE, member="bin/tool")
    done(host, member)
    assert (host.content(), host.mark()) == (ONE, f"{sha(TREE)}:/bin/tool")
    assert len(host.served.asked) == 1
    assert "the archive has no bin/other; look with tar -t" in failed(
        host, attrs.evolve(WHOLE, member="bin/other")
    )
    assert host.mark() == member.mark


def test_the_version_before_is_kept_and_older_ones_go(host: Real) -> None:
    """So the way back needs no server; what was fetched for other paths stays."""
    other = attrs.evolve(FIRST, path="/usr/local/bin/other")
    done(host, other)
    for step in (FIRST, SECOND, THIRD):
        done(host, step)
    assert [slot.partition("-")[0] for slot in host.slots()] == ["1", "3", "4"]
    assert host.content("/usr/local/bin/other") == ONE
    asked = len(host.served.asked)
    done(host, SECOND)
    assert (host.content(), len(host.served.asked)) == (TWO, asked)


def test_a_repair_keeps_the_version_before(host: Real) -> None:
    """Also the damaged one, as long as its operation may go back there; it goes with the next change."""
    done(host, FIRST)
    done(host, SECOND)
    host.debian.path(os.readlink(host.debian.path(TOOL))).write_bytes(b"damaged")
    done(host, SECOND)
    assert [slot.partition("-")[0] for slot in host.slots()] == ["1", "2", "3"]
    asked = len(host.served.asked)
    done(host, FIRST)
    assert (host.content(), len(host.served.asked)) == (ONE, asked)
    assert [slot.partition("-")[0] for slot in host.slots()] == ["1", "3"]


@pytest.mark.parametrize("before", [(), (FIRST,)], ids=["nothing", "ours"])
def test_what_somebody_puts_there_meanwhile_is_not_lost(host: Real, before: tuple[Step, ...]) -> None:
    """While it is fetched: the step is not done, and the file stays where it is ours to leave it."""
    for step in before:
        done(host, step)
    path = host.debian.path(TOOL)

    def meanwhile(url: str, take: Callable[[bytes], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(b"theirs")
        host.served(url, take)

    host.agent.close(10)
    host.made = lambda: {"supply": Supply(fetch=meanwhile, left=0)}  # type: ignore[method-assign]
    host.start()
    assert f"{TOOL} was changed meanwhile by somebody else" in failed(host, SECOND)


def test_the_path_never_leads_nowhere(host: Real) -> None:
    """Whoever starts it meanwhile finds the old one or the new one, whole."""
    done(host, FIRST)
    seen: set[bytes] = set()

    class Watched(Disk):
        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("_"):
                seen.add(host.content())
            return super().__getattribute__(name)

    host.agent.close(10)
    host.disk = Watched()
    host.start()
    done(host, SECOND)
    seen.add(host.content())
    assert seen == {ONE, TWO}


WRONG = {
    "another digest": (lambda host: host.served.files.update({SECOND.url: ONE}), "what was fetched has the SHA-256"),
    "cut short": (lambda host: host.served.files.update({SECOND.url: TWO[:-1]}), "what was fetched has the SHA-256"),
    "longer": (lambda host: host.served.files.update({SECOND.url: TWO + b"x"}), "what was fetched has the SHA-256"),
    "refused": (lambda host: host.served.trouble.append(StepFailed("x answers 404 Not Found")), "x answers 404"),
    "never there": (lambda host: host.served.trouble.extend([Unreached("x: it does not answer")] * 3), "does not answer"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_had_changes_nothing(host: Real, what: str) -> None:
    """The old one runs on, nothing is left of the new one, and the text says what to do."""
    spoil, says = WRONG[what]
    done(host, FIRST)
    slots = host.slots()
    spoil(host)
    assert says in failed(host, SECOND)
    assert (host.content(), host.mark(), host.slots()) == (ONE, FIRST.mark, slots)


def test_what_cannot_be_had_restarts_nothing(host: Real) -> None:
    """Its unit runs as it did before, and has read nothing else; nor does a package that is not to be had."""
    done(host, FIRST)
    starts = host.debian.state["starts"]
    host.served.files[SECOND.url] = ONE
    failed(host, attrs.evolve(SECOND, then=RestartUnit(unit=UNIT)))
    failed(host, InstallPackage(package="tool", version="9.0", then=RestartUnit(unit=UNIT)))
    assert host.debian.state["starts"] == starts


def test_a_server_that_comes_back_is_asked_again(host: Real) -> None:
    """Twice, in one step; what came of the first answer does not count."""
    host.served.trouble = [Unreached("x: gone"), Unreached("x: gone")]
    done(host, FIRST)
    assert (host.content(), len(host.served.asked)) == (ONE, 3)


def test_a_hostile_archive_changes_nothing(host: Real) -> None:
    """Its digest is right, and still it is refused; nothing of it stays."""
    evil = zipped(tar(Entry(path="a", content=b"x"), Entry(path="../../../../etc/cron.d/x", content=b"x")))
    host.served.files["http://x/evil"] = evil
    step = attrs.evolve(WHOLE, url="http://x/evil", sha256=sha(evil))
    assert "is no plain path below its folder" in failed(host, step)
    assert host.slots() == []
    assert not host.debian.path("/etc/cron.d").exists()
    assert not os.path.lexists(host.debian.path(TOOL))


@pytest.mark.parametrize("how", ["write", "chmod", "remove", "link", "list"])
@pytest.mark.parametrize("step", [FIRST, WHOLE], ids=["binary", "tar"])
def test_what_was_changed_in_place_is_seen_and_mended(host: Real, step: InstallArtifact, how: str) -> None:
    """By the bytes and the mode; the mended one is fetched anew, and led to all at once."""
    done(host, step)
    slot = host.debian.path(os.readlink(host.debian.path(TOOL)))
    file = slot / "bin" / "tool" if step is WHOLE else slot
    match how:
        case "write":
            file.write_bytes(b"x" * len(ONE))
        case "chmod":
            file.chmod(0o777)
        case "remove":
            file.unlink()
        case "link":
            file.rename(f"{file}.x")
            file.symlink_to(f"{file}.x")
        case "list":
            (slot.parent / "files").write_text("{}")
    assert host.mark() == ""
    done(host, step)
    assert host.mark() == step.mark
    assert len(host.served.asked) == 2
    other = install(TWO, "2")
    done(host, other)
    assert host.content() == TWO


def test_what_a_program_writes_beside_its_files_is_no_drift_and_stays(host: Real) -> None:
    """A file that we did not install is not removed, also when its slot goes."""
    done(host, WHOLE)
    slot = host.debian.path(os.readlink(host.debian.path(TOOL)))
    (slot / "share" / "cache").write_text("mine")
    assert host.mark() == WHOLE.mark
    for step in (FIRST, SECOND, THIRD):
        done(host, step)
    assert (slot / "share" / "cache").read_text() == "mine"
    assert not (slot / "bin").exists()


def test_what_somebody_else_put_there_is_kept_beside(host: Real) -> None:
    """A program or a link; each time under a name of its own, and not for ever."""
    path = host.debian.path(TOOL)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"theirs")
    path.chmod(0o700)
    done(host, FIRST)
    kept = path.with_name("tool.kubenode-replaced")
    assert (host.content(), kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (ONE, b"theirs", 0o700)
    path.unlink()
    path.symlink_to("/usr/bin/other")
    assert host.mark() == ""
    done(host, FIRST)
    assert os.readlink(path.with_name("tool.kubenode-replaced-2")) == "/usr/bin/other"
    for number in range(3, 10):
        path.unlink()
        path.write_text(f"theirs {number}")
        done(host, FIRST)
    path.unlink()
    path.write_text("theirs 10")
    assert "8 more are kept already; move them away" in failed(host, FIRST)
    assert path.read_text() == "theirs 10"


def test_what_somebody_else_put_there_is_given_back(host: Real) -> None:
    """When a later step fails: the same file, under its own name alone."""
    path = host.debian.path(TOOL)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"theirs")
    before = path.stat()
    why = failed(host, FIRST, write(b"bad"))
    assert why.endswith("; the host is as it was before")
    assert os.path.samestat(path.stat(), before)
    assert (os.listdir(path.parent), host.slots()) == (["tool"], [])


def test_a_program_that_is_right_already_is_left_alone(host: Real) -> None:
    """Whoever has installed it; one that cannot be run is not right."""
    path = host.debian.path(TOOL)
    path.parent.mkdir(parents=True)
    path.write_bytes(ONE)
    assert host.mark() == ""
    path.chmod(0o755)
    assert host.mark() == FIRST.mark


def test_a_bad_program_is_gone_back_from(host: Real) -> None:
    """Its unit does not start with it: the unit runs with the old one, and nothing is left of the new one."""
    host.debian.change(units={UNIT: {"active": "inactive", "reads": "/run/now", "read": "", "id": ""}})
    done(host, FIRST)
    host.debian.path("/run").mkdir()
    host.debian.path("/run/now").write_text("bad")
    why = failed(host, attrs.evolve(SECOND, then=RestartUnit(unit=UNIT)))
    assert f"systemctl restart {UNIT}" in why
    assert host.content() == ONE
    assert [slot.partition("-")[0] for slot in host.slots()] == ["1"]


def test_a_removal_takes_what_is_ours(host: Real) -> None:
    """What it led to is kept, so that it can come back; somebody else's is not touched, and the text says so."""
    done(host, RemoveArtifact(path=TOOL))
    done(host, FIRST, RemoveArtifact(path=TOOL))
    assert host.mark() is None
    why = failed(host, FIRST, RemoveArtifact(path=TOOL), write(b"bad"))
    assert why.endswith("; the host is as it was before")
    assert host.mark() is None
    done(host, FIRST)
    why = failed(host, RemoveArtifact(path=TOOL), write(b"bad"))
    assert host.mark() == FIRST.mark
    host.debian.path(TOOL).unlink()
    host.debian.path(TOOL).write_bytes(ONE)
    assert "was not installed by kubenode, so it is not removed" in failed(host, RemoveArtifact(path=TOOL))
    assert host.content() == ONE


def test_a_folder_in_the_way_is_refused(host: Real) -> None:
    """It would have to be away for a moment."""
    host.debian.path(TOOL).mkdir(parents=True)
    assert f"{TOOL} is a folder, or no plain file; move it away" in failed(host, FIRST)
    assert host.served.asked == []
    assert host.mark() == ""


def test_others_may_not_write_where_artifacts_are(host: Real) -> None:
    """Or they would choose what root runs."""
    host.debian.path(STORE).mkdir(parents=True)
    host.debian.path(STORE).chmod(0o777)
    assert f"others may write into {STORE}" in failed(host, FIRST)


def test_no_link_on_the_way_is_followed(host: Real, tmp_path: Path) -> None:
    """Neither to the store nor to the path."""
    (tmp_path / "elsewhere").mkdir()
    host.debian.path("/opt").symlink_to(tmp_path / "elsewhere")
    assert "/opt is a symbolic link" in failed(host, FIRST)
    host.debian.path("/opt").unlink()
    host.debian.path("/usr").symlink_to(tmp_path / "elsewhere")
    assert "/usr is a symbolic link" in failed(host, FIRST)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert host.mark() is None


class Full(Disk):
    """Has no room for what is written into the stage."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, file: int, data: bytes) -> None:
        """Fail if it is the stage."""
        if "/new/" in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(self.number, os.strerror(self.number))
        super().write(file, data)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_or_broken_disk_changes_nothing(host: Real, number: int) -> None:
    """It is not blamed on the server, which is asked once; nothing stays."""
    done(host, FIRST)
    host.agent.close(10)
    host.disk = Full(number)
    host.start()
    assert f"{STORE}: {os.strerror(number)}" in failed(host, SECOND)
    assert (host.content(), len(host.served.asked)) == (ONE, 2)
    assert [slot.partition("-")[0] for slot in host.slots()] == ["1"]


def test_a_disk_is_not_filled_up(host: Real) -> None:
    """Something is left for all else."""
    host.agent.close(10)
    host.left = 1 << 60
    host.start()
    assert "MiB would be left on its disk; make room" in failed(host, FIRST)
    assert host.slots() == []


def test_a_token_is_nowhere(host: Real, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the journal, logs, texts or folders, while it is fetched and after that; it is kept beside the journal as long."""
    caplog.set_level(logging.DEBUG)
    during: list[bytes] = []
    kept: list[bytes] = []

    def look(url: str, take: Callable[[bytes], None]) -> None:
        state = host.folder / "state"
        during.append((state / "journal").read_bytes())
        kept.extend(one.read_bytes() for one in (state / "kept").iterdir())
        host.served(url, take)

    host.agent.close(10)
    host.made = lambda: {"supply": Supply(fetch=look, left=0)}  # type: ignore[method-assign]
    host.start()
    done(host, FIRST)
    host.served.files[SECOND.url] = b"other"
    failed(host, SECOND)
    assert FIRST.url.encode() in kept
    everything = (*during, *_contents(host.folder), caplog.text.encode(), repr(FIRST).encode())
    assert len(everything) > 5
    assert not [one for one in everything if TOKEN.encode() in one]
    assert b"InstallArtifact" in during[0]


def _contents(folder: Path) -> Sequence[bytes]:
    return [one.read_bytes() for one in folder.rglob("*") if one.is_file() and not one.is_symlink()]


def test_what_was_cut_short_is_cleared_away(host: Real) -> None:
    """A stage of a life before, and a slot of which nothing is left; a slot whose list lies is none."""
    store = host.debian.path(STORE)
    (store / "new" / "content" / "a").mkdir(parents=True)
    (store / "new" / "packed").write_text("half")
    (store / f"7-{'0' * 64}").mkdir()
    (store / f"8-{sha(ONE)}").mkdir()
    (store / f"8-{sha(ONE)}" / "content").write_bytes(ONE)
    lie = {"path": TOOL, "format": "binary", "files": [["../x", 0o755, sha(ONE)]], "folders": []}
    (store / f"8-{sha(ONE)}" / "files").write_text(json.dumps(lie))
    done(host, FIRST)
    assert [slot.partition("-")[0] for slot in host.slots()] == ["8", "9"]


def test_the_restart_belongs_to_the_exchange(host: Real) -> None:
    """A unit that runs is restarted with the new program, and with the old one on the way back."""
    starts = host.debian.state["starts"]
    done(host, attrs.evolve(FIRST, then=RestartUnit(unit=UNIT)))
    assert host.debian.state["starts"] == starts + 1
    bad = WriteFile(path="/etc/app/app.conf", content=b"bad", then=RestartUnit(unit=UNIT))
    failed(host, attrs.evolve(SECOND, then=RestartUnit(unit=UNIT)), bad)
    assert (host.content(), host.now()[1]) == (ONE, "old")
