"""What is looked at on a host: a program is run by its words, and no shell takes them apart."""

from typing import Any

import pytest

from kubenode.core.probe import Exec


@pytest.mark.parametrize("argv", [(), ["/bin/df"], "/bin/df -h", ("/bin/df", 1), None])
def test_what_is_no_command(argv: Any) -> None:
    """A text would go through a shell, a list may change later, and a program needs a name."""
    with pytest.raises(ValueError, match=r"argv: .* is no tuple of a program and its arguments"):
        Exec(argv)


def test_a_command() -> None:
    """A program alone, and one with arguments that a shell would read otherwise."""
    assert Exec(("/bin/df",)).argv == ("/bin/df",)
    assert Exec(("/bin/echo", "$HOME; ls")).argv == ("/bin/echo", "$HOME; ls")
