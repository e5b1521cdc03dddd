"""The clauses of api.md, section 4: the flows that must work end to end."""

from typing import Final

from tests.design.clause import FLEETS, Clause, later, shown

IMPORT: Final[tuple[Clause, ...]] = (
    shown("It begins with the object: CLI, API or console creates the Machine (Pending, spec.host) and its own bootstrap token", "creates the Machine (Pending, spec.host) and its own bootstrap token"),
    shown("-> the agent is installed on the host (SSH; cloud run-command; one-line script to paste)"),
    shown("with a key made there"),
    shown("-> its CSR (identity kubenode:agent:<machine>) is approved only from that token,", "its CSR (identity kubenode:agent:<machine>) is approved only from that token"),
    shown("once,"),
    shown("and only if all checks of the facts page hold;"),
    shown("later renewals only from its own certificate"),
    shown("-> the agent reports: Importing -> the Node is Ready: labels, annotations, taints synced", "the agent reports: Importing"),
    shown("-> MachineComponentSets select it and write its component entries", "machines that join (current stable revision)"),
    shown("-> the agent installs them -> all healthy: Running.", "the agent reports: Importing -> the Node is Ready: labels, annotations, taints synced -> all healthy: Running"),
    shown("On a bare host the entries its Node needs (runtime, kubelet) are written and installed while Importing, before the Node registers.", "On a bare host the entries its Node needs are written"),
    shown("A dry run prints the plan; a failed step says what to do, is resumable, and leaves the host as it was."),
    shown("deletionPolicy: Release (default when imported: host, agent and components stay, our labels and finalizer go)"),
    shown("or Terminate (default when created).", "deletionPolicy: Release (default when imported) or Terminate (default when created)"),
    shown("Mass deletes (beyond max(5, 10 %) of a set in 10 minutes without lowered replicas, or a CRD being deleted) freeze terminations of that set until a person unfreezes it (kubenode unfreeze --scope set=X).", "Mass deletes (beyond max(5, 10 %)", "(Mass deletes: or a CRD being deleted) that of Machines", "(Mass deletes: or a CRD being deleted) that of MachineSets"),
)  # fmt: skip

CREATION: Final[tuple[Clause, ...]] = (
    shown("The same with a provider: intent and token in the object first, then the call,", "intent and token in the object first, then the call"),
    shown("then user data that enrols the agent."),
    shown("Token = hash(machine uid, attempt, all launch parameters including the zone);"),
    shown("a new attempt only after the old one is settled."),
    shown("A provider without idempotent create gets find-by-owner-tag and a grace time before every repeat."),
)  # fmt: skip

UPGRADE: Final[tuple[Clause, ...]] = (
    shown("Sizes 1 / 5 / 10 / 50 / 100 / ... are increments (200 machines: 1, 5, 10, 50, 100, 34); the last repeats;", "Sizes are increments"),
    shown("a percentage is of the machines selected when the revision began, rounded up."),
    shown("A batch is a gate, not a concurrency: inside it machines start as maxUnavailable and permits allow."),
    shown("Members are fixed when it opens (revision and batch in the entry are the record),", "Members are fixed when it opens"),
    shown("ordered by zone, then stable hash."),
    shown("It closes when every member is Updated (all three states at target for minReadySeconds), Failed or gone;", "It closes when every member is Updated, Failed or gone", "Updated (all three states at target for minReadySeconds)", "Failed"),
    shown("then inspections (hooks, Prometheus queries, condition rate of updated against not-yet-updated machines); inconclusive pauses;", "then inspections; inconclusive pauses", "condition rate of updated against not-yet-updated machines"),
    shown("then the observation time; then the next.", "then the observation time"),
    shown("failureThreshold (0) counts the revision's failures;"),
    shown("resume excuses those so far:", "resume excuses those so far"),
    shown("they keep last-good and retry with back-off, and the rollout ends Complete, excused: 1."),
    shown("Already unavailable machines go first"),
    shown("and cost no maxUnavailable,", "and cost no maxUnavailable"),
    shown("but count in batch size and windows,", "but count in batch size and windows"),
    shown("are not touched in a scope whose breaker is open,", "are not touched in a scope whose breaker is open"),
    shown("and a batch needs one formerly healthy member to count as proof.", "a batch needs one formerly healthy member to count as proof"),
    shown("Pause, resume, approve, skip, roll back, partition, a spec change in the middle, machines that join (current stable revision) all work.", "Pause, resume", "approve", "skip", "roll back", "partition", "a spec change in the middle", "machines that join (current stable revision)"),
    shown("A second change to a machine joins its open hold before the first disruptive step, else waits."),
)  # fmt: skip

DRIFT: Final[tuple[Clause, ...]] = (
    shown("The agent re-inspects periodically"),
    shown("and on file or unit change."),
    shown("Repair of class none or restart needs no permit, but:", "Repair of class none or restart needs no permit"),
    shown("at most 3 a component and hour on a node,", "at most 3 a component and hour on a node"),
    shown("delayed by hash over 60 s,", "delayed by hash over 60 s"),
    shown("one component at a time;"),
    shown("and when more than max(3, 5 %) of a set report the same drift within 10 minutes the controller holds repair of that component and says why.", "when more than max(3, 5 %) of a set report the same drift"),
    shown("Class drain or reboot always asks."),
)  # fmt: skip

HUNG: Final[tuple[Clause, ...]] = (
    shown("The detector sees task X blocked for more than 120 seconds (also blocked in I/O wait for more than,", "The detector sees task X blocked for more than 120 seconds"),
    shown("and the kernel's own counter,", "also the kernel's own counter, because the log goes silent after ten"),
    shown("because the log goes silent after ten)", "also the kernel's own counter, because the log goes silent after ten"),
    shown("-> condition -> NodeRemedier matches after its duration -> job Waiting -> permit", "NodeRemedier matches after its duration"),
    shown("-> the controller writes the step to Machine.spec.operation;", "the controller writes the step to Machine.spec.operation"),
    shown("the agent journals, acts, answers in status.agent.operation;"),
    shown("not acknowledged within the time limit: the agent is silent", "not acknowledged within the time limit: the agent is silent"),
    shown("and the provider acts", "not acknowledged within the time limit: the provider acts"),
    shown("-> verification: condition clear and Node Ready for the dwell", "condition clear and Node Ready for the dwell"),
    shown("-> Succeeded, else the next rung:", "else the next rung"),
    shown("restart unit ->", "else the next rung", "restart unit -> drain and reboot -> hand to a human"),
    shown("reinstall component ->", "reinstall component (last-good)"),
    shown("drain and reboot ->", "restart unit -> drain and reboot -> hand to a human", "drain and reboot: a rung that reboots drains first"),
    shown("replace ->", "replace: the Machine is deleted once its Node is drained"),
    shown("hand to a human."),
    shown("Seconds on top of the detector's own time."),
    shown("An episode opens when a condition first meets a rule"),
    shown("and ends when verified clear for the dwell, handed to a human, or the node uid is gone;", "An episode ends when verified clear for the dwell"),
    shown("its job's name is f(machine uid, remedier, number of closed episodes), so every observer, however stale, computes the same name;", "every observer, however stale, computes the same name"),
    shown("rungs are its attempts;", "An episode opens when a condition first meets a rule; rungs are its attempts"),
    shown("back within relapse (1 h) it begins at the next rung;", "back within relapse it begins at the next rung"),
    shown("attempts per machine and week are capped, then a human."),
    shown("Agents never read jobs.", "the controller writes the step to Machine.spec.operation; Agents never read jobs"),
    shown("Silence of an agent matters when it is asked;", "not acknowledged within the time limit: the agent is silent"),
    shown("at rest it renews one Lease every few minutes (10,000 agents at 10 s would cost the API server three cores)."),
)  # fmt: skip

OUTAGE: Final[tuple[Clause, ...]] = (
    shown("70 % of a zone NotReady: nothing is replaced, drained or rebooted there;", "70 % of a zone NotReady: nothing is replaced, drained or rebooted there", "70 % of a zone NotReady: nothing is drained there", "Zone outage: nothing is replaced there"),
    shown("detection, un-cordon and human actions go on;"),
    shown("other zones work;"),
    shown("after recovery all health timers start afresh."),
)  # fmt: skip

FURTHER: Final[tuple[Clause, ...]] = (
    shown("A central poller reads scheduled events and failures -> condition with the event's id, kind and time -> a rule migrates workloads (cordon, drain) before the event, confirms or reboots through the provider, un-cordons.", "A central poller reads scheduled events", "a rule migrates workloads"),
    later("Stages test -> staging -> production, clusters in order, batches inside, inspection and observation after each, thresholds over clusters, approvals, freeze windows, roll back over clusters.", FLEETS, "Release, ReleasePipeline and ClusterRegistration: no decider of these kinds is there"),
    later("The agent collects node and container metrics and findings; an event centre keeps per-node history for months; Prometheus metrics in kube-state-metrics style; rules, alerts, boards shipped and tested; coverage, consistency, self-healing efficiency; diagnose NODE prints one timeline with causes.", FLEETS, "the data system: no decider takes part"),
    shown("CAPI creates clusters and machines; kubenode adopts its machines, manages components and heals; it can be a provider (clusterapi) and the external remediation of a MachineHealthCheck."),
)  # fmt: skip
"""Cloud maintenance, multi-cluster release, the data system, and Cluster API."""
