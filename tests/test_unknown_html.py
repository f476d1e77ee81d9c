"""Pages of a model whose answer may be "unknown": they say so where the model does; other pages know nothing of it."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from html_scripts import HTML, encoded, needs_node, run_node
from test_unsure_exports import CARDS
from thumbnet.errors import ExportError
from thumbnet.export.formats import FORMATS
from thumbnet.export.html.page import build_page, page_policy
from thumbnet.export.html.reading import program_from_bytes
from thumbnet.export.html.scripts import ENGINE_SCRIPTS, UNKNOWN_SCRIPT, asset, changes_of
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.export.request import ExportRequest
from thumbnet.models.card import AnswerKind
from thumbnet.models.program_numpy import run_program
from thumbnet.models.unknown import distances_by, unknown_answers
from unknown_networks import KINDS, unknown_of, unknown_request, with_rule

ANSWERS = """
const fs = require("node:fs"), vm = require("node:vm");
const request = JSON.parse(fs.readFileSync(0, "utf8"));
globalThis.document = { getElementById: () => ({ textContent: request.model }) };
vm.runInThisContext(request.code);
(async () => {
  const wasm = fs.readFileSync(request.wasm);
  const engine = await ThumbnetEngine.load(Buffer.from(request.weights, "base64"), { wasm });
  const found = request.images.map((image) => engine.run(Buffer.from(image, "base64")));
  console.log(JSON.stringify({
    distances: found.map(({ distance }) => distance),
    unknown: found.map(({ probabilities }) => probabilities.isUnknown),
    logits: found.map(({ logits }) => [...logits]),
    features: found.map(({ features }) => features),
  }));
})();
"""


def changed(code: str, kind: AnswerKind) -> str:
    """Scripts as the page of such a model has them."""
    for usual, other in changes_of(kind, may_be_unknown=True):
        code = code.replace(usual, other)
    return code


def model_of(page: str) -> str:
    found = re.search(r'id="model">(.*?)</script>', page)
    assert found is not None
    return found.group(1)


@needs_node
def test_a_page_finds_what_is_unknown(tmp_path: Path) -> None:
    request = unknown_request(tmp_path / "page.html")
    program, unknown = request.shippable.program, unknown_of(request)
    assert program is not None
    weights = program_to_bytes(program)
    found = run_node(
        ANSWERS,
        {
            "code": changed("".join(asset(name) for name in (*ENGINE_SCRIPTS, UNKNOWN_SCRIPT)), "likeliest"),
            "model": model_of(build_page(request.shippable)),
            "weights": encoded(weights),
            "wasm": str(HTML / "engine.wasm"),
            "images": [encoded(image.tobytes()) for image in request.test.images],
        },
    )
    expected = run_program(program_from_bytes(weights), request.test.images)
    np.testing.assert_allclose(found["features"], expected.features, atol=1e-4 * np.abs(expected.features).max())
    np.testing.assert_allclose(found["logits"], expected.logits, atol=1e-4 * np.abs(expected.logits).max())
    distances = distances_by(unknown, expected.features)
    np.testing.assert_allclose(found["distances"], distances, rtol=1e-3)
    is_clear = np.abs(distances - unknown.limit) > 1e-3 * unknown.limit
    assert is_clear.sum() >= 38
    answers = np.array(found["unknown"])
    assert answers[is_clear].tolist() == unknown_answers(unknown, distances)[is_clear].tolist()
    assert answers.sum() == pytest.approx(20, abs=2)
    assert answers[is_clear].tolist() == unknown_answers(unknown, request.test.distances)[is_clear].tolist()


@needs_node
@pytest.mark.parametrize("kind", KINDS)
def test_the_heading_is_the_answer(kind: AnswerKind) -> None:
    rules = {"unsure": "unsure: 0.6", "threshold": "decision: {}", "likeliest": "other: 0"}
    script = CARDS.replace("unsure: 0.6", rules[kind]).replace(
        "const answer = (probabilities) => (",
        "const answer = ([isUnknown, ...given]) => (((probabilities) => (",
    )
    script = script.replace("truth: 0 });", "truth: 0 }))(Object.assign(given, { isUnknown, answer: 0 })));")
    script = script.replace("[[0.55, 0.45], [0.6, 0.4]]", "[[true, 0.9, 0.1], [false, 0.55, 0.45], [true, 0.55, 0.45]]")
    found = run_node(script, {"code": changed(asset("results.js"), kind)})
    otherwise = "else" if kind == "threshold" else "likeliest"
    names = ["unknown", "unsure" if kind == "unsure" else "cat", "unknown"]
    assert [each["name"] for each in found] == names
    assert found[0]["sentence"] == f"a.png: unknown, {otherwise} cat, 90.0\u00a0%"
    assert found[1]["sentence"] == f"a.png: {'unsure, likeliest cat' if kind == 'unsure' else 'cat'}, 55.0\u00a0%"


@pytest.mark.parametrize("kind", KINDS)
def test_only_pages_of_such_models_have_the_script(kind: AnswerKind, tmp_path: Path) -> None:
    request = unknown_request(tmp_path / "page.html", kind)
    unknown, usual = unknown_of(request), build_page(with_rule(request, None).shippable)
    page = build_page(request.shippable)
    rule = json.loads(model_of(page))["unknown"]
    assert rule == {"means": [*map(list, unknown.means)], "deviations": [*unknown.deviations], "limit": unknown.limit}
    assert "unknown" not in json.loads(model_of(usual))
    assert not any(word in usual for word in ("isUnknown", "features", "\u201cunknown\u201d", "'unknown'"))
    assert page.count("isUnknown") == 3
    assert ("probabilities.answer" in page) == (kind == "threshold")
    for text, may_be_unknown in ((usual, False), (page, True)):
        policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)
        assert policy is not None
        assert html.unescape(policy.group(1)) == page_policy(kind, may_be_unknown=may_be_unknown)
    assert page_policy(kind) != page_policy(kind, may_be_unknown=True)
    assert "It always answers one of its classes" not in page
    assert "those of another kind, such as drawings or noise, and calls them \u201cunknown\u201d" in page
    assert f"&#39;unknown&#39; where a picture is further than {unknown.limit:.4g}" in page


def test_the_export_checks_the_distances(tmp_path: Path) -> None:
    request = unknown_request(tmp_path / "page.html")
    assert FORMATS["html"].says_unknown
    held_out = request.held_out
    assert held_out is not None
    assert held_out.distances is not None
    wrong = replace(request, held_out=replace(held_out, distances=1.03 * held_out.distances))
    with pytest.raises(ExportError, match=r"differ by up to (2\.9|3\.0)% from the model's on 40 held"):
        FORMATS["html"].write(wrong)
    assert not request.out.exists()
    result = FORMATS["html"].write(request)
    assert result.checks[-1].original_unknown == 0.5
    assert result.checks[-1].unknown == pytest.approx(0.5, abs=0.05)
    assert '"unknown"' in request.out.read_text()


@pytest.mark.browser
@pytest.mark.parametrize("kind", KINDS)
def test_in_a_browser_the_answer_is_the_heading(kind: AnswerKind, tmp_path: Path) -> None:
    from browser import console_errors, open_browser, open_file
    from test_html_page import wait_for_answers

    request: ExportRequest = unknown_request(tmp_path / "page.html", kind)
    program, export_data = request.shippable.program, request.shippable.export_data
    assert program is not None
    assert export_data is not None
    request.out.write_text(build_page(request.shippable))
    found = run_program(program, export_data.samples.images[:10])
    expected = unknown_answers(unknown_of(request), distances_by(unknown_of(request), found.features))
    assert 0 < expected.sum() < 10
    (tmp_path / "profile").mkdir()
    with open_browser(tmp_path / "profile") as browser:
        open_file(browser, request.out)
        assert browser.execute_async_script("thumbnetReady.then(arguments[0])")
        headings = []
        for index in range(10):
            browser.execute_script(f"document.querySelector(\"[data-sample='{index}']\").click()")
            wait_for_answers(browser)
            heading = "document.querySelector('h3 bdi[data-class]').textContent"
            headings.append(browser.execute_script(f"return [thumbnetLast.className, {heading}]"))
        assert not console_errors(browser)
    assert [first == "unknown" for first, _ in headings] == expected.tolist()
    assert all(first == heading for first, heading in headings)
