"""Settings, tokens and digests of user data; and why it cannot be had."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core.decision import UserData
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime.userdata.boots import Boots
from kubenode.runtime.userdata.files import read_settings
from kubenode.runtime.userdata.render import LIMIT
from kubenode.runtime.userdata.settings import TOKEN_LIFE
from tests.userdata.given import AUTHORITY, NOW, SHA, UID, effect, settings

AGENT = UserData(agent=True, attempt=1)


def digest(boots: Boots, wanted: UserData | None) -> str:
    """Give the digest of user data that can be had."""
    found = boots.digest("launch", wanted)
    assert isinstance(found, str)
    return found


def problem(boots: Boots, wanted: UserData) -> str:
    """Say why it cannot be had."""
    found = boots.digest("launch", wanted)
    assert isinstance(found, Problem)
    return found.what


def test_a_token_is_of_one_attempt_of_one_machine_and_the_same_in_every_process() -> None:
    """So what was sent can be sent again, byte for byte, though nobody kept it."""
    made = settings()
    token = made.token("m1", UID, 1, NOW)
    assert attrs.evolve(settings().token("m1", UID, 1, NOW)) == token
    assert made.token("m1", UID, 1, NOW + timedelta(hours=5)).text == token.text
    others = (
        made.token("m1", UID, 2, NOW),
        made.token("m1", UID[::-1], 1, NOW),
        settings(key=b"l" * 32).token("m1", UID, 1, NOW),
    )
    assert len({token.text, *(one.text for one in others)}) == 4
    assert len({token.id, *(one.id for one in others)}) == 4
    assert [len(part) for part in token.text.split(".")] == [6, 16]
    assert token.text.replace(".", "").isalnum()
    assert token.text == token.text.lower()
    assert token.expires == NOW + TOKEN_LIFE


def test_the_digest_says_what_is_sent_but_for_the_secret_of_the_token() -> None:
    """Whatever an operator or a spec changes, a token that stands for the old bytes is not used for the new ones."""
    plain = Boots(settings())
    known = [
        digest(plain, None), digest(plain, AGENT), digest(plain, attrs.evolve(AGENT, own="#!/bin/sh\n")),
        digest(plain, UserData(own="#!/bin/sh\n", attempt=1)), digest(plain, UserData(own="#!/bin/bash\n", attempt=1)),
    ]  # fmt: skip
    for change in (
        {"server": "https://10.0.0.2:6443"}, {"authority": AUTHORITY * 2}, {"unit": "[Service]\n"}, {"key": b"l" * 32},
        {"bundle_url": "https://mirror/other"}, {"bundle_sha256": "cd" * 32}, {"bundle_url": "", "bundle_sha256": ""},
    ):  # fmt: skip
        known.append(digest(Boots(settings(**change)), AGENT))
        assert digest(Boots(settings(**change)), None) == "launch", "what has no user data is as it was"
    assert len(set(known)) == len(known)
    assert known[0] == "launch"
    assert digest(Boots(settings()), AGENT) == known[1] == digest(plain, attrs.evolve(AGENT, attempt=7))


def test_a_controller_without_settings_says_so() -> None:
    """A condition with the fix, and no instance that never joins."""
    assert problem(Boots(), AGENT).startswith("UserDataUnavailable: ")
    assert digest(Boots(), UserData(own="#!/bin/sh\n", attempt=1)) != "launch", "what people wrote needs none"


def test_malformed_and_too_large_user_data_is_a_problem_of_the_spec() -> None:
    """To the byte, with what is put beside it, and whatever the machine is called."""
    assert problem(Boots(), UserData(own="hello", attempt=1)).startswith("UserDataInvalid: its first line")
    script = "#!/bin/sh\n"
    full = UserData(own=script + "#" * (LIMIT - len(script)), attempt=1)
    digest(Boots(), full)
    said = problem(Boots(), attrs.evolve(full, own=full.own + "#"))
    assert said == f"UserDataInvalid: {LIMIT + 1} bytes, and clouds take {LIMIT}"
    assert "bytes with what enrols the agent, and" in problem(
        Boots(settings()), attrs.evolve(full, agent=True)
    )
    longest = effect(AGENT, machine=attrs.evolve(effect(AGENT).machine, name="m" * 63))
    boots = Boots(settings())
    room = LIMIT - len(boots.bytes_of(longest, boots.token(longest, NOW)))
    wanted = UserData(own=script + "#" * (room - 900), agent=True, attempt=1)
    digest(boots, wanted)
    sent = attrs.evolve(longest, user_data=wanted)
    assert LIMIT - 600 < len(boots.bytes_of(sent, boots.token(sent, NOW))) <= LIMIT


def test_what_was_read_is_remembered_for_a_while() -> None:
    """Every decision asks."""
    boots = Boots()
    asked = [UserData(own=f"#!/bin/sh\n{n}", attempt=1) for n in range(300)]
    assert [digest(boots, one) for one in asked] == [digest(boots, one) for one in asked]
    assert boots.token(effect(asked[0]), NOW) is None
    assert boots.token(effect(None), NOW) is None
    assert boots.bytes_of(effect(None), None) == b""


def test_no_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor a token, in repr, problem or log."""
    made = settings(key=b"hunter2-hunter2-hunter2-hunter2-hunter2")
    token = made.token("m1", UID, 1, NOW)
    with caplog.at_level(logging.DEBUG):
        shown = (
            f"{made!r} {token!r} {made.enrolling(token)!r} {made.fingerprint} {effect(AGENT)!r} {caplog.text}"
        )
    assert "hunter2" not in shown
    assert token.secret not in shown
    with pytest.raises(InvalidObjectError) as refused:
        settings(key=b"hunter2")
    assert "hunter2" not in str(refused.value)
    assert "has 7 bytes; 32 random ones" in str(refused.value)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no https": ({"server": "http://10.0.0.1"}, "server: is no https URL"),
    "no host": ({"server": "https://"}, "server: is no https URL"),
    "a line": ({"server": "https://10.0.0.1\nX=1"}, "server: is no https URL"),
    "a quote": ({"server": "https://10.0.0.1/'"}, "server: is no https URL"),
    "no certificate": ({"authority": "hello"}, "ca: holds no certificates"),
    "a private key": (
        {"authority": AUTHORITY + "-----BEGIN PRIVATE KEY-----"},
        "ca: holds no certificates, or a private key",
    ),
    "not ASCII": ({"authority": AUTHORITY + "é"}, "ca: holds no certificates"),
    "a short key": ({"key": b"k" * 31}, "key_file: has 31 bytes"),
    "a URL": ({"bundle_url": "ftp://x"}, "bundle_url: is no plain"),
    "no digest": ({"bundle_sha256": ""}, "bundle_sha256: goes with bundle_url"),
    "no URL": ({"bundle_url": ""}, "bundle_sha256: goes with bundle_url"),
    "no SHA-256": ({"bundle_sha256": SHA[:-1]}, "bundle_sha256: is no SHA-256"),
}


@pytest.mark.parametrize("name", WRONG)
def test_settings_that_no_agent_could_enrol_with_are_refused(name: str) -> None:
    """When the controller starts, and not by each machine."""
    change, said = WRONG[name]
    with pytest.raises(InvalidObjectError) as refused:
        settings(**change)
    assert said in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """One start, one list."""
    with pytest.raises(InvalidObjectError) as refused:
        settings(server="x", authority="", key=b"", bundle_url="x")
    assert len(refused.value.problems) == 4


def written(folder: Path, text: str) -> Path:
    """Write the file of settings, and those that it names."""
    (folder / "ca.crt").write_text(AUTHORITY)
    (folder / "key").write_bytes(b"k" * 32)
    path = folder / "user-data.toml"
    path.write_text(text)
    return path


FILE = f'server = "https://10.0.0.1:6443"\nca_file = "ca.crt"\nkey_file = "key"\nbundle_url = "https://mirror/kubenode.tar.gz?sig=a%26b"\nbundle_sha256 = "{SHA}"\n'


def test_settings_are_read_from_a_file_and_those_beside_it(tmp_path: Path) -> None:
    """The unit is the one that kubenode brings."""
    assert read_settings(written(tmp_path, FILE)) == settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server = ", "Invalid value"),
        ('server = "https://10.0.0.1"\n', "ca_file"),
        (FILE.replace("ca.crt", "gone"), "ca_file: No such file or directory"),
        (FILE.replace('"key"', '"gone"'), "key_file: No such file or directory"),
        (FILE.replace("10.0.0.1", "127.0.0.1"), "is each instance itself"),
        (FILE.replace("https://10", "http://10"), "server: is no https URL"),
        (FILE + "key = 1\n", "key"),
    ],
)
def test_a_file_of_settings_that_is_wrong_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    """With its path, and what to do."""
    path = written(tmp_path, text)
    with pytest.raises(InvalidObjectError) as refused:
        read_settings(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As any other."""
    with pytest.raises(InvalidObjectError, match="No such file"):
        read_settings(tmp_path / "gone.toml")
