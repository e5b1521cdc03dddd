"""Programs on the host: an argv and a time limit, never a shell, no input, and no more output than can be kept."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Final, Protocol

import attrs

KEPT: Final = 16384
"""Bytes that are kept of what a program prints, of the beginning and of the end each."""
_LINGER: Final = 2.0
"""Seconds that a child which outlives a program, and holds its output open, is listened to."""
_NO_SUCH_PROGRAM: Final = 127
_NOT_RUN: Final = 126
_PASSED_ON: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@attrs.frozen(kw_only=True)
class Ran:
    """How a program ended.

    Attributes:
        code: its exit code, negative for a signal; None: it was killed when its time was over.
        out: what it printed, its beginning.
        tail: what it printed on both streams, the end of each.
    """

    code: int | None
    out: str = attrs.field(default="", repr=False)
    tail: str = attrs.field(default="", repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether it ended in time, and with 0."""
        return self.code == 0


class Runner(Protocol):
    """Runs programs."""

    def __call__(self, argv: Sequence[str], limit: float) -> Ran:
        """Run a program to its end, at most `limit` seconds; never raises for what the program does."""


class Commands:
    """Runs programs as children of this process, each with what it has started in a process group of its own."""

    def __init__(self, folder: str = "/") -> None:
        self._folder = folder

    def __call__(self, argv: Sequence[str], limit: float) -> Ran:
        """Run a program."""
        try:
            process = subprocess.Popen(  # noqa: S603 - an argv: no shell takes it apart
                list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=self._folder, env=environment(os.environ), start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            return Ran(code=_NO_SUCH_PROGRAM, tail=f"there is no program {argv[0]}")
        except (OSError, ValueError) as error:
            return Ran(code=_NOT_RUN, tail=f"{argv[0]} cannot be run: {error}")
        out, err = _Heard(process.stdout), _Heard(process.stderr)
        code: int | None
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        finally:
            out.end()
            err.end()
        tail = "\n".join(text for text in (out.tail(), err.tail()) if text)
        return Ran(code=code, out=out.head(), tail=tail)


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Give what programs see of the environment; nothing else of ours reaches them."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true", "NEEDRESTART_SUSPEND": "1",
        **{name: ours[name] for name in _PASSED_ON if name in ours},
    }  # fmt: skip


class _Heard:
    """Reads a stream to its end in a thread, and keeps its beginning and its end."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._head, self._tail = b"", b""
        self._thread = threading.Thread(target=self._read, name="kubenode output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._stream is None:
            return
        with self._stream as stream:  # closed here, however long a child holds the other end
            while part := os.read(stream.fileno(), 65536):
                self._head += part[: KEPT - len(self._head)]
                self._tail = (self._tail + part)[-KEPT:]

    def end(self) -> None:
        """Wait for the end of the stream; not for long, since a child that outlives its parent may hold it open."""
        self._thread.join(_LINGER)

    def head(self) -> str:
        return self._head.decode(errors="replace")

    def tail(self) -> str:
        return self._tail.decode(errors="replace").strip()
