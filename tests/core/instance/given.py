"""Machines with instances in every step, and what was seen of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.decision import CreateInstance
from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.intent import token_of
from kubenode.core.instance.seen import MACHINE_UID_TAG, Case, InstanceSight, ProviderAnswer
from kubenode.core.instance.turn import Turn
from kubenode.core.model.meta import FINALIZER, ObjectMeta, Switch

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
WALL = datetime(2026, 7, 1, 12, tzinfo=UTC)
HERE, THERE = "launch-in-a", "launch-in-b"
"""Digests of the launch parameters of two placements."""
UID = "uid-c1"
TOKEN = token_of(UID, 1, HERE)
WANTED = m.Infrastructure(provider="cloud", parameters={"size": 1})


def instance(id: str = "i-1", state: InstanceState = InstanceState.RUNNING, **given: Any) -> Instance:
    """An instance that bears the machine's uid."""
    return Instance(**{"id": id, "state": state, "zone": "a", "tags": {MACHINE_UID_TAG: UID}, **given})


def status(step: m.InstanceStep = m.InstanceStep.CREATING, **given: Any) -> m.InstanceStatus:
    """What the status says of the first attempt."""
    id = "" if step is m.InstanceStep.CREATING else "i-1"
    return m.InstanceStatus(
        **{
            "step": step,
            "provider": "cloud",
            "attempt": 1,
            "token": TOKEN,
            "parameters": WANTED.parameters,
            "id": id,
            **given,
        }
    )


def machine(instance: m.InstanceStatus | None = None, **given: Any) -> m.Machine:
    """A machine that a provider is to make."""
    spec = {"infrastructure": WANTED} | {
        k: v for k, v in given.items() if k in ("infrastructure", "set_ref", "host", "deletion_policy")
    }
    said = {
        k: v for k, v in given.items() if k in ("first_running", "conditions", "node_ref", "phase", "agent")
    }
    return m.Machine(
        metadata=ObjectMeta(
            name="c1", uid=UID, resource_version="1", finalizers=(FINALIZER,), deletion_timestamp=given.get("deletion_timestamp")
        ),
        spec=m.MachineSpec(**spec), status=m.MachineStatus(instance=instance, **said),
    )  # fmt: skip


def sight(**given: Any) -> InstanceSight:
    """What is known where nobody has looked yet."""
    return InstanceSight(**{"wanted": (HERE, THERE), "pinned": (HERE, THERE), **given})


def case(
    instance: m.InstanceStatus | None = None, at: int = 0, *, joined: bool = False, well: bool = True, sightings: Mapping[str, int] | None = None,
    one: m.Machine | None = None, **seen: Any,
) -> Case:  # fmt: skip
    """A machine and its instance, `at` nanoseconds after this process began."""
    return Case(
        machine=machine(instance) if one is None else one, sight=sight(**seen), joined=joined, well=well,
        now=m.Now(wall=WALL, elapsed=at), sightings=sightings or {},
    )  # fmt: skip


def answer(error: str = "", at: int = 0, *, op_id: str = TOKEN, **given: Any) -> ProviderAnswer:
    """What a provider said to an act."""
    return ProviderAnswer(
        **{"op_id": op_id, "at": at, "error": error, "text": f"said {error}" if error else "", **given}
    )


def stepped(before: m.InstanceStatus, **change: Any) -> m.InstanceStatus:
    """A status with parts changed."""
    return attrs.evolve(before, **change)


def asked(turn: Turn) -> CreateInstance:
    """The one call of a turn."""
    (effect,) = turn.effects
    assert isinstance(effect, CreateInstance)
    return effect


def said(turn: Turn) -> tuple[Switch, str]:
    """What a turn claims."""
    return turn.claim.holds, turn.claim.reason
