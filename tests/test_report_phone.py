"""Reports of every kind on a phone, in headless Chromium: nothing is cut, files are named, in both schemes.

THUMBNET_SCREENSHOTS may name a folder to which the pictures go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys

from browser import axe_violations, console_errors, emulate, open_browser, open_file, overflowing, save_screenshot
from phone_pages import PAGES
from report_page import find, find_all, numbers_in
from two_class_report import CLASSES, two_class_predictions, write_two_class_report

pytestmark = pytest.mark.browser

WIDTHS = (390, 320)
HEIGHT = 844
CUT = """
return [...document.body.querySelectorAll('*')].filter(e => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1
  && getComputedStyle(e).display !== 'inline' && !e.closest('svg, .scroll, .hidden'))
  .map(e => `${e.outerHTML.slice(0, 100)}: ${e.scrollWidth} of ${e.clientWidth}`);
"""

NEAR_AN_EDGE = """
return [...document.querySelectorAll('.chart .tick')].filter(text => {
  const box = text.getBoundingClientRect(), card = text.closest('section').getBoundingClientRect();
  return box.left < card.left + 6 || box.right > card.right - 6;
}).map(text => `${text.closest('.chart').querySelector('figcaption').textContent}: ${text.textContent}`);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Reports by name, each made when it is first asked for."""
    return cache(lambda name: PAGES[name](tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module")
def report(pages: Callable[[str], Path]) -> Path:
    return pages("two-classes")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_on_a_phone(
    browser: Chrome, pages: Callable[[str], Path], name: str, width: int, scheme: str, tmp_path: Path
) -> None:
    open_file(browser, pages(name))
    emulate(browser, size=(width, HEIGHT), scheme=scheme)
    save_screenshot(browser, f"{name}-{width}-{scheme}", tmp_path)
    assert overflowing(browser, width) == []
    assert browser.execute_script(CUT) == []
    assert browser.execute_script(NEAR_AN_EDGE) == []
    areas = "document.querySelectorAll('#confusion .scroll, #classes .scroll, #wrong .scroll')"
    scrolled = browser.execute_script(f"return [...{areas}].map(e => e.scrollWidth - e.clientWidth)")
    assert scrolled == [0] * (3 if name == "seeds" else 2)
    assert axe_violations(browser) == []
    assert console_errors(browser) == []


def test_what_scrolls_shows_that_it_goes_on(browser: Chrome, report: Path) -> None:
    open_file(browser, report)
    emulate(browser, size=(320, HEIGHT))
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    shadow = (
        "const area = document.querySelector('#architecture .scroll'), frame = area.parentElement, done = arguments[1];"
        "area.scrollLeft = arguments[0] ? area.scrollWidth : 0;"
        "requestAnimationFrame(() => requestAnimationFrame(() => done(['::before', '::after'].map("
        "side => getComputedStyle(frame, side).visibility))))"
    )
    assert browser.execute_async_script(shadow, False) == ["hidden", "visible"]
    assert browser.execute_async_script(shadow, True) == ["visible", "hidden"]


def test_the_gallery_names_files(browser: Chrome, report: Path) -> None:
    open_file(browser, report)
    figures = find_all(browser, "#gallery-grid figure")
    assert len(figures) > 10
    for figure in figures[:10]:
        assert f"test/{CLASSES[int(figure.get_attribute('data-truth') or '')]}/" in figure.text
        assert "#" not in figure.text
        label = figure.find_element("tag name", "canvas").get_attribute("aria-label") or ""
        assert ".png: truth" in label


def chosen_figures(browser: Chrome) -> dict[str, str]:
    """What the threshold's counts and figures show, by name."""
    return browser.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('[data-figure]')]"
        ".map(e => [e.dataset.figure, e.textContent]))"
    )


def test_the_threshold_is_moved_by_keyboard(browser: Chrome, report: Path) -> None:
    open_file(browser, report)
    slider = find(browser, "#threshold-slider")
    at_first, kept = chosen_figures(browser), slider.get_attribute("value")
    written = re.findall(r'data-figure="(\w+-interval)">([^<]+)<', report.read_text())  # before any script ran
    assert len(written) == 5
    assert at_first | dict(written) == at_first
    rows = find_all(browser, "#threshold > details tbody tr")
    assert len(rows) == 9  # readable without the control
    predictions = two_class_predictions()
    margins = (predictions.logits[:, 1] - predictions.logits[:, 0]).double()
    places = browser.execute_script("return [...document.querySelectorAll('.chosen')].map(e => e.getAttribute('cx'))")
    slider.send_keys(Keys.HOME)
    assert chosen_figures(browser) | {"tn": "0", "fn": "0", "recall": "100.0\u00a0%"} == chosen_figures(browser)
    slider.send_keys(Keys.END)
    assert chosen_figures(browser) | {"tp": "0", "fp": "0", "precision": "0.0\u00a0%"} == chosen_figures(browser)
    find(browser, "#threshold-reset").click()
    assert (chosen_figures(browser), slider.get_attribute("value")) == (at_first, kept)
    for _ in range(25):
        slider.send_keys(Keys.ARROW_RIGHT)
    shown = chosen_figures(browser)
    threshold = numbers_in(find(browser, "#threshold-shown").text)[0] / 100
    found = int(shown["tp"])
    assert found < int(at_first["tp"]) or int(shown["fp"]) < int(at_first["fp"])
    near = [
        (margins >= math.log((threshold + shift) / (1 - threshold - shift)))[predictions.labels == 1].sum()
        for shift in (-0.0006, 0.0006)
    ]
    assert near[1] <= found <= near[0]
    assert find(browser, "#threshold-status").get_attribute("textContent").startswith("Threshold ")
    now = browser.execute_script("return [...document.querySelectorAll('.chosen')].map(e => e.getAttribute('cx'))")
    assert now != places
    assert axe_violations(browser) == []


def test_the_gallery_counts_in_thousands_as_the_text_above_does(
    browser: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("two_class_report.NUM_IMAGES", 8_000)
    write_two_class_report(tmp_path / "report.html")
    open_file(browser, tmp_path / "report.html")
    number = find(browser, "#gallery p").text.partition(" ")[0]
    assert re.fullmatch(r"1,\d{3}", number)
    assert find(browser, "#gallery-count").text == f"{number} of {number} images"


def test_no_figure_is_parted_from_its_per_cent_sign(report: Path) -> None:
    notes = re.findall("<small>([^<]*%[^<]*)", report.read_text().partition('class="facts"')[0])
    assert len(notes) > 2
    assert [note for note in notes if " %" in note] == []


@pytest.mark.parametrize("name", ["two-classes", "seeds"])
def test_names_and_intervals_of_a_class_stand_on_one_line(
    browser: Chrome, pages: Callable[[str], Path], name: str
) -> None:
    open_file(browser, pages(name))
    emulate(browser, size=(390, HEIGHT))
    heights = browser.execute_script(
        "return [...document.querySelectorAll('#class-table :is(td small, thead button)')]"
        ".map(e => e.getBoundingClientRect().height)"
    )
    assert len(heights) >= 7
    assert max(heights) < 30


def test_the_numbers_of_small_charts_can_be_read_on_a_desk(browser: Chrome, report: Path) -> None:
    open_file(browser, report)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('#curves svg')].map(e =>"
        " parseFloat(getComputedStyle(e.querySelector('.tick')).fontSize) * e.clientWidth / e.viewBox.baseVal.width)"
    )
    assert len(sizes) == 3
    assert min(sizes) > 11
