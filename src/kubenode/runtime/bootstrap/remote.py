"""What is asked of a host on which something is installed from outside, whatever the way to it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kubenode.core.errors import KubenodeError
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.tree import Was

COMMAND_LIMIT = 60.0
"""Seconds that a command on the host has."""

QUIET = "let nothing in the start files of its shell (.bashrc, .profile) print anything where there is no terminal"
"""What to do about a host on which a shell says more than the program that it was to run."""


class Lost(KubenodeError):
    """The connection to a host broke off, or could not be made; what was asked last may have been done.

    Attributes:
        fix: what to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        self.fix = fix
        super().__init__(message)


class Remote(Protocol):
    """A host, as root. Its methods raise `Lost` when it is not reached, and `StepFailed` when it says no."""

    async def run(self, argv: Sequence[str], limit: float = COMMAND_LIMIT) -> Ran:
        """Run a program with these words, whatever is in them; how it ends is the answer."""

    async def found(self, path: str) -> Was:
        """Tell what stands at a path: a file, a link, or nothing."""

    async def put(self, path: str, was: Was) -> None:
        """Let this stand at a path, whole and synced, or what was there; folders to it are made.

        Of nothing with `missing` folders, these go too if they are empty.
        """

    async def send(self, local: Path, path: str) -> None:
        """Copy a file of here to a path, mode 0600, synced."""
