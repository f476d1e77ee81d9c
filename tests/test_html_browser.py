"""The pages' scripts in headless Chromium, from a file: pictures of every kind are predicted as `predict` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from browser import console_errors, open_browser, open_file, requested_urls
from html_pictures import save_pictures
from html_scripts import HTML, encoded
from thumbnet.data.images import read_image_array
from thumbnet.evaluation.saliency import saliency_maps
from thumbnet.export.html.scripts import ENGINE_SCRIPTS
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.export.request import softmax
from thumbnet.models.program_numpy import run_program
from thumbnet.trained.model import load_pretrained
from thumbnet.trained.shippable import load_pretrained_shippable

pytestmark = pytest.mark.browser

NAME = "thumb-50k"
PREDICT_ALL = """
const done = arguments[0], decoded = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
(async () => {
  const engine = await ThumbnetEngine.load(decoded(weights), { wasm: decoded(wasm) });
  const [channels, height, width] = engine.shape, results = [];
  for (const file of document.querySelector("input").files) {
    let read;
    try {
      read = await ThumbnetPictures.read(file, { channels, height, width });
    } catch (error) {
      results.push({ name: file.name, error: String(error) });
      continue;
    }
    const { probabilities, map } = engine.run(read.pixels);
    const best = probabilities.indexOf(Math.max(...probabilities));
    results.push({ name: file.name, size: [read.width, read.height], pixels: Array.from(read.pixels),
                   probabilities: Array.from(probabilities), map: Array.from(map(best)) });
  }
  return { kind: engine.kind, results };
})().then(done, error => done({ error: String(error) }));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_pictures(tmp_path_factory.mktemp("pictures"))


def predict_in(
    browser: Chrome, page: Path, pictures: list[Path], *, policy: str, before: str = "", may_complain: bool = False
) -> dict[str, Any]:
    """What the scripts make of the pictures, in a page that runs `before` first. It may request nothing and,
    unless it `may_complain`, write no error to the console."""
    shippable = load_pretrained_shippable(NAME)
    assert shippable.program is not None
    scripts = [before, *((HTML / name).read_text() for name in ENGINE_SCRIPTS)]
    scripts.append(f'const weights = "{encoded(program_to_bytes(shippable.program))}";')
    scripts.append(f'const wasm = "{encoded((HTML / "engine.wasm").read_bytes())}";')
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<link rel="icon" href="data:,"><title>test</title><input type="file" multiple>'
        + "".join(f"<script>{script}</script>" for script in scripts)
    )
    open_file(browser, page)
    if pictures:
        browser.find_element(By.TAG_NAME, "input").send_keys("\n".join(str(path) for path in pictures))
    found: dict[str, Any] = browser.execute_async_script(PREDICT_ALL)
    assert "error" not in found, found["error"]
    assert may_complain or not console_errors(browser)
    assert requested_urls(browser) == [page.as_uri()]
    return found


POLICY = "default-src 'none'; img-src data: blob:; script-src 'unsafe-inline'"
WITHOUT_WEB_ASSEMBLY = "delete window.WebAssembly;"


@dataclass(frozen=True)
class Expected:
    """What `predict` makes of pictures: their pixels, probabilities, and maps of the likeliest classes."""

    arrays: np.ndarray
    probabilities: np.ndarray
    maps: np.ndarray


@pytest.fixture(scope="module")
def expected(pictures: list[Path]) -> Expected:
    trained, shippable = load_pretrained(NAME), load_pretrained_shippable(NAME)
    card, program = shippable.card, shippable.program
    assert program is not None
    arrays = np.stack([read_image_array(path, image_size=card.image_shape[1:], num_channels=3) for path in pictures])
    probabilities = softmax(run_program(program, arrays).logits)
    classes = torch.from_numpy(probabilities.argmax(axis=1))
    found = saliency_maps(trained.model, torch.from_numpy(arrays), classes, mean=card.mean, std=card.std)
    return Expected(arrays, probabilities, found.maps.numpy())


@pytest.mark.parametrize(
    ("policy", "before", "kind"),
    [
        (f"{POLICY} 'wasm-unsafe-eval'", "", "wasm-simd"),
        (f"{POLICY} 'wasm-unsafe-eval'", WITHOUT_WEB_ASSEMBLY, "javascript"),
    ],
)
def test_pictures_of_every_kind_are_predicted_as_predict_does(
    browser: Chrome, pictures: list[Path], expected: Expected, tmp_path: Path, policy: str, before: str, kind: str
) -> None:
    found = predict_in(browser, tmp_path / "page.html", pictures, policy=policy, before=before)
    assert found["kind"] == kind
    for index, (path, result) in enumerate(zip(pictures, found["results"], strict=True)):
        assert result["name"] == path.name
        wanted = expected.arrays[index].astype(int)
        pixels = np.array(result["pixels"]).reshape(wanted.shape)
        assert np.array_equal(pixels, wanted), path.name
        difference = np.abs(np.array(result["probabilities"]) - expected.probabilities[index]).max()
        assert difference < 1e-4, path.name
        assert np.corrcoef(np.array(result["map"]), expected.maps[index].ravel())[0, 1] > 0.999, path.name


def test_a_policy_that_forbids_webassembly_leaves_javascript(browser: Chrome, tmp_path: Path) -> None:
    found = predict_in(browser, tmp_path / "page.html", [], policy=POLICY, may_complain=True)
    assert found == {"kind": "javascript", "results": []}


def test_what_is_no_picture_is_told(browser: Chrome, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("empty.png", "text.jpg", "cut.jpg", "cut.png", "large.png", "drawing.svg")]
    empty, text, cut_jpeg, cut_png, large, drawing = files
    empty.touch()
    text.write_text("no picture")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    for path in (cut_jpeg, cut_png):
        picture.save(path)
        path.write_bytes(path.read_bytes()[:5000])
    Image.new("1", (20_000, 5_000)).save(large)
    drawing.write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    found = predict_in(browser, tmp_path / "page.html", files, policy=POLICY, may_complain=True)
    told = [result["error"] for result in found["results"]]
    assert told[0] == "Error: The file is empty."
    assert told[4] == "Error: The picture has more than 89478485 pixels."
    damaged = "Error: This is no picture that the browser can read, or it is damaged."
    assert [told[index] for index in (1, 2, 3, 5)] == [damaged] * 4
