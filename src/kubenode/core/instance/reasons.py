"""Every reason of a machine's condition InstanceReady, but for those of plugins. Each has a page in docs/reference/reasons."""

import enum


class InstanceReason(enum.Enum):
    """Fixed words for programs; a condition's message is for people."""

    # It is there
    INSTANCE_RUNNING = "InstanceRunning"

    # On its way
    CREATING = "Creating"
    CREATE_AMBIGUOUS = "CreateAmbiguous"
    INSTANCE_STARTING = "InstanceStarting"
    BACKING_OFF = "BackingOff"

    # Refused
    THROTTLED = "Throttled"
    PROVIDER_UNAVAILABLE = "ProviderUnavailable"
    INSTANCE_BUSY = "InstanceBusy"
    CAPACITY_EXHAUSTED = "CapacityExhausted"
    QUOTA_EXCEEDED = "QuotaExceeded"
    REQUEST_INVALID = "RequestInvalid"
    UNSUPPORTED = "Unsupported"
    INSTANCE_PROTECTED = "InstanceProtected"
    TOKEN_CONFLICT = "TokenConflict"  # noqa: S105 - a word, and no secret
    PROVIDER_FROZEN = "ProviderFrozen"
    SECRET_UNSUPPORTED = "SecretUnsupported"  # noqa: S105

    # Not as it should be
    INSTANCE_STOPPED = "InstanceStopped"
    INSTANCE_MISSING = "InstanceMissing"
    INSTANCE_GONE = "InstanceGone"
    LOOK_DOUBTED = "LookDoubted"
    INSTANCE_CONFLICT = "InstanceConflict"
    INSTANCE_TWICE = "InstanceTwice"
    INSTANCE_FOREIGN = "InstanceForeign"
    INSTANCE_UNTAGGED = "InstanceUntagged"
    CREATION_TIMEOUT = "CreationTimeout"
    JOIN_TIMEOUT = "JoinTimeout"

    # On its way out
    TERMINATE_WAITS = "TerminateWaits"
    TERMINATING = "Terminating"
    TERMINATE_AMBIGUOUS = "TerminateAmbiguous"
    TERMINATION_STUCK = "TerminationStuck"
