"""The Store of a real API server.

Lives here: what each method is in HTTP. Limits and repeats are `transport.py`'s, errors `answer.py`'s.
Reads are made again while the server is away; a write whose answer was lost raises Unreachable or
ServerFailed, and whoever decides looks again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from kubenode.core.errors import ApiError
from kubenode.core.model import Json, Kind, Object, Pod
from kubenode.runtime.store.client import Connection, load
from kubenode.runtime.store.contract import (
    ApplyPatch,
    FieldValidation,
    JsonPatch,
    Listing,
    Match,
    MergePatch,
    Patch,
    Propagation,
    Wanted,
    Watch,
)
from kubenode.runtime.store.following import Followed, as_is
from kubenode.runtime.store.installed import check, leaves
from kubenode.runtime.store.rights import Right

try:
    from kubenode.runtime.store.answer import clean
    from kubenode.runtime.store.listing import Lists, listed
    from kubenode.runtime.store.spelling import DRY, body_of, options, path_of, period, selectors, validation
    from kubenode.runtime.store.stream import KubeWatch
    from kubenode.runtime.store.transport import Limits, Request, Timing, Transport
except ModuleNotFoundError as missing:
    _HINT: Final = f"a real cluster needs the package {missing.name}: pip install 'kubenode[kube]'"
    raise ModuleNotFoundError(_HINT, name=missing.name) from missing

LOG = logging.getLogger("kubenode.store")
T = TypeVar("T")

_MERGE_PATCH: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"
_APPLY_PATCH: Final = "application/apply-patch+yaml"

_REVIEWS: Final = "authorization.k8s.io"
_REVIEW: Final = "SelfSubjectAccessReview"


class KubeStore:
    """A Store on a real API server; an async context manager, inert until entered.

        async with KubeStore.connect(context="prod") as store:
            machines = await store.find(Machine.KIND)

    It may be shared by all tasks of one event loop.

    Args:
        load: how to reach the server; asked in a thread, again when the server no longer knows us.
        field_manager: who writes, as managedFields name it.
        limits: how much at once, how long, how often.
        timing: time and chance.
    """

    def __init__(
        self, load: Callable[[], Connection], *, field_manager: str = "kubenode",
        limits: Limits | None = None, timing: Timing | None = None,
    ) -> None:  # fmt: skip
        self._transport = Transport(load, limits or Limits(), timing or Timing())
        self._writer = {"fieldManager": field_manager}
        self._lists = Lists(self._transport)
        self._streams = True

    @classmethod
    def connect(
        cls, *, kubeconfig: Path | None = None, context: str | None = None, field_manager: str = "kubenode",
        limits: Limits | None = None, timing: Timing | None = None,
    ) -> Self:  # fmt: skip
        """Give a store of the cluster that a kubeconfig names; nothing is read before it is entered.

        Args:
            kubeconfig: its path; None takes `$KUBECONFIG`, `~/.kube/config` or the pod's own files.
            context: a context in it; None takes its current one.
            field_manager: who writes, as managedFields name it.
            limits: how much at once, how long, how often.
            timing: time and chance.
        """
        return cls(
            partial(load, kubeconfig, context), field_manager=field_manager, limits=limits, timing=timing
        )

    @property
    def ahead(self) -> timedelta | None:
        """How far our clock is ahead of the server's, at least; negative: behind. None before an answer has told."""
        return self._transport.ahead

    @property
    def requests(self) -> Mapping[tuple[str, int], int]:
        """Attempts of requests so far, by method and status code; 0 without an answer, or while there is none yet."""
        return self._transport.requests

    async def __aenter__(self) -> Self:
        """Read the configuration; raises InvalidObjectError when it is missing or wrong."""
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all connections."""
        await self._transport.close()

    async def check(self, kinds: Sequence[type[Object]], rights: Sequence[Right]) -> None:
        """Look whether the server is new enough, has our kinds as this program knows them, and lets us do our work.

        Raises:
            NotInstalled: something is missing; every problem at once, with its fix.
            ApiError: it cannot be found out.
        """
        await check(self._at, self._may, kinds, rights)

    async def leaves(self, kind: type[Object]) -> bool:
        """Tell whether the CRD of a kind is being deleted, or gone; raises ApiError when it cannot be found out."""
        return await leaves(self._at, kind)

    async def _at(self, path: str) -> Json:
        return await self._transport.call(Request(method="GET", path=path))

    async def _may(self, right: Right) -> bool:
        resource, _, part = right.resource.partition("/")
        asked = {
            "group": right.group, "resource": resource, "subresource": part, "verb": right.verb, "name": right.name,
            "namespace": right.namespace,
        }  # fmt: skip
        body = {"apiVersion": f"{_REVIEWS}/v1", "kind": _REVIEW, "spec": {"resourceAttributes": asked}}
        path = f"/apis/{_REVIEWS}/v1/{_REVIEW.lower()}s"
        answer = await self._transport.call(Request(method="POST", path=path, body=body_of(body)))
        return bool(answer["status"]["allowed"])

    async def get(self, kind: Kind, name: str) -> Json:
        """Give one object. Raises ObjectNotFound."""
        return clean(kind, await self._transport.call(Request(method="GET", path=path_of(kind, name))))

    async def find(
        self, kind: Kind, *, labels: Wanted = None, fields: Wanted = None, limit: int = 0, cursor: str = "",
        resource_version: str = "", match: Match | None = None,
    ) -> Listing:  # fmt: skip
        """Give all objects of a kind, or those that are selected, or a page of them.

        Args:
            kind: whose objects.
            labels: of the objects.
            fields: of the objects; the server knows metadata.name, and what else the kind declares.
            limit: how many to give at most; 0 for all.
            cursor: of the page before; the selection must be the same.
            resource_version: of the state to list; empty for the newest.
            match: how it is meant; without, a state that is not older.

        Raises:
            Expired: the state that is asked for is forgotten.
            Refused: a selector cannot be read, the options do not go together, or the cursor is none.
            ServerFailed: that state is yet to come.
        """
        query = selectors(labels, fields or kind.only)
        asked = {
            "limit": str(limit or ""), "continue": cursor, "resourceVersion": resource_version,
            "resourceVersionMatch": match.value if match is not None else "",
        }  # fmt: skip
        if any(asked.values()):
            return await self._lists.page(
                kind, query | {name: value for name, value in asked.items() if value}
            )
        found = await self._lists.all(kind, query, as_is)
        return Listing(items=found.items, resource_version=found.resource_version)

    @property
    def warnings(self) -> Sequence[str]:
        """What the server warned of lately, the newest last."""
        return self._transport.warnings

    async def create(
        self, kind: Kind, obj: Json, *, dry_run: bool = False, field_validation: FieldValidation | None = None
    ) -> Json:
        """Create an object and give it as stored. Raises AlreadyExists, Refused."""
        query = self._writer | DRY[dry_run] | validation(field_validation)
        request = Request(method="POST", path=path_of(kind), query=query, body=body_of(obj))
        return clean(kind, await self._transport.call(request))

    async def patch(
        self, kind: Kind, name: str, patch: Patch, *, subresource: str = "", dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Json:  # fmt: skip
        """Change an object and give it as stored. A change that changes nothing writes nothing.

        Args:
            kind: whose object.
            name: its name.
            patch: what to change. The server tells a failed `test` of a JSON patch no better than another
                operation that fails, so with a `test` in it each of them is a Conflict.
            subresource: `status`, or empty for everything but the status.
            dry_run: only tell what would be stored.
            field_validation: what becomes of unknown fields; the server's default is to warn.

        Raises:
            ObjectNotFound: there is no such object; an apply creates it.
            Conflict: resourceVersion, uid or a JSON-patch test did not fit, or another manager owns a field.
            Refused: the result is invalid.
            Unreachable: the answer was lost, the change may be made; so too ServerFailed.
        """
        query, has_test = self._writer, False
        content_type, body = _MERGE_PATCH, b""
        match patch:
            case MergePatch():
                body = body_of(patch.body)
            case JsonPatch(operations):
                content_type, body = _JSON_PATCH, body_of(operations)
                has_test = any(step.get("op") == "test" for step in operations)
            case ApplyPatch():
                content_type, body = _APPLY_PATCH, body_of(patch.body)  # JSON is YAML
                query = {"fieldManager": patch.manager, "force": str(patch.force).lower()}
        request = Request(
            method="PATCH", path=path_of(kind, name, subresource), query=query | DRY[dry_run] | validation(field_validation),
            body=body, content_type=content_type, has_test=has_test,
        )  # fmt: skip
        return clean(kind, await self._transport.call(request))

    async def replace(
        self, kind: Kind, obj: Json, *, subresource: str = "", dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Json:  # fmt: skip
        """Put a whole object in the place of the one of its name, and give it as stored.

        Raises:
            ObjectNotFound: there is no such object.
            Conflict: it has another resourceVersion or uid.
            Refused: it has no resourceVersion, or is invalid.
        """
        name = (obj.get("metadata") or {}).get("name") or ""
        request = Request(
            method="PUT",
            path=path_of(kind, name, subresource),
            query=self._writer | DRY[dry_run] | validation(field_validation),
            body=body_of(obj),
        )
        return clean(kind, await self._transport.call(request))

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None,
        propagation: Propagation | None = None, dry_run: bool = False, grace: int | None = None,
    ) -> Json:  # fmt: skip
        """Delete an object, or mark it deleted while it has finalizers.

        Returns:
            The object while finalizers hold it, else the server's Status; a Pod in any case.
        """
        wanted = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {name: value for name, value in wanted.items() if value is not None}
        body = {**options(propagation, dry_run=dry_run), "preconditions": preconditions} | period(grace)
        request = Request(method="DELETE", path=path_of(kind, name), body=body_of(body))
        return clean(kind, await self._transport.call(request))

    async def evict(
        self, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Json:
        """Ask for the eviction of a Pod.

        Raises:
            ObjectNotFound: there is no such Pod.
            Conflict: it has another uid.
            TooManyRequests: its budget allows none now (`is_budget`), or the server is busy.
            ServerFailed: more than one budget selects it.
            Unreachable: the answer was lost, it may be evicted; so too ServerFailed.
        """
        body = {
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": ({} if uid is None else {"preconditions": {"uid": uid}}) | period(grace),
        }  # fmt: skip
        path = path_of(Pod.KIND.within(namespace), name, "eviction")
        return await self._transport.call(
            Request(method="POST", path=path, query=self._writer, body=body_of(body))
        )

    async def delete_all(
        self, kind: Kind, *, labels: Wanted = None, fields: Wanted = None, limit: int = 0, cursor: str = "",
        propagation: Propagation | None = None, dry_run: bool = False,
    ) -> Listing:  # fmt: skip
        """Delete all objects of a kind, or those that are selected, and give them as they were before.

        Raises:
            Refused: a selector cannot be read, the cursor is none, or no namespace is named.
            Expired: the state that the cursor is of is forgotten.
            Unreachable: the answer was lost, some may be deleted; so too ServerFailed.
        """
        asked = {"limit": str(limit or ""), "continue": cursor}
        query = selectors(labels, fields) | {name: value for name, value in asked.items() if value}
        body = body_of(options(propagation, dry_run=dry_run))
        request = Request(method="DELETE", path=path_of(kind), query=query, body=body)
        return listed(kind, await self._transport.call(request))

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False,
        labels: Wanted = None, fields: Wanted = None,
    ) -> KubeWatch:  # fmt: skip
        """Watch a kind from a resourceVersion that `find` gave; connects when first asked for events.

        Bookmarks are told also when they were not asked for: the watch needs them to resume.
        """
        selection = selectors(labels, fields or kind.only)
        return KubeWatch(
            self._transport, kind, path_of(kind), resource_version, initial=initial, selection=selection
        )

    async def follow(self, kind: Kind, read: Callable[[Json], T]) -> tuple[Followed[T], Watch]:
        """Give all objects of a kind, and a watch of what happens after that.

        They come as a stream, of which neither side ever holds the whole text; in pages from a server that has no
        streams, and when a stream breaks.

        Args:
            kind: whose objects.
            read: what is kept of each; the rest of it is let go as soon as it has come.

        Raises:
            ApiError: they cannot be listed.
        """
        if self._streams:
            selection = selectors(None, kind.only)
            watch = KubeWatch(self._transport, kind, path_of(kind), "", initial=True, selection=selection)
            try:
                async with asyncio.timeout(self._transport.limits.patience.total_seconds()):
                    return await watch.listed(read), watch
            except (ApiError, TimeoutError) as error:
                self._streams = not _has_no_streams(error)
                LOG.info("event=listed-in-pages kind=%s error=%s: %s", kind.name, type(error).__name__, error)
        found = await self._lists.all(kind, selectors(None, kind.only), read)
        return found, await self.watch(kind, resource_version=found.resource_version)


def _has_no_streams(error: ApiError | TimeoutError) -> bool:
    """Tell whether a server does not stream lists, rather than this one time."""
    if isinstance(error, TimeoutError):  # it took the request for a plain watch
        return True
    return error.code in (400, 422) or (error.code == 500 and "RequestWatchProgress" in str(error))
