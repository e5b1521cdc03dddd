"""Is what we need there, on a server that is new enough? Asked once, before anything is written.

A controller that is newer than its CRDs would lose fields with an answer of 200, and one that lacks a right would
find out in the middle of something.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from kubenode.core.crd import REVISION, revision_of, schema_of
from kubenode.core.errors import Forbidden, NotInstalled, ObjectNotFound, Problem, Unauthorized
from kubenode.core.fields import fields_of
from kubenode.core.model import Json, Object
from kubenode.core.schema.compare import lacking
from kubenode.runtime.store.rights import Right

OLDEST: Final = (1, 32)
INSTALL: Final = "kubenode manifests | kubectl apply -f -"
_MOST_NAMED: Final = 4

Get = Callable[[str], Awaitable[Json]]
May = Callable[[Right], Awaitable[bool]]


@runtime_checkable
class Checked(Protocol):
    """A store of a cluster that somebody else has installed."""

    async def check(self, kinds: Sequence[type[Object]], rights: Sequence[Right]) -> None:
        """Raise NotInstalled when something is missing, with its fix."""


@runtime_checkable
class Defined(Protocol):
    """A store whose kinds are defined by objects that somebody may delete."""

    async def leaves(self, kind: type[Object]) -> bool:
        """Tell whether the definition of a kind is being deleted, or gone; raises ApiError when it cannot be known."""


def how_to_be_allowed(error: Exception) -> str:
    """Say, to be put after an error, how to get the right that was missing; empty when none was."""
    if isinstance(error, Forbidden) and not isinstance(error, Unauthorized):
        return f"; fix: grant the rights: {INSTALL}"
    return ""


def refusal(error: Forbidden) -> str:
    """Say which right a write lacked, whatever object it was of, and how to get it."""
    return f"forbidden: {str(error).rpartition('is forbidden: ')[2]}{how_to_be_allowed(error)}"


async def leaves(get: Get, cls: type[Object]) -> bool:
    """Ask the server whether the CRD of a kind is being deleted, or gone."""
    found = await _definition(get, cls)
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


async def check(get: Get, may: May, kinds: Sequence[type[Object]], rights: Sequence[Right]) -> None:
    """Look at a server.

    Args:
        get: gives the object at a path.
        may: tells whether we have a right.
        kinds: whose definitions have to be there, with all that we know of them.
        rights: that we have to have.

    Raises:
        NotInstalled: something is missing; every problem at once.
        ApiError: it cannot be found out.
    """
    problems = [*_old(await get("/version"))]
    problems += _denied(rights, await asyncio.gather(*map(may, rights)))
    if not problems:  # who may not read them is told so above
        found = await asyncio.gather(*(_definition(get, cls) for cls in kinds))
        problems += _unfit(kinds, found)
    if problems:
        raise NotInstalled(tuple(problems))


def _old(version: Json) -> Iterator[Problem]:
    numbers = [int(re.sub(r"\D.*", "", str(version.get(part) or "")) or 0) for part in ("major", "minor")]
    if tuple(numbers) < OLDEST:
        said = version.get("gitVersion") or f"{numbers[0]}.{numbers[1]}"
        wanted = ".".join(map(str, OLDEST))
        what = f"kube-apiserver {said} is older than {wanted}"
        yield Problem(where="server", what=what, fix=f"upgrade it to {wanted} or newer")


def _denied(rights: Sequence[Right], answers: Iterable[bool]) -> Iterator[Problem]:
    missing = [str(right) for right, allowed in zip(rights, answers, strict=True) if not allowed]
    if missing:
        what = f"no permission to {_some(missing)}"
        fix = f"grant it: {INSTALL}; and run as the service account kubenode-system/kubenode-controller"
        yield Problem(where="rbac", what=what, fix=fix)


async def _definition(get: Get, cls: type[Object]) -> Json | None:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{cls.KIND.plural}.{cls.KIND.group}"
    try:
        return await get(path)
    except ObjectNotFound:
        return None


def _unfit(kinds: Sequence[type[Object]], found: Sequence[Json | None]) -> Iterator[Problem]:
    missing = [cls.KIND.plural for cls, crd in zip(kinds, found, strict=True) if crd is None]
    if missing:
        yield Problem(where="crd", what=f"not installed: {_some(missing)}", fix=INSTALL)
    going = [crd["metadata"]["name"] for crd in found if crd and crd["metadata"].get("deletionTimestamp")]
    if going:
        fix = f"kubenode uninstall, wait until they are gone, then {INSTALL}"
        yield Problem(where="crd", what=f"being deleted: {_some(going)}", fix=fix)
    for cls, crd in zip(kinds, found, strict=True):
        if crd is None or crd["metadata"].get("deletionTimestamp"):
            continue
        lost = list(_lost(cls, crd))
        if lost:
            theirs = (crd["metadata"].get("annotations") or {}).get(REVISION, "unknown")
            what = f"is older than this program (schema {theirs}, not {revision_of(cls)}): it would drop {_some(lost)}"
            yield Problem(where=f"crd {crd['metadata']['name']}", what=what, fix=INSTALL)


def _lost(cls: type[Object], crd: Json) -> Iterator[str]:
    """Name what a definition would drop of what we write. One that has more is a newer one, which is fine."""
    versions: list[Any] = crd["spec"]["versions"]
    version = next((one for one in versions if one["name"] == cls.KIND.version and one["served"]), None)
    if version is None:
        yield f"all of {cls.KIND.version}"
        return
    if "status" not in (version.get("subresources") or {}) and any(
        f.name == "status" for f in fields_of(cls)
    ):
        yield "the status subresource"
    yield from lacking(version["schema"]["openAPIV3Schema"], schema_of(cls))


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
