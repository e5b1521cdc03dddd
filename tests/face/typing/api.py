"""Code of a user, as type checkers see it. Never run: `test_typing.py` gives it to mypy --strict.

A line below a comment that begins with E: is wrong on purpose, and mypy has to say the rest of the comment.
"""

from datetime import datetime
from typing import assert_type

import kubenode
from kubenode import (
    Decision,
    FleetSnapshot,
    InvalidObjectError,
    KubenodeError,
    Machine,
    MachineComponentSet,
    MachineSet,
    MachineSetSnapshot,
    MachineSnapshot,
    NodeSnapshot,
    Policy,
    RemedySnapshot,
    RiskPolicy,
    RolloutSnapshot,
    decide,
    dump,
    explain,
    load,
)
from kubenode import model as m


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
