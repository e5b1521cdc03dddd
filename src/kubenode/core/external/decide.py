"""One decision per request for a remedy: what is said to whoever asks, and to our own rules.

A request becomes a condition of the Node, and a NodeRemedier for that condition opens an episode as for any other: with
permits, breakers, freezes and verification. As soon as the episode's act is done the request asks for nothing more, so that
one request is one act at most; what became of it is told when the episode is over.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Effect, Note, PatchNodeConditions, SetFinalizers
from kubenode.core.external.subject import wants_of
from kubenode.core.model.condition import Claim, find, stated
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import FINALIZER, Switch, ref
from kubenode.core.model.now import Now, moment
from kubenode.core.model.remediation import ASKED, KubenodeRemediation, KubenodeRemediationStatus
from kubenode.core.model.remedy import AttemptState, JobPhase, NodeRemedier, RemedyOperationJob
from kubenode.core.model.world import Node, NodeCondition
from kubenode.core.policy import Policy

PROCESSING: Final = "Processing"
SUCCEEDED: Final = "Succeeded"
DELETION: Final = "PermanentNodeDeletionExpected"
TIMED_OUT: Final = "remediation.medik8s.io/nhc-timed-out"
"""Whoever asked has turned to another remediator."""
ASKED_NO_MORE: Final = "AskedForNoMore"
RETRY: Final = 10_000_000_000
"""So often it is looked whether the machine of a request is known by now, nanoseconds."""
_DONE: Final = frozenset({AttemptState.VERIFYING, AttemptState.SUCCEEDED, AttemptState.FAILED})
_CLOSED: Final = frozenset({JobPhase.SUCCEEDED.value, JobPhase.HANDED_OVER.value, JobPhase.CANCELLED.value})


class ExternalReason(enum.Enum):
    """Why a request stands as it does."""

    MACHINE_UNKNOWN = "MachineUnknown"
    REMEDIER_MISSING = "RemedierMissing"
    EPISODE_AWAITED = "EpisodeAwaited"
    EPISODE_OPEN = "EpisodeOpen"
    EPISODE_SUCCEEDED = "EpisodeSucceeded"
    EPISODE_FAILED = "EpisodeFailed"
    ASKER_TIMED_OUT = "AskerTimedOut"
    NODE_STAYS = "NodeStays"
    NEWER_VERSION = "NewerVersion"


@attrs.frozen(kw_only=True)
class ExternalSnapshot:
    """One request, and the machine that it is about.

    Attributes:
        others: the other requests about that machine.
        machine: None while none is known.
        node: the Node that the machine is, if that is certain.
        jobs: all episodes of the machine.
    """

    request: KubenodeRemediation
    others: tuple[KubenodeRemediation, ...] = ()
    machine: Machine | None = None
    node: Node | None = None
    jobs: tuple[RemedyOperationJob, ...] = ()
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


def decide(seen: ExternalSnapshot, policy: Policy) -> Decision[KubenodeRemediationStatus]:
    """Decide on one request.

    Returns:
        Its status; effects on its finalizer and on the one condition of the Node, a single one at a time.

    Invariants: the condition is True only while a request asks; a request whose act is done, that is deleted, or whose asker
    has turned to another one, asks no more; a request that is over stays so.
    """
    request = seen.request
    if request.metadata.unknown:
        text = f"{request.metadata.key} is a newer version's: {', '.join(request.metadata.unknown)} is not known here"
        return Decision(notes=(Note(code=ExternalReason.NEWER_VERSION.value, text=text),))
    if seen.machine is None:
        return _unknown(seen)
    if request.metadata.deletion_timestamp is not None:
        told = _told_node(seen, None)
        return Decision(effects=told or _without_finalizer(request))
    if FINALIZER not in request.metadata.finalizers:
        return Decision(effects=(_finalizers(request, (*request.metadata.finalizers, FINALIZER)),))
    job = _job(seen)
    status = _status(seen, policy, job)
    return Decision(status=status, effects=_told_node(seen, attrs.evolve(request, status=status)))


def _unknown(seen: ExternalSnapshot) -> Decision[KubenodeRemediationStatus]:
    """Wait until the machine is known; a request of nobody is not held."""
    request = seen.request
    if request.metadata.deletion_timestamp is not None:
        return Decision(effects=_without_finalizer(request))
    since = min(seen.sightings.get("unknown", seen.now.elapsed), seen.now.elapsed)
    text = f"no Machine of kubenode is {wants_of(request)}; import it, or let another remediator do it"
    claims = _told(False, Switch.UNKNOWN, ExternalReason.MACHINE_UNKNOWN, text)
    return Decision(
        status=_said(seen, request.status, claims), sightings={"unknown": since}, deferred=True,
        wake_at=since + ((seen.now.elapsed - since) // RETRY + 1) * RETRY,
    )  # fmt: skip


def _finalizers(request: KubenodeRemediation, finalizers: tuple[str, ...]) -> Effect:
    version = request.metadata.resource_version
    return SetFinalizers(object=ref(request), finalizers=finalizers, resource_version=version)


def _without_finalizer(request: KubenodeRemediation) -> tuple[Effect, ...]:
    if FINALIZER not in request.metadata.finalizers:
        return ()
    return (_finalizers(request, tuple(one for one in request.metadata.finalizers if one != FINALIZER)),)


# Who asks, and what the Node says of it.


def is_over(request: KubenodeRemediation) -> bool:
    """Tell whether it was said what became of a request."""
    said = find(request.status.conditions, SUCCEEDED)
    return said is not None and said.status is not Switch.UNKNOWN


def asks(request: KubenodeRemediation, jobs: Iterable[RemedyOperationJob]) -> bool:
    """Tell whether a request asks for an act that was not done yet."""
    if request.metadata.deletion_timestamp is not None or TIMED_OUT in request.metadata.annotations:
        return False
    if is_over(request) or request.metadata.unknown:
        return False
    mine = [job for job in jobs if job.metadata.name == request.status.job]
    return not any(has_acted(job) for job in mine)


def has_acted(job: RemedyOperationJob) -> bool:
    """Tell whether an act of an episode was done, or the episode is over without one."""
    tried = any(one.state in _DONE and not one.withdrawn for one in job.status.attempts)
    return tried or job.status.phase in _CLOSED


def _told_node(seen: ExternalSnapshot, request: KubenodeRemediation | None) -> tuple[Effect, ...]:
    """Bring the condition of the Node to what is asked for; one that nobody ever asked for is not written."""
    node, kind = seen.node, seen.request.spec.condition
    if node is None:
        return ()
    every = (*(() if request is None else (request,)), *seen.others)
    asking = [one for one in every if one.spec.condition == kind and asks(one, seen.jobs)]
    known = [one for one in node.status.conditions if one.type == kind]
    status = Switch.TRUE if asking else Switch.FALSE
    if all(one.status is status for one in known) and (known or not asking):
        return ()
    names = sorted(f"{one.metadata.key} ({one.metadata.uid})" for one in asking)
    # By these words a rule knows whether it has had an episode for them.
    text = f"asked for by {', '.join(names)}" if asking else "nobody asks for it any more"
    at = seen.now.wall.replace(microsecond=0)
    told = NodeCondition(
        type=kind, status=status, reason=ASKED if asking else ASKED_NO_MORE, message=text, last_transition_time=at,
        last_heartbeat_time=at,
    )  # fmt: skip
    others = tuple(one for one in node.status.conditions if one.type != kind)
    version = node.metadata.resource_version
    return (PatchNodeConditions(node=ref(node), resource_version=version, conditions=(*others, told)),)


# How it goes.


def _job(seen: ExternalSnapshot) -> RemedyOperationJob | None:
    """Give the episode of a request: the recorded one, else the open one that its condition has opened."""
    named = seen.request.status.job
    if named:
        return next((job for job in seen.jobs if job.metadata.name == named), None)
    mine = [
        job for job in seen.jobs
        if job.spec.cause.type == seen.request.spec.condition and job.status.phase not in _CLOSED
    ]  # fmt: skip
    return min(mine, key=lambda job: job.metadata.name, default=None)


def _status(
    seen: ExternalSnapshot, policy: Policy, job: RemedyOperationJob | None
) -> KubenodeRemediationStatus:
    request, machine = seen.request, seen.machine
    named = request.status.job if job is None else job.metadata.name
    kept = attrs.evolve(request.status, machine="" if machine is None else machine.metadata.name, job=named)
    if is_over(request):
        return attrs.evolve(kept, observed_generation=request.metadata.generation)
    return _said(seen, kept, _claims(seen, policy, job))


def _claims(seen: ExternalSnapshot, policy: Policy, job: RemedyOperationJob | None) -> tuple[Claim, ...]:
    if job is not None and job.status.phase in _CLOSED:
        text = f"RemedyOperationJob {job.metadata.name} is {job.status.phase}"
        if _went_well(seen, job):
            return _told(False, Switch.TRUE, ExternalReason.EPISODE_SUCCEEDED, text)
        return _told(False, Switch.FALSE, ExternalReason.EPISODE_FAILED, text)
    if TIMED_OUT in seen.request.metadata.annotations:
        text = "whoever asked has turned to another one"
        return _told(False, Switch.FALSE, ExternalReason.ASKER_TIMED_OUT, text)
    if job is not None:
        text = f"RemedyOperationJob {job.metadata.name} is {job.status.phase or 'new'}"
        return _told(True, Switch.UNKNOWN, ExternalReason.EPISODE_OPEN, text)
    kind = seen.request.spec.condition
    if not any(_is_for(one, kind, seen.machine) for one in policy.remediers):
        text = f"no NodeRemedier for condition {kind} selects the machine"
        return _told(False, Switch.UNKNOWN, ExternalReason.REMEDIER_MISSING, text)
    text = f"condition {kind} of the Node is told to its NodeRemedier"
    return _told(True, Switch.UNKNOWN, ExternalReason.EPISODE_AWAITED, text)


def _went_well(seen: ExternalSnapshot, job: RemedyOperationJob) -> bool:
    """Tell whether an episode that is over left the node well; one that was cancelled may have been needless."""
    if job.status.phase == JobPhase.CANCELLED.value:
        return seen.node is not None and seen.node.ready
    return job.status.phase == JobPhase.SUCCEEDED.value


def _is_for(remedier: NodeRemedier, kind: str, machine: Machine | None) -> bool:
    labels = {} if machine is None else machine.metadata.labels
    return remedier.spec.condition.type == kind and remedier.spec.selector.selects(labels)


def _told(goes_on: bool, end: Switch, reason: ExternalReason, text: str) -> tuple[Claim, Claim, Claim]:
    """Claim whether it goes on and how it ended; nothing that is done here takes a Node away for good."""
    return (
        Claim.of(PROCESSING, goes_on, reason.value, text),
        Claim(type=SUCCEEDED, holds=end, reason=reason.value, message=""),
        Claim.of(DELETION, False, ExternalReason.NODE_STAYS.value),
    )


def _said(
    seen: ExternalSnapshot, status: KubenodeRemediationStatus, claims: Iterable[Claim]
) -> KubenodeRemediationStatus:
    generation = seen.request.metadata.generation
    conditions = stated(status.conditions, claims, wall=seen.now.wall, generation=generation)
    return attrs.evolve(status, observed_generation=generation, conditions=conditions)
