"""The settings of user data as a file names them: other files beside it."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.runtime.parameters import structured
from kubenode.runtime.sim.story import examples as example_files
from kubenode.runtime.userdata.settings import UserDataSettings

R = TypeVar("R")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@attrs.frozen(kw_only=True)
class _File:
    """The keys of the file; paths that are not absolute are from its folder."""

    server: str
    ca_file: str
    key_file: str
    bundle_url: str = ""
    bundle_sha256: str = ""


def read_settings(path: Path) -> UserDataSettings:
    """Read a TOML file, and those that it names.

    Raises:
        InvalidObjectError: one is not to be had, or wrong; never with what is in the key.
    """
    raw = _tried(path, "", lambda: tomllib.loads(path.read_text()))
    told = structured(raw, _File, str(path))
    if urlsplit(told.server).hostname in _LOOPBACK:
        what = f"{told.server} is each instance itself"
        raise InvalidObjectError(
            (Problem(where=f"{path}: server", what=what, fix="as instances reach the API server"),)
        )
    folder = path.parent
    authority = _tried(path, "ca_file", (folder / told.ca_file).read_text)
    key = _tried(path, "key_file", (folder / told.key_file).read_bytes)
    try:
        return UserDataSettings(
            server=told.server, authority=authority, key=key, bundle_url=told.bundle_url, bundle_sha256=told.bundle_sha256,
            unit=(example_files() / "kubenode-agent.service").read_text(),
        )  # fmt: skip
    except InvalidObjectError as error:
        placed = (attrs.evolve(one, where=f"{path}: {one.where}") for one in error.problems)
        raise InvalidObjectError(tuple(placed)) from None


def _tried(path: Path, key: str, read: Callable[[], R]) -> R:
    try:
        return read()
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "is not as it should be"
        if isinstance(error, tomllib.TOMLDecodeError):
            what = str(error)
        where = f"{path}: {key}" if key else str(path)
        raise InvalidObjectError((Problem(where=where, what=what or type(error).__name__),)) from None
