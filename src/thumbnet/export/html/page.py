"""The page: template, style and scripts beside this file, put together with a model's weights and sample pictures.

The server gives the same page, with the same Content-Security-Policy as a header. Without PyTorch.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

import thumbnet
from thumbnet.export.html.compact import compact_style
from thumbnet.export.html.facts import facts, headlines
from thumbnet.export.html.scripts import PACKAGE, asset, page_script
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.models.card import AnswerKind, ModelCard
from thumbnet.models.export_data import ExportData
from thumbnet.specs.data import NO_LABEL
from thumbnet.terminal.text import escaped
from thumbnet.trained.shippable import Shippable
from thumbnet.views.house import house_style
from thumbnet.views.numbers import unparted

NUM_SAMPLES = 10
WHITE = 2**16 - 1  # of grey pictures of 16 bits, unless the model's data used fewer


@dataclass(frozen=True)
class Sample:
    """A picture of the test split as a data URI, with its class's index, or with its labels' where it may have several;
    `text` is their names."""

    url: str
    label: int | list[int]
    text: str


def build_page(shippable: Shippable, weights: bytes | None = None) -> str:
    """The page of a network of blocks, as HTML text that needs no other file; `weights` as `program_to_bytes` gives
    them, if they are there already."""
    card = shippable.card
    if weights is None:
        assert shippable.program is not None
        weights = program_to_bytes(shippable.program)
    engine = (resources.files(PACKAGE) / "engine.wasm").read_bytes()
    channels, height, width = card.image_shape
    samples = _samples(shippable.export_data, card)
    return _template().render(
        policy=page_policy(card.answer_kind, may_be_unknown=card.unknown is not None),
        version=thumbnet.__version__,
        name=_encodable(shippable.name),
        title=escaped(shippable.name),
        style=_style(),
        script=page_script(card.answer_kind, may_be_unknown=card.unknown is not None),
        has_labels=card.has_several_labels,
        class_names=[_encodable(name) for name in card.class_names],
        width=width,
        height=height,
        headlines=headlines(shippable),
        facts=facts(shippable),
        may_be_unsure=card.unsure is not None,
        may_be_unknown=card.unknown is not None,
        samples=samples,
        model={
            "classes": [_encodable(name) for name in card.class_names],
            "channels": channels,
            "height": height,
            "width": width,
            "white": WHITE if card.white_levels is None else card.white_levels.get("I;16", WHITE),
            "sampleLabels": [sample.label for sample in samples],
            "weightsSize": len(weights),
            "engineSize": len(engine),
            **_rules(card),
        },
        weights=_packed(_in_planes(weights)),
        engine=_packed(engine),
    )


@cache
def page_policy(kind: AnswerKind = "likeliest", *, may_be_unknown: bool = False) -> str:
    """The Content-Security-Policy of the page of a model that answers so: nothing is fetched, and only its own script
    and style count."""
    rules = {
        "default-src": "'none'",
        "script-src": f"'{_digest(page_script(kind, may_be_unknown=may_be_unknown))}' 'wasm-unsafe-eval'",
        "style-src": f"'{_digest(_style())}'",
        "img-src": "data: blob:",
        "media-src": "blob: mediastream:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _digest(text: str) -> str:
    return f"sha256-{_base64(hashlib.sha256(text.encode()).digest())}"


@cache
def _style() -> Markup:
    return Markup(compact_style(house_style() + asset("page.css")))  # noqa: S704  # files of ours


def _rules(card: ModelCard) -> dict[str, object]:
    """By what the page's scripts answer, where that is not always the likeliest class."""
    rules: dict[str, object] = {}
    if card.decision is not None:
        rules["decision"] = {"positive": card.decision.positive, "margin": card.decision.margin}
    if card.label_decision is not None:
        rules["labels"] = {"margins": card.label_decision.margins}
    if card.unsure is not None:
        rules["unsure"] = card.unsure.confidence
    if card.unknown is not None:
        unknown = card.unknown
        rules["unknown"] = {"means": unknown.means, "deviations": unknown.deviations, "limit": unknown.limit}
    return rules


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unparted"] = unparted
    return environment.from_string(re.sub("\n +", "\n", asset("page.html.jinja")))  # 290 bytes less


def _encodable(text: str) -> str:
    """`text` with halves of characters, as of a folder's name that is not UTF-8, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _samples(export_data: ExportData | None, card: ModelCard) -> list[Sample]:
    if export_data is None:
        return []
    found = export_data.samples
    names = [_encodable(name) for name in card.class_names]
    samples = []
    for image, label in zip(found.images[:NUM_SAMPLES], found.labels[:NUM_SAMPLES], strict=True):
        indices = np.flatnonzero(label).tolist() if card.has_several_labels else [int(label)]
        text = "; ".join(names[index] for index in indices) or NO_LABEL
        samples.append(Sample(_webp(image), indices if card.has_several_labels else indices[0], text))
    return samples


def _webp(image: UInt8[np.ndarray, "c h w"]) -> str:
    """A grey or colour picture without loss, as a data URI."""
    buffer = io.BytesIO()
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "WEBP", lossless=True, method=2)
    return f"data:image/webp;base64,{_base64(buffer.getvalue())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _in_planes(weights: bytes) -> bytes:
    """First every other byte from the second one, then the rest: those of one kind compress better together."""
    assert len(weights) % 2 == 0
    return weights[1::2] + weights[::2]


def _packed(content: bytes) -> Markup:
    """Deflated, in base 85: five letters for four bytes, where base 64 takes five and a third. A comma stands for `<`,
    which could end a script."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    deflated = packer.compress(content) + packer.flush()
    return Markup(base64.b85encode(deflated).decode().replace("<", ","))  # noqa: S704  # no letter of it is markup
