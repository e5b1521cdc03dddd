"""The law of namespaces: a kind that has them may be narrowed to one, and ours have none."""

import attrs
import pytest

from kubenode.core import model as m

EVENT = m.Kind(name="Event", plural="events", group="", version="v1", namespaced=True)


def test_within_one_namespace() -> None:
    """Only the namespace differs; another one takes its place."""
    assert EVENT.within("a") == attrs.evolve(EVENT, namespace="a")
    assert EVENT.within("a").within("b") == EVENT.within("b")
    assert EVENT.namespace == ""


@pytest.mark.parametrize("kind", m.KINDS, ids=lambda cls: cls.KIND.name)
def test_objects_of_ours_are_in_no_namespace(kind: type) -> None:
    """A namespace for one of them is a mistake of the caller."""
    with pytest.raises(ValueError, match="is cluster-scoped: its objects are in no namespace"):
        kind.KIND.within("default")
