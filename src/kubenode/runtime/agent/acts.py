"""Steps and their ways back, as the journal writes them.

Contents of files and URLs do not stand in the journal, since they may be secrets or hold one: it names them by digest,
and the bytes are kept beside it for as long as the operation is open.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, assert_never

import attrs

from kubenode.core.model import Json
from kubenode.core.step import (
    ArtifactFormat,
    InstallArtifact,
    InstallPackage,
    Reboot,
    RemoveArtifact,
    RemovePackage,
    RestartUnit,
    Step,
    StopUnit,
    WriteFile,
)
from kubenode.runtime.agent.tree import Form, Was


@attrs.frozen(kw_only=True)
class PutBack:
    """Let a path be as it was."""

    path: str
    was: Was


@attrs.frozen(kw_only=True)
class GiveBack:
    """Let what somebody else had put at a path stand there again; `kept` is its name beside it."""

    path: str
    kept: str


@attrs.frozen(kw_only=True)
class DropArtifact:
    """Delete what was fetched for a path under a digest."""

    path: str
    sha256: str


Undo: TypeAlias = PutBack | GiveBack | DropArtifact | RestartUnit | StopUnit | InstallPackage | RemovePackage
"""One act of a way back."""
Act: TypeAlias = Step | Undo

_BY_NAME: Final[Mapping[str, type[Any]]] = {
    one.__name__: one
    for one in (RestartUnit, StopUnit, RemovePackage, RemoveArtifact, GiveBack, DropArtifact, Reboot)
}


def digest_of(content: bytes) -> str:
    """Give the name under which a content is kept."""
    return hashlib.sha256(content).hexdigest()


def contents(act: Act) -> Iterator[bytes]:
    """Give what has to be kept beside the journal for an act."""
    if isinstance(act, WriteFile):
        yield act.content
    elif isinstance(act, InstallArtifact):
        yield act.url.encode()
    elif isinstance(act, PutBack) and act.was.form is Form.FILE:
        yield act.was.content


def dump(act: Act) -> Json:
    """Give an act as JSON, without contents."""
    match act:
        case WriteFile():
            then = None if act.then is None else act.then.unit
            return {
                "act": "WriteFile", "path": act.path, "content": digest_of(act.content), "then": then, "mode": act.mode,
            }  # fmt: skip
        case InstallPackage():
            then = None if act.then is None else act.then.unit
            return {"act": "InstallPackage", "package": act.package, "version": act.version, "then": then}
        case InstallArtifact():
            then = None if act.then is None else act.then.unit
            return {
                "act": "InstallArtifact", "path": act.path, "url": digest_of(act.url.encode()), "sha256": act.sha256,
                "format": act.format.value, "member": act.member, "then": then,
            }  # fmt: skip
        case PutBack():
            was = attrs.asdict(act.was)
            kept = digest_of(act.was.content) if act.was.form is Form.FILE else ""
            return {"act": "PutBack", "path": act.path, **was, "form": act.was.form.value, "content": kept}
        case (
            RestartUnit()
            | StopUnit()
            | RemovePackage()
            | RemoveArtifact()
            | GiveBack()
            | DropArtifact()
            | Reboot()
        ):
            return {"act": type(act).__name__, **attrs.asdict(act)}
        case _:
            assert_never(act)


def load(raw: Json, kept: Callable[[str], bytes]) -> Any:
    """Give the act of some JSON; the inverse of `dump`.

    Args:
        raw: as dumped.
        kept: gives a content by its digest.

    Raises:
        LookupError: it is no act of this version, or lacks a field.
    """
    fields = {**raw}
    name = fields.pop("act")
    if name == "PutBack":
        path, form = fields.pop("path"), Form(fields.pop("form"))
        digest = fields.pop("content")
        return PutBack(path=path, was=Was(form=form, content=kept(digest) if digest else b"", **fields))
    then = fields.pop("then", None)
    restart = None if then is None else RestartUnit(unit=then)
    if name == "WriteFile":
        return WriteFile(content=kept(fields.pop("content")), then=restart, **fields)
    if name == "InstallPackage":
        return InstallPackage(then=restart, **fields)
    if name == "InstallArtifact":
        url, packed = kept(fields.pop("url")).decode(), ArtifactFormat(fields.pop("format"))
        return InstallArtifact(url=url, format=packed, then=restart, **fields)
    return _BY_NAME[name](**fields)


def named(act: Act) -> str:
    """Say what an act is, in a few words and without contents."""
    match act:
        case WriteFile():
            return f"write {act.path}"
        case InstallPackage():
            return f"install {act.package}={act.version}"
        case RemovePackage():
            return f"remove {act.package}"
        case InstallArtifact():
            return f"install artifact {act.sha256[:12]} at {act.path}"
        case RemoveArtifact():
            return f"remove artifact at {act.path}"
        case DropArtifact():
            return f"delete artifact {act.sha256[:12]}"
        case GiveBack():
            return f"give {act.path} back"
        case RestartUnit():
            return f"restart {act.unit}"
        case StopUnit():
            return f"stop {act.unit}"
        case Reboot():
            return "reboot"
        case PutBack():
            return f"put {act.path} back"
        case _:
            assert_never(act)
