"""Which certificate requests for the agent of one machine are approved.

A bootstrap token is good for one key. Before anything is approved, the key of the first good request that came with a
token is written into the Machine's status, by compare-and-swap. Only that key is approved, once; when the signer has
answered and the agent had time to fetch the certificate, with that token, the token is deleted; then the status says
so. Whatever crashes in between, and however many requests race: what is written says which key it is, and no other
key is ever approved from that token.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, AnswerRequest, Decision, DeleteToken, Effect, Note
from kubenode.core.enrol.request import (
    EnrolReason,
    RequestState,
    SigningRequest,
    machine_of,
    refusal,
    token_of,
)
from kubenode.core.model.machine import Enrolment, Machine
from kubenode.core.model.meta import Ref, ref
from kubenode.core.model.now import Now, moment
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.world import CertificateSigningRequest
from kubenode.core.policy import Policy

_MOST_SAID: Final = 512
"""Characters of a refusal: it repeats what strangers wrote."""

FETCHED_WITHIN: Final = timedelta(seconds=15)
"""How long a token is left after its request has ended: an agent asks for its certificate every five seconds."""

_APPROVED: Final = frozenset({RequestState.APPROVED, RequestState.ENDED})

_NO_TOKEN: Final = Enrolment(token_id="", key="", spent=True)


@attrs.frozen(kw_only=True)
class EnrolSnapshot:
    """One name of a machine, and what is asked for it.

    Attributes:
        name: which machine.
        machine: None when there is none of that name.
        requests: those that ask to be its agent; those of anybody else are left alone.
    """

    name: str
    machine: Machine | None
    requests: tuple[SigningRequest, ...] = ()
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


def decide(seen: EnrolSnapshot, policy: Policy) -> Decision[Enrolment]:
    """Decide what is next for those who ask to be the agent of one machine.

    Args:
        seen: the snapshot.
        policy: not looked at: who may be an agent is no matter of risk.

    Returns:
        The wanted `status.enrolment` of the Machine, None to leave it alone; answers to requests, approvals first; the
        deletion of a token that was used. The only deadline is that of a deletion: a request is answered as soon as it is seen.

    Invariants: a request that came with a token is approved only when `status.enrolment`, as read, names that token and
    the request's key, and no request of that token was approved before; `status.enrolment` changes to another token
    only when the one before is spent. An answered request, and one with another signer or for another name, is never
    touched.
    Source: facts/api-machinery, section 3.
    """
    machine = seen.machine
    if machine is not None and machine.metadata.unknown:
        text = f"this version does not know {machine.metadata.unknown[0]}, so it answers no request for this machine"
        return Decision(notes=(Note(code="NewerVersion", text=text),), deferred=True)
    ours = sorted(
        (one for one in seen.requests if machine_of(one) == seen.name),
        key=lambda one: (one.created, one.name),
    )
    answers = _Answers()
    good: list[SigningRequest] = []
    for request in ours:
        fault = refusal(request, machine, seen.now.wall) if request.state is RequestState.PENDING else None
        if fault is not None:
            answers.refuse(request, fault.reason, fault.text)
        elif request.state is RequestState.PENDING and token_of(request):
            good.append(request)
        elif request.state is RequestState.PENDING:
            answers.approve(request, EnrolReason.RENEWED, f"by the certificate of {request.username}")
    if machine is None:
        return answers.decision(None)
    used = frozenset(token_of(one) for one in ours if one.state in _APPROVED) - {""}
    wanted = _by_token(machine, good, used, answers)
    token = _open_token(machine)
    ended = (one for one in ours if one.state is RequestState.ENDED and token_of(one) == token)
    first = next(ended, None) if token else None
    if first is not None:
        answers.delete_later(machine, token, first, seen)
    return answers.decision(wanted)


def _open_token(machine: Machine) -> str:
    """Give the token that is held for a key and not deleted yet; empty when there is none."""
    held = machine.status.enrolment or _NO_TOKEN
    return "" if held.spent else held.token_id


def _by_token(
    machine: Machine, good: list[SigningRequest], used: frozenset[str], answers: "_Answers"
) -> Enrolment | None:
    """Deal with the good requests that came with a token; give the enrolment that is wanted.

    Args:
        machine: whose agent they ask to be.
        good: the requests, in the order in which they came.
        used: the tokens that a request was approved from.
        answers: to which theirs are added.
    """
    held = machine.status.enrolment or _NO_TOKEN
    open_token = _open_token(machine)
    is_waited_for = any((token_of(one), one.key) == (open_token, held.key) for one in good)
    approved = set(used)
    wanted: Enrolment | None = None
    for request in good:
        token = token_of(request)
        is_held = token == held.token_id
        if token in approved or (is_held and (held.spent or held.key != request.key)):
            text = f"token {token} was used for another key or request; make a new one"
            answers.refuse(request, EnrolReason.TOKEN_USED, text)
        elif is_held:
            approved.add(token)
            answers.approve(request, EnrolReason.ENROLLED, f"by its token {token}")
        elif open_token and not is_waited_for:
            answers.delete(machine, open_token)
        elif not open_token and wanted is None:
            wanted = Enrolment(token_id=token, key=request.key)
            text = f"token {token} is for the key of {request.name} and no other"
            answers.notes.append(Note(code=EnrolReason.TOKEN_TAKEN.value, text=text))
    return wanted


class _Answers:
    """What is gathered: approvals, then refusals, then the deletion of a token."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._approved: list[Effect] = []
        self._refused: list[Effect] = []
        self._deleted: list[Effect] = []
        self._sightings: dict[str, int] = {}
        self._wake_at: int | None = None

    def approve(self, request: SigningRequest, reason: EnrolReason, text: str) -> None:
        self._approved.append(_answer(request, reason, text, approved=True))
        self.notes.append(Note(code=reason.value, text=f"{request.name}: {text}"))

    def refuse(self, request: SigningRequest, reason: EnrolReason, text: str) -> None:
        text = text[:_MOST_SAID]
        self._refused.append(_answer(request, reason, text, approved=False))
        self.notes.append(Note(code=reason.value, text=f"{request.name}: {text}"))

    def delete(self, machine: Machine, token: str) -> None:
        """Delete a token, and say in the Machine that it was."""
        if not self._deleted:
            version = machine.metadata.resource_version
            self._deleted.append(DeleteToken(machine=ref(machine), token_id=token, resource_version=version))
            self.notes.append(Note(code=EnrolReason.TOKEN_DELETED.value, text=f"token {token} was used"))

    def delete_later(
        self, machine: Machine, token: str, request: SigningRequest, seen: EnrolSnapshot
    ) -> None:
        """Delete the token of a request that has ended, when its agent had time to fetch with it what was signed."""
        key = f"ended:{request.uid}"
        since = seen.sightings.get(key, seen.now.elapsed)
        over = since + nanoseconds(FETCHED_WITHIN)
        if seen.now.elapsed >= over:
            self.delete(machine, token)
        else:
            self._sightings[key], self._wake_at = since, over

    def decision(self, status: Enrolment | None) -> Decision[Enrolment]:
        effects = (*self._approved, *self._refused, *self._deleted)
        return Decision(
            status=status,
            effects=effects,
            notes=tuple(self.notes),
            sightings=self._sightings,
            wake_at=self._wake_at,
        )


def _answer(request: SigningRequest, reason: EnrolReason, text: str, *, approved: bool) -> AnswerRequest:
    where = Ref(kind=CertificateSigningRequest.KIND.name, name=request.name, uid=request.uid)
    return AnswerRequest(
        request=where, resource_version=request.version, approved=approved, reason=reason.value, message=text
    )
