"""A server of a model that pictures may be unknown to."""

from __future__ import annotations

import html
import io
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from test_serve import RAW, Client
from thumbnet.export.html.page import build_page
from thumbnet.export.request import ExportRequest, softmax
from thumbnet.export.server.app import build_app
from thumbnet.export.server.limits import Limits
from thumbnet.models.decision import Decision, threshold_of
from thumbnet.models.unsure import Unsure
from thumbnet.trained.shippable import Shippable
from unknown_requests import NUM_UNKNOWN, expected_unknown, rule_of, unknown_request, with_rule


@pytest.fixture
def distant(tmp_path: Path) -> ExportRequest:
    return unknown_request(tmp_path / "out" / "model")


def with_card(shippable: Shippable, **rule: Any) -> Shippable:
    return replace(shippable, card=replace(shippable.card, **rule))


def answers_of(client: Client, images: np.ndarray) -> list[str]:
    """The server's answers, each picture of which has the right form."""
    files = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(stream, "PNG")
        files.append(("picture", ("picture.png", stream.getvalue())))
    response = client.post("/predict", files=files).json()
    check_form(client, response, "Predictions")
    return [each["answer"] for each in response["predictions"]]


def check_form(client: Client, values: object, name: str) -> None:
    """jsonschema's ValidationError unless values are as the server describes them."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": client.get("/openapi.json").json()["components"]}
    jsonschema.validate(values, schema, jsonschema.Draft202012Validator)


def test_a_server_says_so(distant: ExportRequest) -> None:
    client = Client(build_app(distant.shippable, limits=Limits()))
    is_unknown, likeliest = expected_unknown(distant), distant.test.logits.argmax(axis=1)
    assert is_unknown.sum() == NUM_UNKNOWN
    expected = ["unknown" if far else f"class {index}" for far, index in zip(is_unknown, likeliest, strict=True)]
    assert answers_of(client, distant.test.images[:30]) == expected[:30]


def test_unknown_stands_before_unsure_and_a_threshold(distant: ExportRequest, tmp_path: Path) -> None:
    highest = softmax(distant.test.logits).max(axis=1)
    rule = Unsure(float(np.median(highest)) + 1e-3, 0.4, num_images=300, num_unsure=150, error=0.5)
    client = Client(build_app(with_card(distant.shippable, unsure=rule), limits=Limits()))
    is_unknown, is_unsure = expected_unknown(distant), highest < rule.confidence
    found = answers_of(client, distant.test.images[:30])
    for answer, far, doubtful in zip(found, is_unknown, is_unsure, strict=False):
        assert answer == "unknown" if far else (answer == "unsure") == doubtful
    assert {"unknown", "unsure"} < set(found)

    two = unknown_request(tmp_path / "two", 2)
    decision = Decision(1, threshold_of(1.5), 1.5, rule="recall 0.35", num_images=40)
    client = Client(build_app(with_card(two.shippable, decision=decision), limits=Limits()))
    margins = two.test.logits[:, 1] - two.test.logits[:, 0]
    chosen = zip(expected_unknown(two), margins >= 1.5, strict=True)
    expected = ["unknown" if far else f"class {int(positive)}" for far, positive in chosen]
    assert answers_of(client, two.test.images[:30]) == expected[:30]
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Prediction"]["properties"]["answer"]["enum"] == ["class 0", "class 1", "unknown"]


def test_what_the_model_is(distant: ExportRequest) -> None:
    client = Client(build_app(distant.shippable, limits=Limits()))
    model = client.get("/model").json()
    counts = {name: value for name, value in asdict(rule_of(distant)).items() if name not in ("means", "deviations")}
    assert model["unknown"] == counts
    check_form(client, model, "Model")
    plain = Client(build_app(with_rule(distant, None).shippable, limits=Limits()))
    for path in ("/model", "/openapi.json"):
        assert "unknown" not in plain.get(path).text
    stream = io.BytesIO()
    Image.fromarray(distant.test.images[0].transpose(1, 2, 0)).save(stream, "PNG")
    (said,) = plain.post("/predict", content=stream.getvalue(), headers=RAW).json()["predictions"]
    assert "answer" not in said


def test_the_page_of_a_server_says_so(distant: ExportRequest) -> None:
    page = Client(build_app(distant.shippable, limits=Limits())).get("/")
    assert page.text == build_page(distant.shippable)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page.text)
    assert policy is not None
    assert html.unescape(policy.group(1)) in page.headers["content-security-policy"]
    usual = build_page(with_rule(distant, None).shippable)
    assert f'"limit":{rule_of(distant).limit}' in page.text.replace(" ", "")
    assert '"limit":' not in usual.replace(" ", "")
