"""A word that a machine is to be or to go: what is written, and what is said of it."""

from datetime import UTC, datetime

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model.instance import InstanceStatus, InstanceStep
from kubenode.core.wish.machine import create, delete

MADE = m.Infrastructure(provider="memory", parameters={"zone": "b"})
HOST = m.Host(address="10.0.0.9")
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
TERMINATE, RELEASE = m.DeletionPolicy.TERMINATE, m.DeletionPolicy.RELEASE


def test_what_is_asked_for_is_what_a_file_would_say() -> None:
    """No more than name, labels and origin: what has a default is left to the server."""
    wish = create("n8", MADE, {"pool": "x"})
    assert wish.changes
    assert (wish.object.kind, wish.object.name, wish.object.uid) == ("Machine", "n8", "")
    machine = wire.read(wish.made, m.Machine)
    assert (machine.metadata.labels, machine.spec.infrastructure, machine.spec.host) == ({"pool": "x"}, MADE, None)  # fmt: skip
    assert "provider memory" in wish.did
    imported = create("n9", HOST, {})
    assert wire.read(imported.made, m.Machine).spec.host == HOST
    assert "kubenode machine token n9" in imported.next


@pytest.mark.parametrize(
    ("origin", "policy", "goes", "release", "changed", "deletes", "said"),
    [
        (MADE, None, False, False, None, True, "instance i-7 of provider memory is terminated"),
        (MADE, None, False, True, "Release", True, "stay as they are"),
        (MADE, RELEASE, False, False, None, True, "stay as they are"),
        (MADE, RELEASE, False, True, None, True, "stay as they are"),
        (MADE, None, True, False, None, False, "is terminated"),
        (MADE, TERMINATE, True, True, "Release", False, "stay as they are"),
        (HOST, None, False, False, None, True, "stay as they are"),
        (HOST, TERMINATE, False, True, "Release", True, "stay as they are"),
    ],
)
def test_a_machine_goes_as_its_policy_says_or_is_released(
    origin: m.Host | m.Infrastructure, policy: m.DeletionPolicy | None, goes: bool, release: bool,
    changed: str | None, deletes: bool, said: str,
) -> None:  # fmt: skip
    """Only the word `release` changes a policy; one that goes already is not deleted twice."""
    spec = (
        m.MachineSpec(infrastructure=origin)
        if isinstance(origin, m.Infrastructure)
        else m.MachineSpec(host=origin)
    )
    instance = InstanceStatus(
        step=InstanceStep.MADE, provider="memory", attempt=1, token="create-0123456789abcdef", id="i-7"
    )
    machine = m.Machine(
        metadata=m.ObjectMeta(name="n8", uid="u", deletion_timestamp=WHEN if goes else None),
        spec=attrs.evolve(spec, deletion_policy=policy), status=m.MachineStatus(instance=instance),
    )  # fmt: skip
    wish = delete(wire.dump(machine), release=release)
    assert wish.object.uid == "u"
    assert [one["value"] for one in wish.operations if one["op"] == "add"] == ([changed] if changed else [])
    assert wish.deletes is deletes
    assert wish.changes is (deletes or changed is not None)
    assert wish.next.endswith(said)
    assert ("already" in wish.did) is goes
    assert ("released now" in wish.did) is (goes and changed is not None)


def test_what_has_no_instance_yet_is_said_so() -> None:
    """An instance that may be on its way has no name."""
    machine = m.Machine(metadata=m.ObjectMeta(name="n8", uid="u"), spec=m.MachineSpec(infrastructure=MADE))
    assert "what was made for it is terminated" in delete(wire.dump(machine), release=False).next
