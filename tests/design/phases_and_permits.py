"""The clauses of api.md, sections 2 and 3: the phases of a Machine, and permits."""

from typing import Final

from tests.design.clause import Clause, shown

PHASES: Final[tuple[Clause, ...]] = (
    shown("Pending -> Provisioning (no instance yet) or Importing (host given) -> Initializing (Node registered) -> Running (all components healthy)."),
    shown("Running <-> Updating or Repairing, by the kind of the open hold."),
    shown("deletionTimestamp: any -> Draining if a Node exists, else Deleting."),
    shown("Draining means for deletion only;"),
    shown("a drain for an update or a reboot is the condition Drained inside Updating or Repairing."),
    shown("Failed waits for a spec change or a person; what is retried keeps its phase, with reason and attempt.", "Failed waits for a spec change or a person; what is retried keeps its phase"),
    shown("Unknown (node and agent silent) is left to whatever phase the signals then name: no memory."),
    shown("Deleted is not stored."),
    shown("An unknown phase (a newer version's): hands off; so phase is no enum in the schema.", "An unknown phase (a newer version's): hands off"),
    shown("One table phase x signal is the law, total over all phases and signals."),
    shown("Phase is for people; conditions with fixed reasons (Ready, InstanceReady, AgentReady, NodeReady, LabelsSynced, ComponentsReady, Drained, Paused ...) for programs; every reason has a page with meaning, cause, fix.", "Phase is for people; conditions with fixed reasons for programs; every reason has a page"),
)  # fmt: skip
"""Section 2."""

PERMITS: Final[tuple[Clause, ...]] = (
    shown("Asking is state: a job in Waiting, an open batch,", "Asking is state: a job in Waiting, an open batch", "an open batch is the request; who finds its op-id"),
    shown("or a Machine that is to go, is the request;", "a Machine that is to go, is the request"),
    shown("drift of class drain or reboot", "drift of class drain or reboot opens jobs"),
    shown("and cloud maintenance open jobs.", "a rule migrates workloads"),
    shown("No job is opened for a node in a scope whose breaker is open: the answer is a deferral with its note (else recovery is a stampede).", "No job is opened for a node in a scope whose breaker is open"),
    shown("One risk decider, one key, orders all who wait (human, cloud deadline, remedy, drift, rollout; then oldest)", "One risk decider orders all who wait"),
    shown("and grants a round in one write to the ledger;", "grants a round in one write to the ledger"),
    shown("who finds its op-id among the holds may act."),
    shown("The ledger: open holds are rows (op-id, machine uid, kind, scopes, since), at most one a machine uid, whoever asked;", "open holds are rows, at most one a machine uid"),
    shown("closed grants are counters per scope and time bucket (sizes measured in the facts page; the oldest bucket counts whole).", "closed grants are counters per scope and time bucket"),
    shown("Windows slide, of any length;"),
    shown("minute, hour, day by default."),
    shown("Scopes nest: node, set, zone, region, cluster, fleet;"),
    shown("the node's own history (attempts, episodes) lives on its Machine."),
    shown("Every RiskPolicy that matches must allow."),
    shown("Without one a strict built-in policy holds, never \"unlimited\".", "Without one a strict built-in policy holds, never unlimited"),
    shown("A ledger that is missing or has a new uid is rebuilt from jobs and Machines;"),
    shown("what cannot be known counts as used."),
    shown("A hold is released by its owner when the machine is available for minReadySeconds or the act was abandoned; by the risk decider when the owner's uid is gone;"),
    shown("never by time alone while the act may still run."),
    shown("Needs a permit: cordon, drain, restart class (but for drift repair, section 4), reboot, power, reimage, replace, terminate.", "Needs a permit: cordon, drain, restart class", "terminate needs a permit", "Repair of class none or restart needs no permit"),
    shown("Needs none: look, stage, class none, whatever happens to a machine before it was first Running, un-cordon, cancel, un-freeze.", "Needs none: look, stage", "Needs none: class none"),
    shown("A rollback waits for no rate window and no inspection but keeps maxUnavailable, in-flight limits and open breakers.", "A rollback waits for no rate window but keeps maxUnavailable", "A rollback waits for no inspection"),
    shown("What a human forces is never refused, but recorded, and narrows what automation may do next."),
    shown("Unavailable: the Node is not Ready,", "Unavailable: the Node is not Ready, or a hold is open"),
    shown("or we cordoned it,"),
    shown("or a hold is open.", "Unavailable: the Node is not Ready, or a hold is open"),
    shown("Every set that selects a machine counts it."),
    shown("Denominator: selected machines that should be up (Running, Updating, Repairing), from the snapshot;"),
    shown("floor of one."),
    shown("Breakers: zone states as kube-controller-manager's (Partial when NotReady > 2 and >= 55 %, Full when none Ready; no zone label = zone '');", "zone states as kube-controller-manager's"),
    shown("freeze of the cluster when every zone with more than one node is Full;"),
    shown("storm cooldown;"),
    shown("success-rate gate;"),
    shown("width grows only after proven repairs."),
    shown("A freeze switch (kubenode freeze --scope zone=b --for 2h --reason), honoured within one decision;", "A freeze switch, honoured within one decision"),
    shown("label kubenode.dev/hold on Machine or Node;"),
    shown("an observe-only mode that writes nothing but its lease and says what it would do."),
)  # fmt: skip
"""Section 3."""
