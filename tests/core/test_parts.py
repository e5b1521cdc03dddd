"""`kubenode.model`: one shelf for all that snapshots, policies and decisions are made of."""

from kubenode.core import model, parts


def test_everything_on_the_shelf_is_there_once() -> None:
    """Each name is real, and none hides another."""
    assert len(parts.__all__) == len(set(parts.__all__))
    assert all(hasattr(parts, name) for name in parts.__all__)
    assert set(model.__all__) <= set(parts.__all__)
