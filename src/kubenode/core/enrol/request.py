"""A certificate request, taken apart, and what is wrong with what it asks for."""

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import attrs

from kubenode.core.enrol.identity import AGENTS, UID, groups_of, machine_in, token_group, token_in, user_of
from kubenode.core.model.machine import Machine
from kubenode.core.model.world import SIGNER

CLIENT_AUTH: Final = "client auth"
USAGES: Final = frozenset({CLIENT_AUTH, "digital signature", "key encipherment"})
SHORTEST: Final = timedelta(minutes=10)
LONGEST: Final = timedelta(days=7)
ANSWERED_WITHIN: Final = timedelta(hours=1)
"""A request that is older is refused: the token that it came with may have expired, or been deleted, since."""


class RequestState(enum.Enum):
    """What was answered; ended is one that was approved when its signer has given a certificate, or has failed."""

    PENDING = "Pending"
    APPROVED = "Approved"
    ENDED = "Ended"
    DENIED = "Denied"


class EnrolReason(enum.Enum):
    """Why a request is approved, refused, or let wait."""

    ENROLLED = "Enrolled"
    RENEWED = "Renewed"
    MACHINE_MISSING = "MachineMissing"
    MACHINE_DELETING = "MachineDeleting"
    OTHER_INCARNATION = "OtherIncarnation"
    SUBJECT_WRONG = "SubjectWrong"
    EXTENSIONS_WANTED = "ExtensionsWanted"
    USAGES_WRONG = "UsagesWrong"
    EXPIRATION_WRONG = "ExpirationWrong"
    KEY_WRONG = "KeyWrong"
    REQUESTER_UNKNOWN = "RequesterUnknown"
    REQUEST_EXPIRED = "RequestExpired"
    TOKEN_USED = "TokenUsed"  # noqa: S105 - a reason
    TOKEN_TAKEN = "TokenTaken"  # noqa: S105 - a reason
    TOKEN_DELETED = "TokenDeleted"  # noqa: S105 - a reason


@attrs.frozen(kw_only=True)
class SigningRequest:
    """A CertificateSigningRequest, with the request in it taken apart.

    Attributes:
        version: its resourceVersion.
        created: when the server stored it.
        username: who asks, in the server's words.
        groups: in which that user is, in the server's words.
        common_name: of the subject.
        organizations: of the subject, in order.
        others: the other parts of the subject, as object identifiers; another common name is one.
        extras: all that is asked for besides subject and key (extensions such as names of hosts), as object identifiers.
        key: SHA-256 of the public key, in hex.
        key_fault: what is wrong with the key or the signature; empty when nothing is.
    """

    name: str
    uid: str
    version: str
    created: datetime
    signer: str
    usages: tuple[str, ...]
    expiration_seconds: int | None
    username: str
    groups: tuple[str, ...]
    common_name: str
    organizations: tuple[str, ...]
    others: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    key: str
    key_fault: str = ""
    state: RequestState = RequestState.PENDING


@attrs.frozen
class Refusal:
    """Why a request cannot be approved, for programs and for people."""

    reason: EnrolReason
    text: str


def machine_of(request: SigningRequest) -> str:
    """Give the name of the machine that a request asks to be the agent of; empty when it is none of our business."""
    return machine_in(request.common_name) if request.signer == SIGNER else ""


def token_of(request: SigningRequest) -> str:
    """Give the id of the bootstrap token that a request came with; empty when it came with none."""
    return token_in(request.username)


def refusal(request: SigningRequest, machine: Machine | None, wall: datetime) -> Refusal | None:
    """Say why a request cannot be approved, whatever became of its token; None when it can.

    Args:
        request: which is for `machine`, as `machine_of` says.
        machine: None when there is none of that name.
        wall: the time.
    """
    if machine is None:
        return Refusal(EnrolReason.MACHINE_MISSING, f"there is no Machine {machine_of(request)}")
    if machine.metadata.deletion_timestamp is not None:
        return Refusal(EnrolReason.MACHINE_DELETING, f"Machine {machine.metadata.name} is being deleted")
    uid = machine.metadata.uid
    # Who asks comes first: the other texts tell of the Machine.
    return (
        _requester_fault(request, uid)
        or _subject_fault(request, uid)
        or _wish_fault(request)
        or _age_fault(request, wall)
    )


def _requester_fault(request: SigningRequest, uid: str) -> Refusal | None:
    """Ask for the token of this very Machine, or the certificate of its agent."""
    groups = frozenset(request.groups)
    by_token = bool(token_of(request)) and token_group(uid) in groups
    by_itself = request.username == user_of(machine_of(request)) and groups.issuperset(groups_of(uid))
    if by_token or by_itself:
        return None
    text = f"{request.username or 'nobody'} is neither a bootstrap token of this Machine nor its own agent"
    return Refusal(EnrolReason.REQUESTER_UNKNOWN, text)


def _subject_fault(request: SigningRequest, uid: str) -> Refusal | None:
    """Compare the organisations with those of this very Machine: each once, and no other."""
    wanted, asked = sorted(groups_of(uid)), sorted(request.organizations)
    if asked == wanted and not request.others:
        return None
    told = next((group for group in asked if group.startswith(UID)), "")
    if asked == sorted((AGENTS, told)) and not request.others:
        text = f"the organisation {told} is of another Machine of this name; this one has uid {uid}"
        return Refusal(EnrolReason.OTHER_INCARNATION, text)
    more = f", and {', '.join(request.others)}" if request.others else ""
    text = f"the subject has organisations {_listed(asked)}{more}; it may have {_listed(wanted)} and nothing else"
    return Refusal(EnrolReason.SUBJECT_WRONG, text)


def _wish_fault(request: SigningRequest) -> Refusal | None:
    """Look at all but the subject that would be signed into the certificate."""
    if request.extras:
        text = f"the request asks for {', '.join(request.extras)}; it may ask for no extension or attribute"
        return Refusal(EnrolReason.EXTENSIONS_WANTED, text)
    if CLIENT_AUTH not in request.usages or not USAGES.issuperset(request.usages):
        text = f"usages are {_listed(request.usages)}; they are {CLIENT_AUTH} and of {_listed(sorted(USAGES))} any"
        return Refusal(EnrolReason.USAGES_WRONG, text)
    seconds = request.expiration_seconds
    low, high = int(SHORTEST.total_seconds()), int(LONGEST.total_seconds())
    if seconds is None or not low <= seconds <= high:
        said = "is missing" if seconds is None else f"is {seconds}"
        return Refusal(EnrolReason.EXPIRATION_WRONG, f"expirationSeconds {said}; it is from {low} to {high}")
    if request.key_fault:
        return Refusal(EnrolReason.KEY_WRONG, request.key_fault)
    return None


def _age_fault(request: SigningRequest, wall: datetime) -> Refusal | None:
    if wall - request.created <= ANSWERED_WITHIN:
        return None
    return Refusal(EnrolReason.REQUEST_EXPIRED, f"it was made at {request.created.isoformat()}; ask again")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
