"""Programs of ours that start at once: forked from a process that has imported all of it and done nothing else.

A kill costs its successor's start, and most of that would be the imports. What runs is a process of its own, with the
same arguments, as `kubenode` would run it.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([
    "pytest", "kubernetes.client", "kubernetes.config", "kubenode.runtime.cli.app", "kubenode.runtime.http",
    "kubenode.runtime.store.kube", "kubenode.providers", "kubenode.providers.aliyun",
    "kubenode.providers.aws", "kubenode.components", "kubenode.remedies", "kubenode.inspections", __name__,
])  # fmt: skip


class Forked:
    """One process, with the methods of a Popen that are used of it.

    Args:
        path: folders with more that is installed.
    """

    def __init__(self, arguments: list[str], log: Path, path: Sequence[str] = ()) -> None:
        self._process = _CONTEXT.Process(target=_run, args=(arguments, log, path), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        """Give the exit status, None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end, or so many seconds; give the exit status."""
        self._process.join(timeout)
        return self._process.exitcode


def _run(arguments: list[str], log: Path, path: Sequence[str]) -> None:
    """Be `kubenode` with some arguments."""
    from kubenode.runtime.cli import main

    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.path += path
    sys.argv = ["kubenode", *arguments]
    main()
