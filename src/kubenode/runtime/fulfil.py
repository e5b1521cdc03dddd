"""Doing what a person wishes: one change of each object, which fails rather than lose a change of somebody else's."""

import re
from typing import Final

from kubenode.core import wire
from kubenode.core.errors import AlreadyExists, Conflict, NotInstalled, Problem, Refused
from kubenode.core.model import Json
from kubenode.core.wish.wish import Wish
from kubenode.runtime.store.contract import Api, FieldValidation, JsonPatch
from kubenode.runtime.store.installed import INSTALL

_DROPPED: Final = re.compile(r'unknown field "([^"]+)"')
_STRICT: Final = FieldValidation.STRICT
"""Else a CRD that is older than this program drops a word, and the server says that all is well."""


class Overtaken(Conflict):
    """The object was changed by somebody else since it was read; nothing was written."""


async def fulfil(store: Api, wish: Wish, *, dry_run: bool = False) -> Json | None:
    """Write a wish.

    Args:
        store: entered already.
        wish: what is wanted.
        dry_run: let the server judge it, and store nothing.

    Returns:
        The object as it is, or would be; the server's Status where it is gone; None where nothing had to be written.

    Raises:
        Overtaken: somebody else was quicker.
        NotInstalled: the CRD is older than this program, and does not know what is said.
        ApiError: the server refuses it, or cannot be reached.
    """
    kind, name = wire.kind_of(wish.object.kind).KIND, wish.object.name
    left: Json | None = None
    try:
        if wish.made is not None:
            return await store.create(kind, wish.made, dry_run=dry_run, field_validation=_STRICT)
        if wish.operations:
            patch = JsonPatch(wish.operations)
            left = await store.patch(kind, name, patch, dry_run=dry_run, field_validation=_STRICT)
        if wish.deletes:
            left = await store.delete(kind, name, uid=wish.object.uid, dry_run=dry_run)
    except (AlreadyExists, Conflict) as error:
        what = f"{kind.name} {name} was changed by somebody else since it was read, so nothing was written"
        raise Overtaken(f"{what}; fix: look again, then repeat", status=error.status) from error
    except Refused as error:
        unknown = _DROPPED.search(str(error))
        if unknown is None:
            raise
        what = f"is older than this program: it does not know {unknown[1]}, so nothing was written"
        where = f"crd {kind.plural}.{kind.group}"
        raise NotInstalled((Problem(where=where, what=what, fix=INSTALL),)) from error
    return left
