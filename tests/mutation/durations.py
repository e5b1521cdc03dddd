"""A plugin of pytest: writes how long each test took, its parameters together; for gate.py."""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

_SECONDS: dict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what every phase of a test took."""
    _SECONDS[report.nodeid.partition("[")[0]] += report.duration


def pytest_sessionfinish() -> None:
    """Write what was added up."""
    Path(os.environ["KUBENODE_DURATIONS"]).write_text(json.dumps(_SECONDS))
