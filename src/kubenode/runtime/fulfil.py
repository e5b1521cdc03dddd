"""Doing what a person wishes: one write each, which fails rather than lose a change of somebody else's."""

from kubenode.core import wire
from kubenode.core.errors import AlreadyExists, Conflict
from kubenode.core.model import Json
from kubenode.core.wish.wish import Wish
from kubenode.runtime.store.contract import Api, JsonPatch


class Overtaken(Conflict):
    """The object was changed by somebody else since it was read; nothing was written."""


async def fulfil(store: Api, wish: Wish, *, dry_run: bool = False) -> Json | None:
    """Write a wish.

    Args:
        store: entered already.
        wish: what is wanted.
        dry_run: let the server judge it, and store nothing.

    Returns:
        The object as it is, or would be; None where nothing had to be written.

    Raises:
        Overtaken: somebody else was quicker.
        ApiError: the server refuses it, or cannot be reached.
    """
    kind, name = wire.kind_of(wish.object.kind).KIND, wish.object.name
    try:
        if wish.made is not None:
            return await store.create(kind, wish.made, dry_run=dry_run)
        if wish.operations:
            return await store.patch(kind, name, JsonPatch(wish.operations), dry_run=dry_run)
    except (AlreadyExists, Conflict) as error:
        what = f"{kind.name} {name} was changed by somebody else since it was read, so nothing was written"
        raise Overtaken(f"{what}; fix: look again, then repeat", status=error.status) from error
    return None
