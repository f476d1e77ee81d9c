"""The scripts of a page, by how its model answers: files beside this one, some lines of which are others where the
answer is not always the likeliest class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

from markupsafe import Markup

from thumbnet.export.html.compact import compact_script
from thumbnet.models.card import AnswerKind

PACKAGE = "thumbnet.export.html"
ENGINE_SCRIPTS = (
    "kernels.js", "network.js", "engine.js",
    "inflate.js", "jpeg_blocks.js", "jpeg_scan.js", "jpeg.js", "picture_files.js", "resampling.js", "pictures.js",
)  # fmt: skip
SCRIPTS = (*ENGINE_SCRIPTS, "decode.js", "results.js", "camera.js", "page.js")
BY_THRESHOLD = (  # in the scripts above, and what it becomes: the answer is not always the likelier class
    (
        "probabilities[other] - probabilities[one] || one - other",
        "(other === probabilities.answer) - (one === probabilities.answer)",
    ),
    ("probabilities.indexOf(Math.max(...probabilities))", "probabilities.answer"),
)
UNSURE_WHERE = (  # the same for models that may be unsure: `model.unsure` is the confidence below which they are
    (
        "className: model.classes[first], probabilities",
        'className: probabilities[first] < model.unsure ? "unsure" : model.classes[first], probabilities',
    ),
    (
        """\
    const name = model.classes[top[0]];
    const probability = answer.probabilities[top[0]];
""",
        """\
    const probability = answer.probabilities[top[0]];
    const isUnsure = probability < model.unsure;
    const likeliest = model.classes[top[0]];
    const name = isUnsure ? "unsure" : likeliest;
    const figure = isUnsure ? `likeliest ${likeliest}, ${percent(probability)}` : percent(probability);
""",
    ),
    (
        'heading.append(element("span", { text: percent(probability) }))',
        'heading.append(element("span", { text: figure }))',
    ),
    ("${name}, ${percent(probability)}` };", "${name}, ${figure}` };"),
    (
        'const verdict = answer.truth === top[0] ? { text: "right" }',
        'const verdict = isUnsure ? { text: "unsure" } : answer.truth === top[0] ? { text: "right" }',
    ),
)
LABELLED = (  # the same where a picture may have several labels: a heading names all, and a sample is right if all are
    (
        'element("bdi", { text: model.classes[index] }),',
        """\
element("bdi", {}, element(answer.probabilities.labels.includes(index) ? "strong" : "span", {
          text: model.classes[index],
        })),""",
    ),
    ('"Show where it looked for this class"', '"Show where it looked for this label"'),
    ("const name = model.classes[top[0]];", "const name = answer.probabilities.named(answer.probabilities.labels);"),
    ('heading.append(element("span", { text: percent(probability) }));', ""),
    ("sentence: `${answer.name}: ${name}, ${percent(probability)}`", "sentence: `${answer.name}: ${name}`"),
    ("answer.truth === top[0]", "answer.truth.join() === answer.probabilities.labels.join()"),
    ("text: model.classes[answer.truth] }", "text: answer.probabilities.named(answer.truth) }"),
    ("probabilities: [...probabilities],", "probabilities: [...probabilities], labels: probabilities.labels,"),
)
OWN_SCRIPT: Mapping[AnswerKind, str] = {"threshold": "decision.js", "labels": "labels.js"}  # after the engine
CHANGES: Mapping[AnswerKind, tuple[tuple[str, str], ...]] = {
    "threshold": BY_THRESHOLD,
    "unsure": UNSURE_WHERE,
    "labels": LABELLED,
}


@cache
def page_script(kind: AnswerKind) -> Markup:
    """All scripts of a page, in one."""
    own = (OWN_SCRIPT[kind],) if kind in OWN_SCRIPT else ()
    names = (*ENGINE_SCRIPTS, *own, *SCRIPTS[len(ENGINE_SCRIPTS) :])
    code = "".join(asset(name).replace('"use strict";\n', "") for name in names)
    for usual, changed in CHANGES.get(kind, ()):
        assert code.count(usual) == 1
        code = code.replace(usual, changed)
    return Markup(compact_script('"use strict";\n' + code))  # noqa: S704  # files of ours


def asset(name: str) -> str:
    """A text file beside this one."""
    return (resources.files(PACKAGE) / name).read_text(encoding="utf-8")
