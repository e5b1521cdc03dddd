"""What the four kits of conformance have in common, for providers, components, remedies and inspections: laws, a test for each.

They are siblings that never import each other; what they share is here. pytest is imported when a
test is made, and not before: production has none.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from kubenode.core.model.meta import LABEL, matches


class BrokenLaw(AssertionError):
    """A driver breaks a law of its conformance kit; the text says what it did and what to write instead."""


@attrs.frozen(kw_only=True)
class Law:
    """One thing that every driver of a kind keeps.

    Attributes:
        name: words joined by `-`.
        check: returns when the law is kept, and raises BrokenLaw when it is not.
        why_not: why it does not apply to this driver; empty when it does. It is told in the test's id, since a
            law that is left out without a word looks like one that is kept.
    """

    name: str
    check: Callable[[], None]
    why_not: str = ""

    @property
    def id(self) -> str:
        """Give the id of the test."""
        return f"{self.name} (not applicable: {self.why_not})" if self.why_not else self.name


def law_test(laws: Iterable[Law]) -> Callable[..., None]:
    """Give a pytest test with a case for every law; assign it to a name that begins with `test_`.

    Raises:
        ImportError: pytest is not installed.
    """
    try:
        import pytest
    except ImportError:
        raise ImportError(
            "the conformance kits of kubenode need pytest: pip install 'kubenode[test]'"
        ) from None

    @pytest.mark.parametrize("law", [pytest.param(law, id=law.id) for law in laws])
    def test(law: Law) -> None:
        text = ""
        try:
            law.check()
        except BrokenLaw as broken:
            text = f"{law.name}: {broken}"
        if text:
            # It says all; a traceback would show the kit, which is not at fault.
            pytest.fail(text, pytrace=False)

    return test


def check_driver(driver: Any, sample: object) -> None:
    """Check that a driver's name can stand in an object, and that its parameters are of an attrs class.

    Raises:
        BrokenLaw: one is not.
    """
    kind, name, shape = type(driver).__name__, driver.name, driver.params
    if not isinstance(name, str) or len(name) > 63 or not matches(f"^{LABEL}$", name):
        raise BrokenLaw(f"{kind}.name is {name!r}; write lower-case letters, digits and '-', at most 63")
    if not isinstance(shape, type) or not attrs.has(shape):
        raise BrokenLaw(
            f"{kind}.params is {shape!r}; set it to the class of the parameters, made with @attrs.frozen"
        )
    if not isinstance(sample, shape):
        raise BrokenLaw(
            f"{kind}.params is {shape.__name__}, but the kit was given a {type(sample).__name__}; give a {shape.__name__}"
        )


def check_functions(driver: object, methods: Iterable[str]) -> None:
    """Check that methods are there and are plain functions, which give their answer by `return`.

    Raises:
        BrokenLaw: one is not.
    """
    for name in methods:
        where, have = f"{type(driver).__name__}.{name}", getattr(driver, name, None)
        if not callable(have):
            raise BrokenLaw(f"{where} is missing; write def {name}(self, ...)")
        if inspect.iscoroutinefunction(have) or inspect.isasyncgenfunction(have):
            raise BrokenLaw(f"{where} is async; write a plain def")
        if inspect.isgeneratorfunction(have):
            raise BrokenLaw(f"{where} is a generator; return its answer")
