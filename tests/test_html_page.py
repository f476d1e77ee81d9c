"""The page of an export to HTML in headless Chromium, from disk: it predicts what `thumbnet predict` does, requests
nothing, and shuts nobody out. THUMBNET_SCREENSHOTS may name a folder to which the pictures go."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder

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
from display_p3 import DISPLAY_P3
from html_scripts import HTML
from random_exports import random_request
from report_page import find, find_all, is_in_view, wait_until
from thumbnet import load_pretrained, predict, saliency_maps
from thumbnet.data.images import read_image_array
from thumbnet.export.html.compact import compact_style
from thumbnet.export.html.page import build_page
from thumbnet.export.request import softmax
from thumbnet.models.program_numpy import run_program
from thumbnet.runs.shippable import load_shippable
from thumbnet.views.house import house_style

pytestmark = pytest.mark.browser

NAME = "thumb-50k"
LOOKS = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
WITHOUT_WEB_ASSEMBLY = "delete window.WebAssembly"
ENGINES = pytest.mark.parametrize(
    ("kind", "script"), [("wasm-simd", ""), ("javascript", WITHOUT_WEB_ASSEMBLY)], ids=["wasm", "javascript"]
)
MOST_MS = 30.0  # a picture in WebAssembly; the bar is 10 on a machine that does nothing else


@dataclass(frozen=True)
class Expected:
    """What `thumbnet predict` gives for a file, and the report's saliency of the class."""

    path: Path
    class_name: str
    probability: float
    saliency: np.ndarray


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "page.html"
    path.write_text(build_page(load_shippable(NAME)), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Chrome, page_file: Path) -> Iterator[Chrome]:
    with opened(browser, page_file):
        yield browser


@contextmanager
def opened(browser: Chrome, path: Path, script: str = "") -> Iterator[None]:
    """A page, after `script` changed the browser's objects; it must write no error and request nothing but itself."""
    command = "Page.addScriptToEvaluateOnNewDocument"
    identifier = browser.execute_cdp_cmd(command, {"source": script})["identifier"]
    try:
        open_file(browser, path)
        assert browser.execute_async_script("thumbnetReady.then(arguments[0])")
        yield
        assert console_errors(browser) == []
        assert requested_urls(browser) == [path.as_uri()]
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": identifier})


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A test picture of a ship, enlarged to 12 megapixels, with a little noise."""
    export_data = load_shippable(NAME).export_data
    assert export_data is not None
    pixels = export_data.samples.images[8].transpose(1, 2, 0)
    large = np.asarray(Image.fromarray(pixels).resize((4000, 3000), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = np.random.default_rng(0).integers(-6, 7, large.shape, np.int16)
    return Image.fromarray((large + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def expected(photo: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> list[Expected]:
    """Pictures of the kinds that go wrong elsewhere, with what they are to give."""
    folder = tmp_path_factory.mktemp("pictures")
    small = photo.resize((640, 480), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "turned 12 MP.jpg", quality=90, exif=exif)
    small.convert("L").save(folder / "grey.png")
    alpha = Image.linear_gradient("L").resize(small.size)
    Image.merge("RGBA", (*small.split(), alpha)).save(folder / "transparent.png")
    small.save(folder / "Display P3.jpg", quality=92, icc_profile=DISPLAY_P3)
    small.crop((0, 0, 150, 480)).save(folder / "tall.webp", quality=90)
    small.resize((20, 15)).save(folder / "tiny.gif")
    trained = load_pretrained(NAME)
    paths = sorted(folder.iterdir())
    predictions = predict(trained, paths)
    indices = [trained.card.class_names.index(each.class_name) for each in predictions]
    images = torch.from_numpy(np.stack([read_image_array(path, image_size=32, num_channels=3) for path in paths]))
    maps = saliency_maps(
        trained.model, images, torch.tensor(indices), mean=trained.card.mean, std=trained.card.std
    ).maps.numpy()
    return [
        Expected(path, each.class_name, each.probability, saliency)
        for path, each, saliency in zip(paths, predictions, maps, strict=True)
    ]


def choose(browser: Chrome, paths: Sequence[Path]) -> None:
    find(browser, "input[type=file]").send_keys("\n".join(map(str, paths)))


def hand_over(browser: Chrome, how: str, path: Path) -> None:
    """A file by a drop or a paste, as the browser itself would tell of it."""
    browser.execute_script(
        """
        const [how, name, content] = arguments;
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name));
        const target = document.querySelector("#about");
        const options = { bubbles: true, cancelable: true };
        if (how === "paste") document.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
        else for (const kind of ["dragenter", "dragover", "drop"])
          target.dispatchEvent(new DragEvent(kind, { ...options, dataTransfer: data }));
        """,
        how,
        path.name,
        base64.b64encode(path.read_bytes()).decode(),
    )


def wait_for_answers(browser: Chrome) -> None:
    browser.execute_async_script("setTimeout(() => thumbnetIdle().then(arguments[0]))")


def answers(browser: Chrome) -> list[tuple[str, str, float]]:
    """File, first class and its probability of each result, newest first."""
    found = browser.execute_script(  # at once: a camera's results are replaced all the time
        """
        return [...document.querySelectorAll(".result")].map((result) =>
          [result.dataset.file, result.querySelector("[data-class]").dataset.class, result.dataset.probability]);
        """
    )
    return [(name, class_name, float(probability)) for name, class_name, probability in found]


def problems(browser: Chrome) -> str:
    return find(browser, "#problems").text


def last(browser: Chrome) -> dict[str, Any]:
    found: dict[str, Any] = browser.execute_script("return thumbnetLast")
    return found


def assert_alike(found: dict[str, Any], expected: Expected) -> None:
    assert found["className"] == expected.class_name, expected.path.name
    assert max(found["probabilities"]) == pytest.approx(expected.probability, abs=0.01), expected.path.name
    correlation = np.corrcoef(np.array(found["map"]), expected.saliency.ravel())[0, 1]
    assert correlation >= 0.99, (expected.path.name, correlation)


@ENGINES
@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_each_picture_gets_the_prediction_of_the_command(
    browser: Chrome, page_file: Path, expected: list[Expected], way: str, kind: str, script: str
) -> None:
    with opened(browser, page_file, script):
        for each in expected:
            choose(browser, [each.path]) if way == "choose" else hand_over(browser, way, each.path)
            wait_for_answers(browser)
            assert problems(browser) == ""
            found = last(browser)
            assert (found["name"], found["kind"]) == (each.path.name, kind)
            assert_alike(found, each)
        shown = answers(browser)
        assert [name for name, _, _ in shown] == [each.path.name for each in reversed(expected)]
        for (_, class_name, probability), each in zip(shown, reversed(expected), strict=True):
            assert class_name == each.class_name
            assert probability == pytest.approx(each.probability, abs=0.01)


def test_the_pictures_tell_the_ways_of_reading_apart(expected: list[Expected], photo: Image.Image) -> None:
    """Otherwise equal predictions would say nothing: turned wrongly, or stretched, they are others."""
    turned = next(each for each in expected if "turned" in each.path.name)
    with Image.open(turned.path) as stored:
        assert stored.size == (3000, 4000)
    assert len({round(each.probability, 3) for each in expected}) >= 5


def test_the_browser_would_convert_the_colours_of_the_profile(page: Chrome, expected: list[Expected]) -> None:
    """Otherwise the picture with a profile would say nothing."""
    path = next(each.path for each in expected if "P3" in each.path.name)
    first, other = page.execute_async_script(
        """
        const [content, done] = arguments;
        const blob = new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))]);
        const context = document.createElement("canvas").getContext("2d");
        const draw = async (conversion) => {
          context.drawImage(await createImageBitmap(blob, { colorSpaceConversion: conversion }), 0, 0, 100, 100);
          return [...context.getImageData(0, 0, 100, 100).data];
        };
        draw("none").then((first) => draw("default").then((other) => done([first, other])));
        """,
        base64.b64encode(path.read_bytes()).decode(),
    )
    assert np.abs(np.array(first) - np.array(other)).max() >= 3


def test_many_at_once_and_one_that_is_none(page: Chrome, expected: list[Expected], tmp_path: Path) -> None:
    text = tmp_path / "letter.png"
    text.write_text("no picture")
    paths = [each.path for each in expected]
    choose(page, [paths[0], text, *paths[1:]])
    wait_for_answers(page)
    assert [name for name, _, _ in answers(page)] == [path.name for path in reversed(paths)]
    assert "letter.png" in problems(page)
    choose(page, paths[:1])
    wait_for_answers(page)
    assert problems(page) == ""
    assert len(answers(page)) == len(paths) + 1
    find(page, "#clear").click()
    assert answers(page) == []
    assert find(page, "#empty").is_displayed()


def test_what_is_dropped_or_pasted_without_a_file_is_explained(page: Chrome) -> None:
    for kind, event, field in (("drop", "DragEvent", "dataTransfer"), ("paste", "ClipboardEvent", "clipboardData")):
        page.execute_script(
            f"document.dispatchEvent(new {event}('{kind}', {{ {field}: new DataTransfer(), cancelable: true }}))"
        )
        assert len(find_all(page, "#problems p")) == 1
        assert ("dropped" if kind == "drop" else "clipboard") in problems(page)
    assert answers(page) == []


def test_each_sample_is_a_button(page: Chrome) -> None:
    export_data = load_shippable(NAME).export_data
    assert export_data is not None
    buttons = find_all(page, "#samples button")
    assert len(buttons) >= 10
    class_names = load_shippable(NAME).card.class_names
    num_right = 0
    for index, button in enumerate(buttons):
        truth = class_names[export_data.samples.labels[index]]
        assert truth in button.text
        button.click()
        wait_for_answers(page)
        assert f"labelled {truth}" in find(page, ".result .from").text
        num_right += last(page)["className"] == truth
    assert num_right >= len(buttons) - 2
    assert len(answers(page)) == len(buttons)


@ENGINES
def test_every_sample_gets_the_models_probabilities(browser: Chrome, page_file: Path, kind: str, script: str) -> None:
    shippable = load_shippable(NAME)
    trained = load_pretrained(NAME)
    assert shippable.export_data is not None
    images = torch.from_numpy(shippable.export_data.samples.images[:10])
    pixels = (images / 255 - torch.tensor(trained.card.mean).view(3, 1, 1)) / torch.tensor(trained.card.std).view(
        3, 1, 1
    )
    with torch.inference_mode():
        expected = trained.model.eval()(pixels).softmax(1).numpy()
    with opened(browser, page_file, script):
        for index, probabilities in enumerate(expected):
            find(browser, f"[data-sample='{index}']").click()
            wait_for_answers(browser)
            np.testing.assert_allclose(last(browser)["probabilities"], probabilities, atol=1e-4)
            assert last(browser)["kind"] == kind


def test_saliency_can_be_left_out_and_asked_for_another_class(page: Chrome) -> None:
    find(page, "[data-sample='3']").click()
    wait_for_answers(page)
    pixels = "return document.querySelector('.result canvas').toDataURL()"
    pictures = [page.execute_script(pixels)]
    find_all(page, ".result .bars button")[1].click()
    pictures.append(page.execute_script(pixels))
    pressed = [each.get_attribute("aria-pressed") for each in find_all(page, ".result .bars button")]
    assert pressed == ["false", "true", "false", "false", "false"]
    find(page, "#show-saliency").click()
    pictures.append(page.execute_script(pixels))
    assert len(set(pictures)) == 3
    original = Image.open(io.BytesIO(base64.b64decode(pictures[2].split(",")[1]))).convert("RGB")
    export_data = load_shippable(NAME).export_data
    assert export_data is not None
    np.testing.assert_array_equal(np.asarray(original).transpose(2, 0, 1), export_data.samples.images[3])


def test_all_of_it_works_by_keyboard(page: Chrome) -> None:
    reached = []
    for _ in range(40):
        ActionChains(page).send_keys(Keys.TAB).perform()
        focused = page.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.get_attribute("data-sample"))
        if reached[-1] == "0":
            ActionChains(page).send_keys(Keys.ENTER).perform()
        if reached[-1] == "show-saliency":
            break
    assert {"file", "0", "9", "show-saliency"} <= set(reached)
    wait_for_answers(page)
    assert len(answers(page)) == 1
    assert find(page, "#said").get_attribute("role") == "status"
    said = str(find(page, "#said").get_attribute("textContent"))
    assert said.startswith(f"test picture 1: {last(page)['className']}, ")


def test_a_result_comes_into_view_on_a_phone(page: Chrome) -> None:
    emulate(page, size=PHONE)
    find(page, "[data-sample='0']").click()
    wait_for_answers(page)
    wait_until(page, lambda: is_in_view(page, ".result"), "the result is out of sight")


@WIDTHS
@LOOKS
def test_no_serious_violation_at_any_width_in_any_scheme(
    page: Chrome, expected: list[Expected], scheme: str, size: tuple[int, int], tmp_path: Path
) -> None:
    emulate(page, size=size, scheme=scheme)
    name = f"html-{'phone' if size == PHONE else 'desktop'}-{scheme}"
    for state in ("before", "after"):
        save_screenshot(page, f"{name}-{state}", tmp_path)
        assert overflowing(page, size[0]) == []
        assert axe_violations(page) == []
        wrong = tmp_path / "wrong.png"
        wrong.write_bytes(b"")
        choose(page, [wrong, *[each.path for each in expected]])
        wait_for_answers(page)


def test_the_time_of_a_picture(page: Chrome) -> None:
    times = []
    for _ in range(20):
        find(page, "[data-sample='0']").click()
        wait_for_answers(page)
        times.append(last(page)["runMs"])
    assert np.median(times) < MOST_MS, times
    assert "network" in find(page, ".result .figures").text


def test_hostile_names_are_text(browser: Chrome, tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=document.title=1>\u202e\n\"'"
    request = random_request("one channel", tmp_path / "page.html", name=hostile)
    names = (hostile, "<b>b</b>", "{{ 1 }}", "\u05d0\u05d1")
    card = replace(request.shippable.card, class_names=names)
    path = tmp_path / "page.html"
    path.write_text(build_page(replace(request.shippable, card=card)), encoding="utf-8")
    with opened(browser, path):
        find(browser, "[data-sample='0']").click()
        wait_for_answers(browser)
        assert last(browser)["className"] in names
        found = {each.get_attribute("textContent") for each in find_all(browser, ".result .bars bdi")}
        assert found == set(names)
        assert browser.title != "1"
        emulate(browser, size=PHONE)
        assert overflowing(browser, PHONE[0]) == []
        assert axe_violations(browser) == []


@pytest.mark.parametrize("kind", ["48x40", "100 classes", "one channel"])
def test_other_shapes_of_models(browser: Chrome, kind: str, photo: Image.Image, tmp_path: Path) -> None:
    request = random_request(kind, tmp_path / "page.html")
    request.out.write_text(build_page(request.shippable), encoding="utf-8")
    picture = tmp_path / "picture.png"
    photo.resize((333, 222)).save(picture)
    channels, height, width = request.shippable.card.image_shape
    pixels = read_image_array(picture, image_size=(height, width), num_channels=channels)
    assert request.shippable.program is not None
    expected = softmax(run_program(request.shippable.program, pixels[None]).logits)[0]
    with opened(browser, request.out):
        choose(browser, [picture])
        wait_for_answers(browser)
        np.testing.assert_allclose(last(browser)["probabilities"], expected, atol=0.01)


def test_a_browser_that_hides_pixels_is_found_out(browser: Chrome, page_file: Path) -> None:
    """Some do so against tracking: whoever sees the answers must know that they are wrong."""
    script = """
        const read = CanvasRenderingContext2D.prototype.getImageData;
        CanvasRenderingContext2D.prototype.getImageData = function (...box) {
          const image = read.apply(this, box);
          image.data.fill(255);
          return image;
        };
    """
    with opened(browser, page_file, script):
        assert "against tracking" in find(browser, "#warnings").text
        find(browser, "[data-sample='0']").click()
        wait_for_answers(browser)
        assert "against tracking" in find(browser, "#warnings").text
    with opened(browser, page_file):
        assert find(browser, "#warnings").text == ""


def test_the_camera_is_refused(page: Chrome) -> None:
    """There is none here: its button is hidden, and whoever presses it all the same is told why nothing comes."""
    assert not find(page, "#camera-start").is_displayed()
    page.execute_script("document.getElementById('camera-start').click()")
    wait_until(page, lambda: "camera" in problems(page), "no word about the camera")
    assert not find(page, "#camera").is_displayed()


def hold_button_of_live_card(browser: Chrome) -> None:
    """Press its second button, by its place: it may be another one by the time that the pointer is there."""
    x, y = browser.execute_script(
        """
        const button = document.querySelector(".live li:nth-child(2) button");
        button.scrollIntoView({ block: "center" });
        const { left, top, width, height } = button.getBoundingClientRect();
        return [Math.round(left + width / 2), Math.round(top + height / 2)];
        """
    )
    actions = ActionBuilder(browser)
    actions.pointer_action.move_to_location(x, y).pointer_down()
    actions.perform()


def test_the_camera_shows_keeps_and_stops(page_file: Path, tmp_path: Path) -> None:
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with open_browser(tmp_path / "profile", *flags) as browser, opened(browser, page_file):
        start = find(browser, "#camera-start")
        wait_until(browser, start.is_displayed, "no button for the camera")
        start.click()
        wait_until(browser, lambda: len(answers(browser)) == 1, "no answer to the camera's pictures")
        assert browser.switch_to.active_element == find(browser, "#camera-stop")
        first = find(browser, ".result")
        wait_until(browser, lambda: find(browser, ".result") != first, "no answer to a second picture")
        hold_button_of_live_card(browser)
        button = find(browser, ".live li:nth-child(2) button")
        time.sleep(1)  # several frames long
        assert button.is_displayed()  # it was not replaced
        index = button.get_attribute("data-index")
        ActionChains(browser).release().perform()
        wait_until(browser, lambda: find(browser, ".live button") != button, "no new answer after a press")
        pressed, shown = browser.execute_script(
            """
            const buttons = [...document.querySelectorAll(".live button")];
            const pressed = buttons.find((button) => button.getAttribute("aria-pressed") === "true");
            return [pressed.dataset.index, buttons.map((button) => button.dataset.index)];
            """
        )
        assert pressed == index or index not in shown  # where it is no longer among the first five
        find(browser, "#camera-keep").click()
        wait_until(browser, lambda: len(answers(browser)) == 2, "the picture was not kept")
        for size in (DESKTOP, PHONE):
            emulate(browser, size=size)
            save_screenshot(browser, f"html-camera-{'phone' if size == PHONE else 'desktop'}", tmp_path)
            assert overflowing(browser, size[0]) == []
            assert axe_violations(browser) == []
        find(browser, "#camera-stop").click()
        wait_until(browser, lambda: not find(browser, "#camera").is_displayed(), "the camera does not stop")
        assert [name for name, _, _ in answers(browser)] == ["picture of the camera"]
        assert browser.switch_to.active_element == start
        assert browser.execute_script("return document.querySelector('video').srcObject") is None


def test_a_shorter_style_means_the_same(page: Chrome) -> None:
    full = house_style() + (HTML / "page.css").read_text(encoding="utf-8")
    rules = page.execute_script(
        """
        return arguments[0].map((text) => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(text);
          return [...sheet.cssRules].map((rule) => rule.cssText.replaceAll(", ", ","));
        });
        """,
        [full, compact_style(full)],
    )
    assert len(rules[0]) > 80
    assert rules[0] == rules[1]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_several_labels_of_a_test_picture_are_not_cut(page: Chrome, size: tuple[int, int]) -> None:
    emulate(page, size=size)
    cut = page.execute_script(
        "const name = document.querySelector('#samples bdi');"
        "name.textContent = 'square; striped background; triangle';"
        "return [name.scrollWidth - name.clientWidth, name.scrollHeight - name.clientHeight]"
    )
    assert max(cut) <= 1
