"""What the tests of the kits share: the laws of a kit, one by one."""

from collections.abc import Callable, Mapping

from kubenode.core.law import BrokenLaw, Law


def laws(test: Callable[..., None]) -> Mapping[str, Law]:
    """Give the laws of a test that a kit made, by id."""
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    return {param.id: param.values[0] for param in mark.args[1]}


def broken(test: Callable[..., None], law: str) -> str:
    """Run one law; give the text it is broken with, empty when it is kept."""
    try:
        laws(test)[law].check()
    except BrokenLaw as error:
        return str(error)
    return ""


def ids(test: Callable[..., None]) -> set[str]:
    """Give the ids of the laws of a test that a kit made, also of those that do not apply to what it was given."""
    return {law.partition(" (")[0] for law in laws(test)}


def planted(test: Callable[..., None]) -> set[str]:
    """Give the ids of the laws for which a test of (fault, law, words) has a planted fault."""
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    return {law for _, law, _ in mark.args[1]}
