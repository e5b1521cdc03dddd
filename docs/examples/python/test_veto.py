"""Is your veto heard? The engine with your reviewer, on a cluster in memory."""

from datetime import UTC, datetime, timedelta

from b_embed import change_freeze
from platform_app import calendar

from kubenode import EmbeddedStore, Engine, Plugins, Policy
from kubenode import model as m

NOW = datetime.now(UTC)
HUNG = m.NodeCondition(type="KernelDeadlock", status=m.Switch.TRUE, reason="TaskHung")
LEDGER = m.RiskLedger(  # written before: with a new one all that was granted counts as forgotten
    metadata=m.ObjectMeta(name="cluster"), status=m.RiskLedgerStatus(checkpoint=1)
)
REBOOT = m.NodeRemedier(
    metadata=m.ObjectMeta(name="hung-task"),
    spec=m.NodeRemedierSpec(
        condition=m.ConditionMatch(type="KernelDeadlock"), ladder=(m.Rung(action="reboot"),)
    ),
)


def disrupted() -> list[str]:
    """Let the engine do all that it can, and give the machines that hold a permit."""
    nodes = [m.make_node("n1", zone="a", conditions=(HUNG,)), *(m.make_node(f"n{i}") for i in range(2, 6))]
    machines = [m.make_machine(node, since=NOW - timedelta(days=9)) for node in nodes]
    store = EmbeddedStore([LEDGER, *nodes, *machines])
    plugins = Plugins.discover(reviewers={"freeze": change_freeze})
    Engine(store, plugins=plugins, policy=Policy(remediers=(REBOOT,))).run_until_settled()
    (ledger,) = store.objects(m.RiskLedger)
    return [hold.machine for hold in ledger.status.holds]


def test_nothing_is_disrupted_in_a_change_freeze() -> None:
    calendar.freezes = [(NOW, NOW + timedelta(hours=1))]
    assert disrupted() == []


def test_afterwards_a_hung_node_is() -> None:
    calendar.freezes = []
    assert disrupted() == ["n1"]
