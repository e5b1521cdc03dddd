"""Attempts in which no agent takes part: the provider restarts the instance, or the Machine is deleted to be made anew.

A provider takes no token for a restart that outlives this process. So before it is asked for the first time that is written
into the attempt, with the boot in which the Node is: another boot proves that it was done, whoever has forgotten.
"""

from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.capability import EventState
from kubenode.core.decision import ConfirmEvent, Delete, Note, RebootInstance
from kubenode.core.instance.seen import ProviderAnswer
from kubenode.core.instance.turn import due as due_again
from kubenode.core.model.instance import InstanceStep
from kubenode.core.model.meta import ref
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import WITHDRAWN, Attempt, AttemptState
from kubenode.core.remedy.case import Answer, Case, failed, move
from kubenode.core.remedy.hindrance import hindered, limited
from kubenode.core.remedy.ladder import asked, within
from kubenode.core.step import ConfirmMaintenance

ASKED_AGAIN: Final = frozenset({"Throttled", "Unavailable", "Ambiguous", "Busy"})
"""What a provider answers that a repeat may mend; all else is a person's, or the next rung's."""
_NO_MORE: Final = "no event of its cloud waits for consent"
SETTLING: Final = timedelta(minutes=2)
"""How long another boot is waited for before a provider that an earlier process has perhaps asked is asked again."""


def asking(case: Case, attempt: Attempt, told: ProviderAnswer | None) -> Answer:
    """The attempt is permitted, and the provider's: ask it, and again while its answer may be another one next time."""
    if told is not None and not told.error:
        return move(case, AttemptState.VERIFYING, "done; being verified")
    consents = isinstance(case.steps(attempt.rung), ConfirmMaintenance)
    if consents and told is not None and told.error == "NotFound":
        return move(case, AttemptState.VERIFYING, f"{_NO_MORE}; being verified")
    if not consents and _is_other_boot(case, attempt):
        return move(case, AttemptState.VERIFYING, "done, as another boot says; being verified")
    if told is not None and told.error not in ASKED_AGAIN:
        return failed(case, f"the provider says {told.error}: {told.text}")
    due, limit, waits = limited(case, attempt)
    if told is None:
        settling = None if consents else _settling(case, attempt, waits, limit)
        held_up = settling or hindered(case, attempt)
        if held_up is not None:
            return held_up
    if case.now.elapsed >= due:
        return failed(case, f"not done {within(limit)}: the provider {_said(attempt, told)}")
    if told is not None and case.now.elapsed < (again := due_again(told)):
        text = f"{attempt.action} is asked for again: the provider says {told.error}"
        note = Note(code="AskedAgain", text=text, frees_at=again)
        return attrs.evolve(waits, notes=(note,), deadlines=(*waits.deadlines, again))
    return (_consent if consents else _ask)(case, attempt, waits, 0 if told is None else told.tries)


def _is_other_boot(case: Case, attempt: Attempt) -> bool:
    """Tell whether the Node is in another boot than when the provider was about to be asked."""
    return "" not in (attempt.boot_id, case.boot_id) and attempt.boot_id != case.boot_id


def _said(attempt: Attempt, told: ProviderAnswer | None) -> str:
    if told is not None:
        return f"said {told.error} last: {told.text}"
    return "was not asked" if attempt.asked_at is None else "was perhaps asked by an earlier controller"


def asking_key(attempt: Attempt) -> str:
    """Name the sighting by which this process knows that it was itself that wrote the intent to ask."""
    return f"asking:{attempt.op_id}"


def _settling(case: Case, attempt: Attempt, waits: Answer, limit: timedelta) -> Answer | None:
    """Wait for another boot where an earlier process has perhaps asked; None: this one may."""
    if attempt.asked_at is None or asking_key(attempt) in case.sightings:
        return None
    key = f"settling:{attempt.op_id}"
    since = case.since(key)
    until = since + min(nanoseconds(SETTLING), nanoseconds(limit) // 2)
    if case.now.elapsed >= until:
        return None
    text = f"whether {attempt.action} was asked for is not known; another boot of the Node would tell"
    note = Note(code="Settling", text=text, frees_at=until)
    return attrs.evolve(
        waits, notes=(note,), deadlines=(*waits.deadlines, until), sightings={**waits.sightings, key: since}
    )


def _ask(case: Case, attempt: Attempt, waits: Answer, tries: int) -> Answer:
    """Ask the provider, while the permit is open and the instance is there; first write that it is asked."""
    instance = case.machine.status.instance
    if attempt.op_id not in case.holds:
        return _unpermitted(attempt, waits)
    if instance is None or instance.step is not InstanceStep.MADE:
        return failed(case, "the machine has no instance that a provider could restart")
    kept = {**waits.sightings, asking_key(attempt): case.since(asking_key(attempt))}
    if attempt.asked_at is None:
        note = Note(code="Asking", text=f"the provider is asked for {attempt.action}")
        return Answer(status=asked(case.job, case.boot_id, case.now.wall), notes=(note,), sightings=kept)
    effect = RebootInstance(
        machine=ref(case.machine), provider=instance.provider, op_id=attempt.op_id, instance=instance.id,
        tries=tries,
    )  # fmt: skip
    return attrs.evolve(waits, effects=(effect,), sightings=kept, deferred=False)


def _consent(case: Case, attempt: Attempt, waits: Answer, tries: int) -> Answer:
    """Consent to the most urgent event that waits for it. That needs no intent of its own: what was consented to waits no more."""
    instance, told = case.machine.status.instance, case.machine.status.cloud_events
    if attempt.op_id not in case.holds:
        return _unpermitted(attempt, waits)
    if instance is None or told is None or told.instance != instance.id:
        return failed(case, "its cloud has told of no event of its instance")
    waiting = [event.id for event in told.open if event.state == EventState.INQUIRING.value]
    if not waiting:
        return failed(case, _NO_MORE)
    effect = ConfirmEvent(
        machine=ref(case.machine),
        provider=instance.provider,
        op_id=attempt.op_id,
        event=waiting[0],
        tries=tries,
    )
    return attrs.evolve(waits, effects=(effect,), deferred=False)


def _unpermitted(attempt: Attempt, waits: Answer) -> Answer:
    text = f"the permit of {attempt.action} is not in the ledger"
    return attrs.evolve(waits, notes=(Note(code="NoPermit", text=text),))


def replacing(case: Case, attempt: Attempt) -> Answer:
    """The attempt is permitted, and a replacement: delete the Machine once its Node is drained."""
    held_up = hindered(case, attempt)
    if held_up is not None:
        return held_up
    due, limit, waits = limited(case, attempt)
    if case.now.elapsed >= due:
        return move(case, AttemptState.FAILED, f"{WITHDRAWN}could not be begun {within(limit)}")
    if attempt.op_id not in case.holds:
        return _unpermitted(attempt, waits)
    return attrs.evolve(waits, effects=(Delete(object=ref(case.machine)),), deferred=False)
