"""KubeStore: what each method asks the server, and what each answer means."""

import logging
from types import MappingProxyType

import pytest

from kubenode.core.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    ObjectNotFound,
    Refused,
    ServerFailed,
)
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import ApplyPatch, JsonPatch, MergePatch
from kubenode.runtime.store.kube import KubeStore
from tests.runtime.api_server import KIND, PATH, READS, Say, fails, listing, machine, refused, run, says

NODE = Kind(name="Node", plural="nodes", group="", version="v1", served=False)
TEST = JsonPatch(({"op": "test", "path": "/spec/a", "value": 1}, {"op": "remove", "path": "/spec/a"}))


# What is asked.


def test_get_asks_for_one_object_and_drops_managed_fields() -> None:
    """The path names group, version and plural; managedFields are gone."""
    got, server = run(says(machine("m1")), do=READS["get"])
    assert got["metadata"] == {"name": "m1", "resourceVersion": "1"}
    assert [(asked.method, asked.path) for asked in server.asked] == [("GET", f"{PATH}/m1")]


def test_the_core_group_has_another_root() -> None:
    """A Node is below /api/v1; items of a list are told their kind, which the server leaves out."""
    item: Json = {"metadata": {"name": "n1"}}
    found, server = run(says(listing(item)), do=lambda store: store.find(NODE))
    assert server.asked[0].path == "/api/v1/nodes"
    assert found.items == ({"metadata": {"name": "n1"}, "apiVersion": "v1", "kind": "Node"},)


def test_create_sends_the_object_and_who_writes() -> None:
    """The body is the object; read-only mappings in it are written like dicts."""
    obj = {"metadata": MappingProxyType({"name": "m1"})}
    _, server = run(says(machine("m1"), 201), do=lambda store: store.create(KIND, obj))
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", PATH, {"fieldManager": "tester"})
    assert asked.json == {"metadata": {"name": "m1"}}


@pytest.mark.parametrize(
    ("patch", "content_type", "body"),
    [
        (MergePatch({"spec": {"a": None}}), "application/merge-patch+json", {"spec": {"a": None}}),
        (TEST, "application/json-patch+json", list(TEST.operations)),
    ],
)
def test_patch_says_which_patch_it_is(patch: MergePatch | JsonPatch, content_type: str, body: object) -> None:
    """Both kinds of patch go to the subresource with their content type and the field manager."""
    _, server = run(
        says(machine("m1")), do=lambda store: store.patch(KIND, "m1", patch, subresource="status")
    )
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == (
        "PATCH",
        f"{PATH}/m1/status",
        {"fieldManager": "tester"},
    )
    assert (asked.headers["Content-Type"], asked.json) == (content_type, body)


def test_delete_sends_its_preconditions() -> None:
    """Uid and resourceVersion are preconditions; what is not given is not sent."""

    async def both(store: KubeStore) -> None:
        await store.delete(KIND, "m1", uid="u", resource_version="7")
        await store.delete(KIND, "m1")

    _, server = run(says({"kind": "Status"}), says({"kind": "Status"}), do=both)
    sent = [asked.json["preconditions"] for asked in server.asked]
    assert sent == [{"uid": "u", "resourceVersion": "7"}, {}]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_that_would_be_another_path_is_refused(name: str) -> None:
    """Nothing is sent for a name that would make the path of something else."""
    error, server = refused(do=lambda store: store.delete(KIND, name))
    assert isinstance(error, Refused)
    assert server.asked == []


# What a list is made of.


def test_find_reads_all_pages_and_sorts_by_name() -> None:
    """Each page is asked for with the token of the last one; labels and limit go with each."""
    pages = (
        says(listing(machine("m2"), **{"continue": "t=="})),
        says(listing(machine("m3"), machine("m1"))),
    )
    found, server = run(*pages, do=lambda store: store.find(KIND, labels={"b": "", "a": "x"}), page=2)
    assert [item["metadata"]["name"] for item in found.items] == ["m1", "m2", "m3"]
    assert found.resource_version == "10"
    first = {"limit": "2", "labelSelector": "a=x,b="}
    assert [asked.query for asked in server.asked] == [first, {**first, "continue": "t=="}]


GONE = fails(410, "Expired", "The provided continue parameter is too old")
FIRST = says(listing(machine("old"), **{"continue": "t"}))


def test_find_begins_again_when_the_token_has_expired() -> None:
    """After 410 in the middle all pages are read anew: nothing of the first version stays."""
    found, server = run(FIRST, GONE, says(listing(machine("new"), version="20")), do=READS["find"])
    assert ([item["metadata"]["name"] for item in found.items], found.resource_version) == (["new"], "20")
    assert "continue" not in server.asked[2].query


def test_find_takes_one_answer_when_tokens_expire_again() -> None:
    """A server too busy for pages is asked for everything at once, which cannot expire half way."""
    found, server = run(FIRST, GONE, FIRST, GONE, says(listing(machine("m1"))), do=READS["find"])
    assert len(found.items) == 1
    assert server.asked[-1].query == {}


def test_find_begins_again_when_a_page_is_of_another_version() -> None:
    """Pages of two versions would be a world that never was."""
    answers = (FIRST, says(listing(machine("m"), version="11")), says(listing(version="12")))
    found, _ = run(*answers, do=READS["find"])
    assert (found.items, found.resource_version) == ((), "12")


# What an error means.

IMMUTABLE = {"causes": [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]}
INVALID = {"causes": [{"field": "spec.provider", "reason": "FieldValueRequired"}]}
BARE = "the server rejected our request due to an error in our request"
MERGE = MergePatch({})


@pytest.mark.parametrize(
    ("answer", "patch", "meaning"),
    [
        (fails(404, "NotFound"), MERGE, ObjectNotFound),
        (fails(409, "Conflict"), MERGE, Conflict),
        (fails(409, "AlreadyExists"), MERGE, AlreadyExists),
        (fails(422, "Invalid", details=IMMUTABLE), MERGE, Conflict),
        (fails(422, "Invalid", details=INVALID), MERGE, Refused),
        (fails(422, "Invalid", BARE), TEST, Conflict),
        (fails(422, "Invalid", details=INVALID), TEST, Refused),
        (fails(422, "Invalid", BARE), JsonPatch(({"op": "remove", "path": "/spec/a"},)), Refused),
        (fails(400, "BadRequest"), MERGE, Refused),
        (fails(403, "Forbidden"), MERGE, Forbidden),
        (fails(415, "UnsupportedMediaType"), MERGE, Refused),
        (fails(410, "Expired"), MERGE, Expired),
        (says(b"", 302, Location="/elsewhere"), MERGE, Refused),
        (says(b"", 500), MERGE, ServerFailed),
    ],
)
def test_each_answer_has_its_meaning(
    answer: Say, patch: MergePatch | JsonPatch, meaning: type[ApiError]
) -> None:
    """Codes and reasons become the errors of the contract; the server's Status stays with them."""
    error, server = refused(answer, do=lambda store: store.patch(KIND, "m1", patch))
    assert type(error) is meaning
    assert error.code in (302, 400, 403, 404, 409, 410, 415, 422, 500)
    assert len(server.asked) == 1


def test_warnings_of_the_server_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A pruned field is an answer of 200 with a Warning: somebody must see it."""
    answer = says(machine("m1"), Warning='299 - "unknown field spec.zz"')

    async def twice(store: KubeStore) -> None:
        await store.get(KIND, "m1")
        await store.get(KIND, "m1")

    with caplog.at_level(logging.WARNING, "kubenode.store"):
        run(answer, answer, do=twice)
    assert [record.message.count("unknown field spec.zz") for record in caplog.records] == [1]


def test_a_page_is_asked_for_as_given() -> None:
    """Selectors, limit and cursor are sent, one page is read, and where it goes on is told."""
    page = listing(machine("b"), machine("a"))
    page["metadata"] |= {"continue": "next", "remainingItemCount": 3}
    found, server = run(
        says(page),
        do=lambda store: store.find(
            KIND, labels={"l": "1"}, fields={"metadata.name": "a"}, limit=2, cursor="c"
        ),
    )
    assert [item["metadata"]["name"] for item in found.items] == ["a", "b"]
    assert (found.cursor, found.remaining) == ("next", 3)
    (asked,) = server.asked
    wanted = {"labelSelector": "l=1", "fieldSelector": "metadata.name=a", "limit": "2", "continue": "c"}
    assert asked.query == wanted


def test_an_apply_names_its_own_manager() -> None:
    """Not the store's; force is said."""
    _, server = run(
        says(machine("m1")),
        do=lambda store: store.patch(KIND, "m1", ApplyPatch({"spec": {}}, "me", force=True)),
    )
    (asked,) = server.asked
    assert asked.query == {"fieldManager": "me", "force": "true"}
    assert (asked.headers["Content-Type"], asked.json) == ("application/apply-patch+yaml", {"spec": {}})
