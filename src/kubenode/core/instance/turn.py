"""What is next for an instance, and how long is waited: the values that all steps share."""

from collections.abc import Mapping
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, CloudEffect
from kubenode.core.identity import digest
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case, ProviderAnswer
from kubenode.core.model.condition import Claim
from kubenode.core.model.instance import InstanceStatus
from kubenode.core.model.meta import Switch

INSTANCE_READY: Final = "InstanceReady"

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
POLL: Final = 15 * SECOND
"""Between two looks at what changes."""
SLOW: Final = MINUTE
"""Between two looks at what is only waited for."""
FIRST_PAUSE: Final = 2 * SECOND
LONGEST_PAUSE: Final = 5 * MINUTE
PERSON: Final = 60 * MINUTE
"""After so long what only a person can mend is tried again, since nobody tells when it is mended."""


@attrs.frozen(kw_only=True)
class Turn:
    """What is next for an instance.

    Attributes:
        instance: what the status is to say.
        claim: the condition InstanceReady.
        effects: at most one; none unless its intent stands already.
        look: `Now.elapsed` from which a look at the provider is of use; None: none is.
        deferred: something keeps it from going on.
    """

    instance: InstanceStatus | None
    claim: Claim
    effects: tuple[CloudEffect, ...] = ()
    wake_at: int | None = None
    sightings: Mapping[str, int] = NOTHING_SEEN
    look: int | None = None
    deferred: bool = False


def claim(holds: bool, reason: InstanceReason, text: str = "") -> Claim:
    """Claim InstanceReady."""
    return Claim.of(INSTANCE_READY, holds, reason.value, text)


def unsure(reason: InstanceReason, text: str) -> Claim:
    """Claim that it is not known whether InstanceReady."""
    return Claim(type=INSTANCE_READY, holds=Switch.UNKNOWN, reason=reason.value, message=text)


def waits(case: Case, said: Claim, *, look: int | None = None, wake_at: int | None = None) -> Turn:
    """Let everything be as it is, and say why."""
    return Turn(instance=case.instance, claim=said, look=look, wake_at=wake_at, deferred=True)


def pause(tries: int, *names: str) -> int:
    """Give how long to wait after so many tries, nanoseconds: doubling, capped, and spread by a hash.

    >>> pause(1, "a") < pause(20, "a") <= LONGEST_PAUSE * 3 // 2
    True
    """
    doublings = min(tries - 1, LONGEST_PAUSE.bit_length())
    return spread(min(FIRST_PAUSE << doublings, LONGEST_PAUSE), *names, str(tries))


def spread(length: int, *names: str) -> int:
    """Give from half to one and a half of a length, by a hash: a thousand that fail at once do not come back at once."""
    return length // 2 + int(digest(*names), 16) % length


def due(answer: ProviderAnswer) -> int:
    """Give when an act that was refused for now may be tried again."""
    return answer.at + max(answer.retry_after, pause(answer.tries, answer.op_id))


def seen_since(turn: Turn, **since: int) -> Turn:
    """Let a turn remember when something was first seen."""
    return attrs.evolve(turn, sightings={**turn.sightings, **since})
