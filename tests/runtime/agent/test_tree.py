"""Files below a root: nothing leaves it, nothing is half there, and what was there can be put back."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest

from kubenode.core.probe import Access
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.tree import MOST, Form, StepFailed, Tree, Was


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root, and a secret outside of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    return made


BAD = ("etc/x", "/", "//etc/x", "/etc/../../outside/secret", "/etc/./x", "/etc/x/", "/etc/\n", "/etc/\0", "")


@pytest.mark.parametrize("path", BAD)
def test_what_is_no_plain_path_is_refused(root: Path, path: str) -> None:
    """Before anything is opened."""
    tree = Tree(root)
    for act in (lambda: tree.read(path), lambda: tree.found(path), lambda: tree.write(path, b"x", 0o644)):
        with pytest.raises(StepFailed, match="not a plain absolute path"):
            act()


def test_no_link_in_a_path_is_followed(root: Path, tmp_path: Path) -> None:
    """Out of the root or within it, relative or absolute: nothing is read there, and nothing is written."""
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to("../outside")
    (root / "in").symlink_to("etc")
    (root / "etc" / "app").write_text("app")
    tree = Tree(root)
    for folder in ("out", "up"):
        assert tree.read(f"/{folder}/secret") is None
        with pytest.raises(
            StepFailed, match=r"is a symbolic link to .*outside; write the path that it stands for"
        ):
            tree.write(f"/{folder}/secret", b"x", 0o644)
        with pytest.raises(StepFailed, match="symbolic link"):
            tree.put(f"/{folder}/secret", Was(form=Form.ABSENT, missing=1))
    assert tree.read("/in/app") is None
    with pytest.raises(StepFailed, match="/in is a symbolic link to etc"):
        tree.found("/in/app")
    assert (tmp_path / "outside" / "secret").read_text() == "secret"
    assert sorted(os.listdir(tmp_path / "outside")) == ["secret"]


def test_a_failure_can_be_sent_wherever_a_link_leads(root: Path) -> None:
    """Whoever may write a folder chooses where its links lead: no UTF-8, a terminal's commands, more than a line."""
    os.symlink(b"/\xff\x1b[31m\nroot: all is well", os.fsencode(root / "out"))
    with pytest.raises(StepFailed) as raised:
        Tree(root).write("/out/x", b"x", 0o644)
    why = str(raised.value)
    assert why == "/out is a symbolic link to /??[31m?root: all is well; write the path that it stands for"
    assert (
        orjson.loads(orjson.dumps(why)) == why
    )  # in a report it would keep all that follows from being told


def test_a_link_at_the_end_is_replaced_and_not_followed(root: Path, tmp_path: Path) -> None:
    """And put back as a link."""
    secret = tmp_path / "outside" / "secret"
    (root / "etc" / "conf").symlink_to(secret)
    tree = Tree(root)
    was = tree.found("/etc/conf")
    assert was == Was(form=Form.LINK, target=str(secret))
    assert tree.read("/etc/conf") is None
    tree.write("/etc/conf", b"new", 0o600)
    assert (tree.read("/etc/conf"), secret.read_text()) == (b"new", "secret")
    tree.put("/etc/conf", was)
    assert os.readlink(root / "etc" / "conf") == str(secret)


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(root: Path, tmp_path: Path) -> None:
    """What is open stays what it was: the walk holds folders, not names."""

    class Swapping(Disk):
        def create(self, name: str, folder: int, mode: int, flags: int = os.O_WRONLY | os.O_EXCL) -> int:
            (root / "etc").rename(root / "was")
            (root / "etc").symlink_to(tmp_path / "outside")
            return super().create(name, folder, mode, flags)

    Tree(root, Swapping()).write("/etc/secret", b"new", 0o644)
    assert (tmp_path / "outside" / "secret").read_text() == "secret"
    assert (root / "was" / "secret").read_text() == "new"


def test_a_file_is_written_with_its_mode_whatever_the_umask(root: Path) -> None:
    """And with the folders that it lacks; these go again with it, unless something was put into them."""
    tree = Tree(root)
    before = os.umask(0o077)
    try:
        tree.write("/opt/app/conf.d/x", b"one", 0o640)
    finally:
        os.umask(before)
    path = root / "opt" / "app" / "conf.d" / "x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    (root / "opt" / "other").write_text("x")
    tree.put("/opt/app/conf.d/x", Was(form=Form.ABSENT, missing=3))
    assert os.listdir(root / "opt") == ["other"]


def test_a_file_keeps_its_owner(root: Path) -> None:
    """Replaced and put back."""
    path = root / "etc" / "x"
    path.write_text("old")
    os.chown(path, 7, 8)
    path.chmod(0o4711)
    tree = Tree(root)
    was = tree.found("/etc/x")
    tree.write("/etc/x", b"new", 0o600)
    assert (path.stat().st_uid, path.stat().st_gid, path.read_text()) == (7, 8, "new")
    tree.put("/etc/x", was)
    assert (path.read_text(), path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == ("old", 7, 0o4711)


def test_a_file_is_given_to_whom_it_is_to_be(root: Path) -> None:
    """By name, whoever had it; who is not known on this host is told, and nothing is written."""
    tree = Tree(root)
    tree.write("/etc/x", b"one", 0o640, owner="nobody", group="nogroup")
    assert tree.access("/etc/x") == Access(mode=0o640, owner="nobody", group="nogroup")
    tree.write("/etc/x", b"two", 0o600, owner="root")
    assert tree.access("/etc/x") == Access(mode=0o600, owner="root", group="nogroup")
    os.chown(root / "etc" / "x", 54321, 54322)
    assert tree.access("/etc/x") == Access(mode=0o600, owner="54321", group="54322")
    for what in ({"owner": "kubenode-none"}, {"group": "kubenode-none"}):
        with pytest.raises(
            StepFailed, match=r"this host has no (user|group) kubenode-none; make it, or name another"
        ):
            tree.write("/etc/x", b"three", 0o600, **what)
    assert (root / "etc" / "x").read_bytes() == b"two"


def test_access_is_of_a_plain_file(root: Path) -> None:
    """At that very path."""
    (root / "etc" / "link").symlink_to("x")
    (root / "etc" / "folder").mkdir()
    (root / "etc" / "aside").symlink_to("folder")
    (root / "etc" / "folder" / "x").write_text("x")
    for path in ("/etc/link", "/etc/folder", "/etc/none", "/none/x", "/etc/aside/x", "/etc/folder/x/y"):
        assert Tree(root).access(path) is None


def test_a_file_is_removed_as_it_was_written(root: Path) -> None:
    """And no other; one that is gone is removed."""
    tree, path = Tree(root), root / "etc" / "x"
    path.write_text("ours")
    tree.remove("/etc/x", b"ours")
    assert not path.exists()
    tree.remove("/etc/x", b"ours")
    path.write_text("mine")
    (root / "etc" / "link").symlink_to("x")
    for name in ("x", "link"):
        with pytest.raises(StepFailed, match=f"/etc/{name} is not what was written there, so it stays"):
            tree.remove(f"/etc/{name}", b"ours")
    assert path.read_text() == "mine"


def test_a_read_only_disk_is_told_with_what_to_do(root: Path) -> None:
    """As one that is full."""

    class Sealed(Disk):
        number = errno.EROFS

        def create(self, *_: Any, **__: Any) -> int:
            """Refuse."""
            raise OSError(self.number, os.strerror(self.number))

    with pytest.raises(StepFailed, match=r"/etc/x: Read-only file system; find out why, and remount it"):
        Tree(root, Sealed()).write("/etc/x", b"", 0o644)
    Sealed.number = errno.ENOSPC
    with pytest.raises(StepFailed, match=r"/etc/x: No space left on device; make room"):
        Tree(root, Sealed()).write("/etc/x", b"", 0o644)


def test_what_is_no_file_is_left_alone(root: Path) -> None:
    """A folder, a pipe that nobody writes to, a file that is too large to be kept."""
    (root / "etc" / "folder").mkdir()
    os.mkfifo(root / "etc" / "pipe")
    with (root / "etc" / "large").open("wb") as file:
        file.truncate(MOST + 2)
    tree = Tree(root)
    for name in ("folder", "pipe"):
        assert tree.read(f"/etc/{name}") is None
        with pytest.raises(StepFailed, match="is no plain file; move it away"):
            tree.found(f"/etc/{name}")
        with pytest.raises(StepFailed, match="is no plain file"):
            tree.write(f"/etc/{name}", b"x", 0o644)
    assert len(tree.read("/etc/large") or b"") == MOST + 1
    with pytest.raises(StepFailed, match=f"more than {MOST} bytes"):
        tree.found("/etc/large")
    assert tree.read("/etc/large/x") is None
    with pytest.raises(StepFailed, match="Not a directory"):
        tree.write("/etc/large/x", b"x", 0o644)


class Failing(Disk):
    """A disk on which one kind of act fails."""

    def __init__(self, what: str) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        setattr(self, what, fail)


@pytest.mark.parametrize("what", ["create", "write", "mode", "sync", "rename"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(root: Path, what: str) -> None:
    """Whichever act it is that fails."""
    path = root / "etc" / "x"
    path.write_text("old")
    tree = Tree(root, Failing(what))
    with pytest.raises(StepFailed, match="/etc/x: No space left on device"):
        tree.write("/etc/x", b"new", 0o644)
    assert (path.read_text(), os.listdir(root / "etc")) == ("old", ["x"])


def test_what_a_write_left_behind_is_taken_away_by_the_next(root: Path) -> None:
    """A crash leaves a file beside the one that was to be."""

    class Dying(Disk):
        def rename(self, old: str, new: str, folder: int) -> None:
            raise SystemExit  # nothing is tidied

    with pytest.raises(SystemExit):
        Tree(root, Dying()).write("/etc/x", b"1", 0o644)
    assert len(os.listdir(root / "etc")) == 1
    Tree(root).write("/etc/x", b"2", 0o644)
    assert os.listdir(root / "etc") == ["x"]
