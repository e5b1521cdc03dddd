"""The page in a real browser: it asks for nothing, complains of nothing, fits, and shows what it should."""

import re
from pathlib import Path

import pytest

from kubenode.runtime.report import ReportData, render
from tests.report.browser import Browser
from tests.report.pixels import colours
from tests.report.test_render import data, evil, two_days

pytestmark = pytest.mark.timeout(120)


def counted(browser: Browser, selector: str) -> int:
    """Count elements."""
    number = browser.value(f"document.querySelectorAll({selector!r}).length")
    assert isinstance(number, int)
    return number


def test_it_asks_no_network_and_the_console_is_silent(browser: Browser, page: Path) -> None:
    """The file is all that is loaded, and nothing is logged, refused by the policy or thrown."""
    browser.open(page, width=1280, height=900)
    browser.point(640, 300)
    assert browser.requests() == [page.as_uri()]
    assert browser.complaints() == []


def test_a_page_that_asks_or_complains_is_seen(browser: Browser, page: Path, tmp_path: Path) -> None:
    """The two checks above can fail: a planted image, script and error are all told."""
    bad = tmp_path / "bad.html"
    text = page.read_text(encoding="utf-8")
    bad.write_text(
        text.replace("<main>", "<img src=file:///x.png><script>throw 1</script><main>"), encoding="utf-8"
    )
    browser.open(bad, width=1280, height=900)
    told = "\n".join(browser.complaints())
    assert "Content Security Policy" in told
    loose = tmp_path / "loose.html"
    loose.write_text(re.sub(r"<meta http-equiv[^>]*>", "", bad.read_text(encoding="utf-8")), encoding="utf-8")
    browser.open(loose, width=1280, height=900)
    assert len(browser.requests()) == 2
    assert "Uncaught" in "\n".join(browser.complaints())


def test_the_charts_show_the_story(browser: Browser, page: Path) -> None:
    """Batches 1/5/10/50/100/34 and their pause, a lane for each of 200 nodes, three zones, permits and limits."""
    browser.open(page, width=1280, height=900)
    sizes = browser.value("[...document.querySelectorAll('[data-batch]')].map(e => e.dataset.size).join('/')")
    assert sizes == "1/5/10/50/100/34"
    assert counted(browser, "rect.paused") == 1
    assert counted(browser, "g.lane") == 200
    assert counted(browser, "[data-fleet]") == 3
    assert counted(browser, "[data-flight] path[class^=c-]") == 1
    limits = browser.value(
        "[...document.querySelectorAll('[data-limit]')].map(e => e.dataset.limit).sort().join()"
    )
    assert limits == "FailureThreshold,MaxUnavailable,RateLimit"
    assert counted(browser, "[data-scope]") == 8
    wide = browser.value(
        "[...document.querySelectorAll('rect.paused')].map(e => e.getBoundingClientRect().width)"
    )
    assert wide[0] > 40


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_is_not_blank(browser: Browser, page: Path, width: int, dark: bool) -> None:
    """Nothing overflows at 400 or 1280 pixels; the screenshot has the colours of the charts, light and dark."""
    browser.open(page, width=width, height=600 if width > 700 else 1000, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") <= width
    spilling = browser.value(
        "[...document.querySelectorAll('section *')].filter(e => !e.closest('.scroll') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert spilling == []
    cut = browser.value(
        "[...document.querySelectorAll('.batches .gutter > *')].filter(e => e.scrollWidth > e.clientWidth + 1 || "
        "e.getBoundingClientRect().left < e.parentElement.getBoundingClientRect().left - 1).map(e => e.textContent)"
    )
    assert cut == []
    seen = colours(browser.screenshot())
    paper, work = (b"\x14\x15\x17", b"\x5b\x93\xcd") if dark else (b"\xf6\xf6\xf3", b"\x4a\x7f\xb5")
    assert seen[paper] > 10_000
    assert seen[work] > 100
    assert len(seen) > 50


def test_text_is_large_and_strong_enough_to_be_read(browser: Browser, page: Path) -> None:
    """All text but the names beside 200 lanes is 11 px or more, and has a contrast of 4.5 to 1 to its ground."""
    script = """(() => {
      const lum = (rgb) => { const c = rgb.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => { v /= 255;
        return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return .2126*c[0] + .7152*c[1] + .0722*c[2]; };
      const ground = (e) => { for (; e; e = e.parentElement) { const b = getComputedStyle(e).backgroundColor;
        if (b !== 'rgba(0, 0, 0, 0)') return b; } return 'rgb(255, 255, 255)'; };
      const bad = [];
      for (const e of document.querySelectorAll('body *')) {
        const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
        if (!own || !e.getClientRects().length || e.closest('script, .p10 .names, details:not([open]) > :not(summary)')) continue;
        const style = getComputedStyle(e), a = lum(style.color), b = lum(ground(e));
        const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (parseFloat(style.fontSize) < 11 || contrast < 4.5) bad.push([e.className, e.textContent.slice(0, 30), style.fontSize, contrast]);
      }
      return bad.slice(0, 5);
    })()"""
    for width in (1280, 400):
        for dark in (False, True):
            browser.open(page, width=width, height=900, dark=dark)
            assert browser.value(script) == [], (width, dark)


def test_details_come_under_the_pointer_and_by_keys(browser: Browser, page: Path) -> None:
    """Hovering a lane names its machine and what was done; arrows move from lane to lane; Escape closes."""
    browser.open(page, width=1280, height=900)
    tip = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"
    browser.value("document.querySelector('[data-lanes=a]').scrollIntoView()")
    x, y = browser.value(
        "(() => { const lane = document.querySelector('g.lane[data-machine=n117] .a-failed').getBoundingClientRect();"
        "return [lane.x + lane.width / 2, lane.y + lane.height / 2]; })()"
    )
    browser.point(x, y)
    assert "n117" in browser.value(tip)
    assert "node-exporter-1.9.0 (node-exporter revision 2 batch 4) failed: InstallFailed" in browser.value(
        tip
    )
    browser.value("document.querySelector('[data-lanes=a]').focus({preventScroll: true})")
    browser.press("ArrowUp")
    before = browser.value(tip).split()[0]
    browser.press("ArrowDown")
    assert browser.value(tip).split()[0] not in ("", before)
    browser.press("Escape")
    assert browser.value(tip) == ""
    spot = browser.value("(() => { const r = document.querySelector('rect.paused'); r.scrollIntoView({block: 'center'});"
                         "const b = r.getBoundingClientRect(); return [b.x + 5, b.y + 5]; })()")  # fmt: skip
    browser.point(*spot)
    assert "paused: n117 failed" in browser.value(tip)


def test_hostile_names_are_only_text(browser: Browser, tmp_path: Path) -> None:
    """A node named <script> is shown as such; nothing runs, nothing is asked for, nothing breaks out."""
    path = tmp_path / "evil.html"
    path.write_text(render(evil(data())), encoding="utf-8")
    browser.open(path, width=400, height=900)
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert browser.value("document.querySelector('g.lane').dataset.machine").startswith("<script>")
    assert counted(browser, "script") == 2


def test_a_large_run_opens(browser: Browser, tmp_path: Path) -> None:
    """200 machines and 48 hours: drawn whole, within few enough elements to scroll well."""
    path = tmp_path / "large.html"
    path.write_text(render(two_days()), encoding="utf-8")
    browser.open(path, width=1280, height=900)
    assert counted(browser, "g.lane") == 200
    assert counted(browser, "svg *") < 5_000
    assert browser.complaints() == []


def test_several_runs_have_a_way_to_each(browser: Browser, upgrade: ReportData, tmp_path: Path) -> None:
    """Each run is an article of its own, and the links at the top lead to them."""
    path = tmp_path / "two.html"
    path.write_text(render(upgrade, data()), encoding="utf-8")
    browser.open(path, width=400, height=900)
    assert counted(browser, "article") == 2
    links = (
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))"
    )
    assert browser.value(links) is True
    assert browser.value("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == counted(
        browser, "[id]"
    )
    assert browser.value("document.documentElement.scrollWidth") <= 400
