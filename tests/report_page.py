"""What a reader sees of a report that is open in the browser, and does to it."""

from __future__ import annotations

import re
from collections.abc import Callable

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from browser import DESKTOP


def find(browser: Chrome, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def find_all(browser: Chrome, selector: str) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, selector)


def wait_until(browser: Chrome, condition: Callable[[], object], told: str) -> None:
    WebDriverWait(browser, 5, poll_frequency=0.05).until(lambda _: condition(), told)


def numbers_in(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)]


def figures_shown(browser: Chrome) -> list[tuple[int, int]]:
    """(truth, prediction) of each figure of the gallery, after all that pass the filter were asked for."""
    browser.execute_script(
        "const more = document.getElementById('gallery-more');"
        "for (let i = 0; i < 1500 && more.checkVisibility(); ++i) more.click()"
    )
    return cells_of(browser, "#gallery-grid figure")


def cells_of(browser: Chrome, selector: str) -> list[tuple[int, int]]:
    """(truth, prediction) of each such element."""
    values = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => [e.dataset.truth, e.dataset.prediction])",
        selector,
    )
    return [(int(truth), int(prediction)) for truth, prediction in values]


def count_told(browser: Chrome) -> tuple[int, int]:
    """How many images the gallery says that it shows, and of how many."""
    shown, total = numbers_in(find(browser, "#gallery-count").text)
    return int(shown), int(total)


def chosen_classes(browser: Chrome) -> list[str | None]:
    return [find(browser, f"#filter-{name}").get_attribute("value") for name in ("truth", "prediction")]


def choose_class(browser: Chrome, name: str, index: int | None) -> None:
    """By keyboard, since the driver's own way of choosing tells the page less than a reader's does."""
    find(browser, f"#filter-{name}").send_keys(Keys.HOME + Keys.ARROW_DOWN * (0 if index is None else index + 1))
    assert find(browser, f"#filter-{name}").get_attribute("value") == ("" if index is None else str(index))


def cell_of(element: WebElement) -> tuple[int, int]:
    return int(element.get_attribute("data-truth") or ""), int(element.get_attribute("data-prediction") or "")


def cell_button(browser: Chrome, cell: tuple[int, int]) -> WebElement:
    return find(browser, f'#confusion table button[data-truth="{cell[0]}"][data-prediction="{cell[1]}"]')


def is_in_view(browser: Chrome, selector: str) -> bool:
    top = browser.execute_script(f"return document.querySelector('{selector}').getBoundingClientRect().top")
    return -1 <= top < DESKTOP[1]


def set_confidence(browser: Chrome, per_cent: int) -> None:
    browser.execute_script(
        "const e = document.getElementById('filter-confidence'); e.value = arguments[0];"
        "for (const name of ['input', 'change']) e.dispatchEvent(new Event(name, { bubbles: true }))",
        per_cent,
    )
    assert find(browser, "#filter-confidence").get_attribute("value") == str(per_cent)


def column_values(browser: Chrome, column: int) -> list[float] | list[str]:
    """The cells of a column from top to bottom, as numbers where they are."""
    texts: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#class-table tbody tr')].map(r => r.cells[arguments[0]].innerText)",
        column,
    )
    return texts if column == 0 else [numbers_in(text)[0] for text in texts]
