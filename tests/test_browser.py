"""The report in headless Chromium, run by `make test-browser` and .ci/run: works, requests nothing, shuts nobody out.

The report is one of a real, short CIFAR-10 run, so THUMBNET_DATA must name a folder with CIFAR-10. THUMBNET_SCREENSHOTS
may name a folder to which the pictures go.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from selenium.webdriver import ActionChains, Chrome, Keys
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
    save_print,
    save_screenshot,
)
from report_page import (
    cell_button,
    cell_of,
    cells_of,
    choose_class,
    chosen_classes,
    column_values,
    count_told,
    figures_shown,
    find,
    find_all,
    is_in_view,
    numbers_in,
    set_confidence,
    wait_until,
)
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.registry import create_model
from thumbnet.recipes import load_recipe
from thumbnet.runs.reports.run import build_report
from thumbnet.training.history import EpochRecord, History

pytestmark = pytest.mark.browser

SECTIONS = ("overview", "curves", "confusion", "classes", "gallery", "calibration", "architecture", "reproduce")
LOOKS = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
LONG_NAME = "a_name_that_is_long_and_cannot_be_broken_"
MEASURED = {
    "model": "sprint",
    "data": "tiny",
    "test_accuracy": 0.5,
    "test_loss": 1.0,
    "num_test": 100,
    "epochs": 3,
    "num_params": 200_000,
    "macs": 15_000_000,
    "train_s": 1.0,
    "images_per_s": 200.0,
    "total_s": 2.0,
    "device": "cpu",
    "num_threads": 2,
    "machine": "A processor (2 cores)",
}
PAPER = (718, 1047)  # CSS pixels of A4 between margins of 1 cm
MAX_REPORT_BYTES = 5_000_000
MAX_IMAGES = 1500  # of the gallery
NUM_TIMED = 3  # times that a duration is measured: what else the machine does can only add to the least of them


@dataclass(frozen=True)
class Trained:
    """A run's report and what its predictions.csv says: (label, prediction, probability of the prediction) by image."""

    report: Path
    predictions: Sequence[tuple[int, int, float]]

    @cached_property
    def cells(self) -> Counter[tuple[int, int]]:
        """Images by label and prediction, wrong ones only."""
        return Counter((label, prediction) for label, prediction, _ in self.predictions if label != prediction)

    @cached_property
    def most_per_cell(self) -> int:
        """How many images of a cell the gallery holds at most, so that all of them fit into it."""
        return max(most for most in range(1, MAX_IMAGES) if self.num_shown(most) <= MAX_IMAGES)

    def num_shown(self, most_per_cell: int) -> int:
        return sum(min(count, most_per_cell) for count in self.cells.values())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A `sprint` of two epochs, as the command trains it, on all threads."""
    if "THUMBNET_DATA" not in os.environ:
        pytest.skip("THUMBNET_DATA names no folder with CIFAR-10")
    run = tmp_path_factory.mktemp("runs") / "run"
    options = ["--recipe", "sprint", "--epochs", "2", "--data", "cifar10", "--allow-unverified"]
    subprocess.run([sys.executable, "-m", "thumbnet", "train", *options, "--run-dir", str(run)], check=True)
    with (run / "predictions.csv").open() as file:
        rows = [(int(row["label"]), int(row["prediction"]), float(row["probability"])) for row in csv.DictReader(file)]
    return Trained(run / "report.html", rows)


@pytest.fixture
def page(browser: Chrome, trained: Trained) -> Iterator[Chrome]:
    """The report, just opened; whatever a test does with it, it must write no error and request nothing but itself."""
    open_file(browser, trained.report)
    yield browser
    assert_quiet(browser, trained.report)


def assert_quiet(browser: Chrome, opened: Path) -> None:
    assert console_errors(browser) == []
    assert requested_urls(browser) == [opened.as_uri()]


def test_the_checks_see_what_is_wrong(browser: Chrome, tmp_path: Path) -> None:
    """An error, a request, a violation and an overflow in a page made for it: otherwise their absence says nothing."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<!doctype html><meta name="viewport" content="width=device-width">'
        '<p style="color:#ccc;background:#fff">pale</p><div id="wide" style="width:500px">wide</div>'
        '<img src="missing.png"><script>throw new Error("broken")</script>'
    )
    open_file(browser, bad)
    assert any("broken" in message for message in console_errors(browser))
    assert requested_urls(browser) == [bad.as_uri(), (tmp_path / "missing.png").as_uri()]
    rules = {told.split()[0] for told in axe_violations(browser)}
    assert rules >= {"color-contrast", "image-alt", "html-has-lang", "document-title"}
    assert overflowing(browser, DESKTOP[0]) == []
    emulate(browser, size=PHONE)
    assert any('id="wide"' in told for told in overflowing(browser, PHONE[0]))


def test_every_section_is_there(page: Chrome, trained: Trained) -> None:
    assert trained.report.stat().st_size < MAX_REPORT_BYTES
    assert page.title
    assert len(find_all(page, "h1")) == 1
    for name in SECTIONS:
        section = find(page, f"section#{name}")
        assert section.is_displayed(), name
        assert len(section.text) > 20, name
        assert section.find_element(By.TAG_NAME, "h2").text, name
    assert find_all(page, "section#robustness") == []  # it was not asked for


def test_the_confusion_matrix_is_that_of_the_predictions(page: Chrome, trained: Trained) -> None:
    cells = cells_of(page, "#confusion table button")
    texts = page.execute_script(
        "return [...document.querySelectorAll('#confusion table button')].map(e => e.innerText)"
    )
    assert {cell: numbers_in(text) for cell, text in zip(cells, texts, strict=True)} == {
        cell: [count] for cell, count in trained.cells.items()
    }


def test_the_gallery_holds_the_misclassified_images(page: Chrome, trained: Trained) -> None:
    expected = {cell: min(count, trained.most_per_cell) for cell, count in trained.cells.items()}
    num_shown = sum(expected.values())
    assert count_told(page) == (num_shown, trained.cells.total())
    num_at_first = len(find_all(page, "#gallery-grid figure"))
    find(page, "#gallery-more").click()
    assert num_at_first < len(find_all(page, "#gallery-grid figure")) <= num_shown
    assert Counter(figures_shown(page)) == expected


def test_a_click_on_a_cell_filters_the_gallery(page: Chrome, trained: Trained) -> None:
    (most, count), (other, other_count) = trained.cells.most_common(2)
    assert count > trained.most_per_cell  # so that not all of the cell's images can be shown
    cell_button(page, most).click()
    wait_until(page, lambda: count_told(page) == (trained.most_per_cell, count), "the gallery did not follow the click")
    wait_until(page, lambda: is_in_view(page, "#gallery"), "the click did not move to the gallery")
    assert chosen_classes(page) == [str(index) for index in most]
    assert figures_shown(page) == [most] * trained.most_per_cell
    told = " ".join(str(cell_button(page, most).get_attribute(name)) for name in ("textContent", "aria-label", "title"))
    assert {count, trained.most_per_cell} <= set(
        numbers_in(told)
    )  # the cell says how many it has and how many are shown
    cell_button(page, other).click()
    wait_until(page, lambda: set(figures_shown(page)) == {other}, "the gallery did not follow the second click")
    assert count_told(page) == (min(other_count, trained.most_per_cell), other_count)
    assert set(cells_of(page, '#confusion button[aria-pressed="true"]')) == {other}
    assert cell_button(page, other).get_attribute("aria-pressed") == "true"


def test_a_cell_works_by_keyboard(page: Chrome, trained: Trained) -> None:
    """The matrix is reached with Tab, and Enter presses the cell that it reaches."""
    page.execute_script(
        "document.querySelector('#confusion').tabIndex = -1; document.querySelector('#confusion').focus()"
    )
    for _ in range(20):
        ActionChains(page).send_keys(Keys.TAB).perform()
        focused = page.switch_to.active_element
        if focused.get_attribute("data-prediction"):
            break
    cell = cell_of(focused)
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait_until(page, lambda: set(figures_shown(page)) == {cell}, "the gallery did not follow the key")
    assert cell_button(page, cell).get_attribute("aria-pressed") == "true"
    assert count_told(page) == (min(trained.cells[cell], trained.most_per_cell), trained.cells[cell])


def test_the_skip_link_leads_past_the_navigation(page: Chrome) -> None:
    ActionChains(page).send_keys(Keys.TAB).perform()
    link = page.switch_to.active_element
    target = link.get_attribute("hash")
    assert target
    assert link.is_displayed()
    box = link.rect
    assert box["x"] >= 0
    assert box["y"] >= 0
    ActionChains(page).send_keys(Keys.ENTER).perform()
    assert page.execute_script("return location.hash") == target
    ActionChains(page).send_keys(Keys.TAB).perform()
    is_inside = "return document.querySelector(arguments[0]).contains(document.activeElement)"
    assert page.execute_script(is_inside, target)


def test_the_classes_can_be_filtered_alone_and_cleared(page: Chrome, trained: Trained) -> None:
    everything = count_told(page)
    choose_class(page, "truth", 3)
    wait_until(page, lambda: {truth for truth, _ in figures_shown(page)} == {3}, "the truth did not filter")
    cat = {cell: count for cell, count in trained.cells.items() if cell[0] == 3}
    assert count_told(page) == (sum(min(count, trained.most_per_cell) for count in cat.values()), sum(cat.values()))
    choose_class(page, "truth", None)
    choose_class(page, "prediction", 5)
    wait_until(page, lambda: {guess for _, guess in figures_shown(page)} == {5}, "the prediction did not filter")
    set_confidence(page, 50)
    find(page, "#filter-clear").click()
    wait_until(page, lambda: count_told(page) == everything, "not everything was back")
    assert chosen_classes(page) == ["", ""]
    assert find(page, "#filter-confidence").get_attribute("value") == "0"
    assert len(figures_shown(page)) == everything[0]


def test_enter_in_the_filters_does_not_leave_the_page(page: Chrome) -> None:
    """Browsers send a form off at Enter; a page that was left would ask for itself again."""
    for selector in ("#filter-truth", "#filter-confidence", "#show-saliency"):
        element = find(page, selector)
        page.execute_script("arguments[0].focus()", element)
        ActionChains(page).send_keys(Keys.ENTER, Keys.ESCAPE).perform()
        assert page.switch_to.active_element == element


def test_the_confidence_filters(page: Chrome, trained: Trained) -> None:
    """On a cell whose images are all in the gallery, so that predictions.csv says how many are left."""
    cell = max(
        (each for each, count in trained.cells.items() if count <= trained.most_per_cell), key=trained.cells.__getitem__
    )
    shares = sorted(share for label, prediction, share in trained.predictions if (label, prediction) == cell)
    per_cent = round(100 * shares[len(shares) // 2])
    expected = sum(100 * share >= per_cent for share in shares)
    assert 0 < expected < len(shares)
    cell_button(page, cell).click()
    wait_until(page, lambda: count_told(page)[0] == len(shares), "the gallery did not follow the click")
    set_confidence(page, per_cent)
    wait_until(page, lambda: count_told(page)[0] == expected, f"not {expected} of {shares} are left at {per_cent} %")
    assert figures_shown(page) == [cell] * expected
    set_confidence(page, 100)
    wait_until(page, lambda: count_told(page)[0] == sum(share >= 1 for share in shares), "100 % leaves too many")


def test_the_saliency_changes_the_worst_images(page: Chrome) -> None:
    pixels = "const canvas = document.querySelector('#gallery-grid figure canvas'); return canvas.toDataURL()"
    pictures = [page.execute_script(pixels)]
    for _ in range(2):
        find(page, "#show-saliency").click()
        pictures.append(page.execute_script(pixels))
    assert len(pictures[0]) > 1000
    assert pictures[0] != pictures[1]
    assert pictures[0] == pictures[2]


def test_every_column_of_the_class_table_sorts(page: Chrome) -> None:
    assert_sorts(page)


def assert_sorts(browser: Chrome) -> None:
    """Each heading of the class table orders the rows by its column, one way and then the other, and says which."""
    headings = find_all(browser, "#class-table thead th")
    assert len(headings) >= 4
    for column, heading in enumerate(headings):
        seen = {}
        for _ in range(2):
            heading.find_element(By.TAG_NAME, "button").click()
            state = [each.get_attribute("aria-sort") for each in headings]
            assert [index for index, each in enumerate(state) if each in ("ascending", "descending")] == [column]
            seen[state[column]] = column_values(browser, column)
        assert set(seen) == {"ascending", "descending"}
        assert seen["ascending"] == sorted(seen["ascending"])
        assert seen["descending"] == sorted(seen["descending"], reverse=True)


def test_the_curves_tell_values(page: Chrome) -> None:
    chart = find(page, "#curves svg")
    page.execute_script("arguments[0].scrollIntoView({ block: 'center' })", chart)
    told = []
    for across in (-0.3, 0.3):
        ActionChains(page).move_to_element_with_offset(chart, round(across * chart.rect["width"]), 0).perform()
        tooltip = find(page, "#curves .tooltip")
        wait_until(page, tooltip.is_displayed, "no values where the pointer is")
        told.append(tooltip.text)
        assert numbers_in(tooltip.text)
    assert told[0] != told[1]


def test_the_curves_tell_values_by_keyboard(page: Chrome) -> None:
    page.execute_script("document.querySelector('#curves').tabIndex = -1; document.querySelector('#curves').focus()")
    ActionChains(page).send_keys(Keys.TAB, Keys.ARROW_RIGHT).perform()
    first = find(page, "#curves .tooltip").text
    ActionChains(page).send_keys(Keys.ARROW_RIGHT).perform()
    second = find(page, "#curves .tooltip").text
    assert numbers_in(first)
    assert numbers_in(second)
    assert first != second


@WIDTHS
@LOOKS
def test_no_serious_violation_at_any_width_in_any_scheme(
    page: Chrome, trained: Trained, scheme: str, size: tuple[int, int], tmp_path: Path
) -> None:
    emulate(page, size=size, scheme=scheme)
    cell_button(page, trained.cells.most_common(1)[0][0]).click()  # a pressed cell and a filter are part of the page
    name = f"report-{'phone' if size == PHONE else 'desktop'}-{scheme}"
    assert len(save_screenshot(page, name, tmp_path)) > 50_000
    assert overflowing(page, size[0]) == []
    assert axe_violations(page) == []


def test_it_can_be_printed(page: Chrome, tmp_path: Path) -> None:
    """Everything is on paper, and dark on light even where the screen is dark."""
    emulate(page, size=PAPER, scheme="dark", media="print")
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    cut = page.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth"
        " && !e.closest('svg') && e.checkVisibility()).map(e => e.outerHTML.slice(0, 100))"
    )
    assert cut == []
    assert [each.text for each in find_all(page, "#architecture details") if each.get_attribute("open") is None] == []
    for name in SECTIONS:
        assert find(page, f"section#{name}").rect["height"] > 40, name
    assert luminance(page, "color") < 0.2
    assert 2 <= save_print(page, "report", tmp_path) <= 30


def luminance(browser: Chrome, colour: str) -> float:
    """From 0 (black) to 1 (white), roughly, of the page's text."""
    red, green, blue = numbers_in(browser.execute_script(f"return getComputedStyle(document.body).{colour}"))[:3]
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def write_report_of_noise(path: Path, *, num_classes: int, num_images: int) -> None:
    """A report of random predictions, about three in five of them right, on images of noise, which compress worst."""
    generator = torch.Generator().manual_seed(0)

    def noise(number: int) -> Split:
        images = torch.randint(256, (number, 3, 32, 32), generator=generator, dtype=torch.uint8)
        labels = (num_classes * torch.rand(number, generator=generator).square()).long()  # some classes are far larger
        return Split(images, labels)

    dataset = Dataset(
        train=noise(2 * num_classes),
        val=noise(num_classes),
        test=noise(num_images),
        class_names=tuple(f"{LONG_NAME if n % 10 == 7 else 'class '}{n}" for n in range(num_classes)),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        flip_keeps_labels=True,
        source=Source("noise", "noise made for tests"),
        val_fraction=0.1,
    )
    logits = torch.randn(num_images, num_classes, generator=generator)
    logits[torch.arange(num_images), dataset.test.labels] += 3
    evaluation = summarise_predictions(Predictions(logits, dataset.test.labels), split="test")
    assert 0.5 < evaluation.accuracy < 0.7
    config = load_recipe("sprint")
    text = build_report(
        config=config,
        dataset=dataset,
        model=create_model(config.model, num_classes=num_classes, seed=0),
        history=History((EpochRecord(1, 0.1, 4.0, 0.1, 3.9, 0.11, None, None, 1.0, 200.0),)),
        evaluation=evaluation,
        metrics=MEASURED,
        title="noise",
    )
    path.write_text(text, encoding="utf-8")


def test_a_hundred_classes_open_and_filter_at_once(browser: Chrome, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    write_report_of_noise(report, num_classes=100, num_images=20_000)
    assert report.stat().st_size < MAX_REPORT_BYTES
    opened_ms = []
    for _ in range(NUM_TIMED):
        open_file(browser, report)
        opened_ms.append(
            browser.execute_async_script(
                "const done = arguments[0], look = () => document.querySelector('#gallery-grid figure')"
                "? done(performance.now()) : requestAnimationFrame(look); look()"
            )
        )
    assert find(browser, "canvas#confusion-map").is_displayed()
    assert find_all(browser, "#confusion table button") == []
    told_shown = {  # by pair, in the order of the list: its text ends with how many the gallery has of it
        cell_of(item.find_element(By.TAG_NAME, "button")): int(numbers_in(item.text)[-1])
        for item in find_all(browser, "#confusion li")
    }
    assert len(told_shown) >= 10
    filtered_ms = []
    for cell in [cell for cell, shown in told_shown.items() if shown > 0][:NUM_TIMED]:
        filtered_ms.append(
            browser.execute_async_script(  # until what the click changed has been painted
                "const [cell, done] = arguments, began = performance.now();"
                "document.querySelector(`#confusion [data-truth='${cell[0]}'][data-prediction='${cell[1]}']`).click();"
                "requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)))",
                cell,
            )
        )
        assert figures_shown(browser) == [cell] * told_shown[cell]
        assert count_told(browser)[0] == told_shown[cell]
    assert_sorts(browser)
    assert min(opened_ms) < 1000, opened_ms
    assert min(filtered_ms) < 1000, filtered_ms
    for size in (DESKTOP, PHONE):
        emulate(browser, size=size)
        save_screenshot(browser, f"hundred-classes-{'phone' if size == PHONE else 'desktop'}", tmp_path)
        assert overflowing(browser, size[0]) == []
        assert axe_violations(browser) == []
    assert_quiet(browser, report)
