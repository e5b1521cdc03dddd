"""Which event of a cloud is which condition of a Node, and why."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kubenode.core.capability import CloudEvent, Impact

MAINTENANCE: Final = "CloudMaintenance"
"""The cloud will interrupt the instance: what runs there can go before."""
FAILURE: Final = "CloudFailure"
"""The host or a disk of the instance fails by now."""
NOTICE: Final = "CloudNotice"
"""The cloud tells something that moving the workload does not mend."""
TYPES: Final = (MAINTENANCE, FAILURE, NOTICE)


class DoctorReason(enum.Enum):
    """Why a condition that a cloud's events open is as it is."""

    REBOOT_PLANNED = "RebootPlanned"
    REDEPLOY_PLANNED = "RedeployPlanned"
    STOP_PLANNED = "StopPlanned"
    RETIREMENT_PLANNED = "RetirementPlanned"
    RECLAIM_PLANNED = "ReclaimPlanned"
    HOST_FAILING = "HostFailing"
    DISK_FAILING = "DiskFailing"
    SHORT_PAUSE = "ShortPause"
    PAYMENT_DUE = "PaymentDue"
    EVENT_UNKNOWN = "EventUnknown"
    EVENT_OVER = "EventOver"
    EVENT_UNLISTED = "EventUnlisted"
    NO_EVENT_OPEN = "NoEventOpen"


KINDS: Final[Mapping[Impact, tuple[str, DoctorReason]]] = MappingProxyType({
    Impact.REBOOT: (MAINTENANCE, DoctorReason.REBOOT_PLANNED),
    Impact.REDEPLOY: (MAINTENANCE, DoctorReason.REDEPLOY_PLANNED),
    Impact.STOP: (MAINTENANCE, DoctorReason.STOP_PLANNED),
    Impact.RETIRE: (MAINTENANCE, DoctorReason.RETIREMENT_PLANNED),
    Impact.RECLAIM: (MAINTENANCE, DoctorReason.RECLAIM_PLANNED),
    Impact.FAILURE: (FAILURE, DoctorReason.HOST_FAILING),
    Impact.DISK: (FAILURE, DoctorReason.DISK_FAILING),
    Impact.BRIEF: (NOTICE, DoctorReason.SHORT_PAUSE),
    Impact.BILLING: (NOTICE, DoctorReason.PAYMENT_DUE),
    Impact.OTHER: (NOTICE, DoctorReason.EVENT_UNKNOWN),
})  # fmt: skip


def kind_of(event: CloudEvent) -> tuple[str, DoctorReason]:
    """Give the condition that an event opens, and its reason then."""
    return KINDS[event.impact]
