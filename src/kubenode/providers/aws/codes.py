"""What AWS's error codes mean. Nobody else compares them."""

from collections.abc import Mapping
from types import MappingProxyType

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

_WORDS: Mapping[type[ProviderError], str] = {
    Throttled: """
        RequestLimitExceeded Throttling ThrottlingException ThrottledException EC2ThrottledException RequestThrottled
        RequestThrottledException SlowDown TooManyRequestsException""",
    NotFound: "InvalidInstanceID.NotFound",
    CapacityExhausted: """
        InsufficientInstanceCapacity InsufficientHostCapacity InsufficientCapacity InsufficientCapacityOnHost
        InsufficientAddressCapacity InsufficientReservedInstanceCapacity ReservationCapacityExceeded
        InsufficientFreeAddressesInSubnet SpotMaxPriceTooLow Unsupported""",
    QuotaExceeded: "MaxSpotInstanceCountExceeded",
    Busy: "IncorrectInstanceState IncorrectState",
    Protected: "OperationNotPermitted",
    Unsupported: "UnsupportedOperation InvalidAction UnknownOperationException",
    TokenConflict: "IdempotentParameterMismatch IdempotentInstanceTerminated",
    Denied: "UnauthorizedOperation AccessDenied AccessDeniedException",
    WouldDo: "DryRunOperation",
    AuthFailed: """
        AuthFailure ExpiredToken ExpiredTokenException
        RequestExpired OptInRequired InvalidClientTokenId InvalidAccessKeyId SignatureDoesNotMatch IncompleteSignature
        MissingAuthenticationToken UnrecognizedClientException Blocked PendingVerification""",
    Invalid: "TagLimitExceeded UnknownParameter UserDataTooLarge VPCIdNotSpecified",
}
CODES: Mapping[str, type[ProviderError]] = MappingProxyType({
    code: kind for kind, codes in _WORDS.items() for code in codes.split()
})  # fmt: skip
_SUFFIX: Mapping[str, type[ProviderError]] = MappingProxyType({
    "LimitExceeded": QuotaExceeded, ".NotFound": Invalid, ".Malformed": Invalid,
})  # fmt: skip
"""By how a code ends. A group or image that is not found is no instance that is not found: the request is wrong."""
_PREFIX: tuple[str, ...] = ("Invalid", "Missing", "Malformed")

HINTS: Mapping[type[ProviderError], str] = MappingProxyType({
    Throttled: "other programs of this account call the same API; lower calls_per_second of [aws], or ask AWS for a higher limit",
    CapacityExhausted: "list other types or zones under `fallback`",
    QuotaExceeded: "ask AWS for a higher quota, or delete what is not needed",
    AuthFailed: "look at the credentials, the clock and the IAM policy of the controller",
    Denied: "let the IAM policy of the controller allow it, as docs/reference/aws.md lists it",
    Invalid: "correct `spec.infrastructure.parameters`",
    Protected: "switch termination or stop protection off for this instance, if it is to go",
    TokenConflict: "look for what the token made; then a new attempt",
})  # fmt: skip


def meaning(word: str, status: int, *, creates: bool) -> type[ProviderError]:
    """Give what an error means.

    Args:
        word: AWS's code; empty when the answer had none.
        status: of HTTP; 0 when there was no answer.
        creates: whether the call may have made an instance; then what is not known is Ambiguous.
    """
    if word in CODES:
        return CODES[word]
    if status == 429:
        return Throttled
    unknown = Ambiguous if creates else Unavailable
    if status >= 500:
        return unknown
    for suffix, kind in _SUFFIX.items():
        if word.endswith(suffix):
            return kind
    return Invalid if word.startswith(_PREFIX) else unknown
