"""Programs: an argv, a time limit, no input, bounded output, and nothing of our environment."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from kubenode.runtime.agent.commands import KEPT, Commands, environment

RUN = Commands()


def test_an_argument_is_an_argument() -> None:
    """Whatever is in it: no shell takes it apart."""
    words = ("$(id)", "; id", "`id`", "a b", "*", "\n", "--")
    ran = RUN((sys.executable, "-c", "import sys; print(sys.argv[1:])", *words), 20)
    assert (ran.code, ran.out) == (0, f"{[*words]}\n")


def test_what_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """Its children too."""
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(3); open({str(mark)!r}, 'w')"
    code = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    )
    begun = time.monotonic()
    ran = RUN((sys.executable, "-c", code), 1.5)
    assert ran.code is None
    assert not ran.succeeded
    assert time.monotonic() - begun < 20
    time.sleep(3)
    assert not mark.exists()


def test_no_more_is_kept_than_can_be(tmp_path: Path) -> None:
    """The beginning of what is printed, and the end of it on both streams; the program is not held up by it."""
    code = "import sys\nfor i in range(200000): print('line', i)\nprint('last words', file=sys.stderr)"
    ran = RUN((sys.executable, "-c", code), 60)
    assert ran.code == 0
    assert ran.out.startswith("line 0\nline 1\n")
    assert len(ran.out) == KEPT
    assert ran.tail.endswith("line 199999\nlast words")
    assert len(ran.tail) < 2 * KEPT + 100


def test_a_child_that_lives_on_does_not_hold_us_up() -> None:
    """It has inherited the output; a service that a package's script starts may do so."""
    code = "import subprocess, sys; print('done'); subprocess.Popen(['sleep', '7'])"
    begun, before = time.monotonic(), threading.active_count()
    ran = RUN((sys.executable, "-c", code), 20)
    assert (ran.code, ran.out) == (0, "done\n")
    assert threading.active_count() > before  # it is still listened to
    while threading.active_count() > before:  # and let go when it has ended
        assert time.monotonic() - begun < 30
        time.sleep(0.05)


@pytest.mark.parametrize(("argv", "code"), [(("/no/such/program",), 127), (("/",), 126), (("a\0b",), 126)])
def test_what_cannot_be_run_is_an_answer_too(argv: tuple[str, ...], code: int) -> None:
    """And no exception."""
    ran = RUN(argv, 5)
    assert (ran.code, ran.succeeded, bool(ran.tail)) == (code, False, True)


def test_nothing_of_our_environment_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """But how to get out of the network."""
    monkeypatch.setenv("KUBENODE_TOKEN", "secret")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    ran = RUN((sys.executable, "-c", "import os; print(dict(os.environ))"), 20)
    assert "secret" not in ran.out
    assert "LD_PRELOAD" not in ran.out
    assert environment(os.environ)["https_proxy"] == "http://proxy:3128"
    assert environment({})["DEBIAN_FRONTEND"] == "noninteractive"


def test_there_is_no_input() -> None:
    """Whoever asks a question gets no answer, and does not wait for one."""
    assert RUN((sys.executable, "-c", "print(repr(input()))"), 20).code == 1
