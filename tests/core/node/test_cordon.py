"""The cordon: ours is marked and goes with its permit; a person's is left; nobody fights."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import PatchNode
from kubenode.core.node.cordon import CORDONED_BY, Cordon, cordon, cordoned_by, standing, uncordon


def node(by: str = "", *, closed: bool = False) -> m.Node:
    """A Node with our mark, or without."""
    marks = {"foreign": "x"} | ({CORDONED_BY: by} if by else {})
    metadata = m.ObjectMeta(name="n", uid="u", resource_version="7", annotations=marks)
    return m.Node(metadata=metadata, spec=m.NodeSpec(unschedulable=closed))


def patched(one: m.Node, patch: PatchNode) -> m.Node:
    """The Node after a patch, as a server merges it."""
    assert (patch.node.uid, patch.resource_version) == ("u", "7")
    marks = {**one.metadata.annotations, **patch.annotations}
    kept = {key: value for key, value in marks.items() if value is not None}
    closed = one.spec.unschedulable if patch.unschedulable is None else patch.unschedulable
    return attrs.evolve(
        one, metadata=attrs.evolve(one.metadata, annotations=kept), spec=m.NodeSpec(unschedulable=closed)
    )


@pytest.mark.parametrize(
    ("by", "closed", "how"),
    [("", False, Cordon.OPEN), ("", True, Cordon.ANOTHERS), ("op", True, Cordon.OURS), ("op", False, Cordon.UNDONE)],
)  # fmt: skip
def test_standing(by: str, closed: bool, how: Cordon) -> None:
    """All four."""
    assert standing(node(by, closed=closed)) is how
    assert cordoned_by(node(by, closed=closed)) == by


@pytest.mark.parametrize(
    ("by", "closed", "annotations", "unschedulable"),
    [("", False, {CORDONED_BY: "op"}, True), ("other", True, {CORDONED_BY: "op"}, None), ("other", False, {CORDONED_BY: "op"}, None)],
)  # fmt: skip
def test_cordon_writes(
    by: str, closed: bool, annotations: dict[str, str], unschedulable: bool | None
) -> None:
    """Mark and cordon at once; a cordon of ours goes over from one permit to the next, and is not closed anew."""
    patch = cordon(node(by, closed=closed), "op")
    assert patch is not None
    assert (dict(patch.annotations), patch.unschedulable) == (annotations, unschedulable)


@pytest.mark.parametrize(("by", "closed"), [("", True), ("op", True), ("op", False)])
def test_cordon_leaves_alone(by: str, closed: bool) -> None:
    """A person's cordon, ours that stands, and ours that a person has undone."""
    assert cordon(node(by, closed=closed), "op") is None


@pytest.mark.parametrize(
    ("by", "closed", "held", "opens"),
    [("op", True, (), False), ("op", False, (), None), ("op", True, ("other",), False)],
)
def test_uncordon_takes_back_ours(by: str, closed: bool, held: tuple[str, ...], opens: bool | None) -> None:
    """With the mark, and nothing but the mark where somebody has opened it already."""
    patch = uncordon(node(by, closed=closed), held)
    assert patch is not None
    assert (dict(patch.annotations), patch.unschedulable) == ({CORDONED_BY: None}, opens)


@pytest.mark.parametrize(("by", "closed", "held"), [("", True, ()), ("", False, ()), ("op", True, ("op",))])
def test_uncordon_leaves_alone(by: str, closed: bool, held: tuple[str, ...]) -> None:
    """A person's cordon, and ours while its permit is open."""
    assert uncordon(node(by, closed=closed), held) is None


@given(st.sampled_from(["", "op", "other"]), st.booleans())
def test_there_and_back(by: str, closed: bool) -> None:
    """Cordon and un-cordon leave a Node that was not ours as it was, and say nothing twice."""
    before = node(by, closed=closed)
    first = cordon(before, "op")
    during = before if first is None else patched(before, first)
    assert cordon(during, "op") is None
    last = uncordon(during)
    after = during if last is None else patched(during, last)
    assert uncordon(after) is None
    if not by:
        assert after == before
    assert after.metadata.annotations == {"foreign": "x"}
