"""A headless Chromium for the tests of the pages that thumbnet writes: open, emulate, audit, take pictures.

Chromium, its driver and axe-core come with `make setup-browser`. A page is opened as a file, in a new and empty profile
that nothing in the background may use the network for, so whatever is requested is the page's own doing.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

AXE = Path(__file__).parent.parent / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses its sandbox to root, which a container's user is
    "--disable-dev-shm-usage",  # a container's /dev/shm is small
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = (1280, 900)
PHONE = (390, 844)  # CSS pixels of a common phone
SCRIPT_TIMEOUT_S = 120.0  # a machine that trains besides is slow
TALLEST_PX = 16_000  # Chromium paints no taller picture
PRINTED = {"landscape": False, "printBackground": False, "paperWidth": 8.27, "paperHeight": 11.69}  # A4, in inches


@contextmanager
def open_browser(profile: Path, *flags: str) -> Iterator[Chrome]:
    """Chromium with its console and its network requests logged, closed at the end; `profile` is an empty folder and
    `flags` are options of Chromium besides FLAGS."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None or not AXE.is_file():
        raise RuntimeError("Chromium, its driver or axe-core is missing: run `make setup-browser`")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(SCRIPT_TIMEOUT_S)
    try:
        yield browser
    finally:
        browser.quit()


def open_file(browser: Chrome, path: Path) -> None:
    """Open a page at desktop width, light, on screen, with the logs of what was open before thrown away."""
    browser.get("about:blank")
    emulate(browser)
    console_errors(browser)
    requested_urls(browser)
    browser.get(path.as_uri())


def emulate(browser: Chrome, *, size: tuple[int, int] = DESKTOP, scheme: str = "light", media: str = "") -> None:
    """Show the page at this width and height in CSS pixels, in a colour scheme, and, with media="print", as printed."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def console_errors(browser: Chrome) -> list[str]:
    """What the page wrote to the console as an error, uncaught exceptions included, since this was last asked."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def requested_urls(browser: Chrome) -> list[str]:
    """What was asked of the network or the disk since this was last asked; `data:` and `blob:` are neither."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("data:", "blob:", "about:"))]


def axe_violations(browser: Chrome) -> list[str]:
    """Each serious or critical violation that axe-core finds in the page as it is now: rule and first elements."""
    browser.execute_script("if (!window.axe) { (0, eval)(arguments[0]) }", AXE.read_text())
    found: dict[str, Any] = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] })"
        ".then(done, error => done({ error: String(error) }))"
    )
    assert "error" not in found, found["error"]
    assert len(found["passes"]) > 5, "axe-core looked at next to nothing"
    return [
        f"{each['id']} ({each['impact']}): {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def overflowing(browser: Chrome, width: int) -> list[str]:
    """What makes the page wider than `width` CSS pixels, the outermost elements first; empty where it is not wider."""
    return browser.execute_script(
        """
        const width = arguments[0];
        if (document.documentElement.scrollWidth <= width) return [];
        const wide = [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > width + 1);
        return ['page of ' + document.documentElement.scrollWidth + ' px',
                ...wide.slice(0, 10).map(e => e.cloneNode(false).outerHTML.slice(0, 200))];
        """,
        width,
    )


def save_screenshot(browser: Chrome, name: str, folder: Path) -> bytes:
    """The whole page as a PNG, also below the fold, saved as NAME.png; returns it too."""
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], TALLEST_PX), "scale": 1}
    options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
    return _save(browser.execute_cdp_cmd("Page.captureScreenshot", options)["data"], f"{name}.png", folder)


def save_print(browser: Chrome, name: str, folder: Path) -> int:
    """The page as printed on A4, without backgrounds as browsers do, saved as NAME.pdf: its number of pages."""
    printed = _save(browser.execute_cdp_cmd("Page.printToPDF", PRINTED)["data"], f"{name}.pdf", folder)
    return len(re.findall(rb"/Type\s*/Page\b", printed))


def _save(encoded: str, name: str, folder: Path) -> bytes:
    """Decode and save in `folder`, and in the one that THUMBNET_SCREENSHOTS names for people to look at."""
    content = base64.b64decode(encoded)
    (folder / name).write_bytes(content)
    if shown := os.environ.get("THUMBNET_SCREENSHOTS"):
        Path(shown).mkdir(parents=True, exist_ok=True)
        (Path(shown) / name).write_bytes(content)
    return content
