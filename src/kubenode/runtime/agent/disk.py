"""Every change that the agent itself makes to a disk, one method each: here tests inject failures, and kill the agent.

What is read is not here. A name is always one part of a path, within a folder that is open already.
"""

import os
from typing import Final

NOT_FOLLOWED: Final = os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | NOT_FOLLOWED
"""How a folder is opened to walk on from it."""
LOOK: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | NOT_FOLLOWED
"""How something is opened that may be anything: nothing waits, and nothing becomes our terminal."""


class Disk:
    """The disk as the kernel gives it; every method raises OSError."""

    def create(self, name: str, folder: int, mode: int, flags: int = os.O_WRONLY | os.O_EXCL) -> int:
        """Make a file and open it."""
        return os.open(name, flags | os.O_CREAT | NOT_FOLLOWED, mode, dir_fd=folder)

    def write(self, file: int, data: bytes) -> None:
        """Write all of it."""
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]

    def overwrite(self, name: str, folder: int, data: bytes) -> None:
        """Write into a file that is there, in one go: what the kernel shows as files can be written in no other way."""
        file = os.open(name, os.O_WRONLY | os.O_TRUNC | NOT_FOLLOWED, dir_fd=folder)
        try:
            os.write(file, data)
        finally:
            os.close(file)

    def cut(self, file: int, length: int) -> None:
        """End a file there."""
        os.ftruncate(file, length)

    def sync(self, descriptor: int) -> None:
        """Return when a file, or what a folder lists, would survive a power cut."""
        os.fsync(descriptor)

    def mode(self, file: int, mode: int) -> None:
        """Set the permissions, whatever the umask."""
        os.fchmod(file, mode)

    def owner(self, file: int, user: int, group: int) -> None:
        """Set whose it is."""
        os.fchown(file, user, group)

    def rename(self, old: str, new: str, folder: int) -> None:
        """Put a file in the place of another, within its folder."""
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def link(self, target: str, name: str, folder: int) -> None:
        """Make a symbolic link."""
        os.symlink(target, name, dir_fd=folder)

    def name_too(self, name: str, other: str, folder: int) -> None:
        """Give a file, or a link itself, another name in its folder beside the one it has."""
        os.link(name, other, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)

    def unlink(self, name: str, folder: int) -> None:
        """Remove a file or a link."""
        os.unlink(name, dir_fd=folder)

    def make_folder(self, name: str, folder: int, mode: int = 0o755) -> None:
        """Make a folder."""
        os.mkdir(name, mode, dir_fd=folder)

    def remove_folder(self, name: str, folder: int) -> None:
        """Remove an empty folder."""
        os.rmdir(name, dir_fd=folder)
