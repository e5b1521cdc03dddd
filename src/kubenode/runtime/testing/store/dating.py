"""Listings of a state that is named: exactly it, or one that is not older."""

from typing import Final

from kubenode.core.errors import Refused
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import Api, Match
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    causes,
    fails,
    holds,
    machine,
    same,
    spec,
    told,
    version,
)

_FORBIDDEN: Final = "FieldValueForbidden"
_MATCH: Final = "resourceVersionMatch"


async def find_exactly_at_a_version(store: Api, kind: Kind, fresh: Fresh) -> None:
    """What was there then, as it was then; neither what came later nor what was gone."""
    kept, gone, late = sorted(fresh() for _ in range(3))
    before = await store.create(kind, machine(kept))
    last = await store.create(kind, machine(gone))
    await store.delete(kind, gone)
    await store.create(kind, machine(late))
    await store.patch(kind, kept, spec(labels={"a": "1"}))
    at = last["metadata"]["resourceVersion"]
    then = await store.find(kind, resource_version=at, match=Match.EXACT)
    mine = [item for item in then.items if item["metadata"]["name"] in {kept, gone, late}]
    same(mine, [before, last], "items")
    same(then.resource_version, at, "resourceVersion")


async def find_exactly_in_pages(store: Api, kind: Kind, fresh: Fresh) -> None:
    """All pages are of that state."""
    names = sorted(fresh() for _ in range(3))
    mark = {"example.com/of": names[0]}
    made = [await store.create(kind, machine(name, metadata={"labels": mark})) for name in names]
    at = made[-1]["metadata"]["resourceVersion"]
    await store.delete(kind, names[2])
    page = await store.find(kind, labels=mark, limit=2, resource_version=at, match=Match.EXACT)
    same([item["metadata"]["name"] for item in page.items], names[:2], "first page")
    rest = await store.find(kind, labels=mark, limit=2, cursor=page.cursor)
    same([item["metadata"]["name"] for item in rest.items], names[2:], "second page")
    same({page.resource_version, rest.resource_version}, {at}, "resourceVersions")


async def find_exactly_a_selection(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Labels are compared as they were then."""
    name = fresh()
    mark = {"example.com/of": name}
    made = await store.create(kind, machine(name, metadata={"labels": mark}))
    await store.delete(kind, name)
    at = made["metadata"]["resourceVersion"]
    then = await store.find(kind, labels=mark, resource_version=at, match=Match.EXACT)
    same(then.items, (made,), "items")


async def find_not_older_than_a_version(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A state at that version or later: it has what was written before."""
    name = fresh()
    made = await store.create(kind, machine(name))
    at = made["metadata"]["resourceVersion"]
    for match in (Match.NOT_OLDER, None):
        found = await store.find(kind, resource_version=at, match=match)
        holds(int(found.resource_version) >= version(made), "an older state was listed")
        holds(made in found.items, "what was written before is not there")


async def limit_of_a_state_of_any_age(store: Api, kind: Kind, fresh: Fresh) -> None:
    """With resourceVersion 0 the limit is ignored."""
    names = [fresh(), fresh()]
    for name in names:
        await store.create(kind, machine(name))
    for match in (Match.NOT_OLDER, None):
        found = await store.find(kind, limit=1, resource_version="0", match=match)
        same(found.cursor, "", "cursor")
        holds(len(found.items) >= 2, f"{len(found.items)} items")


async def match_without_a_version(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422."""
    fresh()
    for match in Match:
        error = await fails(Refused, store.find(kind, match=match))
        told(error, code=422, reason="Invalid")
        text = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        same(causes(error), {(_FORBIDDEN, _MATCH, text)}, "causes")
        lead = 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        holds(error.status["message"].startswith(lead), error.status["message"])


async def exactly_a_state_of_any_age(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422: 0 is no version."""
    fresh()
    error = await fails(Refused, store.find(kind, resource_version="0", match=Match.EXACT))
    text = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    same(causes(error), {(_FORBIDDEN, _MATCH, text)}, "causes")


async def version_with_a_cursor(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400: the cursor says which state; 422 for a match."""
    made = [await store.create(kind, machine(name)) for name in (fresh(), fresh())]
    at = made[-1]["metadata"]["resourceVersion"]
    cursor = (await store.find(kind, limit=1)).cursor
    error = await fails(Refused, store.find(kind, cursor=cursor, resource_version=at))
    text = "specifying resource version is not allowed when using continue"
    same((error.code, error.status["message"]), (400, text), "answer")
    both = store.find(kind, cursor=cursor, resource_version=at, match=Match.EXACT)
    text = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
    same(causes(await fails(Refused, both)), {(_FORBIDDEN, _MATCH, text)}, "causes")


async def version_that_is_no_number(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400."""
    fresh()
    error = await fails(Refused, store.find(kind, resource_version="abc"))
    told(error, code=400, reason="BadRequest")
    fault = 'Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'
    same(error.status["message"], f"invalid resource version: resourceVersion: {fault}", "message")


CASES: Final[tuple[Case, ...]] = tuple(
    api_case(behaviour) for behaviour in (
        find_exactly_at_a_version, find_exactly_in_pages, find_exactly_a_selection,
        find_not_older_than_a_version, limit_of_a_state_of_any_age, match_without_a_version,
        exactly_a_state_of_any_age, version_with_a_cursor, version_that_is_no_number,
    )
)  # fmt: skip
