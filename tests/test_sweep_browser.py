"""A sweep's page in headless Chromium: on a phone and a desk, light and dark, by keyboard, and for screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from browser import (
    DESKTOP,
    PHONE,
    axe_violations,
    console_errors,
    emulate,
    open_browser,
    open_file,
    overflowing,
    requested_urls,
    save_screenshot,
)
from thumbnet.views.report.content import Headline
from thumbnet.views.report.parallel import Axis, TrialLine
from thumbnet.views.report.sweep_page import SweepContent, SweepPoint, SweepRow, render_sweep

pytestmark = pytest.mark.browser

NUM_TRIALS = 24
NETWORKS = ("b32 b48p", "b32 b48p b48x2 b96p b96x2 and more that is long", "<c32p>")


def content() -> SweepContent:
    """Six fields, finished and given-up trials, one refused: with names as long as they may be."""
    fields = ("lr", "batch_size", "label_smoothing", "augmentation", "schedule", "model_options.blocks")
    axes = [Axis(field, [(0.0, "0.02"), (1.0, "512")]) for field in fields[:-1]]
    axes += [Axis(fields[-1], [(index / 2, name) for index, name in enumerate(NETWORKS)])]
    lines, points, rows = [], [], []
    for number in range(NUM_TRIALS):
        places = [(number * (7 + index) % NUM_TRIALS) / NUM_TRIALS for index in range(len(fields) + 1)]
        kind = "best" if number == 5 else "pruned" if number % 4 == 3 else "finished"
        accuracy = 0.5 + number / 100
        lines.append(TrialLine(places, kind, f"trial {number}"))  # type: ignore[arg-type]  # a kind
        points.append(SweepPoint(float(number), accuracy, 10**6 * (1 + number % 5), kind != "pruned"))
        values = [(place, f"{place:.3f}") for place in places[:-2]]
        row = SweepRow(
            number, kind, (accuracy, "80 %"), [*values, (NETWORKS[1], NETWORKS[1])], *[(1.0, "1,000,000")] * 3, ""
        )
        rows.append(row)
    return SweepContent(
        title="a_name_that_is_long_and_cannot_be_broken_" * 3,
        lead="sprint on digits",
        measure="accuracy",
        headlines=[Headline("best accuracy", "87.83 %", "of trial 5, on validation images")],
        best=[(fields[-1], NETWORKS[1])],
        command="thumbnet train --recipe runs/sweep-sprint-1/best.toml",
        axes=[*axes, Axis("accuracy", [(0.0, "50 %"), (1.0, "73 %")])],
        lines=lines,
        importance=[(fields[-1], 0.75), ("lr", 0.25)],
        points=points,
        fields=[(field, "text" if field == fields[-1] else "number") for field in fields],
        rows=rows,
        notes=["1 proposal beyond the limits."],
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Chrome:
    path = tmp_path_factory.mktemp("page") / "sweep.html"
    path.write_text(render_sweep(content()), encoding="utf-8")
    open_file(browser, path)
    assert requested_urls(browser) == [path.as_uri()]
    return browser


CROSSED = """
const best = document.querySelector('.trial-best'), texts = [...document.querySelectorAll('.mark-text')];
const points = Array.from({length: Math.ceil(best.getTotalLength())}, (_, at) => best.getPointAtLength(at));
return texts.filter(text => !text.previousElementSibling.matches('.plate') && points.some(point => {
  const box = text.getBBox();
  return box.x <= point.x && point.x <= box.x + box.width && box.y + 3 <= point.y && point.y <= box.y + box.height - 3;
})).map(text => text.firstChild.textContent);
"""  # texts without a plate that the best trial's line runs through
LEVEL, STEEP = [0.0] * 5 + [0.5, 1.0], [1.0, 0.0] * 3 + [1.0]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("places", [LEVEL, STEEP], ids=["level", "steep"])
def test_the_best_trials_line_runs_through_no_text(
    browser: Chrome, places: list[float], size: tuple[int, int], tmp_path: Path
) -> None:
    shown = content()
    lines = [replace(line, places=places) if line.kind == "best" else line for line in shown.lines]
    (tmp_path / "sweep.html").write_text(render_sweep(replace(shown, lines=lines)), encoding="utf-8")
    open_file(browser, tmp_path / "sweep.html")
    emulate(browser, size=size)
    save_screenshot(browser, f"sweep-{size[0]}-{'level' if places is LEVEL else 'steep'}", tmp_path)
    assert browser.execute_script(CROSSED) == []


@pytest.mark.parametrize("width", [390, 320])
def test_numbers_beside_an_axis_keep_off_the_edge_on_a_phone(browser: Chrome, width: int, tmp_path: Path) -> None:
    shown = content()
    points = [replace(point, accuracy=0.995 + number / 5000) for number, point in enumerate(shown.points)]
    (tmp_path / "sweep.html").write_text(render_sweep(replace(shown, points=points)), encoding="utf-8")
    open_file(browser, tmp_path / "sweep.html")
    emulate(browser, size=(width, PHONE[1]))
    save_screenshot(browser, f"sweep-numbers-{width}", tmp_path)
    lefts = browser.execute_script(
        "return [...document.querySelectorAll('.chart .end')].map(text => text.getBoundingClientRect().left"
        " - text.closest('section').getBoundingClientRect().left)"
    )
    assert len(lefts) > 6
    assert min(lefts) >= 7


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_looks(page: Chrome, size: tuple[int, int], scheme: str, tmp_path: Path) -> None:
    emulate(page, size=size, scheme=scheme)
    assert overflowing(page, size[0]) == []
    assert axe_violations(page) == []
    assert console_errors(page) == []
    assert len(save_screenshot(page, f"sweep-{size[0]}-{scheme}", tmp_path)) > 10_000


def test_keyboard(page: Chrome) -> None:
    """A chart tells its values by arrow keys; a heading of the table sorts it."""
    emulate(page)
    chart = page.find_element(By.CSS_SELECTOR, ".chart")
    chart.send_keys(Keys.ARROW_RIGHT)
    assert chart.find_element(By.CSS_SELECTOR, ".tooltip").text.startswith("minutes: 0")
    headings = page.find_elements(By.CSS_SELECTOR, "#trial-table thead button")
    assert headings[2].text == "accuracy"
    for order in (range(NUM_TRIALS), reversed(range(NUM_TRIALS))):
        headings[2].send_keys(Keys.ENTER)
        rows = page.find_elements(By.CSS_SELECTOR, "#trial-table tbody th")
        assert [int(row.text) for row in rows] == list(order)
    drawing = page.find_element(By.CSS_SELECTOR, "#together svg")
    assert drawing.get_attribute("role") == "img"
    assert "Parallel coordinates of 24 trials" in str(drawing.get_attribute("aria-label"))
