"""A policy given in code joins what stands in the store: it narrows, and nobody's freeze is overruled."""

import attrs

from kubenode.core import model as m
from kubenode.core.policy import Policy
from kubenode.runtime.embed import Engine, Record
from tests.runtime.embed.world import OURS, REBOOT, granted, hung_cluster


def risk(name: str, **spec: object) -> m.RiskPolicy:
    """Make a RiskPolicy."""
    return m.RiskPolicy(metadata=m.ObjectMeta(name=name), spec=m.RiskPolicySpec(**spec))  # type: ignore[arg-type]


FROZEN = risk("frozen", freeze=(m.Freeze(scope=m.Scope.ZONE, name="a", reason="the power is out"),))
CLOSED = risk("closed", limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(0)),))
OPEN = risk("open", limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(100)),))


def notes(store: object, policy: Policy | None) -> list[str]:
    """Run to the end; give every note of the last decision about permits or remedies."""
    records: list[Record] = []
    Engine(store, plugins=OURS, policy=policy, sinks={"seen": records.append}).run_until_settled()  # type: ignore[arg-type]
    return [note.text for record in records for note in record.decision.notes]


def test_a_limit_in_code_binds_beside_those_of_the_store() -> None:
    """All of both must allow."""
    store = hung_cluster(REBOOT, OPEN)
    text = " ".join(notes(store, Policy(risk=(CLOSED,))))
    assert granted(store) == []
    assert "cluster: 0 in flight, limit 0" in text


def test_a_freeze_in_the_store_is_not_overruled_by_code() -> None:
    """A person froze the zone; the program that embeds us knows nothing of it."""
    store = hung_cluster(FROZEN)
    text = " ".join(notes(store, Policy(remediers=(REBOOT,), risk=(OPEN,))))
    assert granted(store) == []
    assert "the power is out" in text


def test_two_limits_of_one_name_both_bind() -> None:
    """One in code, one in the store: a name is no reason to forget a limit."""
    store = hung_cluster(REBOOT, attrs.evolve(OPEN, metadata=m.ObjectMeta(name="same")))
    notes(store, Policy(risk=(attrs.evolve(CLOSED, metadata=m.ObjectMeta(name="same")),)))
    assert granted(store) == []
    other = hung_cluster(REBOOT, attrs.evolve(CLOSED, metadata=m.ObjectMeta(name="same")))
    notes(other, Policy(risk=(attrs.evolve(OPEN, metadata=m.ObjectMeta(name="same")),)))
    assert granted(other) == []


def test_a_remedier_in_code_stands_in_for_one_of_its_name_and_joins_the_others() -> None:
    """Two of one name would have one episode."""
    unit = m.Rung(action="restart-unit", parameters={"unit": "kubelet.service"})
    mine = attrs.evolve(REBOOT, spec=attrs.evolve(REBOOT.spec, ladder=(unit,)))
    store = hung_cluster(REBOOT)
    notes(store, Policy(remediers=(mine,)))
    (operation,) = [one.spec.operation for one in store.objects(m.Machine) if one.spec.operation]
    assert [step.unit for step in operation.steps] == ["kubelet.service"]
    joined = hung_cluster(attrs.evolve(REBOOT, metadata=m.ObjectMeta(name="theirs")))
    notes(joined, Policy(remediers=(mine,)))
    assert {job.spec.remedier for job in joined.objects(m.RemedyOperationJob)} <= {"theirs", "hung-task"}


def test_without_a_policy_in_code_the_store_alone_rules() -> None:
    """As ever."""
    store = hung_cluster(REBOOT, OPEN)
    notes(store, None)
    assert granted(store) == ["n1"]
