"""A person's word that a machine is to be, and that one is to go."""

from collections.abc import Mapping

from kubenode.core import wire
from kubenode.core.model.machine import DeletionPolicy, Host, Infrastructure, Machine, MachineSpec
from kubenode.core.model.meta import Json, ObjectMeta, Ref, ref
from kubenode.core.wish.wish import Wish, swapped


def create(name: str, origin: Host | Infrastructure, labels: Mapping[str, str]) -> Wish:
    """Ask for a machine.

    Args:
        name: of the Machine.
        origin: the host that is there already, or who makes one of which parameters.
        labels: of the Machine; sets select it by them.
    """
    if isinstance(origin, Infrastructure):
        spec = MachineSpec(infrastructure=origin)
        did = f"asked for from provider {origin.provider}"
        then = "the controller writes down what it asks for, then asks the provider, once"
    else:
        spec = MachineSpec(host=origin)
        did = f"host {origin.address} is to be imported"
        then = f"its agent enrols with the token that kubenode machine token {name} prints"
    wanted = wire.dump(Machine(metadata=ObjectMeta(name=name, labels=dict(labels)), spec=spec))
    return Wish(object=Ref(kind=Machine.KIND.name, name=name), made=wanted, did=did, next=then)


def delete(raw: Json, *, release: bool) -> Wish:
    """Let a machine go: with its host, or, by its policy or the word `release`, without.

    Args:
        raw: the Machine as it was read.
        release: its host and what runs on it stay as they are, whatever its policy says; also of one that goes already.
    """
    machine = wire.read(raw, Machine)
    policy = DeletionPolicy.RELEASE if release else machine.spec.on_deletion
    changes = policy is not machine.spec.on_deletion
    goes = machine.metadata.deletion_timestamp is not None
    ends = (
        "it is let go when its turn comes; its host and what runs there stay as they are"
        if policy is DeletionPolicy.RELEASE
        else f"when it has its permit, its Node is drained, then {_named(machine)} is terminated"
    )
    did = "is being deleted already" if goes else "deleted"
    return Wish(
        object=ref(machine),
        operations=swapped(raw, ("spec", "deletionPolicy"), policy.value) if changes else (),
        deletes=not goes,
        did=f"{did}, and released now" if goes and changes else did,
        next=ends,
    )


def _named(machine: Machine) -> str:
    instance = machine.status.instance
    if instance is None or not instance.id:
        return "what was made for it"
    return f"instance {instance.id} of provider {instance.provider}"
