"""The way to a host over SSH: a real server on loopback, a real import through it, and whose key is believed."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import attrs
import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.agent.tree import NOTHING, Form, StepFailed, Was
from kubenode.runtime.bootstrap import ssh
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.remote import Lost
from kubenode.runtime.bootstrap.ssh import Login, SshHost, connected
from tests.runtime.bootstrap.rooted import Server, Stand, stand


@asynccontextmanager
async def served(made: Stand, folder: Path, *more: Any) -> AsyncIterator[tuple[Login, list[str]]]:
    """Serve the files and programs of a host; give who may log in, and what was run."""
    key, mine, lines = (
        asyncssh.generate_private_key("ssh-ed25519"),
        asyncssh.generate_private_key("ssh-ed25519"),
        [],
    )
    mine.write_private_key(folder / "id")
    mine.write_public_key(folder / "authorized")

    async def run(process: asyncssh.SSHServerProcess[str]) -> None:
        lines.append(process.command or "")
        code, out, err = await asyncio.to_thread(made.host.execute, shlex.split(process.command or ""))
        process.stdout.write(out)
        process.stderr.write(err)
        process.exit(code)

    def files(channel: Any) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=str(made.host.root).encode())

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key, *more], authorized_client_keys=str(folder / "authorized"), process_factory=run,
        sftp_factory=files,
    )  # fmt: skip
    async with server:
        port = server.get_port()
        known = folder / "known"
        known.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
        yield Login(host="127.0.0.1", port=port, identity=folder / "id", known_hosts=(known,)), lines


def on(tmp_path: Path, test: Any, *more: Any) -> Any:
    """Run a test with a host that is served, which has `more` keys."""
    made = stand(tmp_path)
    made.host.quick = False

    async def run() -> Any:
        async with served(made, tmp_path, *more) as (login, lines):
            return await test(made, login, lines)

    return asyncio.run(run())


def test_a_whole_import_and_a_failed_one_over_ssh(tmp_path: Path) -> None:
    """With the programs of a host: what fails is undone, and what is repeated goes through; no token is in an argv."""

    async def test(made: Stand, login: Login, lines: list[str]) -> None:
        before = made.host.state()
        tokens: list[str] = []

        async def create(kind: Any, obj: Any, **more: Any) -> Any:
            if kind.name == "Secret":
                tokens.append(obj["stringData"]["token-secret"])
            return await Server.create(made.server, kind, obj, **more)

        made.server.create = create  # type: ignore[method-assign]
        wanted = attrs.evolve(made.importing(), connect=lambda: connected(login))
        assert made.bundle is not None
        broken = attrs.evolve(made.bundle, sha256="0" * 64)
        with pytest.raises(Exception, match=r"arrived with sha256 .*; the host is as it was"):
            await attrs.evolve(wanted, order=attrs.evolve(wanted.order, bundle=broken)).run()
        assert made.host.state() == before
        assert (await wanted.run()).phase == "Running"
        state = made.host.state()
        assert (state["etc/kubenode/ca.crt"][0], state[s.UNIT_FILE[1:]][0]) == (0o600, 0o644)
        assert state["opt/kubenode/bin"] == f"{made.bundle.name}/bin"
        assert "etc/kubenode/token" not in state
        assert (await wanted.run()).steps == ()
        assert len(tokens) == 2
        assert not [line for line in (*lines, *made.told) for token in tokens if token in line]

    on(tmp_path, test)


def test_each_word_of_an_argv_arrives_as_one(tmp_path: Path) -> None:
    """No shell of the host takes it apart."""

    async def test(_: Stand, login: Login, lines: list[str]) -> None:
        words = ("printf", "%s|", "a b", "$(id)", "; rm -rf x", "'", '"', "*", "")
        async with connected(login) as host:
            assert (await host.run(words)).out == "".join(f"{word}|" for word in words[2:])
            assert (await host.run(("sh", "-c", "exit 7"))).code == 7
        assert all(shlex.split(line) for line in lines)

    on(tmp_path, test)


def test_files_are_as_they_were_put(tmp_path: Path) -> None:
    """Content, mode, links, folders that were missing and go again; what is no plain file is refused."""

    async def test(made: Stand, login: Login, _: list[str]) -> None:
        async with connected(login) as host:
            before = made.host.state()
            nothing = await host.found("/etc/a/b/c")
            assert nothing == attrs.evolve(NOTHING, missing=2)
            await host.put("/etc/a/b/c", Was(form=Form.FILE, content=b"x", mode=0o640))
            found = await host.found("/etc/a/b/c")
            assert (found.form, found.content, found.mode) == (Form.FILE, b"x", 0o640)
            await host.put("/etc/a/b/c", Was(form=Form.LINK, target="d/e"))
            assert await host.found("/etc/a/b/c") == Was(form=Form.LINK, target="d/e")
            await host.put("/etc/a/b/c", nothing)
            assert made.host.state() == before
            with pytest.raises(StepFailed, match="no plain file"):
                await host.found("/etc/ssh")
            with pytest.raises(StepFailed):
                await host.put("/etc/ssh", Was(form=Form.FILE, content=b"x", mode=0o600))
            assert made.host.state() == before

    on(tmp_path, test)


def test_a_connection_that_broke_off_is_told_as_such(tmp_path: Path) -> None:
    """Whatever is asked of it then."""

    async def test(_: Stand, login: Login, __: list[str]) -> None:
        async with connected(login) as host:
            assert isinstance(host, SshHost)
            host._connection.abort()
            await host._connection.wait_closed()
            for ask in (host.run(("true",)), host.found("/etc/x"), host.put("/etc/x", Was(form=Form.FILE))):
                with pytest.raises(Lost, match="broke off"):
                    await ask

    on(tmp_path, test)


async def _refused(login: Login) -> str:
    with pytest.raises(InvalidObjectError) as caught:
        async with connected(login):
            pytest.fail("it was let in")
    (problem,) = caught.value.problems
    assert problem.fix
    return problem.what


def test_a_host_is_believed_by_its_key_or_by_a_persons_word_only(tmp_path: Path) -> None:
    """Unknown: refused, with its fingerprint; with that as the word: believed; another word, or another known key: never."""

    async def test(_: Stand, login: Login, __: list[str]) -> None:
        unknown = attrs.evolve(login, known_hosts=())
        said = await _refused(unknown)
        assert said.endswith("which nobody has said is its own")
        fingerprint = said.split()[3].rstrip(",")
        assert fingerprint.startswith("SHA256:")
        async with connected(attrs.evolve(unknown, host_key=fingerprint)):
            pass
        assert "and not SHA256:other" in await _refused(attrs.evolve(unknown, host_key="SHA256:other"))
        line = login.known_hosts[0].read_text()
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        login.known_hosts[0].write_text(f"{line.split()[0]} {other}")
        assert "another one is known" in await _refused(attrs.evolve(login, host_key=fingerprint))

    on(tmp_path, test)


def test_who_may_not_log_in_is_told_so(tmp_path: Path) -> None:
    """A key that the host does not know, and a host that is not there."""

    async def test(_: Stand, login: Login, __: list[str]) -> None:
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
        assert "does not let root in" in await _refused(attrs.evolve(login, identity=tmp_path / "other"))
        with pytest.raises(Lost, match="is not reached"):
            async with connected(attrs.evolve(login, port=1)):
                pytest.fail("it was let in")

    on(tmp_path, test)


def _named(home: Path, port: int, more: str = "") -> None:
    """Let `~/.ssh/config` know a host by another name than its address."""
    (home / ".ssh").mkdir(exist_ok=True)
    config = f"Host brought\n  HostName localhost\n  Port {port}\n{more}"
    (home / ".ssh/config").write_text(config)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the person who imports, without an SSH agent."""
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return made


@pytest.mark.parametrize("alias", ["", "  HostKeyAlias kept\n"])
def test_a_host_is_reached_by_its_name_and_known_by_any_of_its_keys(
    tmp_path: Path, home: Path, alias: str
) -> None:
    """By the name that ~/.ssh/config knows; it offers the key that is known of it, though it has one that is preferred."""
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048)

    async def test(_: Stand, login: Login, __: list[str]) -> None:
        port = login.port
        assert port is not None
        _named(home, port, alias)
        login.known_hosts[0].write_text("")
        wanted = attrs.evolve(login, host="brought", port=None)
        assert (await _refused(wanted)).endswith("which nobody has said is its own")
        name = "kept" if alias else "localhost"
        login.known_hosts[0].write_text(f"[{name}]:{port} {rsa.export_public_key().decode()}")
        async with connected(wanted) as host:
            assert (await host.run(["id", "-u"])).out == "0\n"

    on(tmp_path, test, rsa)


@pytest.mark.parametrize("signed", [True, False])
def test_a_host_may_be_known_by_who_signs_its_key(tmp_path: Path, home: Path, signed: bool) -> None:
    """One whose key is not signed is as unknown as any other, and its own key is told."""
    authority = asyncssh.generate_private_key("ssh-ed25519")
    mine = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    held = authority.generate_host_certificate(mine, "brought", principals=["localhost"])

    async def test(_: Stand, login: Login, __: list[str]) -> None:
        _named(home, login.port or 22)
        line = f"@cert-authority [localhost]:{login.port} {authority.export_public_key().decode()}"
        login.known_hosts[0].write_text(line)
        wanted = attrs.evolve(login, host="brought", port=None)
        if signed:
            async with connected(wanted) as host:
                assert (await host.run(["id", "-u"])).out == "0\n"
        else:
            assert (await _refused(wanted)).endswith("which nobody has said is its own")

    on(tmp_path, test, *([(mine, held)] if signed else []))


@pytest.mark.parametrize(
    ("host", "more"), [("h1..example", ""), ("a" * 70, ""), ("brought", "Match sessiontype exec\n")]
)
def test_a_name_that_no_host_can_have_and_a_config_that_cannot_be_read_are_refused(
    tmp_path: Path, home: Path, host: str, more: str
) -> None:
    """As one that cannot be imported, with what to mend: the other hosts go on."""

    async def test(_: Stand, login: Login, __: list[str]) -> None:
        _named(home, login.port or 22, more)
        assert (await _refused(attrs.evolve(login, host=host))).startswith("is not asked: ")

    on(tmp_path, test)


def test_whose_key_is_not_known_is_told_apart_behind_a_jump_host(tmp_path: Path, home: Path) -> None:
    """The jump host's key is not the host's: the fix is to log in once, and then the host is reached."""

    class Jump(asyncssh.SSHServer):
        def connection_requested(self, *_: Any) -> bool:
            return True

    async def test(_: Stand, login: Login, __: list[str]) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        jump = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], authorized_client_keys=str(tmp_path / "authorized"), server_factory=Jump
        )  # fmt: skip
        async with jump:
            between = f"Host between\n  HostName 127.0.0.1\n  Port {jump.get_port()}\n"
            _named(home, login.port or 22, f"  ProxyJump between\n{between}")
            (home / ".ssh/id_ed25519").write_bytes((tmp_path / "id").read_bytes())
            (home / ".ssh/id_ed25519").chmod(0o600)
            wanted = attrs.evolve(login, host="brought", port=None)
            assert "is not believed: Host key is not trusted" in await _refused(wanted)
            line = f"[127.0.0.1]:{jump.get_port()} {key.export_public_key().decode()}"
            (home / ".ssh/known_hosts").write_text(line)
            assert "is its own" in await _refused(wanted)
            known = login.known_hosts[0].read_text()
            login.known_hosts[0].write_text(known.replace("[127.0.0.1]", "[localhost]"))
            async with connected(wanted) as host:
                assert (await host.run(["id", "-u"])).out == "0\n"

    on(tmp_path, test)


class _Says(asyncssh.SSHServerSession[bytes]):
    """A shell that prints something where SFTP is asked for."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def connection_made(self, chan: Any) -> None:
        self._chan = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return bool(self._text)

    def session_started(self) -> None:
        self._chan.write(self._text)


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        (b"Welcome to brought\n", "does not answer by SFTP as it should", ".bashrc"),
        (b"Hi\n", "does not answer by SFTP as it should: no answer within", ".bashrc"),
        (b"", "offers no SFTP", "Subsystem sftp"),
    ],
)
def test_a_shell_that_greets_and_a_server_without_sftp_are_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, what: str, fix: str
) -> None:
    """Not as a connection that broke off, which a repeat would mend; and nobody waits for ever."""
    monkeypatch.setattr(ssh, "_CONNECT_LIMIT", 2.0)

    class Greeter(asyncssh.SSHServer):
        def session_requested(self) -> Any:
            return _Says(text)

    async def test() -> None:
        key, mine = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        mine.write_private_key(tmp_path / "id")
        mine.write_public_key(tmp_path / "authorized")
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], authorized_client_keys=str(tmp_path / "authorized"),
            server_factory=Greeter, encoding=None,
        )  # fmt: skip
        async with server:
            (tmp_path / "known").write_text(
                f"[127.0.0.1]:{server.get_port()} {key.export_public_key().decode()}"
            )
            login = Login(
                host="127.0.0.1", port=server.get_port(), identity=tmp_path / "id", known_hosts=(tmp_path / "known",)
            )  # fmt: skip
            with pytest.raises(InvalidObjectError, match=what) as caught:
                async with connected(login):
                    pytest.fail("it was let in")
            assert fix in caught.value.problems[0].fix

    asyncio.run(test())
