"""A look at a host, steps on it, and the way back: each step is undone by what was found before it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import attrs

from kubenode.core.enrol.identity import UID
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.keys import organizations, valid
from kubenode.runtime.agent.tree import NOTHING, Form, StepFailed, Was
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.remote import COMMAND_LIMIT, QUIET, Remote

_LONG: Final = 300.0
"""Seconds for what writes a whole bundle to a disk."""
_FILES: Final = (s.ENV, s.CA, s.TOKEN, s.UNIT_FILE)
_CERTIFICATE: Final = "/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p"


async def look(host: Remote, bundle: s.Bundle | None, name: str, now: datetime) -> s.Found:
    """Look at a host; nothing is changed there.

    Args:
        host: connected.
        bundle: whose folder is looked for.
        name: how problems name the host.
        now: the moment, for its certificate.

    Raises:
        InvalidObjectError: it cannot have an agent at all.
        StepFailed: it does not answer what it is asked.
        Lost: the connection broke off.
    """
    who = await _said(host, "id", "-u")
    if not who.isdecimal():
        raise InvalidObjectError(
            (Problem(where=name, what=f"says {who[:80]!r} when it is asked for a number", fix=QUIET),)
        )
    if who != "0":
        fix = "--user root; or paste what --paste prints into a root shell there"
        raise InvalidObjectError((Problem(where=name, what="whoever logs in there is not root", fix=fix),))
    if (await host.run(("systemctl", "--version"))).code != 0:
        fix = "agents run as units of systemd"
        raise InvalidObjectError((Problem(where=name, what="has no systemd", fix=fix),))
    files = {path: was.content for path in _FILES if (was := await host.found(path)).form is Form.FILE}
    try:
        link = await host.found(s.LINK)
    except StepFailed:
        link = None
    identity = await _is(host, "-f", s.IDENTITY)
    unpacked = bundle is not None and await _is(host, "-x", f"{bundle.folder}/bin/kubenode")
    return s.Found(
        machine=await _said(host, "uname", "-m"),
        boot_id=await _said(host, "cat", "/proc/sys/kernel/random/boot_id"),
        free=await _free(host), unpacked=unpacked, link="" if link is None else link.target,
        foreign=link is None or link.form is Form.FILE, program=await _is(host, "-x", s.PROGRAM), files=files,
        uid=await _uid(host, now) if identity else "", identity=identity, state=await _is(host, "-d", s.STATE),
        active=await _systemd(host, "is-active") in ("active", "activating"),
        enabled=await _systemd(host, "is-enabled") == "enabled",
    )  # fmt: skip


async def _is(host: Remote, what: str, path: str) -> bool:
    argv = ("test", what, path)
    return _answer(await host.run(argv), argv, most=1).succeeded


async def _systemd(host: Remote, question: str) -> str:
    argv = ("systemctl", question, s.UNIT)
    return _answer(await host.run(argv), argv, most=4).out.strip()


def _answer(ran: Ran, argv: Sequence[str], *, most: int) -> Ran:
    """Take no for an answer, by an exit status up to `most`; what could not be asked is none."""
    return ran if ran.code is not None and 0 <= ran.code <= most else _well(ran, argv)


async def _said(host: Remote, *argv: str) -> str:
    return _well(await host.run(argv), argv).out.strip()


def _well(ran: Ran, argv: Sequence[str]) -> Ran:
    if ran.succeeded:
        return ran
    how = "did not end in time" if ran.code is None else f"ended with {ran.code}"
    said = " ".join(ran.tail.split())[-400:]
    raise StepFailed(f"{' '.join(argv[:3])} {how}{': ' if said else ''}{said}")


async def _free(host: Remote) -> int:
    """Give the free bytes where bundles go."""
    for path in (s.OPT, "/opt", "/"):
        ran = await host.run(("stat", "-f", "-c", "%a %S", path))
        words = ran.out.split()
        if ran.succeeded and len(words) == 2 and all(word.isdecimal() for word in words):
            return int(words[0]) * int(words[1])
    raise StepFailed("stat does not say how much room there is below /opt")


async def _uid(host: Remote, now: datetime) -> str:
    """Give of which Machine the identity is, if its certificate is still good; its key stays there."""
    try:
        held = (await _said(host, "sed", "-n", _CERTIFICATE, s.IDENTITY)).encode()
        good = now < valid(held)[1]
        uids = [one.removeprefix(UID) for one in organizations(held) if one.startswith(UID)]
    except InvalidObjectError:
        return ""
    return uids[0] if good and uids else ""


@attrs.frozen
class Restore:
    """Let a path be as it was."""

    path: str
    was: Was = attrs.field(repr=False)


@attrs.frozen
class Run:
    """Run a command; with `quiet`, whether it succeeds or not; with `only_if`, if there is something at that path."""

    argv: tuple[str, ...]
    quiet: bool = False
    only_if: str = ""


Undo = Restore | Run


class Installation:
    """Steps on one host, and what undoes those that were begun, the last first.

    Args:
        found: the host before the first of them.
        tell: is told each step that begins.

    Attributes:
        begun: there is something to undo.
    """

    def __init__(self, found: s.Found, tell: Callable[[str], None]) -> None:
        self._found = found
        self._tell = tell
        self._undo: list[Undo] = []
        if found.active:
            # Last of all, when its files are back: the agent goes on with what it had.
            self._undo.append(Run(("systemctl", "restart", s.UNIT)))
        self._undo.append(Run(("systemctl", "daemon-reload")))
        self.begun = False

    async def do(self, host: Remote, wanted: Iterable[s.Step]) -> None:
        """Do steps, in order; what was begun stays to be undone.

        Raises:
            StepFailed: one failed; the text says which, and how.
            Lost: the connection broke off.
        """
        for step in wanted:
            self._tell(str(step))
            self.begun = True
            try:
                await self._one(host, step)
            except StepFailed as error:
                raise StepFailed(f"{step}: {error}") from error

    async def _one(self, host: Remote, step: s.Step) -> None:
        match step:
            case s.Unpack(bundle):
                await self._unpack(host, bundle)
            case s.Point(target):
                await self._put(host, s.LINK, Was(form=Form.LINK, target=target))
            case s.Write(path, content, mode):
                await self._put(host, path, Was(form=Form.FILE, content=content, mode=mode))
            case s.Retire():
                self._undo.append(Run(("mv", "-T", "--", s.RETIRED, s.IDENTITY), only_if=s.RETIRED))
                await _run(host, "mv", "-T", "--", s.IDENTITY, s.RETIRED)
            case s.Start(restarts):
                await self._start(host, restarts=restarts)

    async def _put(self, host: Remote, path: str, wanted: Was) -> None:
        self._undo.append(Restore(path, await host.found(path)))
        await host.put(path, wanted)

    async def _unpack(self, host: Remote, bundle: s.Bundle) -> None:
        sent, new = f"{s.OPT}/.{bundle.name}.tar.gz", f"{s.OPT}/.{bundle.name}.new"
        if not await _is(host, "-d", s.OPT):
            self._undo.append(Run(("rmdir", "--ignore-fail-on-non-empty", s.OPT)))
        self._undo.append(Run(("rm", "-rf", "--", sent, new, bundle.folder)))
        await _run(host, "mkdir", "-p", s.OPT)
        await _run(host, "rm", "-rf", "--", sent, new, bundle.folder)  # of an import that was cut short
        await host.send(bundle.path, sent)
        digest = (await _run(host, "sha256sum", "--", sent, limit=_LONG)).out.split(" ")[0]
        if digest != bundle.sha256:
            raise StepFailed(f"arrived with sha256 {digest}, and is to have {bundle.sha256}")
        await _run(host, "mkdir", new)
        await _run(host, "tar", "-x", "-z", "--no-same-owner", "-p", "-f", sent, "-C", new, limit=_LONG)
        await _run(host, f"{new}/bin/kubenode", "version")
        await _run(host, "rm", "-f", "--", sent)
        await _run(host, "sync", "-f", new, limit=_LONG)
        await _run(host, "mv", "-T", "--", new, bundle.folder)  # last: a folder of this name is whole
        await _run(host, "sync", s.OPT)

    async def _start(self, host: Remote, *, restarts: bool) -> None:
        if not self._found.state:
            self._undo.append(Run(("rm", "-rf", "--", s.STATE)))
        if not self._found.active:
            self._undo.append(Run(("systemctl", "reset-failed", s.UNIT), quiet=True))
            self._undo.append(Run(("systemctl", "stop", s.UNIT)))
        if not self._found.enabled:
            self._undo.append(Run(("systemctl", "disable", s.UNIT)))
        await _run(host, "systemctl", "daemon-reload")
        await _run(host, "systemctl", "enable", s.UNIT)
        await _run(host, "systemctl", "restart" if restarts else "start", s.UNIT)

    async def undo(self, host: Remote) -> tuple[str, ...]:
        """Undo what was begun, each though another fails; give what could not be undone.

        Raises:
            Lost: the connection broke off.
        """
        failed: list[str] = []
        while self.begun and self._undo:
            one = self._undo[-1]
            try:
                match one:
                    case Restore(path, was):
                        await host.put(path, was)
                    case Run(argv, quiet, only_if):
                        await self._back(host, argv, quiet=quiet, only_if=only_if)
            except StepFailed as error:
                failed.append(str(error))
            self._undo.pop()
        return tuple(failed)

    @staticmethod
    async def _back(host: Remote, argv: tuple[str, ...], *, quiet: bool, only_if: str) -> None:
        if only_if and not await _is(host, "-e", only_if):
            return
        ran = await host.run(argv, _LONG)
        if not quiet:
            _well(ran, argv)

    async def spend(self, host: Remote) -> None:
        """Remove the token that these steps have brought; the agent has its certificate."""
        for one in self._undo:
            if isinstance(one, Restore) and one.path == s.TOKEN:
                await host.put(s.TOKEN, NOTHING)


async def _run(host: Remote, *argv: str, limit: float = COMMAND_LIMIT) -> Ran:
    return _well(await host.run(argv, limit), argv)
