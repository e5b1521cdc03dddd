"""How the workers of xdist share the tests: a file is one worker's, and so are all files of the test hosts."""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

HOSTS: Final = "tests/hosts/"


class ByFile(LoadScopeScheduling):
    """Gives a worker a file whole, so that what is started for a file is started once, and stories stay in order.

    Files of the test hosts are one worker's: hosts of two at once would only make each other slow.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def scope(nodeid: str) -> str:
    """Name what goes to one worker together with a test.

    >>> scope("tests/core/test_crd.py::test_rules[a::b]"), scope("tests/hosts/test_host.py::test_boots")
    ('tests/core/test_crd.py', 'tests/hosts/')
    """
    file = nodeid.partition("::")[0]
    return HOSTS if file.startswith(HOSTS) else file
