"""Code of a user, as type checkers see it. Never run: `test_typing.py` gives it to mypy --strict.

A line below a comment that begins with E: is wrong on purpose, and mypy has to say the rest of the comment.
"""

from datetime import datetime, timedelta
from typing import Any, assert_type

import kubenode
from kubenode import (
    Decision,
    EmbeddedStore,
    Engine,
    FleetSnapshot,
    InvalidObjectError,
    KubenodeError,
    KubeStore,
    Machine,
    MachineComponentSet,
    MachineSet,
    MachineSetSnapshot,
    MachineSnapshot,
    NodeSnapshot,
    Plugins,
    Policy,
    Record,
    RemedySnapshot,
    RiskPolicy,
    RolloutSnapshot,
    Sink,
    Store,
    decide,
    dump,
    explain,
    load,
)
from kubenode import model as m
from kubenode.components import ComponentDriver
from kubenode.providers import Provider
from kubenode.remedies import Allow, Deny, Narrow, PermitRequest, RemedyAction, Review
from kubenode.runtime.store.contract import JsonPatch, Listing, MergePatch, Watch


def decides(
    machine: MachineSnapshot,
    group: MachineSetSnapshot,
    rollout: RolloutSnapshot,
    node: NodeSnapshot,
    remedy: RemedySnapshot,
    fleet: FleetSnapshot,
    policy: Policy,
) -> None:
    """The type of the snapshot picks the decider, and with it the type of the status."""
    assert_type(decide(machine, policy), Decision[m.MachineStatus])
    assert_type(decide(group, policy), Decision[m.MachineSetStatus])
    assert_type(decide(rollout, policy), Decision[m.MachineComponentSetStatus])
    assert_type(decide(node, policy), Decision[m.AgentStatus])
    assert_type(decide(remedy, policy), Decision[m.RemedyOperationJobStatus])
    assert_type(decide(fleet, policy), Decision[m.RiskLedgerStatus])
    assert_type(decide(remedy, policy).verdict, m.Verdict)
    assert_type(decide(remedy, policy).binding, m.Note | None)
    assert_type(explain(remedy, policy), m.Explanation)
    assert_type(explain(fleet, policy, about="n7").counterfactual, str)


def refuses(remedy: RemedySnapshot, policy: Policy, limits: RiskPolicy, machine: Machine) -> None:
    """What is wrong is found before it runs."""
    # E: No overload variant of "decide" matches argument types "RemedySnapshot", "RiskPolicy"
    decide(remedy, limits)
    # E: No overload variant of "decide" matches argument types "Machine", "Policy"
    decide(machine, policy)
    # E: Unexpected keyword argument "abuot" for "explain"; did you mean "about"?
    explain(remedy, policy, abuot="n7")
    # E: Unexpected keyword argument "remedier" for "Policy"; did you mean "remediers"?
    Policy(remedier=())
    # E: Too many positional arguments for "RemedySnapshot"
    RemedySnapshot(machine, now=remedy.now)
    # E: Argument "now" to "RemedySnapshot" has incompatible type "str"; expected "Now | datetime"
    RemedySnapshot(machine=machine, now="noon")
    # E: Missing named argument "now" for "RemedySnapshot"
    RemedySnapshot(machine=machine)
    # E: Property "machine" defined in "RemedySnapshot" is read-only
    remedy.machine = machine


def makes(now: datetime, owner: MachineComponentSet, group: MachineSet) -> None:
    """Every snapshot is made in a few words, with a plain datetime."""
    node = m.make_node("n7", zone="b")
    machine = m.make_machine(node, since=now)
    MachineSnapshot(machine=machine, node=node, now=now)
    MachineSetSnapshot(set=group, machines=(machine,), now=now)
    RolloutSnapshot(set=owner, component=None, tally=m.make_tally(owner, ()), now=now)
    NodeSnapshot(machine=machine, host=m.HostSeen(boot_id="b", node_name="n7", agent_version="1"), now=now)
    RemedySnapshot(machine=machine, node=node, zones={"b": m.ZoneTally(nodes=10)}, now=now)
    FleetSnapshot(ledger=None, history=False, now=now)


def reads(raw: dict[str, object]) -> None:
    """What is read is an object, or objects; of which kind is for isinstance to say."""
    assert_type(load(raw), m.Object)
    assert_type(load("policies/"), tuple[m.Object, ...])
    assert_type(load("a.yaml", "b.yaml"), tuple[m.Object, ...])
    assert_type(Policy.of(load("policies/")), Policy)
    for obj in load("policies/"):
        if isinstance(obj, RiskPolicy):
            assert_type(obj.spec, m.RiskPolicySpec)
        assert_type(dump(obj), m.Json)
    # E: No overload variant of "load" matches argument type "int"
    load(7)


def audit(record: Record) -> None:
    """A sink is a function of a record."""
    assert_type(record.to_json(), str)
    assert_type(record.now, m.Now)
    assert_type(record.key, str)


class Audit:
    """Or what can be called with one, and perhaps closed."""

    def __call__(self, record: Record) -> None:
        """Take one decision."""

    def close(self) -> None:
        """End."""


def freeze(request: PermitRequest) -> Review:
    """A reviewer is a function from a request to one of three answers."""
    assert_type(request.now, datetime)
    assert_type(request.cause, m.Cause)
    if request.zone:
        return Narrow(in_flight=1, reason="exam week")
    return Deny(reason="freeze", until=request.now) if request.sets else Allow()


def widens(request: PermitRequest) -> bool:
    """A reviewer that answers with a bool is none."""
    return bool(request.machine)


async def embeds(
    provider: Provider[Any],
    driver: ComponentDriver[Any],
    action: RemedyAction[Any],
    policy: Policy,
    own: Store,
) -> None:
    """An engine takes any store, and what it is given is typed to the end."""
    sink: Sink = audit
    plugins = Plugins.discover(
        "kubenode.toml", providers=[provider], components=(driver,), remedies={action}, reviewers={"freeze": freeze},
        sinks={"audit": sink, "second": Audit()},
    )  # fmt: skip
    assert_type(plugins, Plugins)
    assert_type(plugins.problems, tuple[m.Problem, ...])
    async with KubeStore.connect(context="prod") as store, Engine(store, plugins=plugins) as engine:
        assert_type(store, KubeStore)
        assert_type(engine, Engine)
        assert_type(await engine.settled(), datetime | None)
        assert_type(await engine.settled(within=timedelta(seconds=5)), datetime | None)
        await engine.wait()
    stores: tuple[Store, ...] = (EmbeddedStore(load("cluster/")), KubeStore.connect(), own)
    for one in stores:
        Engine(one, policy=policy, identity="platform", controllers={"risk"}, observe_only=True)
    async with EmbeddedStore() as memory, Engine(memory, sinks={"audit": audit}):
        assert_type(memory.objects(Machine), tuple[Machine, ...])


def embeds_without_a_loop(store: EmbeddedStore) -> None:
    """The same, blocking."""
    assert_type(Engine(store).run_until_settled(), datetime | None)
    assert_type(Engine(store).stop(), None)
    assert_type(Engine(store).run(), None)


async def stores(store: Store) -> None:
    """A store gives and takes what stands on the wire."""
    assert_type(await store.get(Machine.KIND, "n7"), m.Json)
    assert_type(await store.find(Machine.KIND, labels={"a": "b"}, limit=5), Listing)
    assert_type(await store.watch(Machine.KIND, resource_version="7", initial=True), Watch)
    assert_type(await store.patch(Machine.KIND, "n7", MergePatch({"spec": {}}), subresource="status"), m.Json)
    assert_type(await store.patch(Machine.KIND, "n7", JsonPatch(())), m.Json)
    assert_type(await store.delete(Machine.KIND, "n7", uid="u"), m.Json)
    # E: Argument 3 to "patch" of "Store" has incompatible type "dict[str, dict[str, bool]]"
    await store.patch(Machine.KIND, "n7", {"spec": {"frozen": True}})
    # E: Argument 1 to "get" of "Store" has incompatible type "type[Machine]"; expected "Kind"
    await store.get(Machine, "n7")


class HalfAStore:
    """Lacks all but one method."""

    async def get(self, kind: m.Kind, name: str) -> m.Json:
        """Give nothing."""
        return {}


def embeds_wrongly(
    store: EmbeddedStore, plugins: Plugins, limits: RiskPolicy, provider: Provider[Any]
) -> None:
    """What is wrong is found before it runs."""
    # E: Unexpected keyword argument "provider" for "discover" of "Plugins"; did you mean "providers"?
    Plugins.discover(provider=[provider])
    # E: List item 0 has incompatible type "type[Provider
    Plugins.discover(providers=[Provider])
    # E: Dict entry 0 has incompatible type "str": "Callable[[PermitRequest], bool]"
    Plugins.discover(reviewers={"freeze": widens})
    # E: Argument "sinks" to "discover" of "Plugins" has incompatible type "list[Callable[[Record], None]]"
    Plugins.discover(sinks=[audit])
    # E: Argument 1 to "Engine" has incompatible type "HalfAStore"; expected "Store"
    Engine(HalfAStore())
    # E: Argument 1 to "Engine" has incompatible type "type[EmbeddedStore]"; expected "Store"
    Engine(EmbeddedStore)
    # E: Argument "policy" to "Engine" has incompatible type "RiskPolicy"; expected "Policy | None"
    Engine(store, policy=limits)
    # E: Unexpected keyword argument "plugin" for "Engine"; did you mean "plugins"?
    Engine(store, plugin=plugins)
    # E: Too many positional arguments for "Engine"
    Engine(store, plugins)
    # E: Argument "review_within" to "Engine" has incompatible type "int"; expected "timedelta"
    Engine(store, review_within=5)
    # E: "Engine" has no attribute "__enter__"
    with Engine(store):
        pass
    # E: Argument 1 to "EmbeddedStore" has incompatible type "str"; expected "Iterable[Object]"
    EmbeddedStore("cluster/")
    # E: Missing named argument "reason" for "Deny"
    Deny()


def fails(error: KubenodeError) -> None:
    """Errors have facts."""
    if isinstance(error, InvalidObjectError):
        assert_type(error.problems, tuple[m.Problem, ...])


def imports() -> None:
    """A name that is not public is no name, though every public one loads late."""
    # E: Module has no attribute "plan_marks"
    kubenode.plan_marks()
    # E: Module has no attribute "Decison"; maybe "Decision"?
    kubenode.Decison()
