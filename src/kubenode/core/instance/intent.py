"""The intent that is written before an instance is asked for: attempt, placement, parameters and token."""

from kubenode.core.decision import CreateInstance, UserData
from kubenode.core.errors import refusal
from kubenode.core.identity import op_id
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG, MANAGED_TAG, SET_UID_TAG, Case
from kubenode.core.instance.turn import INSTANCE_READY, Turn, claim, seen_since, waits
from kubenode.core.model.condition import Claim
from kubenode.core.model.instance import InstanceStatus, InstanceStep
from kubenode.core.model.machine import AgentSource, Infrastructure
from kubenode.core.model.meta import ref


def token_of(uid: str, attempt: int, launch: str) -> str:
    """Give the idempotency token of one attempt with one set of launch parameters, the zone among them."""
    return op_id("create", uid, attempt, launch)


def terminate_op_id(uid: str, attempt: int) -> str:
    """Name the termination of the instance of one attempt."""
    return op_id("terminate", uid, attempt)


def obstacle(case: Case) -> Turn | None:
    """Say why nothing can be asked for by the spec as it is; None when it can."""
    sight, wanted = case.sight, case.machine.spec.infrastructure
    if sight.problem is not None:
        reason, text = refusal(sight.problem)
        return waits(case, Claim.of(INSTANCE_READY, False, reason, text))
    if wanted is not None and wanted.secret_ref is not None:
        text = "spec.infrastructure.secretRef is given, and this version reads no Secret; remove it to use the provider's own credentials"
        return waits(case, claim(False, InstanceReason.SECRET_UNSUPPORTED, text))
    if not sight.wanted:
        return waits(case, claim(False, InstanceReason.CREATING, "no provider has been asked yet"))
    return freeze(case)


def freeze(case: Case) -> Turn | None:
    """Say that the provider takes no credentials of ours, while that is so; then nothing is asked of it."""
    frozen = case.sight.frozen
    if frozen is None or case.now.elapsed >= frozen.until:
        return None
    text = f"{frozen.text}; nothing is asked of the provider but whether it takes its credentials again"
    return waits(case, claim(False, InstanceReason.PROVIDER_FROZEN, text), wake_at=frozen.until)


def begin(case: Case, infrastructure: Infrastructure, *, attempt: int, choice: int) -> Turn:
    """Write the intent of an attempt by what the spec says now; the next decision, seeing it, acts."""
    launch = case.sight.wanted[choice]
    token = token_of(case.uid, attempt, launch)
    wanted = InstanceStatus(
        step=InstanceStep.CREATING, provider=infrastructure.provider, attempt=attempt, choice=choice, token=token,
        parameters=infrastructure.parameters,
    )  # fmt: skip
    said = claim(False, InstanceReason.CREATING, f"attempt {attempt} is asked of provider {wanted.provider}")
    return Turn(instance=wanted, claim=said, sightings={own(token): case.now.elapsed})


def own(op_id: str) -> str:
    """Name the sighting of an intent that this process wrote itself: without an answer, nothing was asked for."""
    return f"own:{op_id}"


def kept_own(case: Case, turn: Turn, op_id: str) -> Turn:
    """Let a turn remember that this process wrote an intent itself, if it did."""
    mark = own(op_id)
    return seen_since(turn, **{mark: case.sightings[mark]}) if mark in case.sightings else turn


def repeatable(case: Case, instance: InstanceStatus) -> bool:
    """Tell whether what the token was made of can still be sent: its parameters are read as they were."""
    pinned = case.sight.pinned
    return (
        instance.choice < len(pinned)
        and token_of(case.uid, instance.attempt, pinned[instance.choice]) == instance.token
    )


def ask(case: Case, instance: InstanceStatus, tries: int) -> CreateInstance:
    """Give the call of an intent."""
    machine = case.machine
    owner = machine.spec.set_ref
    tags = {MANAGED_TAG: "true", MACHINE_TAG: machine.metadata.name, MACHINE_UID_TAG: case.uid}
    return CreateInstance(
        machine=ref(machine), provider=instance.provider, token=instance.token, parameters=instance.parameters,
        choice=instance.choice, launch=case.sight.pinned[instance.choice],
        tags=tags if owner is None else {**tags, SET_UID_TAG: owner.uid}, tries=tries,
        user_data=user_data(machine.spec.infrastructure, instance.attempt),
    )  # fmt: skip


def user_data(wanted: Infrastructure | None, attempt: int) -> UserData | None:
    """Give what an instance of the spec is given at its first boot; None when it is given nothing."""
    if wanted is None or (wanted.agent is AgentSource.IMAGE and not wanted.user_data):
        return None
    return UserData(own=wanted.user_data, agent=wanted.agent is AgentSource.USER_DATA, attempt=attempt)
