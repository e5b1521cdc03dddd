"""The embedded store: the conformance suite, and what is its own."""

import asyncio
import copy
import itertools
import json
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kubenode.core.crd import schema_of
from kubenode.core.errors import ApiError, Conflict, Expired, ObjectNotFound, Refused
from kubenode.core.model import KINDS, Json, Kind, Machine, Node, Pod, PodDisruptionBudget
from kubenode.core.schema import Cause
from kubenode.runtime.store.contract import EventType, JsonPatch, Listing, MergePatch, Patch, WatchEvent
from kubenode.runtime.store.embedded import EmbeddedStore, EmbeddedWatch, now_or_never
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.testing.store import (
    CASES,
    Case,
    clearing,
    collecting,
    dating,
    placing,
    rehearsing,
    replacing,
    selecting,
    straying,
)

KIND = Machine.KIND
SCHEMAS = {kind: schema_of(kind) for kind in KINDS}
HAS_CEL = find_spec("cel_expr_python") is not None
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def make(
    *, clock: Callable[[], datetime] = lambda: NOON, seed: int = 0, window: int = 64, **more: Any
) -> EmbeddedStore:
    """Make a store of our kinds and Nodes."""
    kinds = [(kind.KIND, SCHEMAS[kind]) for kind in KINDS] + [
        (kind, None) for kind in (Node.KIND, Pod.KIND, PodDisruptionBudget.KIND, EVENT)
    ]
    return EmbeddedStore(kinds, clock=clock, seed=seed, window=window, **more)


def body(name: str, **spec: Any) -> Json:
    """Write a Machine."""
    return {
        "apiVersion": KIND.api_version, "kind": "Machine", "metadata": {"name": name},
        "spec": {"host": {"address": "h"}, **spec},
    }  # fmt: skip


def node(name: str) -> Json:
    """Write a Node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {},
        "status": {"phase": "x"},
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conformance(case: Case) -> None:
    """Every case passes, and nothing is left behind."""
    if case.needs_cel and not HAS_CEL:
        pytest.skip("the extra cel is not installed")
    store = make()
    names = (f"case-{number}" for number in itertools.count())
    asyncio.run(case(store, KIND, lambda: next(names)))
    assert now_or_never(store.find(KIND)).items == ()


def test_the_suite_is_whole() -> None:
    """At least 180 behaviours of a real server, each with a name of its own and a docstring."""
    assert sum(not case.embedded_only for case in CASES) >= 180
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.run.__doc__ for case in CASES)


def test_cases_notice_a_store_that_does_nothing() -> None:
    """A store whose patches do nothing fails most cases of a Store."""

    class Idle(EmbeddedStore):
        async def patch(self, kind: Kind, name: str, patch: Patch, **options: Any) -> Json:
            return await self.get(kind, name)

    failed = 0
    cases = [case for case in CASES if not case.needs_api]
    for case in cases:
        store = Idle([(KIND, schema_of(Machine))], clock=lambda: NOON)
        names = (f"case-{number}" for number in itertools.count())
        try:
            asyncio.run(_within(case, store, names))
        except (AssertionError, ApiError, KeyError, TimeoutError):
            failed += 1
    assert failed > len(cases) // 2


class _AllTheSame(EmbeddedStore):
    """Lists and watches everything, whatever is selected and of whichever state."""

    async def find(self, kind: Kind, **options: Any) -> Listing:
        kept = {name: value for name, value in options.items() if name in {"limit", "cursor"}}
        return await super().find(kind, **kept)

    async def watch(self, kind: Kind, **options: Any) -> EmbeddedWatch:
        kept = {name: value for name, value in options.items() if name not in {"labels", "fields"}}
        return await super().watch(kind, **kept)


class _MergesInstead(EmbeddedStore):
    """Replaces an object as if it were a patch."""

    async def replace(self, kind: Kind, obj: Json, **options: Any) -> Json:
        return await self.patch(kind, obj["metadata"]["name"], MergePatch(obj), **options)


class _InEarnest(EmbeddedStore):
    """Takes no dry run for one."""

    async def create(self, kind: Kind, obj: Json, **options: Any) -> Json:
        return await super().create(kind, obj)

    async def patch(self, kind: Kind, name: str, patch: Patch, **options: Any) -> Json:
        return await super().patch(kind, name, patch, subresource=options.get("subresource", ""))

    async def replace(self, kind: Kind, obj: Json, **options: Any) -> Json:
        return await super().replace(kind, obj, subresource=options.get("subresource", ""))

    async def delete(self, kind: Kind, name: str, **options: Any) -> Json:
        return await super().delete(kind, name, **{**options, "dry_run": False})


class _NeverCollects(EmbeddedStore):
    """Leaves all garbage, and deletes in one way."""

    async def delete(self, kind: Kind, name: str, **options: Any) -> Json:
        return await super().delete(kind, name, **{**options, "propagation": None})

    async def collect_garbage(self) -> int:
        return 0


class _Everywhere(EmbeddedStore):
    """Reads all namespaces, whichever is asked for."""

    async def find(self, kind: Kind, **options: Any) -> Listing:
        return await super().find(EVENT if kind.namespaced else kind, **options)

    async def watch(self, kind: Kind, **options: Any) -> EmbeddedWatch:
        return await super().watch(EVENT if kind.namespaced else kind, **options)


class _Heedless(EmbeddedStore):
    """Validates no fields but as by default, and never tells what it dropped."""

    async def create(self, kind: Kind, obj: Json, **options: Any) -> Json:
        try:
            return await super().create(kind, obj, dry_run=options.get("dry_run", False))
        finally:
            self.warnings.clear()

    async def patch(self, kind: Kind, name: str, patch: Patch, **options: Any) -> Json:
        kept = {name: value for name, value in options.items() if name != "field_validation"}
        try:
            return await super().patch(kind, name, patch, **kept)
        finally:
            self.warnings.clear()

    async def replace(self, kind: Kind, obj: Json, **options: Any) -> Json:
        return await super().replace(kind, obj, subresource=options.get("subresource", ""))


class _Thorough(EmbeddedStore):
    """Deletes all, whatever is selected, however it should, and in earnest."""

    async def delete_all(self, kind: Kind, **options: Any) -> Listing:
        return await super().delete_all(kind)


@pytest.mark.parametrize(
    ("sort", "cases", "passing"),
    [
        # Refusals are the same for all, and so is what everybody is told.
        (_AllTheSame, selecting.CASES, set()),
        (_AllTheSame, dating.CASES, {"find_not_older_than_a_version"}),
        (_MergesInstead, replacing.CASES, {
            "replace_with_the_same_writes_nothing", "replace_leaves_the_status", "replace_of_nothing",
            "replace_at_a_stale_version", "replace_ignores_what_the_server_keeps",
            "replace_of_the_status_is_validated", "replace_takes_over",
        }),
        (_InEarnest, rehearsing.CASES, {"dry_create_is_refused_as_a_real_one"}),
        (_NeverCollects, collecting.CASES, {
            "delete_as_the_finalizers_say", "both_finalizers_of_the_collector", "owners_without_a_name",
            "owners_of_wrong_types", "one_owner_controls", "events_own_nothing", "owners_are_kept_once",
        }),
        (_Thorough, clearing.CASES, {
            "delete_all_waits_for_finalizers", "delete_all_of_nothing", "delete_all_is_told_to_watches",
            "delete_all_of_a_namespace",
        }),
        (_Heedless, straying.CASES, {
            "strict_apply_is_as_any", "strict_is_content_with_what_it_knows", "event_that_says_no_kind",
        }),
        (_Everywhere, tuple(each for each in placing.CASES if "_by_namespace" in each.name), set()),
    ],
)  # fmt: skip
def test_cases_notice_what_is_wrong(
    sort: type[EmbeddedStore], cases: tuple[Case, ...], passing: set[str]
) -> None:
    """Each planted fault fails all cases of its area but those that are not about it."""
    passed = set()
    for case in cases:
        store = sort([(KIND, SCHEMAS[Machine]), (EVENT, None)], clock=lambda: NOON)
        names = (f"case-{number}" for number in itertools.count())
        try:
            asyncio.run(_within(case, store, names))
        except (AssertionError, ApiError, KeyError, TimeoutError):
            continue
        passed.add(case.name)
    assert passed == passing


async def _within(case: Case, store: EmbeddedStore, names: Iterator[str]) -> None:
    async with asyncio.timeout(0.2):
        await case.run(store, case.kind or KIND, lambda: next(names))


def test_identity_is_reproducible() -> None:
    """The same seed gives the same uids; another seed other ones; time comes from the clock, in UTC."""
    east = timezone(timedelta(hours=8))
    stores = [make(seed=seed, clock=lambda: NOON.astimezone(east)) for seed in (1, 1, 2)]
    one, same, other = (now_or_never(store.create(KIND, body("m")))["metadata"] for store in stores)
    assert one == same
    assert one["uid"] != other["uid"]
    assert one["creationTimestamp"] == "2026-01-02T12:00:00Z"


def test_generated_names() -> None:
    """The prefix is cut to 58 characters, five follow."""
    store = make()
    obj = body("")
    obj["metadata"] = {"generateName": "x" * 70}
    made = [now_or_never(store.create(KIND, obj))["metadata"] for _ in range(2)]
    assert [len(one["name"]) for one in made] == [63, 63]
    assert made[0]["name"] != made[1]["name"]
    assert made[0]["generateName"] == "x" * 70


def test_nothing_suspends() -> None:
    """Every method can be driven by one send; a watch waits only when there is nothing."""
    store = make()
    now_or_never(store.create(KIND, body("m")))
    watch = now_or_never(store.watch(KIND, resource_version="1"))
    assert [event.type for event in now_or_never(watch.events())] == [EventType.ADDED]
    assert watch.drain() == ()
    with pytest.raises(RuntimeError, match="no running event loop"):
        now_or_never(watch.events())

    class Once:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def suspends() -> None:
        await Once()

    with pytest.raises(RuntimeError, match="suspended"):
        now_or_never(suspends())


def test_a_waiting_watch_is_woken() -> None:
    """By an event, and by close."""

    async def run() -> tuple[WatchEvent, ...]:
        store = make()
        watch = await store.watch(KIND, resource_version=(await store.find(KIND)).resource_version)
        waiting = asyncio.create_task(watch.events())
        await asyncio.sleep(0)
        await store.create(KIND, body("m"))
        found = await waiting
        waiting = asyncio.create_task(watch.events())
        await asyncio.sleep(0)
        await watch.close()
        with pytest.raises(ApiError, match="closed"):
            await waiting
        return found

    assert [event.object["metadata"]["name"] for event in asyncio.run(run())] == ["m"]


def test_watch_from_zero_tells_all_first() -> None:
    """As the server does: ADDED for all that exists, by name, then changes; the future is silence."""
    store = make()
    for name in ("b", "a"):
        now_or_never(store.create(KIND, body(name)))
    watch = now_or_never(store.watch(KIND, resource_version="0"))
    now_or_never(store.delete(KIND, "a"))
    found = [(event.type.value, event.object["metadata"]["name"]) for event in watch.drain()]
    assert found == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert now_or_never(store.watch(KIND, resource_version="99")).drain() == ()
    with pytest.raises(Refused):
        now_or_never(store.watch(KIND, resource_version="abc"))


def test_a_watch_that_falls_behind_expires() -> None:
    """Exactly when an event it has not seen leaves the window; then it is over."""
    store = make(window=3)
    now_or_never(store.create(KIND, body("m")))
    behind, at_the_edge = (now_or_never(store.watch(KIND, resource_version="2")) for _ in range(2))
    for number in range(3):
        now_or_never(store.patch(KIND, "m", MergePatch({"spec": {"labels": {"n": str(number)}}})))
    assert len(at_the_edge.drain()) == 3
    now_or_never(store.patch(KIND, "m", MergePatch({"spec": {"labels": {"n": "3"}}})))
    assert len(at_the_edge.drain()) == 1
    with pytest.raises(Expired, match=r"too old resource version: 2 \(3\)") as caught:
        behind.drain()
    assert caught.value.code == 410
    with pytest.raises(ApiError, match="closed"):
        behind.drain()
    for start, told in (("2", None), ("3", 3), ("4", 2), ("6", 0)):
        watch = now_or_never(store.watch(KIND, resource_version=start))
        if told is None:
            with pytest.raises(Expired):
                watch.drain()
        else:
            assert len(watch.drain()) == told


@pytest.mark.parametrize("count", range(2, 12))
def test_the_window_is_exact(count: int) -> None:
    """Of any number of events the last three can be replayed, from each of their places, and no more."""
    store = make(window=3)
    now_or_never(store.create(KIND, body("m")))
    for number in range(count - 1):
        now_or_never(store.patch(KIND, "m", MergePatch({"spec": {"labels": {"n": str(number)}}})))
    last = int(now_or_never(store.find(KIND)).resource_version)
    for back in range(count + 1):
        watch = now_or_never(store.watch(KIND, resource_version=str(last - back)))
        if back <= 3:
            versions = [int(event.object["metadata"]["resourceVersion"]) for event in watch.drain()]
            assert versions == list(range(last - back + 1, last + 1))
        else:
            with pytest.raises(Expired):
                watch.drain()


SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and"
)
NAME_PART = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with"


@pytest.mark.parametrize(
    ("key", "starts"),
    [
        ("/a", ["prefix part must be non-empty"]),
        ("a/", ["name part must be non-empty", NAME_PART]),
        ("", ["name part must be non-empty", NAME_PART]),
        ("a/b/c", ["a valid label key must consist of alphanumeric characters"]),
        ("A.b/c", [f"prefix part {SUBDOMAIN}"]),
        ("x y/q q", [f"prefix part {SUBDOMAIN}", NAME_PART]),
        ("l" * 64, ["name part must be no more than 63 bytes"]),
    ],
)
def test_label_keys(key: str, starts: list[str]) -> None:
    """Each fault in the server's words."""
    obj = body("m")
    obj["metadata"]["labels"] = {key: "v" * 63}
    with pytest.raises(Refused) as caught:
        now_or_never(make().create(KIND, obj))
    messages = [cause["message"] for cause in caught.value.status["details"]["causes"]]
    assert len(messages) == len(starts)
    for message, start in zip(messages, starts, strict=True):
        assert message.startswith(f'Invalid value: "{key}": {start}')


def test_metadata_of_a_value_too_long() -> None:
    """Values of labels have at most 63 characters; annotations may have keys in any case."""
    obj = body("m")
    obj["metadata"] |= {
        "labels": {"a": "v" * 64},
        "annotations": {"A.b/c": ""},
        "finalizers": ["a b", "nodomain"],
    }
    with pytest.raises(Refused) as caught:
        now_or_never(make().create(KIND, obj))
    causes = caught.value.status["details"]["causes"]
    assert [(cause["field"], cause["message"].split(":")[1]) for cause in causes] == [
        ("metadata.labels", f' "{"v" * 64}"'),
        ("metadata.finalizers", ' "a b"'),
    ]


def test_an_object_without_a_kind() -> None:
    """400, as for one that is of no kind."""
    for kind in (None, "", 5):
        with pytest.raises(Refused, match="Object 'Kind' is missing") as caught:
            now_or_never(make().create(KIND, {**body("m"), "kind": kind}))
        assert caught.value.code == 400


def test_kinds_without_a_schema() -> None:
    """A Node is stored unchecked, but its status is written only through /status, by the right uid."""
    store = make()
    made = now_or_never(store.create(Node.KIND, node("n")))
    assert "status" not in made
    assert now_or_never(store.patch(Node.KIND, "n", MergePatch({"status": {"a": 1}}))) is made
    said = now_or_never(store.patch(Node.KIND, "n", MergePatch({"status": {"a": 1}}), subresource="status"))
    assert said["status"] == {"a": 1}
    wrong = MergePatch({"metadata": {"uid": "other"}, "status": {"a": 2}})
    with pytest.raises(Conflict, match="field is immutable") as caught:
        now_or_never(store.patch(Node.KIND, "n", wrong, subresource="status"))
    assert len(caught.value.status["details"]["causes"]) == 2
    with pytest.raises(ObjectNotFound, match=r'^nodes "x" not found$') as missing:
        now_or_never(store.get(Node.KIND, "x"))
    assert missing.value.status["details"] == {"name": "x", "kind": "nodes"}
    unversioned = MergePatch({"metadata": {"resourceVersion": None, "labels": {"a": "b"}}})
    assert now_or_never(store.patch(Node.KIND, "n", unversioned))["metadata"]["labels"] == {"a": "b"}


def test_a_custom_status_ignores_the_uid() -> None:
    """As the server does, which takes only the status from such a patch; the resourceVersion counts."""
    store = make()
    now_or_never(store.create(KIND, body("m")))
    patch = MergePatch({"metadata": {"uid": "other"}, "status": {"phase": "x"}})
    assert now_or_never(store.patch(KIND, "m", patch, subresource="status"))["status"]["phase"] == "x"
    for metadata, error in (
        ({"resourceVersion": "1"}, Conflict), ({"resourceVersion": None}, Refused), ({"name": "x"}, Refused),
        ({"resourceVersion": "abc"}, Refused), (None, Refused), (5, Refused), ({"labels": {"a": 5}}, Refused),
    ):  # fmt: skip
        with pytest.raises(error):
            now_or_never(store.patch(KIND, "m", MergePatch({"metadata": metadata}), subresource="status"))


def test_unknown_fields_are_warned_of() -> None:
    """In the words of the server's Warning header; the list is bounded."""
    store = make()
    now_or_never(store.create(KIND, {**body("m", junk=1), "zz": 1}))
    now_or_never(store.patch(KIND, "m", MergePatch({"metadata": {"junk": 1}})))
    wanted = ['unknown field "spec.junk"', 'unknown field "zz"', 'unknown field "metadata.junk"']
    assert list(store.warnings) == wanted
    for _ in range(2000):
        now_or_never(store.patch(KIND, "m", MergePatch({"junk": 1})))
    assert len(store.warnings) == 1000


def test_rules_that_are_not_checked_are_told() -> None:
    """When CEL is not evaluated, the store says so."""
    store = make(cel=False)
    assert "Machine spec: has(self.host) != has(self.infrastructure)" in store.unchecked_rules
    assert now_or_never(store.create(KIND, body("m", host=None)))["spec"]["labels"] == {}


def test_rules_in_python() -> None:
    """They refuse what is new, let stand what was so before, and wait for a good schema."""
    fault = Cause("FieldValueInvalid", "Invalid value: give a host", "spec")

    def rules(obj: Json) -> tuple[Cause, ...]:
        return () if "host" in obj["spec"] or "old" in obj["spec"]["labels"] else (fault,)

    store = make(rules={"Machine": rules}, cel=False)
    with pytest.raises(Refused, match="spec: Invalid value: give a host"):
        now_or_never(store.create(KIND, body("m", host=None)))
    now_or_never(store.create(KIND, body("m", host=None, labels={"old": ""})))
    take = MergePatch({"spec": {"labels": {"old": None, "new": ""}}})
    with pytest.raises(Refused, match="give a host"):
        now_or_never(store.patch(KIND, "m", take))
    with pytest.raises(Refused, match="some validation rules were not checked") as caught:
        now_or_never(store.create(KIND, body("x", host=5)))
    assert "give a host" not in str(caught.value)
    with pytest.raises(ValueError, match="not served: Engine"):
        make(rules={"Engine": rules})


def test_unsupported_schemas_are_refused() -> None:
    """When the kind is registered, naming the path."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "anyOf": []}}}
    with pytest.raises(ValueError, match="the schema of Machine: spec: the keyword anyOf is not supported"):
        EmbeddedStore([(KIND, schema)], clock=lambda: NOON)


def test_what_is_no_json() -> None:
    """A value that JSON cannot hold is the caller's bug."""
    store = make()
    for wrong in (NOON, {1: 2}, {"a": {3}}, b"x"):
        with pytest.raises(TypeError, match="is not JSON"):
            now_or_never(store.create(KIND, body("m", labels=wrong)))
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="is not JSON"):
            now_or_never(store.create(KIND, body("m", labels=number)))


def test_the_caller_keeps_his_objects() -> None:
    """What is given is copied; what is not named by a patch is shared, not copied."""
    store = make()
    given = body("m", labels={"a": "1"}, taints=[{"key": "a", "effect": "NoExecute"}])
    made = now_or_never(store.create(KIND, given))
    kept = copy.deepcopy(made)
    given["spec"]["labels"]["a"] = given["spec"]["taints"][0]["key"] = "changed"
    assert now_or_never(store.get(KIND, "m")) == kept
    labels = {"b": "2"}
    changed = now_or_never(store.patch(KIND, "m", MergePatch({"spec": {"labels": labels}})))
    labels["b"] = "changed"
    assert now_or_never(store.get(KIND, "m"))["spec"]["labels"] == {"a": "1", "b": "2"}
    assert made == kept
    assert changed["spec"]["taints"] is made["spec"]["taints"]


NAMES = st.sampled_from(["a", "b", "c"])
KEYS = st.sampled_from(["x", "y", "z"])
SMALL = st.none() | st.sampled_from(["1", "2"])


class Model(RuleBasedStateMachine):
    """Random writes against plain dictionaries; every watch must rebuild what is listed."""

    def __init__(self) -> None:
        super().__init__()
        self.store = make(window=10_000)
        self.labels: dict[str, dict[str, str]] = {}
        self.held: dict[str, bool] = {}
        self.phases: dict[str, str] = {}
        self.dying: set[str] = set()
        self.version = 1
        self.watch = now_or_never(self.store.watch(KIND, resource_version="1"))
        self.rebuilt: dict[str, Json] = {}
        self.returned: list[tuple[Json, str]] = []

    def note(self, answer: Json, *, changed: bool) -> None:
        """Remember what was returned, and that versions rise when and only when something changes."""
        now = int(now_or_never(self.store.find(KIND)).resource_version)
        assert (now > self.version) is changed
        self.version = now
        self.returned.append((answer, json.dumps(answer)))

    def gone(self, name: str) -> None:
        """Forget an object."""
        for mapping in (self.labels, self.held, self.phases):
            mapping.pop(name, None)
        self.dying.discard(name)

    @rule(name=NAMES, hold=st.booleans())
    def create(self, name: str, *, hold: bool) -> None:
        """Create succeeds once."""
        obj = body(name)
        obj["metadata"]["finalizers"] = ["example.com/hold"] if hold else []
        if name in self.labels:
            with pytest.raises(ApiError, match="already exists"):
                now_or_never(self.store.create(KIND, obj))
            return
        self.labels[name], self.held[name] = {}, hold
        self.note(now_or_never(self.store.create(KIND, obj)), changed=True)

    @rule(name=NAMES, key=KEYS, value=SMALL, as_json=st.booleans())
    def relabel(self, name: str, key: str, value: str | None, *, as_json: bool) -> None:
        """Set or remove one label of the spec, by either patch."""
        patch: Patch = MergePatch({"spec": {"labels": {key: value}}})
        if name not in self.labels:
            with pytest.raises(ObjectNotFound):
                now_or_never(self.store.patch(KIND, name, patch))
            return
        before = self.labels[name]
        if as_json and (value is not None or key in before):
            path = f"/spec/labels/{key}"
            swap = (
                {"op": "remove", "path": path}
                if value is None
                else {"op": "add", "path": path, "value": value}
            )
            patch = JsonPatch(({"op": "test", "path": path, "value": before.get(key)}, swap))
        after = {k: v for k, v in {**before, key: value}.items() if v is not None}
        self.labels[name] = after
        made = now_or_never(self.store.patch(KIND, name, patch))
        assert made["spec"]["labels"] == after
        self.note(made, changed=after != before)

    @rule(name=NAMES, phase=st.sampled_from(["p", "q"]))
    def state(self, name: str, phase: str) -> None:
        """Set the phase."""
        if name in self.labels:
            patch = MergePatch({"status": {"phase": phase}, "spec": None})
            made = now_or_never(self.store.patch(KIND, name, patch, subresource="status"))
            self.note(made, changed=self.phases.get(name) != phase)
            self.phases[name] = phase

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        """Delete, or mark."""
        if name in self.labels:
            changed = not (self.held[name] and name in self.dying)
            answer = now_or_never(self.store.delete(KIND, name))
            if self.held[name]:
                self.dying.add(name)
            else:
                self.gone(name)
            self.note(answer, changed=changed)

    @rule(name=NAMES)
    def let_go(self, name: str) -> None:
        """Take the finalizer away."""
        if name in self.labels:
            answer = now_or_never(
                self.store.patch(KIND, name, MergePatch({"metadata": {"finalizers": None}}))
            )
            self.note(answer, changed=self.held[name])
            self.held[name] = False
            if name in self.dying:
                self.gone(name)

    @invariant()
    def as_modelled(self) -> None:
        """What is listed is what was written."""
        items = now_or_never(self.store.find(KIND)).items
        assert [item["metadata"]["name"] for item in items] == sorted(self.labels)
        for item in items:
            name = item["metadata"]["name"]
            assert item["spec"]["labels"] == self.labels[name]
            assert item.get("status", {}).get("phase") == self.phases.get(name)
            assert ("deletionTimestamp" in item["metadata"]) is (name in self.dying)

    @invariant()
    def replayed(self) -> None:
        """The watch's events rebuild exactly what is listed; their versions rise."""
        last = 0
        for event in self.watch.drain():
            assert int(event.object["metadata"]["resourceVersion"]) > last
            last = int(event.object["metadata"]["resourceVersion"])
            name = event.object["metadata"]["name"]
            if event.type is EventType.DELETED:
                del self.rebuilt[name]
            else:
                assert (name in self.rebuilt) is (event.type is EventType.MODIFIED)
                self.rebuilt[name] = event.object
        items = now_or_never(self.store.find(KIND)).items
        assert {item["metadata"]["name"]: item for item in items} == self.rebuilt

    @invariant()
    def returned_is_left_alone(self) -> None:
        """No object that was ever returned has changed since."""
        for answer, text in self.returned:
            assert json.dumps(answer) == text


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
