"""What the error codes of ECS mean, and what may have been done when there is no answer."""

import enum
import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from kubenode.core.errors import (
    Ambiguous,
    AuthFailed,
    Busy,
    CapacityExhausted,
    Invalid,
    NotFound,
    Protected,
    ProviderError,
    QuotaExceeded,
    Throttled,
    TokenConflict,
    Unavailable,
    Unsupported,
)
from kubenode.providers.asking import Denied, WouldDo


class Call(enum.Enum):
    """What a call does to the cloud, which says what a lost answer means."""

    READ = "read"
    ACT = "act"
    CREATE = "create"


CODES: Final[Mapping[str, type[ProviderError]]] = MappingProxyType({
    "Throttling": Throttled,
    "ServiceUnavailable": Unavailable, "InternalError": Unavailable, "UnknownError": Unavailable,
    "IncorrectInstanceStatus": Busy, "OperationConflict": Busy, "IdempotentProcessing": Busy,
    "LastTokenProcessing": Busy, "InstanceNotReady": Busy,
    "InvalidInstanceId.NotFound": NotFound, "InvalidInstance.NotFound": NotFound, "InvalidResourceId.NotFound": NotFound,
    "InvalidInvokeId.NotFound": NotFound, "InvalidEventId.NoInquiringEventFound": NotFound,
    "OperationDenied.NoStock": CapacityExhausted, "OperationDenied.ZoneNotAllowed": CapacityExhausted,
    "Zone.NotOnSale": CapacityExhausted, "Zone.NotOpen": CapacityExhausted,
    "ResourceNotAvailable": CapacityExhausted, "InvalidInstanceType.ZoneNotSupported": CapacityExhausted,
    "InvalidSpotPriceLimit.LowerThanPublicPrice": CapacityExhausted, "InvalidSpotPriceLimit": Invalid,
    "QuotaExceed": QuotaExceeded, "QuotaExceeded": QuotaExceeded, "InstanceQuotaExceed": QuotaExceeded,
    "Account.Arrearage": QuotaExceeded, "InvalidAccountStatus.NotEnoughBalance": QuotaExceeded,
    "IdempotentParameterMismatch": TokenConflict, "IdempotenceParamNotMatch": TokenConflict,
    "Forbidden": Denied, "DryRunOperation": WouldDo, "DRYRUN.SUCCESS": WouldDo, "InvalidAccessKeyId": AuthFailed, "InvalidAccessKeySecret": AuthFailed,
    "SignatureDoesNotMatch": AuthFailed, "InvalidSecurityToken": AuthFailed, "SDK.InvalidCredential": AuthFailed,
    "InvalidOperation.DeletionProtection": Protected,
    "ChargeTypeViolation": Unsupported, "InvalidOperation.NotSupported": Unsupported,
    "InvalidParameter": Invalid, "MissingParameter": Invalid, "InvalidImageId": Invalid, "InvalidRegionId": Invalid,
    "InvalidZoneId": Invalid, "InvalidVSwitchId": Invalid, "InvalidSecurityGroupId": Invalid,
    "InvalidInstanceType": Invalid, "InvalidInstanceId": Invalid, "InvalidKeyPair": Invalid,
    "InvalidKeyPairName": Invalid, "InvalidUserData": Invalid, "InvalidSystemDiskCategory": Invalid,
    "InvalidDataDiskCategory": Invalid, "InvalidSystemDiskSize": Invalid, "InvalidDataDiskSize": Invalid,
    "InvalidLaunchTemplate": Invalid, "InvalidTagKey": Invalid, "InvalidTagValue": Invalid,
    "SDK.InvalidParameter": Invalid, "SDK.InvalidRequest": Invalid,
})  # fmt: skip
"""By the longest prefix that ends at a dot: `Throttling.User` is what `Throttling` is."""

FIXES: Final[Mapping[type[ProviderError], str]] = MappingProxyType({
    AuthFailed: "check the credentials, the clock of this host, and the RAM policy of docs/reference/aliyun.md",
    Denied: "let the RAM policy of the user allow it, as docs/reference/aliyun.md lists it",
    QuotaExceeded: "raise the quota in the Quota Center, or settle the account",
    CapacityExhausted: "another zone or instance type may have it",
    Invalid: "correct spec.infrastructure.parameters",
    Protected: "turn off release protection of the instance, if it shall be released",
    TokenConflict: "the token made something else before: settle that attempt, then begin a new one",
})  # fmt: skip

BLOCKED: Final = timedelta(minutes=1)
"""ECS throttles by the minute: who was blocked in one is let in again in the next."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def meaning(word: str) -> type[ProviderError] | None:
    """Give the error that a code means; None for a code that nobody knows."""
    prefix = word
    while prefix:
        if (known := CODES.get(prefix)) is not None:
            return known
        prefix = prefix.rpartition(".")[0]
    return None


def error_of_answer(action: str, call: Call, word: str, status: int, request_id: str) -> ProviderError:
    """Give the error for an answer that says no.

    The vendor's own message is left out: it may hold the string to sign, and with it the user data.
    """
    known = meaning(word)
    if known is None and status == 429:
        known = Throttled
    if (known is None and status >= 500) or known is Unavailable:
        known = Unavailable if call is Call.READ else Ambiguous
    if known is None:
        known = Ambiguous if call is Call.CREATE else Unavailable
    facts = f"{action}: {_plain(word)} (HTTP {status}, request {_plain(request_id)})"
    fix = FIXES.get(known, "")
    return known(
        f"{facts}; fix: {fix}" if fix else facts, retry_after=BLOCKED if known is Throttled else None
    )


def error_of_silence(action: str, call: Call, why: str) -> ProviderError:
    """Give the error for a call without an answer that can be read. `why` is in our own words."""
    if call is Call.READ:
        return Unavailable(f"{action}: {why}")
    return Ambiguous(f"{action}: {why}; it may have been done")


def _plain(word: str) -> str:
    """Give a code or id as it is; what is not one may hold anything, so it is left out."""
    return word if _PLAIN.fullmatch(word) else "unknown"
