"""What is in order or started once for several tests stays with one worker."""

from types import SimpleNamespace

import pytest

from tests.sharing import ByFile, scope


def test_a_file_is_one_workers_and_so_are_all_test_hosts() -> None:
    """By its path alone, whatever stands in the name of a case."""
    assert scope("tests/core/test_crd.py::test_rules[x::y]") == scope("tests/core/test_crd.py::test_other")
    assert scope("tests/core/test_crd.py::test_rules") != scope("tests/core/test_names.py::test_rules")
    assert scope("tests/hosts/test_host.py::test_boots") == scope("tests/hosts/test_stage.py::test_left")


def test_workers_share_by_it(pytestconfig: pytest.Config) -> None:
    """Whoever runs with `-n` gets it, without an option, and files come in the order of their names."""
    run = SimpleNamespace(option=SimpleNamespace(loadscopereorder=True), getvalue={"tx": ["popen"] * 2}.get)
    found = pytestconfig.hook.pytest_xdist_make_scheduler(config=run, log=None)
    assert type(found).__name__ == ByFile.__name__
    assert (found.numnodes, run.option.loadscopereorder) == (2, False)
