"""A record is one line of JSON, and read it is equal; also where the stories of the demo do not go."""

import json
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import step
from kubenode.core.accept.decide import AcceptSnapshot
from kubenode.core.capability import CloudEvent, EventState, Impact
from kubenode.core.decision import (
    AnswerRequest,
    ApplyNode,
    Decision,
    DeleteToken,
    Note,
    PatchNode,
    RunSteps,
    SetEntry,
)
from kubenode.core.doctor.decide import DoctorSnapshot, EventSight
from kubenode.core.drift.decide import DriftSnapshot
from kubenode.core.enrol.decide import EnrolSnapshot
from kubenode.core.enrol.request import RequestState, SigningRequest
from kubenode.core.errors import Problem
from kubenode.core.external.decide import ExternalSnapshot
from kubenode.core.hookspecs import Have, Instance, InstanceState
from kubenode.core.host.decide import HostSeen, NodeSnapshot
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.instance.seen import OrphanSight, ProviderAnswer
from kubenode.core.machine.decide import MachineSnapshot
from kubenode.core.machineset.decide import MachineSetSnapshot
from kubenode.core.model.machine import AgentStatus
from kubenode.core.policy import HUNG_TASK, Policy
from kubenode.core.remedy.abandoned import AbandonedSnapshot
from kubenode.core.remedy.decide import RemedySnapshot
from kubenode.core.remedy.rehearse import RehearsalSnapshot, Rehearsed
from kubenode.core.remedy.repair import RepairSnapshot
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.decide import FleetSnapshot
from kubenode.core.rollout.decide import RolloutSnapshot
from kubenode.core.rollout.tally import Seat, TallyView
from kubenode.runtime.record import Record, codec

WALL = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
NOW = m.Now(wall=WALL, elapsed=7_000_000_001)
MACHINE = m.Machine(
    metadata=m.ObjectMeta(name="n7", uid="u7", labels={"a": "ü"}, unknown=("spec.novel",)),
    spec=m.MachineSpec(host=m.Host(address="10.0.0.7")),
)
JOB = m.RemedyOperationJob(
    metadata=m.ObjectMeta(name="j1"),
    spec=m.RemedyOperationJobSpec(
        machine=m.MachineRef(name="n7", uid="u7"), remedier="hung-task",
        cause=m.EpisodeCause(type="KernelDeadlock"), episode=0,
    ),
)  # fmt: skip
SEAT = Seat(
    machine=m.Ref(kind="Machine", name="n7", uid="u7"),
    zone="b",
    available=False,
    report=m.ComponentReport(
        revision="3", component="x", version="1", config=m.ConfigState.CURRENT, state=m.Running.RUNNING
    ),
)
SET = m.MachineComponentSet(
    metadata=m.ObjectMeta(name="s"),
    spec=m.MachineComponentSetSpec(
        name="exporter", component="exporter-1", selector=m.Selector(match_labels={"a": "b"})
    ),
)
OWNER = m.MachineSet(
    metadata=m.ObjectMeta(name="pool", uid="p"),
    spec=m.MachineSetSpec(
        replicas=2,
        selector=m.Selector(match_labels={"a": "b"}),
        template=m.MachineTemplate(
            labels={"a": "b"}, spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
        ),
    ),
)
WRITE = step.WriteFile(
    path="/etc/x", content=b"\x00\xff", then=step.RestartUnit(unit="x.service"), mode=0o600
)
SNAPSHOTS: dict[str, Any] = {
    "machine": MachineSnapshot(
        machine=MACHINE, wanted=frozenset("xyz"), hold=m.Cause.REMEDY, now=NOW, sightings={"gone": 3}
    ),
    "machineset": MachineSetSnapshot(
        set=OWNER, machines=(MACHINE,), contested=frozenset({"n8"}), now=NOW, orphans={"i-1": 3},
        orphan_sights={"i-1": OrphanSight(
            instance=Instance(id="i-1", state=InstanceState.RUNNING, zone="a", tags={"a": "b"}), provider="memory", node="n1",
            answer=ProviderAnswer(op_id="orphan-1", at=2, error="Protected"),
        )},
    ),
    "rollout": RolloutSnapshot(
        set=SET, component=None, members=(SEAT,), holds=frozenset({"op2", "op1"}), now=NOW,
        tally=TallyView(revision=3, kept_from=("a", "f00", "n1"), candidates=(SEAT,), conflict_names=("n9",)),
    ),
    "drift": DriftSnapshot(set=SET, now=NOW, sightings={"kubelet": 3}),
    "remedy": RemedySnapshot(
        machine=MACHINE, node=None, jobs=(JOB,), now=NOW,
        steps={
            ("hung-task", 0): (m.OperationStep(action=m.StepAction.REBOOT),),
            ("hung-task", 1): Problem(where="rung", what="PluginMissing: none", fix="add it"),
        },
    ),
    "rehearsal": RehearsalSnapshot(
        remedier=HUNG_TASK, more=2, looked=frozenset({"n8"}), now=NOW,
        found=(Rehearsed(remedier="hung-task", machine="n7", machine_uid="u7", job="n7-1", rung=1, action="reboot", opens=True),),
    ),
    "repair": RepairSnapshot(machine=MACHINE, jobs=(JOB,), holds=frozenset({"op1"}), now=NOW),
    "abandoned": AbandonedSnapshot(job=JOB, there=False, now=NOW, sightings={"gone:": 1}),
    "accept": AcceptSnapshot(ruling=HUNG_TASK, actions=frozenset({"reboot"}), now=NOW),
    "risk": FleetSnapshot(
        ledger=None, history=True, unreadable="not JSON", now=NOW,
        asks=(Ask(op_id="op1", machine=SEAT.machine, cause=m.Cause.ROLLOUT, sets=("s",), since=WALL),),
    ),
    "agent": NodeSnapshot(
        machine=MACHINE, now=NOW,
        have={"x": Have(version="", config=m.ConfigState.UNKNOWN, state=m.Running.ABSENT)},
        plans={"x": (WRITE, step.Reboot(), step.RemovePackage(package="p")), "y": Problem(where="a", what="b")},
        host=HostSeen(
            boot_id="b1", node_name="n7", agent_version="1",
            conditions=(m.Condition(type="KernelDeadlock", status=m.Switch.TRUE, reason="TaskHung", last_transition_time=WALL),),
            journal={"op1": JournalEntry(state=JournalState.FAILED, boot_id="b0", message="died")},
        ),
    ),
    "doctor": DoctorSnapshot(
        machine=MACHINE, now=NOW, sightings={"blind": 1},
        sight=EventSight(
            instance="i-1", polled=3,
            events=(CloudEvent(id="e", instance="i-1", type="x", impact=Impact.STOP, state=EventState.INQUIRING, not_before=WALL),),
        ),
    ),
    "external": ExternalSnapshot(
        request=m.KubenodeRemediation(
            metadata=m.ObjectMeta(
                name="md-0-1", namespace="ns", uid="u", resource_version="9",
                owner_references=(m.OwnerReference(api_version="cluster.x-k8s.io/v1beta2", kind="Machine", name="md-0-1"),),
            ),
        ),
        machine=MACHINE, jobs=(JOB,), now=NOW, sightings={"unknown": 1},
    ),
    "enrol": EnrolSnapshot(
        name="n7", machine=MACHINE, now=NOW,
        requests=(
            SigningRequest(
                name="r", uid="u", version="3", created=WALL, signer="s", usages=("client auth",), expiration_seconds=600,
                username="system:bootstrap:abc123", groups=("g",), common_name="kubenode:agent:n7",
                organizations=("o",), extras=("2.5.29.17",), key="0f", state=RequestState.APPROVED,
            ),
        ),
    ),
}  # fmt: skip


def record(snapshot: Any, **more: Any) -> Record:
    """Make a record of a snapshot."""
    said = {"controller": "test", "key": "n7", "decision": Decision(), "policy": Policy(), **more}
    return Record(now=NOW, snapshot=snapshot, **said)


def read_back(one: Record) -> Record:
    """Write a record as its line, and read that."""
    line = one.to_json()
    assert "\n" not in line
    return Record.read(json.loads(line), one.policy)


def test_every_kind_of_snapshot_is_here() -> None:
    """A decider more needs a line more, in the codec and here."""
    assert set(SNAPSHOTS) == set(codec.SNAPSHOTS)


@pytest.mark.parametrize("kind", sorted(SNAPSHOTS))
def test_a_snapshot_of_every_decider_round_trips(kind: str) -> None:
    """With sets, keys of several parts, either-or, bytes, what a newer version wrote, and parts of a second."""
    one = record(SNAPSHOTS[kind])
    assert json.loads(one.to_json())["kind"] == kind
    assert read_back(one) == one


def test_decisions_and_acts_round_trip() -> None:
    """Effects say which they are."""
    ref = SEAT.machine
    effects = (
        PatchNode(
            node=ref, resource_version="7", annotations={"a": None}, taints=(m.Taint(key="k", effect=m.TaintEffect.NO_SCHEDULE),)
        ),
        ApplyNode(node=ref, resource_version="7", labels={"a": "1"}, annotations={}),
        SetEntry(machine=ref, name="x", expect=None, entry=m.ComponentEntry(component="c", set="s", revision="3")),
        RunSteps(machine=ref, op_id="op", steps=(WRITE,), disruption=m.Disruption.REBOOT),
        AnswerRequest(request=ref, resource_version="7", approved=True, reason="Enrolled", message="by its token"),
        DeleteToken(machine=ref, token_id="abc123", resource_version="7"),
    )  # fmt: skip
    decision = Decision(status=AgentStatus(node_name="n7"), effects=effects, wake_at=5, deferred=True)
    one = record(SNAPSHOTS["agent"], decision=decision, acts=effects)
    assert read_back(one) == one


def test_a_value_that_only_a_newer_version_knows_stays_as_it_was() -> None:
    """The reader of the store keeps it as text; so does a record."""
    report: Any = attrs.evolve(SEAT.report, config="Novel")
    one = record(attrs.evolve(SNAPSHOTS["rollout"], members=(attrs.evolve(SEAT, report=report),)))
    assert read_back(one) == one


def test_what_is_not_known_is_not_read() -> None:
    """Nothing is left out without a word: a field more is another format."""
    raw = json.loads(record(SNAPSHOTS["machine"]).to_json())
    raw["snapshot"]["novel"] = 1
    with pytest.raises(Exception, match="novel"):
        Record.read(raw, Policy())


def test_a_set_is_written_in_one_order() -> None:
    """Whatever the hash seed."""
    raw = json.loads(record(SNAPSHOTS["machine"]).to_json())
    assert raw["snapshot"]["wanted"] == ["x", "y", "z"]


def test_defaults_that_say_something_are_written() -> None:
    """So that a default that changes does not change what was recorded."""
    raw = json.loads(record(SNAPSHOTS["machine"]).to_json())
    assert raw["snapshot"]["ledger"] is True
    assert "rival" not in raw["snapshot"]


def test_durations_and_either_or_of_their_types() -> None:
    """To the microsecond."""
    for value, cls in (
        (timedelta(days=1, microseconds=7), timedelta),
        (m.IntOrPercent(5, percent=True), m.IntOrPercent),
        ((1, "a"), tuple[int, str]),
    ):
        assert codec.read(codec.write(value, cls), cls) == value


def test_a_value_that_is_seen_again_is_written_once() -> None:
    """Another one never is taken for it, though it stands where the first one stood; and only so many are held."""
    asked: list[str] = []

    def write(note: Note) -> m.Json:
        asked.append(note.text)
        return {"text": note.text}

    once = codec._once(write)
    kept = Note(code="A", text="kept")
    assert [once(kept), once(kept), once(attrs.evolve(kept))] == 3 * [{"text": "kept"}]
    assert asked == ["kept", "kept"]
    for number in range(4 * codec._MOST_HELD):
        assert once(Note(code="A", text=str(number))) == {"text": str(number)}
    assert len(asked) == 2 + 4 * codec._MOST_HELD
    held = weakref.ref(kept)
    del kept
    assert held() is None
