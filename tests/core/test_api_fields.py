"""Every field that the design's page of objects and flows (`api.md`, sections 1 to 4) names is in a schema.

The list is copied from that page by hand, with the section and its words, so that a field that is forgotten, renamed
or lost fails here. The schemas are made from the classes, and both readers read by the same classes.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from kubenode.core import model as m
from kubenode.core.crd import crd_of, schema_of

MACHINE: Final = (
    (1, "`spec.infrastructure {provider, parameters, secretRef}`", "spec.infrastructure.provider"),
    (1, "`spec.infrastructure {provider, parameters, secretRef}`", "spec.infrastructure.parameters"),
    (1, "`spec.infrastructure {provider, parameters, secretRef}`", "spec.infrastructure.secretRef.name"),
    (1, "`spec.infrastructure {provider, parameters, secretRef}`", "spec.infrastructure.secretRef.namespace"),
    (1, "or `spec.host` (existing)", "spec.host.address"),
    (1, "labels, taints", "spec.labels.*"),
    (1, "Labels and annotations on Nodes", "spec.annotations.*"),
    (1, "labels, taints", "spec.taints[].effect"),
    (1, "`components`: a map name -> {set, component, revision, batch, state}", "spec.components.*.set"),
    (1, "`components`: a map name -> {set, component, revision, batch, state}", "spec.components.*.component"),
    (1, "`components`: a map name -> {set, component, revision, batch, state}", "spec.components.*.revision"),
    (1, "`components`: a map name -> {set, component, revision, batch, state}", "spec.components.*.batch"),
    (1, "`components`: a map name -> {set, component, revision, batch, state}", "spec.components.*.state"),
    (1, "`operation`: the one step the agent is asked to do now", "spec.operation.opID"),
    (1, "`operation`: the one step the agent is asked to do now", "spec.operation.steps[].action"),
    (1, "`deletionPolicy`", "spec.deletionPolicy"),
    (1, "label and `spec.setRef {name, uid}`", "spec.setRef.name"),
    (1, "label and `spec.setRef {name, uid}`", "spec.setRef.uid"),
    (1, "`status.nodeRef {name, uid}`", "status.nodeRef.name"),
    (1, "`status.nodeRef {name, uid}`", "status.nodeRef.uid"),
    (1, "status.agent: components with version, configuration and running state apart", "status.agent.components.*.version"),
    (1, "status.agent: components with version, configuration and running state apart", "status.agent.components.*.config"),
    (1, "status.agent: components with version, configuration and running state apart", "status.agent.components.*.state"),
    (1, "status.agent: conditions found", "status.agent.conditions[].type"),
    (1, "status.agent: the operation's answer", "status.agent.operation.opID"),
    (1, "status.agent: the operation's answer", "status.agent.operation.state"),
    (1, "status.agent: boot id", "status.agent.bootID"),
    (1, "status.agent: agent version", "status.agent.version"),
    (1, "the rest of the status, all conditions included", "status.conditions[].reason"),
    (2, "One table phase x signal", "status.phase"),
    (2, "Failed waits for a spec change", "status.observedGeneration"),
    (3, "whatever happens to a machine before it was first Running", "status.firstRunning"),
    (4, "the controller holds repair of that component and says why", "spec.components.*.held"),
    (4, "report the same drift within 10 minutes", "status.agent.components.*.driftedAt"),
)  # fmt: skip

SET: Final = (
    (1, "N machines", "spec.replicas"),
    (1, "of one template", "spec.template.spec.infrastructure.provider"),
    (1, "of one template", "spec.template.labels.*"),
    (1, "selector, adoption", "spec.selector.matchLabels.*"),
    (1, "delete order", "spec.deleteOrder"),
    (1, "failure domains", "spec.failureDomains[]"),
    (1, "scale subresource", "status.replicas"),
    (1, "scale subresource", "status.selector"),
    (4, "deletionPolicy: Terminate (default when created)", "spec.template.spec.deletionPolicy"),
    (4, "without lowered replicas ... until a person unfreezes it", "spec.acknowledgedLosses"),
)

COMPONENT: Final = (
    (1, "what one *version* of a node component is", "spec.version"),
    (1, "driver", "spec.driver"),
    (1, "parameters (artifacts with digests, packages, files, unit)", "spec.parameters"),
    (1, "dependencies", "spec.dependencies[]"),
    (1, "probes (exec, HTTP, TCP, unit state, version command)", "spec.probes[].exec.command[]"),
    (1, "probes (exec, HTTP, TCP, unit state, version command)", "spec.probes[].http.port"),
    (1, "probes (exec, HTTP, TCP, unit state, version command)", "spec.probes[].tcp.port"),
    (1, "probes (exec, HTTP, TCP, unit state, version command)", "spec.probes[].unit"),
    (1, "probes (exec, HTTP, TCP, unit state, version command)", "spec.probes[].version.command[]"),
    (1, "disruption class", "spec.disruption"),
)

COMPONENT_SET: Final = (
    (1, "which machines", "spec.selector.matchLabels.*"),
    (1, "run which MachineComponent", "spec.component"),
    (1, "Only a changed `spec.component` starts a rollout", "spec.name"),
    (1, "state: Running / Stopped / Absent", "spec.state"),
    (3, "available for minReadySeconds", "spec.rollout.minReadySeconds"),
    (3, "a rollback keeps maxUnavailable", "spec.rollout.maxUnavailable"),
    (4, "Sizes 1 / 5 / 10 / 50 / 100", "spec.rollout.batches[]"),
    (4, "Members are fixed when it opens", "status.batch.members[].uid"),
    (4, "every member is Updated, Failed or gone", "status.batch.members[].state"),
    (4, "then inspections (hooks, Prometheus queries)", "spec.rollout.inspection.hooks[].inspector"),
    (4, "then inspections (condition rate of updated against not-yet-updated machines)", "spec.rollout.inspection.controlGroup.conditions[]"),
    (4, "inconclusive pauses", "spec.rollout.inspection.controlGroup.inconclusive"),
    (4, "then the observation time", "spec.rollout.observation"),
    (4, "`failureThreshold`", "spec.rollout.failureThreshold"),
    (4, "`resume` excuses those so far", "spec.rollout.excuse.failures"),
    (4, "Pause, resume", "spec.rollout.paused"),
    (4, "approve", "spec.rollout.approve.batch"),
    (4, "skip", "spec.rollout.skip.machines[]"),
    (4, "roll back", "status.revisions[].component"),
    (4, "partition", "spec.rollout.partition"),
    (4, "machines that join (current stable revision)", "status.current.component"),
    (4, "until a person speaks (drift)", "spec.repair.machines"),
)  # fmt: skip

REMEDIER: Final = (
    (1, "for a node condition (type, status, reason, how long)", "spec.condition.type"),
    (1, "for a node condition (type, status, reason, how long)", "spec.condition.status"),
    (1, "for a node condition (type, status, reason, how long)", "spec.condition.reason"),
    (1, "for a node condition (type, status, reason, how long)", "spec.condition.for"),
    (1, "the ladder", "spec.ladder[].action"),
    (1, "the ladder", "spec.ladder[].parameters"),
    (4, "not acknowledged within the time limit", "spec.ladder[].timeout"),
    (1, "verification", "spec.verification.timeout"),
    (4, "condition clear and Node Ready for the dwell", "spec.verification.dwell"),
    (4, "back within `relapse` (1 h)", "spec.relapse"),
    (1, "limits", "spec.limits[].max"),
    (1, "limits", "spec.limits[].scope"),
    (1, "limits", "spec.limits[].window"),
    (1, "dry run", "spec.dryRun"),
    (1, "dry run", "status.dryRun.episodes[].job"),
)

JOB: Final = (
    (1, "one remedy episode of one machine", "spec.machine.uid"),
    (1, "cause", "spec.cause.type"),
    (1, "attempts (rungs)", "status.attempts[].rung"),
    (1, "verdicts", "status.attempts[].verdict"),
    (3, "a job in `Waiting`", "status.phase"),
    (4, "its job's name is f(machine uid, remedier, number of closed episodes)", "spec.remedier"),
    (4, "its job's name is f(machine uid, remedier, number of closed episodes)", "spec.episode"),
    (4, "it begins at the next rung", "spec.firstRung"),
)

POLICY: Final = (
    (1, "windows x scopes", "spec.limits[].window"),
    (1, "windows x scopes", "spec.limits[].scope"),
    (1, "in flight", "spec.limits[].max"),
    (1, "breakers", "spec.zoneBreaker.notReadyPercent"),
    (3, "Partial when NotReady > 2 and >= 55 %", "spec.zoneBreaker.minNotReady"),
    (3, "storm cooldown", "spec.zoneBreaker.cooldown"),
    (3, "success-rate gate", "spec.successGate.minPercent"),
    (3, "width grows only after *proven* repairs", "spec.repairWidth.first"),
    (1, "freeze", "spec.freeze[].scope"),
    (3, "`kubenode freeze --scope zone=b --for 2h --reason`", "spec.freeze[].name"),
    (3, "`kubenode freeze --scope zone=b --for 2h --reason`", "spec.freeze[].until"),
    (3, "`kubenode freeze --scope zone=b --for 2h --reason`", "spec.freeze[].reason"),
    (1, "Status: a summary", "status.conditions[].reason"),
)

LEDGER: Final = (
    (3, "rows (op-id, machine uid, kind, scopes, since)", "status.holds[].opID"),
    (3, "rows (op-id, machine uid, kind, scopes, since)", "status.holds[].machineUID"),
    (3, "rows (op-id, machine uid, kind, scopes, since)", "status.holds[].cause"),
    (3, "rows (op-id, machine uid, kind, scopes, since)", "status.holds[].scopes[]"),
    (3, "rows (op-id, machine uid, kind, scopes, since)", "status.holds[].since"),
    (3, "closed grants are counters per scope and time bucket", "status.closed.*"),
    (3, "A ledger that has a new uid is rebuilt", "status.ledgerUID"),
)

FIELDS: Final[Mapping[type[m.Object], tuple[tuple[int, str, str], ...]]] = {
    m.Machine: MACHINE, m.MachineSet: SET, m.MachineComponent: COMPONENT, m.MachineComponentSet: COMPONENT_SET,
    m.NodeRemedier: REMEDIER, m.RemedyOperationJob: JOB, m.RiskPolicy: POLICY, m.RiskLedger: LEDGER,
}  # fmt: skip

VALUES: Final = (
    (1, "state: Running / Stopped / Absent", m.Machine, "spec.components.*.state", {"Running", "Stopped", "Absent"}),
    (1, "none, restart, drain, reboot", m.MachineComponent, "spec.disruption", {"none", "restart", "drain", "reboot"}),
    (4, "deletionPolicy: Release or Terminate", m.Machine, "spec.deletionPolicy", {"Release", "Terminate"}),
    (3, "node, set, zone, region, cluster, fleet", m.RiskPolicy, "spec.limits[].scope", {"node", "set", "zone", "region", "cluster", "fleet"}),
    (3, "human, cloud deadline, remedy, drift, rollout", m.RiskLedger, "status.holds[].cause", {"Human", "Deadline", "Remedy", "Drift", "Rollout"}),
    (2, "so `phase` is no enum in the schema", m.Machine, "status.phase", None),
)  # fmt: skip


def at(cls: type[m.Object], path: str) -> Any:
    """Give the schema of a field, or None when there is no such field."""
    schema: Any = schema_of(cls)
    for part in path.replace("[]", ".[]").split("."):
        if part == "[]":
            schema = schema.get("items")
        elif part == "*":
            schema = schema.get("additionalProperties")
        else:
            schema = schema.get("properties", {}).get(part)
        if schema is None:
            return None
    return schema


@pytest.mark.parametrize(
    ("cls", "section", "words", "path"),
    [
        pytest.param(cls, section, words, path, id=f"{cls.KIND.name}-{path}")
        for cls, rows in FIELDS.items()
        for section, words, path in rows
    ],
)
def test_every_field_of_the_design_is_there(cls: type[m.Object], section: int, words: str, path: str) -> None:
    """A forgotten field fails by its section and words."""
    assert at(cls, path) is not None, f"api.md, section {section}, {words!r}: {cls.KIND.name} has no {path}"


@pytest.mark.parametrize(
    ("section", "words", "cls", "path", "wanted"), VALUES, ids=[path for _, _, _, path, _ in VALUES]
)
def test_fields_with_fixed_values_have_those_of_the_design(
    section: int, words: str, cls: type[m.Object], path: str, wanted: set[str] | None
) -> None:
    """No fewer, and none that the page does not name."""
    found = at(cls, path).get("enum")
    assert (None if found is None else set(found)) == wanted, f"section {section}: {words}"


def test_every_kind_of_this_version_is_in_the_table() -> None:
    """A kind that is added brings its rows."""
    assert set(FIELDS) == set(m.KINDS)


def test_the_lookup_finds_what_is_missing() -> None:
    """A path that leads nowhere is told, at whatever depth; or the table above would show nothing."""
    for path in (
        "spec.hosts",
        "spec.host.adress",
        "spec.taints[].surplus",
        "spec.labels.*.x",
        "spec.host[]",
        "spec.x.*",
    ):
        assert at(m.Machine, path) is None
    assert at(m.Machine, "spec.labels.*") is not None


@pytest.mark.parametrize("cls", m.KINDS, ids=lambda cls: cls.KIND.name)
def test_every_kind_is_cluster_scoped_with_columns_and_a_short_name(cls: type[m.Object]) -> None:
    """API group `kubenode.dev/v1alpha1`, cluster-scoped, printer columns, short names; a status has its subresource."""
    crd = crd_of(cls)
    (version,) = crd["spec"]["versions"]
    assert (crd["spec"]["group"], version["name"], crd["spec"]["scope"]) == (
        "kubenode.dev",
        "v1alpha1",
        "Cluster",
    )
    assert crd["spec"]["names"]["shortNames"]
    assert version["additionalPrinterColumns"]
    assert ("status" in version.get("subresources", {})) is (at(cls, "status") is not None)
