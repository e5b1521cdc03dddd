"""The bytes of user data: what they hold, that they are the same each time, and what becomes of them at a first boot."""

import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.userdata.render import INSTALL, LIMIT, rendered
from tests.userdata.boot import booted, config_of
from tests.userdata.bundles import served
from tests.userdata.cloud_init import judged
from tests.userdata.given import AUTHORITY, NOW, SERVER, SHA, UID, settings
from tests.userdata.test_own import GOOD

PROGRAM = '#!/bin/sh\necho "kubenode $*"\n'


def data(own: str = "", **change: Any) -> bytes:
    """User data of the first attempt for m1."""
    made = settings(**change)
    return rendered(own, made.enrolling(made.token("m1", UID, 1, NOW)))


def test_it_is_files_and_one_program_with_arguments() -> None:
    """No value is part of a command line; what only root may read is for root only."""
    token = settings().token("m1", UID, 1, NOW)
    config = config_of(data())
    files = {one["path"]: one for one in config["write_files"]}
    assert files[s.TOKEN]["content"] == f"{token.text}\n"
    assert files[s.CA]["content"] == AUTHORITY
    assert files[s.ENV]["content"] == f"MACHINE=m1\nSERVER={SERVER}\n"
    assert files[s.UNIT_FILE]["content"] == settings().unit
    modes = {path: one["permissions"] for path, one in files.items()}
    assert modes == {s.CA: "0600", s.ENV: "0600", s.TOKEN: "0600", s.UNIT_FILE: "0644", INSTALL: "0700"}
    assert config["runcmd"] == [["sh", INSTALL, SHA[:12], SHA, "https://mirror/kubenode.tar.gz?sig=a%26b"]]
    assert config_of(data(bundle_url="", bundle_sha256=""))["runcmd"] == [["sh", INSTALL]]
    program = files[INSTALL]["content"]
    assert not any(value in program for value in (SERVER, SHA, "mirror", token.secret, "m1"))


def test_what_people_wrote_stays_as_it_is() -> None:
    """Without an agent nothing is added to it."""
    assert rendered("#!/bin/sh\né\n", None) == "#!/bin/sh\né\n".encode()
    assert rendered("", None) == b""


@pytest.mark.parametrize("own", ["", *GOOD.values()], ids=["none", *GOOD])
def test_the_same_things_give_the_same_bytes(own: str) -> None:
    """The token of the create stands for them; another attempt has others."""
    made = settings()
    assert data(own) == data(own)
    assert data(own) != rendered(own, made.enrolling(made.token("m1", UID, 2, NOW)))
    assert len(data(own)) < LIMIT // 2, "most of it is left for people"


JUDGED = {name: text for name, text in {"none": "", **GOOD}.items() if name not in ("include", "template")}
LISTS = "#cloud-config\nruncmd:\n- [touch, /a]\nwrite_files:\n- {path: /b, content: c}\nhostname: h\n"
ODD = "https://mirror/b.tar.gz?a='$(id)'&b=`id`;c=%20"


@pytest.fixture(scope="module")
def by_cloud_init() -> Mapping[str, Any]:
    """What cloud-init makes of each, in one process of it."""
    raws = {
        **{name: data(own) for name, own in JUDGED.items()},
        "lists": data(LISTS),
        "odd": data(bundle_url=ODD),
    }
    return dict(zip(raws, judged(raws.values()), strict=True))


def test_cloud_init_takes_it(by_cloud_init: Mapping[str, Any]) -> None:
    """Its own code unpacks and merges it, and its schema has nothing to say; nothing of people's is lost."""
    for name, own in JUDGED.items():
        found, ours = by_cloud_init[name], config_of(data(own))
        assert found["problems"] == [], name
        config = found["config"]
        assert [one for one in config["write_files"] if one in ours["write_files"]] == ours["write_files"], (
            name
        )
        assert config["runcmd"][-1:] == ours["runcmd"], name
        assert ("packages" in config) is ("packages" in own), name
        scripts = [kind for kind, text in found["others"] if text.startswith("#!/bin")]
        assert scripts == (["text/x-shellscript"] if "#!/bin" in own and "boothook" not in own else []), name


def test_cloud_init_adds_ours_to_the_commands_and_files_of_people(by_cloud_init: Mapping[str, Any]) -> None:
    """By default it would keep the first list and drop ours without a word."""
    found = by_cloud_init["lists"]
    assert found["problems"] == []
    assert found["config"]["runcmd"] == [["touch", "/a"], *config_of(data(LISTS))["runcmd"]]
    assert [one["path"] for one in found["config"]["write_files"]] == [
        "/b",
        s.CA,
        s.ENV,
        s.TOKEN,
        s.UNIT_FILE,
        INSTALL,
    ]
    assert found["config"]["hostname"] == "h"


def test_cloud_init_quotes_what_is_odd(by_cloud_init: Mapping[str, Any]) -> None:
    """A URL with whatever a URL may hold is one argument of the program."""
    quoted = "'" + ODD.replace("'", "'\\''") + "'"
    assert quoted in by_cloud_init["odd"]["script"]


def test_at_the_first_boot_the_bundle_is_installed_and_the_unit_started(tmp_path: Path) -> None:
    """And at another one, as when a disk is cloned, all is as it was; an identity that the image brought is put away."""
    identity = tmp_path / "root" / s.IDENTITY[1:]
    identity.parent.mkdir(parents=True)
    identity.write_text("of the host that the image was made of")
    with served(tmp_path / "web", PROGRAM) as (url, sha256):
        raw = data(bundle_url=url, bundle_sha256=sha256)
        for _ in range(2):
            ended = booted(raw, tmp_path)
            assert (ended.returncode, ended.stderr) == (0, "")
    root = tmp_path / "root"
    assert (root / s.LINK[1:]).readlink() == Path(f"{sha256[:12]}/bin")
    assert (root / s.PROGRAM[1:]).read_text() == PROGRAM
    assert stat.S_IMODE((root / s.TOKEN[1:]).stat().st_mode) == 0o600
    assert not identity.exists()
    assert (root / s.RETIRED[1:]).exists()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["systemctl daemon-reload", f"systemctl enable --now {s.UNIT}"] * 2
    assert sorted(path.name for path in (root / s.OPT[1:]).iterdir()) == sorted(["bin", sha256[:12]])


def test_another_bundle_than_its_sha256_says_is_not_run(tmp_path: Path) -> None:
    """The agent is not started, and the Machine says JoinTimeout in the end."""
    with served(tmp_path / "web", '#!/bin/sh\ntouch "$ROOT/ran"\n') as (url, _):
        ended = booted(data(bundle_url=url), tmp_path)
    assert ended.returncode != 0
    assert "FAILED" in ended.stdout + ended.stderr
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "calls").exists()
    shutil.rmtree(tmp_path / "root")
