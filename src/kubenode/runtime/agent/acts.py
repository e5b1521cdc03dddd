"""Steps and the acts that undo them (their way back), as the journal writes them.

Contents of files, values of the kernel and URLs do not stand in the journal, since they may be secrets or hold one: it names them by digest,
and the bytes are kept beside it for as long as the operation is open.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, assert_never

import attrs

from kubenode.core.model import Json
from kubenode.core.step import (
    ArtifactFormat,
    EnableUnit,
    InstallArtifact,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    SetKernel,
    Step,
    StopUnit,
    Then,
    UpgradeAgent,
    WriteFile,
)
from kubenode.runtime.agent.tree import Form, Was


@attrs.frozen(kw_only=True)
class PutBack:
    """Let a path be as it was."""

    path: str
    was: Was


@attrs.frozen(kw_only=True)
class RestartAgain:
    """Restart a unit when what it reads was put back; not one that still runs as `invocation`, since it has read nothing else."""

    unit: str
    invocation: str


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


@attrs.frozen(kw_only=True)
class CallOff:
    """End the trial of a new agent, if nobody has ended it: it does not stay."""

    trial: str


@attrs.frozen(kw_only=True)
class SetSysctl:
    """Give a setting of the running kernel a value."""

    key: str
    value: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class UnloadModule:
    """Unload a module of the kernel."""

    module: str


Undo: TypeAlias = (
    PutBack
    | GiveBack
    | DropArtifact
    | CallOff
    | RestartUnit
    | RestartAgain
    | ReloadUnit
    | EnableUnit
    | StopUnit
    | InstallPackage
    | RemovePackage
    | SetSysctl
    | UnloadModule
)
"""One act of a way back."""
Act: TypeAlias = Step | Undo


class UnknownAct(LookupError):
    """An act that this version does not know: a newer one has written it."""


_BY_NAME: Final[Mapping[str, type[Any]]] = {
    one.__name__: one
    for one in (
        RestartUnit,
        ReloadUnit,
        EnableUnit,
        StopUnit,
        RemovePackage,
        RemoveArtifact,
        GiveBack,
        DropArtifact,
        CallOff,
        UnloadModule,
        RestartAgain,
        Reboot,
    )
}


def digest_of(content: bytes) -> str:
    """Give the name under which a content is kept."""
    return hashlib.sha256(content).hexdigest()


def contents(act: Act) -> Iterator[bytes]:
    """Give what has to be kept beside the journal for an act."""
    if isinstance(act, WriteFile | RemoveFile):
        yield act.content
    elif isinstance(act, InstallArtifact | UpgradeAgent):
        yield act.url.encode()
    elif isinstance(act, SetSysctl):
        yield act.value.encode()
    elif isinstance(act, SetKernel):
        yield from (value.encode() for _, value in act.sysctl)
    elif isinstance(act, PutBack) and act.was.form is Form.FILE:
        yield act.was.content


def dump(act: Act) -> Json:
    """Give an act as JSON, without contents."""
    match act:
        case WriteFile():
            return {
                "act": "WriteFile", "path": act.path, "content": digest_of(act.content), "then": _then(act.then),
                "mode": act.mode, **_given(owner=act.owner, group=act.group),
            }  # fmt: skip
        case RemoveFile():
            return {
                "act": "RemoveFile", "path": act.path, "content": digest_of(act.content), "then": _then(act.then),
            }  # fmt: skip
        case InstallPackage():
            then = None if act.then is None else act.then.unit
            free = {} if act.hold else {"hold": False}
            anew = {"anew": True} if act.anew else {}
            return {
                "act": "InstallPackage",
                "package": act.package,
                "version": act.version,
                "then": then,
                **free,
                **anew,
            }
        case InstallArtifact():
            then = None if act.then is None else act.then.unit
            return {
                "act": "InstallArtifact", "path": act.path, "url": digest_of(act.url.encode()), "sha256": act.sha256,
                "format": act.format.value, "member": act.member, "then": then,
            }  # fmt: skip
        case UpgradeAgent():
            url = digest_of(act.url.encode())
            return {"act": "UpgradeAgent", "url": url, "sha256": act.sha256, "within": act.within}
        case SetKernel():
            settings = [[key, digest_of(value.encode())] for key, value in act.sysctl]
            return {"act": "SetKernel", "name": act.name, "modules": [*act.modules], "sysctl": settings}
        case SetSysctl():
            return {"act": "SetSysctl", "key": act.key, "value": digest_of(act.value.encode())}
        case PutBack():
            was = attrs.asdict(act.was)
            kept = digest_of(act.was.content) if act.was.form is Form.FILE else ""
            return {"act": "PutBack", "path": act.path, **was, "form": act.was.form.value, "content": kept}
        case (
            RestartUnit()
            | ReloadUnit()
            | EnableUnit()
            | StopUnit()
            | RemovePackage()
            | RemoveArtifact()
            | GiveBack()
            | DropArtifact()
            | CallOff()
            | UnloadModule()
            | RestartAgain()
            | Reboot()
        ):
            return {"act": type(act).__name__, **attrs.asdict(act)}
        case _:
            assert_never(act)


def _then(after: Then | None) -> Json | str | None:
    """Write the `then` of a step as JSON: the bare name of a unit means that it is restarted."""
    match after:
        case None:
            return None
        case RestartUnit():
            return after.unit
        case ReloadUnit():
            return {"reload": after.unit}
        case _:
            assert_never(after)


def _given(**words: str) -> Json:
    return {name: word for name, word in words.items() if word}


def _after(raw: Any) -> Then | None:
    """Read the `then` of a step; the inverse of `_then`."""
    if raw is None or isinstance(raw, str):
        return None if raw is None else RestartUnit(unit=raw)
    return ReloadUnit(unit=raw["reload"])


def load(raw: Json, kept: Callable[[str], bytes]) -> Any:
    """Give the act of some JSON; the inverse of `dump`.

    Args:
        raw: as dumped.
        kept: gives a content by its digest.

    Raises:
        UnknownAct: it is no act of this version.
        LookupError: it lacks a field.
    """
    fields = {**raw}
    name = fields.pop("act")
    if name == "PutBack":
        path, form = fields.pop("path"), Form(fields.pop("form"))
        digest = fields.pop("content")
        return PutBack(path=path, was=Was(form=form, content=kept(digest) if digest else b"", **fields))
    if name == "SetSysctl":
        return SetSysctl(key=fields.pop("key"), value=kept(fields.pop("value")).decode())
    if name == "SetKernel":
        settings = tuple((key, kept(digest).decode()) for key, digest in fields.pop("sysctl"))
        return SetKernel(name=fields.pop("name"), modules=tuple(fields.pop("modules")), sysctl=settings)
    then = fields.pop("then", None)
    if name == "WriteFile":
        return WriteFile(content=kept(fields.pop("content")), then=_after(then), **fields)
    if name == "RemoveFile":
        return RemoveFile(content=kept(fields.pop("content")), then=_after(then), **fields)
    restart = None if then is None else RestartUnit(unit=then)
    if name == "InstallPackage":
        return InstallPackage(then=restart, **fields)
    if name == "InstallArtifact":
        url, packed = kept(fields.pop("url")).decode(), ArtifactFormat(fields.pop("format"))
        return InstallArtifact(url=url, format=packed, then=restart, **fields)
    if name == "UpgradeAgent":
        return UpgradeAgent(url=kept(fields.pop("url")).decode(), **fields)
    if name not in _BY_NAME:
        raise UnknownAct(name)
    return _BY_NAME[name](**fields)


def named(act: Act) -> str:
    """Say what an act is, in a few words and without contents."""
    match act:
        case WriteFile():
            return f"write {act.path}"
        case RemoveFile():
            return f"remove {act.path}"
        case InstallPackage():
            return f"install {act.package}={act.version}"
        case RemovePackage():
            return f"remove {act.package}"
        case InstallArtifact():
            return f"install artifact {act.sha256[:12]} at {act.path}"
        case RemoveArtifact():
            return f"remove artifact at {act.path}"
        case SetKernel():
            return f"set the kernel by {act.name}"
        case UpgradeAgent():
            return f"upgrade the agent to bundle {act.sha256[:12]}"
        case RestartUnit() | RestartAgain() | ReloadUnit() | EnableUnit() | StopUnit():
            return _named_turn(act)
        case Reboot():
            return "reboot"
        case _:
            return _named_back(act)


def _named_turn(act: RestartUnit | RestartAgain | ReloadUnit | EnableUnit | StopUnit) -> str:
    match act:
        case RestartUnit() | RestartAgain():
            return f"restart {act.unit}"
        case ReloadUnit():
            return f"reload {act.unit}"
        case EnableUnit():
            return f"{'enable' if act.enabled else 'disable'} {act.unit}"
        case StopUnit():
            return f"stop {act.unit}"
        case _:
            assert_never(act)


def _named_back(act: PutBack | GiveBack | DropArtifact | CallOff | SetSysctl | UnloadModule) -> str:
    match act:
        case PutBack():
            return f"put {act.path} back"
        case GiveBack():
            return f"give {act.path} back"
        case DropArtifact():
            return f"delete artifact {act.sha256[:12]}"
        case CallOff():
            return "end the trial of the new agent"
        case SetSysctl():
            return f"set {act.key}"
        case UnloadModule():
            return f"unload module {act.module}"
        case _:
            assert_never(act)
