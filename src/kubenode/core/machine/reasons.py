"""Every reason a Machine's conditions can have. docs/reference/conditions.md has meaning, cause and fix of each."""

import enum

from kubenode.core.node import drain


class MachineReason(enum.Enum):
    """Fixed words for programs; a condition's message is for people."""

    # Ready alone
    ALL_READY = "AllReady"
    NEWER_VERSION = "NewerVersion"
    SPEC_NOT_ACTIONABLE = "SpecNotActionable"
    LEDGER_MISSING = "LedgerMissing"
    CONFLICT = "Conflict"
    NODE_CHANGED = "NodeChanged"
    PROVIDER_ID_MISMATCH = "ProviderIdMismatch"
    UPDATING = "Updating"
    REPAIRING = "Repairing"
    RELEASING = "Releasing"
    DRAINING = drain.DRAINING
    PERMIT_AWAITED = "PermitAwaited"
    REMOVING_NODE = "RemovingNode"
    TERMINATE_UNSUPPORTED = "TerminateUnsupported"

    # Paused, which is there only while it is True
    HELD = "Held"

    # InstanceReady, where no controller looks; all others are in core/instance/reasons.py
    INSTANCE_NOT_WATCHED = "InstanceNotWatched"

    # AgentReady
    AGENT_REPORTING = "AgentReporting"
    AGENT_NOT_HEARD = "AgentNotHeard"
    AGENT_SILENT = "AgentSilent"

    # NodeReady, and LabelsSynced while there is no Node
    NODE_READY = "NodeReady"
    NODE_NOT_REGISTERED = "NodeNotRegistered"
    NODE_GONE = "NodeGone"
    NODE_NOT_READY = "NodeNotReady"
    NODE_SILENT = "NodeSilent"

    # LabelsSynced
    SYNCED = "Synced"
    SYNCING = "Syncing"
    NODE_UNREADABLE = "NodeUnreadable"
    FIELD_CONFLICT = "FieldConflict"

    # ComponentsReady
    ALL_AT_TARGET = "AllAtTarget"
    ENTRY_MISSING = "EntryMissing"
    NOT_REPORTED = "NotReported"
    PROGRESSING = "Progressing"
    COMPONENT_FAILED = "ComponentFailed"
    COMPONENT_DRIFTED = "ComponentDrifted"
    COMPONENT_STATE = "ComponentState"

    # HandsOff, of a machine whose infrastructure heals and deletes by itself
    WORK_GUARDED = "WorkGuarded"
    GUARD_AWAITED = "GuardAwaited"
    NO_WORK = "NoWork"

    # Drained, which is there only while an open permit or a deletion asks for it; DRAINING too
    CORDONING = drain.CORDONING
    CORDON_UNDONE = drain.CORDON_UNDONE
    DRAIN_BLOCKED = drain.DRAIN_BLOCKED
    DRAIN_TIMED_OUT = drain.DRAIN_TIMED_OUT
    DRAIN_FORCED = drain.DRAIN_FORCED
    PODS_GONE = drain.PODS_GONE
