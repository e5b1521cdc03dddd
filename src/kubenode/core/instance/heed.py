"""What stands in InstanceReady is another process's word until this one has learned something newer.

Two that believe to lead, and have looked at different times, would else write what each has seen against the other, as
fast as the API answers. Only words are held back: what is recorded of the instance itself is monotonic, and each act
needs its intent.
"""

from typing import Final

import attrs

from kubenode.core.heard import Heard, first_said, heard
from kubenode.core.identity import digest
from kubenode.core.instance.evidence import standing
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case
from kubenode.core.instance.turn import Turn, seen_since
from kubenode.core.model.condition import MESSAGE_LIMIT, Claim

BY_LOOK: Final = frozenset(reason.value for reason in (
    InstanceReason.INSTANCE_RUNNING, InstanceReason.INSTANCE_STARTING, InstanceReason.INSTANCE_STOPPED,
    InstanceReason.INSTANCE_MISSING, InstanceReason.INSTANCE_GONE, InstanceReason.LOOK_DOUBTED,
    InstanceReason.INSTANCE_TWICE, InstanceReason.INSTANCE_FOREIGN, InstanceReason.INSTANCE_UNTAGGED,
    InstanceReason.CREATION_TIMEOUT, InstanceReason.JOIN_TIMEOUT,
    InstanceReason.TERMINATING, InstanceReason.TERMINATION_STUCK,
))  # fmt: skip
"""Words for what a look showed, or the answer to an act; another look settles whose is right."""
BY_ANSWER: Final = frozenset(reason.value for reason in (
    InstanceReason.THROTTLED, InstanceReason.PROVIDER_UNAVAILABLE, InstanceReason.INSTANCE_BUSY,
    InstanceReason.CAPACITY_EXHAUSTED, InstanceReason.QUOTA_EXCEEDED, InstanceReason.REQUEST_INVALID,
    InstanceReason.UNSUPPORTED, InstanceReason.INSTANCE_PROTECTED, InstanceReason.TOKEN_CONFLICT,
    InstanceReason.CREATE_AMBIGUOUS, InstanceReason.TERMINATE_AMBIGUOUS,
))  # fmt: skip
"""Words for what was answered to this process, and to no other: a look says nothing of it, its own next try does."""


def heed(case: Case, turn: Turn) -> Turn:
    """Let a turn say what stands, where that is another's word and not certainly older; it remembers what it says.

    Invariant: a word that is held back is written only after this process has learned something that began after it saw
    what stands; a look is asked for where one would tell.
    """
    said, now = standing(case), case.now.elapsed
    if said is None:
        return seen_since(turn, **first_said(_word(turn.claim), now))
    known = heard(_word(said), now, case.sightings)
    if _is_late(case, turn, known):
        look = known.since + 1 if turn.look is None else min(turn.look, known.since + 1)
        turn = attrs.evolve(turn, claim=said, look=look if turn.claim.reason in BY_LOOK else turn.look)
    return seen_since(turn, **known.remembered(_word(turn.claim), now))


def _is_late(case: Case, turn: Turn, known: Heard) -> bool:
    """Tell whether what a turn says, and does nothing but say, may be older than what stands."""
    learned = _learned(case, turn.claim.reason)
    if learned is None or turn.effects or turn.instance != case.instance:
        return False
    return _word(turn.claim) != known.word and known.outlasts(learned)


def _learned(case: Case, reason: str) -> int | None:
    """Give when this process learned what the word is for, `Now.elapsed`; None: that is no news from a provider."""
    sight = case.sight
    answered = None if sight.answer is None else sight.answer.at
    if reason in BY_LOOK:
        return max((at for at in (sight.looked, answered) if at is not None), default=None)
    if reason in BY_ANSWER:
        return answered
    frozen = reason == InstanceReason.PROVIDER_FROZEN.value
    return sight.frozen.at if frozen and sight.frozen is not None else None


def _word(claim: Claim) -> str:
    return digest(claim.holds.value, claim.reason, claim.message[:MESSAGE_LIMIT])
