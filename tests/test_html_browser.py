"""The pages' scripts in headless Chromium, from a file: pictures of every kind are predicted as `predict` does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from browser import console_errors, open_browser, open_file, requested_urls
from html_pictures import save_pictures
from html_scripts import HTML, encoded
from thumbnet.data.images import read_image_array
from thumbnet.evaluation.saliency import saliency_maps
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
    const read = await ThumbnetPictures.read(file, { channels, height, width });
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


def predict_in(browser: Chrome, page: Path, pictures: list[Path], *, policy: str, before: str = "") -> dict[str, Any]:
    """What the scripts make of the pictures, in a page that runs the script `before` first."""
    shippable = load_pretrained_shippable(NAME)
    assert shippable.program is not None
    scripts = [before, *((HTML / f"{name}.js").read_text() for name in ("engine", "jpeg", "pictures"))]
    scripts.append(f'const weights = "{encoded(program_to_bytes(shippable.program))}";')
    scripts.append(f'const wasm = "{encoded((HTML / "engine.wasm").read_bytes())}";')
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<link rel="icon" href="data:,"><title>test</title><input type="file" multiple>'
        + "".join(f"<script>{script}</script>" for script in scripts)
    )
    open_file(browser, page)
    browser.find_element(By.TAG_NAME, "input").send_keys("\n".join(str(path) for path in pictures))
    found: dict[str, Any] = browser.execute_async_script(PREDICT_ALL)
    assert "error" not in found, found["error"]
    assert not console_errors(browser)
    assert requested_urls(browser) == [page.as_uri()]
    return found


POLICY = "default-src 'none'; img-src data: blob:; script-src 'unsafe-inline' 'wasm-unsafe-eval'"


def test_pictures_of_every_kind_are_predicted_as_predict_does(
    browser: Chrome, pictures: list[Path], tmp_path: Path
) -> None:
    found = predict_in(browser, tmp_path / "page.html", pictures, policy=POLICY)
    assert found["kind"] == "wasm-simd"
    trained, shippable = load_pretrained(NAME), load_pretrained_shippable(NAME)
    card, program = shippable.card, shippable.program
    assert program is not None
    arrays = np.stack([read_image_array(path, image_size=card.image_shape[1:], num_channels=3) for path in pictures])
    expected = softmax(run_program(program, arrays).logits)
    maps = saliency_maps(
        trained.model, torch.from_numpy(arrays), torch.from_numpy(expected.argmax(axis=1)), mean=card.mean, std=card.std
    ).maps.numpy()
    bad = []
    for path, array, wanted, wanted_map, result in zip(pictures, arrays, expected, maps, found["results"], strict=True):
        assert result["name"] == path.name
        difference = np.abs(np.array(result["probabilities"]) - wanted).max()
        pixels = np.abs(np.array(result["pixels"]).reshape(array.shape) - array.astype(int))
        correlation = np.corrcoef(np.array(result["map"]), wanted_map.ravel())[0, 1]
        if os.environ.get("SHOW"):
            print(
                f"{path.name:30} {difference:.5f} {correlation:.5f} {pixels.max():3d} {pixels.mean():.3f} {wanted.max():.3f}"
            )
        if difference > 0.01 or not correlation >= 0.99:
            bad.append((path.name, difference, correlation))
    assert not bad
