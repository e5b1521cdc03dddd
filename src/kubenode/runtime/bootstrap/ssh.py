"""The way to a host over SSH: its key is checked before anything is said, and what is run is an argv. Uses `asyncssh`."""

import asyncio
import shlex
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.identity import digest
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.tree import MOST, NOTHING, Form, StepFailed, Was
from kubenode.runtime.bootstrap.remote import COMMAND_LIMIT, QUIET, Lost

try:
    import asyncssh
except ModuleNotFoundError as missing:
    _HINT: Final = f"SSH needs the package {missing.name}: pip install 'kubenode[ssh]'"
    raise ModuleNotFoundError(_HINT, name=missing.name) from missing

SYSTEM_KEYS: Final = Path("/etc/ssh/ssh_known_hosts")
_CONNECT_LIMIT: Final = 20.0
_PREFERRED: Final = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]
_SIGNED: Final = [f"{one}-cert-v01@openssh.com" for one in _PREFERRED]
_BLOCK: Final = 1 << 18
_AGAIN: Final = "repeat the command: it goes on where it was"


@attrs.frozen(kw_only=True)
class Login:
    """How to log in on a host.

    Attributes:
        host: name or address, as for ssh; `~/.ssh/config` is read.
        port: None: as the configuration says, else 22.
        user: who logs in.
        identity: a file with a private key; None: those of ~/.ssh and of the SSH agent.
        known_hosts: files with the keys of hosts; those that are not there are left out.
        host_key: the fingerprint (SHA256:...) that a person has checked, for a host that none of them knows.
    """

    host: str
    port: int | None = None
    user: str = "root"
    identity: Path | None = None
    known_hosts: Sequence[Path] = ()
    host_key: str | None = None


class _Known(asyncssh.SSHClient):
    """Says whether the key of a host may be believed that is not among the known ones; that is a person's word only."""

    def __init__(self, login: Login, known: Any) -> None:
        self._login = login
        self._known = known
        self.refused = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        found = key.get_fingerprint("sha256")
        if asyncssh.match_known_hosts(self._known, host, addr, port)[0]:
            self.refused = f"has the key {found}, and another one is known of it"
            return False
        if self._login.host_key is None:
            self.refused = f"has the key {found}, which nobody has said is its own"
        elif self._login.host_key != found:
            self.refused = f"has the key {found}, and not {self._login.host_key}"
        return not self.refused


@asynccontextmanager
async def connected(login: Login) -> AsyncIterator["SshHost"]:
    """Log in on a host.

    Raises:
        InvalidObjectError: its key is not known, or it does not let us in.
        Lost: it is not reached.
    """
    known = _known_hosts(login)
    asker = _Known(login, known)
    more: dict[str, Any] = {} if login.identity is None else {"client_keys": [str(login.identity)]}
    try:
        more |= await _offered(login, known)
        connection = await asyncssh.connect(
            login.host, login.port or (), username=login.user, known_hosts=known, client_factory=lambda: asker,
            password_auth=False, kbdint_auth=False, agent_forwarding=False, keepalive_interval=15,
            connect_timeout=_CONNECT_LIMIT, login_timeout=_CONNECT_LIMIT, **more,
        )  # fmt: skip
    except asyncssh.HostKeyNotVerifiable as error:
        raise _refused(
            login, asker.refused or f"is not believed: {error.reason}", _key_fix(login, asker)
        ) from error
    except asyncssh.PermissionDenied as error:
        fix = (
            f"ssh-copy-id {login.user}@{login.host}, load the key into ssh-agent, or name it with --identity"
        )
        raise _refused(login, f"does not let {login.user} in", fix) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        fix = "load it into ssh-agent, or name another with --identity"
        raise _refused(login, f"is not asked, since a key cannot be read: {error}", fix) from error
    except (asyncssh.Error, OSError) as error:
        raise Lost(
            f"{login.host} is not reached: {_why(error)}", f"ssh {login.user}@{login.host} has to work"
        ) from error
    except ValueError as error:  # of ~/.ssh/config, or a name that no host can have
        fix = "mend what it says, in ~/.ssh/config or in the name"
        raise _refused(login, f"is not asked: {error}", fix) from error
    async with connection:
        yield SshHost(login.host, connection, await _files(login, connection))


async def _files(login: Login, connection: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
    """Begin with SFTP; what a shell prints at its start would stand where the server's answer is looked for."""
    try:
        with _told(login.host):
            try:
                async with asyncio.timeout(_CONNECT_LIMIT):
                    return await connection.start_sftp_client()
            except asyncssh.ChannelOpenError as error:
                what = f"offers no SFTP: {_why(error)}"
                raise _refused(login, what, "Subsystem sftp in its sshd_config") from error
    except (StepFailed, TimeoutError) as error:
        what = f"does not answer by SFTP as it should: {_why(error)}"
        raise _refused(login, what, f"{QUIET}; sftp {login.user}@{login.host} has to work") from error


async def _offered(login: Login, known: asyncssh.SSHKnownHosts) -> dict[str, Any]:
    """Give which kinds of keys the host is asked for; nothing where one is known, by the name that `~/.ssh/config` gives it.

    Else the fingerprint is the one that people look at. Raises ValueError.
    """
    said = await asyncssh.SSHClientConnectionOptions.construct(
        config=(), host=login.host, port=login.port or (), username=login.user, client_keys=None
    )
    keys, authorities, *_ = known.match(said.host_key_alias or said.host, "", said.port)
    return {} if keys else {"server_host_key_algs": [*(_SIGNED if authorities else ()), *_PREFERRED]}


def _key_fix(login: Login, asker: _Known) -> str:
    if not asker.refused:  # of the host in between
        return f"log in once with ssh {login.user}@{login.host}, by the jump host that ~/.ssh/config names"
    if "another one" in asker.refused:
        return "find out why; if it was made anew, ssh-keygen -R HOST, and give the key that it shows itself with --host-key"
    return "compare it with what the host shows itself (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then --host-key SHA256:..., or log in once with ssh"


def _refused(login: Login, what: str, fix: str) -> InvalidObjectError:
    return InvalidObjectError((Problem(where=login.host, what=what, fix=fix),))


def _known_hosts(login: Login) -> asyncssh.SSHKnownHosts:
    texts = []
    for path in login.known_hosts:
        with suppress(FileNotFoundError):
            texts.append(path.read_text(errors="replace"))
    try:
        return asyncssh.import_known_hosts("\n".join(texts))
    except ValueError as error:
        raise _refused(login, f"is not asked: {error}", "mend the file of --known-hosts") from error


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_CONNECT_LIMIT:.0f} s"
    return str(getattr(error, "reason", "")) or str(error) or type(error).__name__


@contextmanager
def _told(host: str, path: str = "") -> Iterator[None]:
    """Turn what asyncssh raises into what a `Remote` raises."""
    try:
        yield
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
        raise Lost(f"the connection to {host} broke off", _AGAIN) from error
    except asyncssh.SFTPError as error:
        raise StepFailed(f"{path or 'SFTP'}: {_why(error)}") from error
    except (asyncssh.Error, BrokenPipeError, ConnectionError) as error:
        raise Lost(f"the connection to {host} broke off: {_why(error)}", _AGAIN) from error


class SshHost:
    """A host that somebody has logged in to; a `Remote`."""

    def __init__(
        self, name: str, connection: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient
    ) -> None:
        self._name = name
        self._connection = connection
        self._sftp = sftp

    async def run(self, argv: Sequence[str], limit: float = COMMAND_LIMIT) -> Ran:
        """Run a program: SSH has one string for it, in which each word is quoted."""
        with _told(self._name):
            try:
                done = await self._connection.run(
                    shlex.join(argv), stdin=asyncssh.DEVNULL, errors="replace", timeout=limit
                )
            except (TimeoutError, asyncssh.TimeoutError):
                return Ran(code=None)
        if done.returncode is None:  # the connection ended before the program
            raise Lost(f"the connection to {self._name} broke off", _AGAIN)
        out, err = str(done.stdout or ""), str(done.stderr or "")
        return Ran(code=done.returncode, out=out, tail=out[-2000:] + err[-2000:])

    async def found(self, path: str) -> Was:
        """Tell what stands at a path."""
        with _told(self._name, path):
            try:
                held = await self._sftp.lstat(path)
            except asyncssh.SFTPNoSuchFile:
                return attrs.evolve(NOTHING, missing=await self._missing(path))
            mode = held.permissions or 0
            if stat.S_ISLNK(mode):
                # Not by SFTP: servers differ in what they make of a target.
                return Was(form=Form.LINK, target=await self._said("readlink", "-n", "--", path))
            if not stat.S_ISREG(mode):
                raise StepFailed(f"{path} is no plain file; move it away")
            if (held.size or 0) > MOST:
                raise StepFailed(f"{path} has more than {MOST} bytes; move it away")
            async with self._sftp.open(path, "rb") as file:
                content: Any = await file.read()
        return Was(
            form=Form.FILE, content=content, mode=stat.S_IMODE(mode), user=held.uid or 0, group=held.gid or 0
        )  # fmt: skip

    async def _missing(self, path: str) -> int:
        parts = path.split("/")[1:-1]
        for count in range(len(parts), 0, -1):
            if await self._sftp.lexists("/" + "/".join(parts[:count])):
                return len(parts) - count
        return len(parts)

    async def put(self, path: str, was: Was) -> None:
        """Let this stand at a path, or what was there."""
        folder = path.rpartition("/")[0]
        with _told(self._name, path):
            if was.form is Form.ABSENT:
                await self._remove(path, was.missing)
                return
            await self._sftp.makedirs(folder, exist_ok=True)
            new = f"{folder}/.kubenode-{digest(path)}.new"
            with suppress(asyncssh.SFTPNoSuchFile):
                await self._sftp.remove(new)  # of a write that was cut short
            try:
                if was.form is Form.LINK:
                    await self._said("ln", "-s", "-T", "--", was.target, new)
                else:
                    await self._fill(new, was)
                await self._sftp.posix_rename(new, path)
            except (asyncssh.SFTPError, StepFailed):
                with suppress(asyncssh.SFTPError):
                    await self._sftp.remove(new)
                raise
        await self._said("sync", folder)

    async def _fill(self, path: str, was: Was) -> None:
        private = asyncssh.SFTPAttrs(permissions=0o600)
        async with self._sftp.open(path, "xb", private) as file:
            await file.write(was.content)
            if was.user or was.group:
                await file.setstat(asyncssh.SFTPAttrs(uid=was.user, gid=was.group))
            await file.setstat(asyncssh.SFTPAttrs(permissions=was.mode))
            await file.fsync()

    async def _remove(self, path: str, folders: int) -> None:
        with suppress(asyncssh.SFTPNoSuchFile):
            await self._sftp.remove(path)
        parts = path.split("/")[1:-1]
        for count in range(len(parts), len(parts) - folders, -1):
            try:
                await self._sftp.rmdir("/" + "/".join(parts[:count]))
            except asyncssh.SFTPNoSuchFile:
                continue
            except asyncssh.SFTPFailure:
                return  # somebody has put something in

    async def send(self, local: Path, path: str) -> None:
        """Copy a file of here to a path."""
        with _told(self._name, path), local.open("rb") as source:
            async with self._sftp.open(path, "wb", asyncssh.SFTPAttrs(permissions=0o600)) as file:
                while block := source.read(_BLOCK):
                    await file.write(block)
                await file.fsync()

    async def _said(self, *argv: str) -> str:
        done = await self.run(argv)
        if not done.succeeded:
            raise StepFailed(f"{' '.join(argv[:2])} failed: {done.tail[-200:]}")
        return done.out
