"""One effect, one call. Every effect is a crash point before and after; applying one twice equals once."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias, assert_never

import attrs

from kubenode.core import wire
from kubenode.core.decision import (
    AnswerRequest,
    ApiEffect,
    ApplyNode,
    CloudEffect,
    ConfirmEvent,
    Create,
    CreateInstance,
    Delete,
    DeleteToken,
    Effect,
    Evict,
    GuardInstance,
    PatchNode,
    PatchNodeConditions,
    RebootInstance,
    RunSteps,
    SetEntry,
    SetFinalizers,
    SetOperation,
    SetOwner,
    TerminateInstance,
)
from kubenode.core.errors import AlreadyExists, Conflict, KubenodeError, ObjectNotFound, TooManyRequests
from kubenode.core.model import Json, Kind, Machine, Node, Ref
from kubenode.core.node.sync import RECORDS, with_records
from kubenode.runtime.engine.expect import Written
from kubenode.runtime.store.contract import ApplyPatch, JsonPatch, MergePatch, Store, causes_of, is_budget

SYNC_MANAGER: Final = "kubenode-sync"
"""The field manager of what is applied on Nodes: not the one of our other writes, so `kubectl` shows which is which."""
TOKENS: Final = Kind(
    name="Secret",
    plural="secrets",
    group="",
    version="v1",
    served=False,
    namespaced=True,
    namespace="kube-system",
)
"""Where bootstrap tokens are, and nobody here reads them."""


def secret_name(token_id: str) -> str:
    """Give the name of the Secret of a bootstrap token, as the server demands."""
    return f"bootstrap-token-{token_id}"


@attrs.frozen(kw_only=True)
class WriteStatus:
    """Bring an object's status to what a Decision wants, by merge patch.

    Attributes:
        body: the merge patch of `status`.
        resource_version: the version it was decided on. A status is always a compare-and-swap: for custom
            resources the server ignores a uid in a status patch, so only this tells a new incarnation.
    """

    object: Ref
    body: Mapping[str, Any]
    resource_version: str


Act: TypeAlias = Effect | WriteStatus


class Hands(Protocol):
    """Who acts on a host: the agent's."""

    async def run(self, effect: RunSteps) -> None:
        """Run the steps under their op-id, once, however often asked."""


class NoHands:
    """For controllers: they have no host."""

    async def run(self, effect: RunSteps) -> None:
        """Refuse: only an agent runs steps."""
        raise TypeError(f"no host to run {effect.op_id} on")


class Clouds(Protocol):
    """Who asks providers: the controllers'."""

    async def ask(self, effect: CloudEffect) -> None:
        """Make the one call that the effect is. What a provider answers is observed, and is no failure of the call."""


class NoClouds:
    """For agents, and for controllers that only look at objects: they know no provider."""

    async def ask(self, effect: CloudEffect) -> None:
        """Refuse: nobody here asks providers."""
        raise TypeError(f"no provider to ask for {effect.machine.name}")


NO_CLOUDS = NoClouds()


@attrs.frozen(kw_only=True)
class CrashPoint:
    """Before or after one effect of one call; what a test enumerates."""

    after: bool
    act: Act


Watchman: TypeAlias = Callable[[CrashPoint], None]
"""Is told of every crash point, and may raise there."""


def pass_by(_: CrashPoint) -> None:
    """Do nothing at a crash point."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of the acts of one call.

    Attributes:
        written: what must be seen before the key is decided again; also what came before a failure.
        error: why the acts ended early; None when all were done.
    """

    written: tuple[Written, ...] = ()
    error: KubenodeError | None = None


async def apply(
    acts: tuple[Act, ...], store: Store, hands: Hands, watch: Watchman = pass_by, clouds: Clouds = NO_CLOUDS
) -> Outcome:
    """Do the acts in order; the first failure ends them."""
    written: list[Written] = []
    is_watched = watch is not pass_by  # in production nobody is told
    try:
        for act in acts:
            if is_watched:
                watch(CrashPoint(after=False, act=act))
            if isinstance(act, RunSteps):
                await hands.run(act)
            elif isinstance(
                act, CreateInstance | TerminateInstance | RebootInstance | ConfirmEvent | GuardInstance
            ):
                await clouds.ask(act)
            else:
                seen = await _write(act, store)
                written += () if seen is None else (seen,)
            if is_watched:
                watch(CrashPoint(after=True, act=act))
    except KubenodeError as error:
        return Outcome(written=tuple(written), error=error)
    return Outcome(written=tuple(written))


async def _write(act: ApiEffect | WriteStatus, store: Store) -> Written | None:
    match act:
        case Create():
            return await _create(act, store)
        case Delete():
            return await _delete(act, store)
        case SetOwner():
            return await _swap(store, act.machine, "/spec/setRef", act.expect, act.owner)
        case WriteStatus():
            body: Json = {
                "metadata": _precondition(act.object, act.resource_version),
                "status": dict(act.body),
            }
            return await _merge(store, act.object, body, subresource="status")
        case SetFinalizers():
            body = {
                "metadata": {
                    **_precondition(act.object, act.resource_version),
                    "finalizers": list(act.finalizers),
                }
            }
            return await _merge(store, act.object, body)
        case ApplyNode():
            return await _apply_node(act, store)
        case PatchNode():
            return await _merge(store, act.node, _node_patch(act))
        case PatchNodeConditions():
            conditions = [wire.dump_part(condition) for condition in act.conditions]
            body = {
                "metadata": _precondition(act.node, act.resource_version),
                "status": {"conditions": conditions},
            }
            return await _merge(store, act.node, body, subresource="status")
        case AnswerRequest():
            return await _answer(act, store)
        case DeleteToken():
            return await _delete_token(act, store)
        case SetEntry():
            return await _swap(store, act.machine, f"/spec/components/{act.name}", act.expect, act.entry)
        case SetOperation():
            return await _swap(store, act.machine, "/spec/operation", act.expect, act.operation)
        case Evict():
            await _evict(act, store)
            return None
        case _:
            assert_never(act)


async def _create(act: Create, store: Store) -> Written:
    kind, name = act.object.KIND, act.object.metadata.name
    where = Ref(kind=kind.name, name=name)
    try:
        made = await store.create(kind, wire.dump(act.object))
    except AlreadyExists:
        # The name is a function of the intent: somebody with the same intent was quicker.
        return Written(object=where, version=0)
    return _written(where, made)


async def _delete(act: Delete, store: Store) -> Written | None:
    """Delete; what was removed at once leaves no version behind that could be waited for."""
    kind = wire.kind_of(act.object.kind).KIND
    try:
        answer = await store.delete(kind, act.object.name, uid=act.object.uid)
    except ObjectNotFound:
        return None
    return _written(act.object, answer) if answer["kind"] == kind.name else None


async def _answer(act: AnswerRequest, store: Store) -> Written:
    condition = {
        "type": "Approved" if act.approved else "Denied", "status": "True", "reason": act.reason, "message": act.message,
    }  # fmt: skip
    body: Json = {
        "metadata": _precondition(act.request, act.resource_version),
        "status": {"conditions": [condition]},
    }
    return await _merge(store, act.request, body, subresource="approval")


async def _delete_token(act: DeleteToken, store: Store) -> Written:
    with suppress(ObjectNotFound):
        await store.delete(TOKENS, secret_name(act.token_id))
    body: Json = {
        "metadata": _precondition(act.machine, act.resource_version),
        "status": {"enrolment": {"spent": True}},
    }
    return await _merge(store, act.machine, body, subresource="status")


async def _evict(act: Evict, store: Store) -> None:
    """Ask for an eviction; whether the Pod goes shows the next look at it, and no cache waits for that.

    A budget that allows none at this moment answers 429: the look was a little old, and the next one names it. So does
    409: another Pod has that name. Neither keeps the other Pods of the decision from going.
    """
    try:
        await store.evict(act.namespace, act.pod.name, uid=act.pod.uid, grace=act.grace)
    except (ObjectNotFound, Conflict):
        return
    except TooManyRequests as error:
        if not is_budget(error):
            raise


async def _merge(store: Store, where: Ref, body: Json, subresource: str = "") -> Written:
    kind, (namespace, _, name) = wire.kind_of(where.kind).KIND, where.name.rpartition("/")
    home = kind.within(namespace) if namespace else kind
    return _written(where, await store.patch(home, name, MergePatch(body), subresource=subresource))


async def _swap(store: Store, where: Ref, path: str, expect: object | None, value: object | None) -> Written:
    """Replace one value if it is still what was read; `test` of a missing member against null passes."""
    expected = None if expect is None else wire.dump_part(expect)
    operations: list[Mapping[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": where.uid},
        {"op": "test", "path": path, "value": expected},
    ]
    if value is None:
        operations.append({"op": "remove", "path": path})
    else:
        operations.append({"op": "add", "path": path, "value": wire.dump_part(value)})
    return _written(where, await store.patch(Machine.KIND, where.name, JsonPatch(tuple(operations))))


def _precondition(where: Ref, resource_version: str) -> Json:
    return {"uid": where.uid, "resourceVersion": resource_version}


async def _apply_node(act: ApplyNode, store: Store) -> Written:
    """Apply what is ours on a Node; what somebody else owns with another value is theirs, and is left out the second time.

    What records ours is nobody else's: where somebody has written there it is taken away, and the decision is made anew.
    """
    try:
        return await _applied(act, store)
    except Conflict as error:
        labels, annotations = (_others(error, part) for part in ("labels", "annotations"))
        spoilt: Json = dict.fromkeys(annotations & RECORDS)
        if spoilt:
            await _merge(store, act.node, {"metadata": {"uid": act.node.uid, "annotations": spoilt}})
        if spoilt or not labels | annotations:
            raise
    ours = attrs.evolve(
        act, labels=_without(act.labels, labels), annotations=_without(act.annotations, annotations)
    )
    return await _applied(ours, store)


async def _applied(act: ApplyNode, store: Store) -> Written:
    kind = Node.KIND
    metadata: Json = {"name": act.node.name, **_precondition(act.node, act.resource_version)}
    # An empty map is owned as a map; a missing one gives up all that was in it.
    for part, texts in (("labels", act.labels), ("annotations", with_records(act))):
        if texts:
            metadata[part] = dict(texts)
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    return _written(act.node, await store.patch(kind, act.node.name, ApplyPatch(body, SYNC_MANAGER)))


def _others(error: Conflict, part: str) -> frozenset[str]:
    """Give the keys of labels or annotations that an apply was refused for: another manager owns them."""
    fields = (
        str(one.get("field", "")) for one in causes_of(error) if one.get("reason") == "FieldManagerConflict"
    )
    start = f".metadata.{part}."
    return frozenset(field.removeprefix(start) for field in fields if field.startswith(start))


def _without(texts: Mapping[str, str], keys: frozenset[str]) -> Mapping[str, str]:
    return {key: text for key, text in texts.items() if key not in keys}


def _node_patch(act: PatchNode) -> Json:
    metadata: Json = _precondition(act.node, act.resource_version)
    if act.annotations:
        metadata["annotations"] = dict(act.annotations)
    body: Json = {"metadata": metadata}
    spec: Json = {}
    if act.taints is not None:
        spec["taints"] = [wire.dump_part(taint) for taint in act.taints]
    if act.unschedulable is not None:
        spec["unschedulable"] = act.unschedulable or None
    return {**body, "spec": spec} if spec else body


def _written(where: Ref, answer: Json) -> Written:
    return Written(object=where, version=int(answer["metadata"]["resourceVersion"]))


def reaches(act: Act) -> Ref:
    """Name the object an act is about."""
    match act:
        case Create():
            return Ref(kind=act.object.KIND.name, name=act.object.metadata.name)
        case WriteStatus() | SetFinalizers() | Delete():
            return act.object
        case ApplyNode() | PatchNode() | PatchNodeConditions():
            return act.node
        case AnswerRequest():
            return act.request
        case (
            SetEntry() | SetOperation() | SetOwner() | DeleteToken() | RunSteps() | CreateInstance() | TerminateInstance()
            | RebootInstance() | ConfirmEvent() | GuardInstance()
        ):  # fmt: skip
            return act.machine
        case Evict():
            return act.pod
        case _:
            assert_never(act)


__all__ = [
    "Act",
    "Clouds",
    "CrashPoint",
    "Hands",
    "NoClouds",
    "NoHands",
    "Node",
    "Watchman",
    "WriteStatus",
    "apply",
    "pass_by",
    "reaches",
]
