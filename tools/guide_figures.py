"""The figures of docs/guides/own-pictures.md: read from what its commands left, and written into pages."""

from __future__ import annotations

import csv
import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from limited_processor import command_on

from thumbnet.training.progress import duration

RARE, COMMON = "defective", "fine"
BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"
TRAININGS = ("first", "second")
WIDTH = 120  # characters of a line in a block


def read_facts(folder: Path) -> dict[str, Any]:
    """What the guide tells of its runs, from the files that they left in `folder`."""
    facts: dict[str, Any] = {}
    for name in TRAININGS:
        run = folder / "runs" / name
        metrics, plan = (_json(run / file) for file in ("metrics.json", "plan.json"))
        wanted = ("num_test", "num_val", "num_test_leaked", "commonest_share", "train_s", "total_s", "threshold")
        facts[name] = {
            "reasons": plan["reasons"],
            "num_test_leaked": 0,
            "answers": _answers(run / "predictions.csv"),
            **{key: metrics[key] for key in wanted if key in metrics},
            **{key: value for key, value in metrics.items() if key.startswith("test_") and isinstance(value, float)},
        }
    facts["second"]["validation"] = _json(folder / "runs" / "second" / "model.json")["decision"]["measured"]
    check = _json(folder / "check" / "check.json")
    wanted = ("num_images", "num_held_out", "accuracy", "suspects", "suspects_by_class", "class_sizes", "num_groups")
    facts["check"] = {key: check[key] for key in (*wanted, "num_excluded")}
    facts["check"] |= {"num_pairs": len(check["duplicates"]), "num_exact": sum(_exact(check["duplicates"]))}
    folds = _json(folder / "runs" / "folds" / "metrics.json")
    facts["folds"] = {key: folds[key] for key in ("num_folds", "num_images", "num_leaks", "figures", "total_s")}
    facts["folds"]["answers"] = _answers(folder / "runs" / "folds" / "predictions.csv")
    facts["page"] = {"num_bytes": (folder / "page" / "index.html").stat().st_size}
    return facts


def blocks_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The text of each block in Markdown; `record` is what `build_guide.py` keeps."""
    writers: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "first": _first, "check": _check, "second": _second, "folds": _folds, "page": _page
    }  # fmt: skip
    facts = record["facts"]
    texts = {name: write(facts) for name, write in writers.items()}
    return {**texts, "short": _short(record), "circumstances": _circumstances(record)}


def with_blocks(page: str, blocks: Mapping[str, str]) -> str:
    """The page with these texts between its marks; nothing is there where there is no such text.

    Raises:
        ValueError: the page has no marks, or one for a block that there is not.
    """
    pattern = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
    names = [match.group(2) for match in pattern.finditer(page)]
    unknown = [name for name in names if blocks and name not in blocks]
    if unknown or not names:
        raise ValueError(f"there are no figures for {unknown or page[:40]!r}")

    def filled(match: re.Match[str]) -> str:
        text = blocks.get(match.group(2), "")
        return match.group(1) + (f"\n{text}\n\n" if text else "") + match.group(3)

    return pattern.sub(filled, page)


def _first(facts: Mapping[str, Any]) -> str:
    first = facts["first"]
    text = (
        f"On the {first['num_test']:,} test pictures this training reached {_scores(first)}. "
        f"{_found(first['answers'])} The area under the ROC curve is {first['test_auc']:.3f}."
    )
    leaked = f"{first['num_test_leaked']:,} of the test pictures are nearly the same as one of the training." * bool(
        first["num_test_leaked"]
    )
    return f"{_block(first['reasons'])}\n\n{_wrapped(f'{text} {leaked}'.rstrip())}"


def _check(facts: Mapping[str, Any]) -> str:
    check = facts["check"]
    kinds = [kind for kind, number in check["suspects"].items() if number]
    rows = [["class", "pictures", *kinds], ["---"] * (2 + len(kinds))]
    rows += [
        [name, f"{check['class_sizes'][name]:,}", *(f"{counts[kind]:,}" for kind in kinds)]
        for name, counts in check["suspects_by_class"].items()
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = (
        f"Of {check['num_images']:,} pictures, models that had not seen them predict the label of "
        f"{check['accuracy']:.1%}. Suspects by class and kind are below. {check['num_held_out']:,} more, which were "
        f"held out, are searched for copies, too: in all {check['num_pairs']:,} pairs are alike, "
        f"{check['num_exact']:,} of them pixel by pixel. They make {check['num_groups']:,} groups."
    )
    return f"{_wrapped(text)}\n\n{table}"


def _second(facts: Mapping[str, Any]) -> str:
    second = facts["second"]
    seen = second["validation"]
    text = (
        f"Here the threshold became {second['threshold']:.3f}. On the {second['num_val']:,} validation pictures it "
        f"finds {seen['recall']:.0%} of the defects (95 % interval {seen['recall_low']:.0%} to "
        f"{seen['recall_high']:.0%}). On the {second['num_test']:,} test pictures: {_scores(second)}. "
        f"{_found(second['answers'])} The area under the ROC curve is {second['test_auc']:.3f}; "
        f"{second['num_test_leaked']:,} test pictures are nearly the same as one of the training."
    )
    return _wrapped(text)


def _folds(facts: Mapping[str, Any]) -> str:
    folds = facts["folds"]
    named = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "area under the ROC curve",
             "average_precision": "average precision"}  # fmt: skip
    rows = ["| all pictures out of fold | value | 95 % interval |", "|---|---|---|"]
    rows += [
        f"| {title} | {folds['figures'][key]['value']:.3f} | {folds['figures'][key]['low']:.3f} to "
        f"{folds['figures'][key]['high']:.3f} |"
        for key, title in named.items()
    ]
    text = f"{folds['num_images']:,} pictures, {folds['num_folds']} folds, one seed. {_found(folds['answers'])}"
    return "\n".join([*rows, "", _wrapped(text)])


def _page(facts: Mapping[str, Any]) -> str:
    return f"The page here has {facts['page']['num_bytes'] / 1000:,.0f} kB, network and pictures included."


def _short(record: Mapping[str, Any]) -> str:
    """For the README: the folds alone, which are the honest figure."""
    folds, now = record["facts"]["folds"], record["circumstances"]
    (step,) = [step for step in record["steps"] if " --folds " in step["text"]]
    options = " ".join(re.findall(r"--(?:folds|minutes) \S+", step["text"]))
    figures = folds["figures"]
    area, accuracy = figures["auc"], figures["accuracy"]
    text = (
        f"On {folds['num_images']:,} solar cells, each predicted once by a model that had not seen it "
        f"(`{options}`: {duration(step['seconds'])} for the whole command): area under the ROC curve "
        f"{area['value']:.3f} ({area['low']:.3f} to {area['high']:.3f}), accuracy {accuracy['value']:.1%} "
        f"({accuracy['low']:.1%} to {accuracy['high']:.1%}); 95 % intervals, n = 1, "
        f"{now['processor']} ({now['processor_kind']}), {now['date']}."
    )
    return _wrapped(text)


def _circumstances(record: Mapping[str, Any]) -> str:
    now = record["circumstances"]
    seconds = {step["text"]: step["seconds"] for step in record["steps"]}
    longest = sorted(seconds, key=lambda text: -seconds[text])[:4]
    spent = "; ".join(f"`{text}` {duration(seconds[text])}" for text in longest)
    command = command_on(now["processor"], now["command"])
    text = (
        f"The figures of this page were written by `{command}`: {now['processor']} ({now['processor_kind']}, "
        f"{now['num_threads']} threads), torch {now['torch']}, Python {now['python']}, {now['date']}, commit "
        f"{now['commit']}; n = 1. The steps that took longest: {spent}; all together "
        f"{duration(sum(seconds.values()))}. A training by minutes makes as many steps as your machine can, so yours "
        "will differ a little."
    )
    return _wrapped(text)


def _scores(run: Mapping[str, Any]) -> str:
    return (
        f"an accuracy of {run['test_accuracy']:.1%} (always '{COMMON}': {run['commonest_share']:.1%}) and a balanced "
        f"accuracy of {run['test_balanced_accuracy']:.1%}"
    )


def _found(answers: Mapping[str, Mapping[str, int]]) -> str:
    defective, fine = answers[RARE], answers[COMMON]
    return (
        f"Of {sum(defective.values()):,} defective cells it finds {defective.get(RARE, 0):,}; of "
        f"{sum(fine.values()):,} fine ones it calls {fine.get(RARE, 0):,} defective."
    )


def _answers(predictions: Path) -> dict[str, dict[str, int]]:
    """How often which class was answered, by the true class."""
    with predictions.open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = Counter((row["class_name"], row["predicted_name"]) for row in rows)
    return {truth: {given: number for (of, given), number in counts.items() if of == truth} for truth in (RARE, COMMON)}


def _exact(pairs: Sequence[Mapping[str, Any]]) -> list[bool]:
    return [bool(pair["is_exact"]) for pair in pairs]


def _block(sentences: Sequence[str]) -> str:
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, WIDTH, subsequent_indent="  ")]
    return "\n".join(["```", *lines, "```"])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
