"""What may stand in a step: units, paths and packages, and nothing that a tool would read otherwise."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from kubenode.core.step import Exec, check_package, check_path, check_unit, is_package, is_path, is_unit


@attrs.frozen
class Field:
    """An attrs attribute, as far as a validator looks."""

    name: str = "field"


def refused(check: Callable[..., None], value: str) -> str:
    """Give the words with which a validator refuses; empty when it does not."""
    try:
        check(None, Field(), value)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("unit", ["kubelet.service", "a@b.timer"])
def test_units(unit: str) -> None:
    """A name and a kind."""
    assert is_unit(unit)
    assert refused(check_unit, unit) == ""


@pytest.mark.parametrize(
    "unit", ["", "--now", "a b.service", "../x.service", "a.service\n", "a" * 250 + ".service"]
)
def test_what_is_no_unit(unit: str) -> None:
    """An option, a path, two words, a line, too long."""
    assert not is_unit(unit)
    assert refused(check_unit, unit).endswith("is not the name of a unit such as kubelet.service")


def test_no_unit_at_all_passes() -> None:
    """A write may have none to restart."""
    nothing: Any = None
    assert refused(check_unit, nothing) == ""


@pytest.mark.parametrize("path", ["/etc/chrony/chrony.conf", "/a/..b/.c"])
def test_paths(path: str) -> None:
    """Absolute and plain; a dot within a name is one."""
    assert is_path(path)
    assert refused(check_path, path) == ""


@pytest.mark.parametrize("path", ["", "etc/x", "/a/../b", "/a/./b", "/a//b", "/a\n", "/" + "a" * 4096])
def test_what_is_no_plain_path(path: str) -> None:
    """Relative, leaving where it says, a line, too long."""
    assert not is_path(path)
    assert refused(check_path, path).endswith("is not a plain absolute path such as /etc/chrony/chrony.conf")


@pytest.mark.parametrize("package", ["kubelet", "g++", "python3.11"])
def test_packages(package: str) -> None:
    """Names as they are in the archives."""
    assert is_package(package)
    assert refused(check_package, package) == ""


@pytest.mark.parametrize("package", ["", "-y", "a b", "a;b", "a" * 129])
def test_what_is_no_package(package: str) -> None:
    """An option of the package manager, two words, a shell's word, too long."""
    assert not is_package(package)
    assert refused(check_package, package).endswith("is not the name of a package such as kubelet")


@pytest.mark.parametrize("argv", [(), ["/bin/df"], "/bin/df -h", ("/bin/df", 1), None])
def test_what_is_no_command(argv: Any) -> None:
    """A text would go through a shell, a list may change later, and a program needs a name."""
    with pytest.raises(ValueError, match=r"argv: .* is no tuple of a program and its arguments"):
        Exec(argv)


def test_a_command() -> None:
    """A program alone, and one with arguments that a shell would read otherwise."""
    assert Exec(("/bin/df",)).argv == ("/bin/df",)
    assert Exec(("/bin/echo", "$HOME; ls")).argv == ("/bin/echo", "$HOME; ls")
