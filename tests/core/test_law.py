"""What the conformance kits share: a test for every law, and what is asked of any driver."""

import subprocess
import sys
from typing import Any

import attrs
import pytest

from kubenode.core.law import BrokenLaw, Law, check_driver, check_functions, law_test


@attrs.frozen
class Params:
    """Parameters as a plugin has them."""


class Driver:
    """A driver that keeps the laws that are the same for all."""

    name: Any = "sound"
    params: Any = Params

    def act(self) -> None:
        """Act."""


def made(**members: object) -> Any:
    """Give a driver with some members changed."""
    return type("Changed", (Driver,), members)()


def test_a_sound_driver_passes() -> None:
    """Nothing is raised."""
    check_driver(Driver(), Params())
    check_functions(Driver(), ["act"])


@pytest.mark.parametrize("name", [3, "", "Upper", "dots.in", "-first", "a" * 64])
def test_a_name_can_stand_in_an_object(name: object) -> None:
    """It is a label of at most 63 characters."""
    with pytest.raises(
        BrokenLaw, match=r"Changed\.name is .*; write lower-case letters, digits and '-', at most 63"
    ):
        check_driver(made(name=name), Params())
    check_driver(made(name="a" * 63), Params())


@pytest.mark.parametrize("shape", [3, str, Params()])
def test_parameters_are_an_attrs_class(shape: object) -> None:
    """Not a value, and not any class."""
    with pytest.raises(BrokenLaw, match=r"set it to the class of the parameters, made with @attrs\.frozen"):
        check_driver(made(params=shape), Params())


def test_the_sample_is_of_the_class_of_the_parameters() -> None:
    """Else the kit would try another driver's."""
    with pytest.raises(
        BrokenLaw, match=r"Changed\.params is Params, but the kit was given a int; give a Params"
    ):
        check_driver(made(), 3)


def test_functions_are_there_and_plain() -> None:
    """Missing, no function, async, an async generator, a generator: each is told what to write instead."""

    async def late(self: object) -> None: ...

    async def slowly(self: object) -> Any:
        yield 1

    def bit_by_bit(self: object) -> Any:
        yield 1

    for member, text in [
        (None, "act is missing; write def act(self, ...)"), (3, "act is missing"), (late, "act is async; write a plain def"),
        (slowly, "act is async"), (bit_by_bit, "act is a generator; return its answer"),
    ]:  # fmt: skip
        with pytest.raises(BrokenLaw) as broken:
            check_functions(made(act=member), ["act"])
        assert text in str(broken.value)


def test_each_law_is_a_case_and_says_why_it_does_not_apply() -> None:
    """What is left out without a word looks like what is kept."""
    laws = [Law(name="kept", check=lambda: None), Law(name="odd", check=lambda: None, why_not="no power()")]
    (mark,) = law_test(laws).pytestmark  # type: ignore[attr-defined]
    assert [case.id for case in mark.args[1]] == ["kept", "odd (not applicable: no power())"]


def test_a_broken_law_fails_with_its_text_alone() -> None:
    """One line: the kit's own lines are not at fault."""

    def check() -> None:
        raise BrokenLaw("twice is two; send the token")

    test = law_test([])
    test(Law(name="kept", check=lambda: None))
    with pytest.raises(pytest.fail.Exception, match=r"^once: twice is two; send the token$") as failed:
        test(Law(name="once", check=check))
    assert not failed.value.pytrace


def test_without_pytest_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And production, which has none, can import the module."""
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(
        ImportError, match=r"the conformance kits of kubenode need pytest: pip install 'kubenode\[test\]'"
    ):
        law_test([])
    code = "import sys; sys.modules['pytest'] = None; import kubenode.core.law"
    subprocess.run([sys.executable, "-c", code], check=True)
