"""The Store of a real API server.

Lives here: what each method is in HTTP. Limits and repeats are `transport.py`'s, errors `answer.py`'s.
Reads are made again while the server is away; a write whose answer was lost raises Unreachable or
ServerFailed, and whoever decides looks again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from kubenode.core.errors import ApiError, Expired, Refused
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
from kubenode.runtime.store.following import Followed, as_is, in_turn
from kubenode.runtime.store.installed import check, leaves
from kubenode.runtime.store.objectmeta import place
from kubenode.runtime.store.rights import Right

try:
    import orjson

    from kubenode.runtime.store.answer import clean
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
_ALL: Final = "All"
_DRY: Final[Mapping[bool, dict[str, str]]] = {False: {}, True: {"dryRun": _ALL}}


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
        answer = await self._transport.call(Request(method="POST", path=path, body=_json(body)))
        return bool(answer["status"]["allowed"])

    async def get(self, kind: Kind, name: str) -> Json:
        """Give one object. Raises ObjectNotFound."""
        return clean(kind, await self._transport.call(Request(method="GET", path=_path(kind, name))))

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
        query = _selectors(labels, fields or kind.only)
        asked = {
            "limit": str(limit or ""), "continue": cursor, "resourceVersion": resource_version,
            "resourceVersionMatch": match.value if match is not None else "",
        }  # fmt: skip
        if any(asked.values()):
            return await self._page(kind, query | {name: value for name, value in asked.items() if value})
        found = await self._all(kind, query, as_is)
        return Listing(items=found.items, resource_version=found.resource_version)

    @property
    def warnings(self) -> Sequence[str]:
        """What the server warned of lately, the newest last."""
        return self._transport.warnings

    async def create(
        self, kind: Kind, obj: Json, *, dry_run: bool = False, field_validation: FieldValidation | None = None
    ) -> Json:
        """Create an object and give it as stored. Raises AlreadyExists, Refused."""
        query = self._writer | _DRY[dry_run] | _validation(field_validation)
        request = Request(method="POST", path=_path(kind), query=query, body=_json(obj))
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
                body = _json(patch.body)
            case JsonPatch(operations):
                content_type, body = _JSON_PATCH, _json(operations)
                has_test = any(step.get("op") == "test" for step in operations)
            case ApplyPatch():
                content_type, body = _APPLY_PATCH, _json(patch.body)  # JSON is YAML
                query = {"fieldManager": patch.manager, "force": str(patch.force).lower()}
        request = Request(
            method="PATCH", path=_path(kind, name, subresource), query=query | _DRY[dry_run] | _validation(field_validation),
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
            path=_path(kind, name, subresource),
            query=self._writer | _DRY[dry_run] | _validation(field_validation),
            body=_json(obj),
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
        options = {**_options(propagation, dry_run=dry_run), "preconditions": preconditions} | _period(grace)
        request = Request(method="DELETE", path=_path(kind, name), body=_json(options))
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
            "deleteOptions": ({} if uid is None else {"preconditions": {"uid": uid}}) | _period(grace),
        }  # fmt: skip
        path = _path(Pod.KIND.within(namespace), name, "eviction")
        return await self._transport.call(
            Request(method="POST", path=path, query=self._writer, body=_json(body))
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
        query = _selectors(labels, fields) | {name: value for name, value in asked.items() if value}
        body = _json(_options(propagation, dry_run=dry_run))
        request = Request(method="DELETE", path=_path(kind), query=query, body=body)
        return _listed(kind, await self._transport.call(request))

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False,
        labels: Wanted = None, fields: Wanted = None,
    ) -> KubeWatch:  # fmt: skip
        """Watch a kind from a resourceVersion that `find` gave; connects when first asked for events.

        Bookmarks are told also when they were not asked for: the watch needs them to resume.
        """
        selection = _selectors(labels, fields or kind.only)
        return KubeWatch(
            self._transport, kind, _path(kind), resource_version, initial=initial, selection=selection
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
            selection = _selectors(None, kind.only)
            watch = KubeWatch(self._transport, kind, _path(kind), "", initial=True, selection=selection)
            try:
                async with asyncio.timeout(self._transport.limits.patience.total_seconds()):
                    return await watch.listed(read), watch
            except (ApiError, TimeoutError) as error:
                self._streams = not _has_no_streams(error)
                LOG.info("event=listed-in-pages kind=%s error=%s: %s", kind.name, type(error).__name__, error)
        found = await self._all(kind, _selectors(None, kind.only), read)
        return found, await self.watch(kind, resource_version=found.resource_version)

    async def _all(self, kind: Kind, query: Mapping[str, str], read: Callable[[Json], T]) -> Followed[T]:
        for _ in range(2):
            # The server forgot the version of the first pages before the last one was asked for.
            with suppress(Expired):
                return await self._list(kind, {**query, "limit": str(self._transport.limits.page)}, read)
        return await self._list(kind, query, read)

    async def _list(self, kind: Kind, query: Mapping[str, str], read: Callable[[Json], T]) -> Followed[T]:
        places: list[str] = []
        items: list[T] = []
        version = token = ""
        while True:
            page = await self._page(kind, {**query, "continue": token} if token else query)
            if version and page.resource_version != version:
                raise Expired(f"the pages of {kind.plural} are of {version} and {page.resource_version}")
            version, token = page.resource_version, page.cursor
            places += map(_place, page.items)
            items += await in_turn(page.items, read)
            if not token:
                order = sorted(range(len(items)), key=places.__getitem__)
                return Followed(items=tuple(items[at] for at in order), resource_version=version)

    async def _page(self, kind: Kind, query: Mapping[str, str]) -> Listing:
        return _listed(kind, await self._transport.call(Request(method="GET", path=_path(kind), query=query)))


def _listed(kind: Kind, page: Json) -> Listing:
    metadata = page["metadata"]
    items = sorted((clean(kind, item) for item in page["items"] or ()), key=_place)
    return Listing(
        items=tuple(items), resource_version=metadata["resourceVersion"],
        cursor=metadata.get("continue") or "", remaining=metadata.get("remainingItemCount"),
    )  # fmt: skip


def _options(propagation: Propagation | None, *, dry_run: bool) -> Json:
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if propagation is not None:
        options["propagationPolicy"] = propagation.value
    if dry_run:
        options["dryRun"] = [_ALL]
    return options


def _period(grace: int | None) -> dict[str, int]:
    return {} if grace is None else {"gracePeriodSeconds": grace}


def _validation(wanted: FieldValidation | None) -> dict[str, str]:
    return {} if wanted is None else {"fieldValidation": wanted.value}


def _has_no_streams(error: ApiError | TimeoutError) -> bool:
    """Tell whether a server does not stream lists, rather than this one time."""
    if isinstance(error, TimeoutError):  # it took the request for a plain watch
        return True
    return error.code in (400, 422) or (error.code == 500 and "RequestWatchProgress" in str(error))


def _place(item: Json) -> str:
    return place(item["metadata"])


def _selectors(labels: Wanted, fields: Wanted) -> dict[str, str]:
    wanted = {"labelSelector": labels or "", "fieldSelector": fields or ""}
    written = {
        name: each
        if isinstance(each, str)
        else ",".join(f"{key}={value}" for key, value in sorted(each.items()))
        for name, each in wanted.items()
    }
    return {name: text for name, text in written.items() if text}


def _path(kind: Kind, name: str | None = None, subresource: str = "") -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    if kind.namespace:
        root = f"{root}/namespaces/{quote(kind.namespace, safe='')}"
    if name is None:
        return f"{root}/{kind.plural}"
    if name in ("", ".", "..") or "/" in name:
        # It would be the path of something else: of all objects, or of another one.
        raise Refused(f"{name!r} is no name of an object")
    return f"{root}/{kind.plural}/{quote(name, safe='')}" + (f"/{subresource}" if subresource else "")


def _json(value: object) -> bytes:
    return orjson.dumps(value, default=_plain)


def _plain(value: object) -> dict[Any, Any]:
    """Write mappings that are not dicts, such as read-only ones."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
