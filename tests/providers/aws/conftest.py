"""No test reads the credentials of whoever runs it."""

from pathlib import Path

import pytest
from botocore.loaders import Loader

from tests.providers.aws.loopback import keys

MODELS = Loader()
"""Read once for all tests: boto3 parses megabytes for every session."""


@pytest.fixture(autouse=True)
def _own_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys(tmp_path, monkeypatch)
    monkeypatch.setattr("botocore.session.create_loader", lambda paths=None: MODELS)
