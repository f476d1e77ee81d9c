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
        """\
const beside = element("span", { text: figure });
    if (isUnsure) beside.style.whiteSpace = "normal"; // a class's name may take more than a line
    heading.append(beside)""",
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
UNKNOWN_WHERE = (  # the same for models whose answer may be "unknown", after a threshold's and instead of UNSURE_WHERE
    (
        "const logits = new Float32Array(numClasses);\n",
        """\
const logits = new Float32Array(numClasses);
      const features = Array.from({ length: depth }, (_, k) => {
        let sum = 0;
        for (let p = 0; p < positions; p++) sum += maps[p * stride + k];
        return sum / positions;
      });
""",
    ),
    ("return { logits, probabilities,", "return { features, logits, probabilities,"),
    (
        "className: model.classes[first], probabilities",
        """\
className: probabilities.isUnknown ? "unknown" : probabilities[first] < model.unsure ? "unsure" : model.classes[first],
      probabilities""",
    ),
    (
        """\
    const name = model.classes[top[0]];
    const probability = answer.probabilities[top[0]];
""",
        """\
    const probability = answer.probabilities[top[0]];
    const none = answer.probabilities.isUnknown ? "unknown" : probability < model.unsure ? "unsure" : "";
    const otherwise = model.classes[top[0]];
    const name = none || otherwise;
    const likeliest = model.decision ? "else" : "likeliest";
    const figure = none ? `${likeliest} ${otherwise}, ${percent(probability)}` : percent(probability);
""",
    ),
    (
        'heading.append(element("span", { text: percent(probability) }))',
        """\
const beside = element("span", { text: figure });
    if (none) beside.style.whiteSpace = "normal"; // a class's name may take more than a line
    heading.append(beside)""",
    ),
    ("${name}, ${percent(probability)}` };", "${name}, ${figure}` };"),
    (
        'const verdict = answer.truth === top[0] ? { text: "right" }',
        'const verdict = none ? { text: none } : answer.truth === top[0] ? { text: "right" }',
    ),
)
UNKNOWN_SCRIPT = "far.js"
OWN_SCRIPT: Mapping[AnswerKind, str] = {"threshold": "decision.js", "labels": "labels.js"}  # after the engine
CHANGES: Mapping[AnswerKind, tuple[tuple[str, str], ...]] = {
    "threshold": BY_THRESHOLD,
    "unsure": UNSURE_WHERE,
    "labels": LABELLED,
}


@cache
def page_script(kind: AnswerKind, *, may_be_unknown: bool = False) -> Markup:
    """All scripts of the page of a model that answers so, in one."""
    own = (OWN_SCRIPT[kind],) if kind in OWN_SCRIPT else ()
    if may_be_unknown:
        own = (*own, UNKNOWN_SCRIPT)
    names = (*ENGINE_SCRIPTS, *own, *SCRIPTS[len(ENGINE_SCRIPTS) :])
    code = "".join(asset(name).replace('"use strict";\n', "") for name in names)
    for usual, changed in changes_of(kind, may_be_unknown=may_be_unknown):
        assert code.count(usual) == 1
        code = code.replace(usual, changed)
    return Markup(compact_script('"use strict";\n' + code))  # noqa: S704  # files of ours


def changes_of(kind: AnswerKind, *, may_be_unknown: bool = False) -> tuple[tuple[str, str], ...]:
    """What is in the scripts, and what it becomes, in order."""
    if not may_be_unknown:
        return CHANGES.get(kind, ())
    assert kind != "labels"  # such a model is never unknown
    return (*(CHANGES[kind] if kind == "threshold" else ()), *UNKNOWN_WHERE)


def asset(name: str) -> str:
    """A text file beside this one."""
    return (resources.files(PACKAGE) / name).read_text(encoding="utf-8")
