"""One browser for all tests of pages, and the page of the upgrade story."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenode.runtime.cli.demo import Album, Teller, play_all
from kubenode.runtime.report import ReportData, render
from tests.report.browser import Browser, found


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; without one the tests are skipped, which in CI is a failure."""
    chromium = found()
    if chromium is None:
        pytest.skip("no Chromium: install the package chromium, or set CHROMIUM to the path of one")
    made = Browser(chromium, tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def upgrade() -> ReportData:
    """What the upgrade story showed."""
    album = Album()
    (told,) = play_all(["upgrade"], None, 0, Teller(), album)
    assert told.passed
    return album.runs[0]


@pytest.fixture(scope="session")
def page(upgrade: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the upgrade story, as a file."""
    path = tmp_path_factory.mktemp("report") / "upgrade.html"
    path.write_text(render(upgrade), encoding="utf-8")
    return path
