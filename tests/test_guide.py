"""The guide for one's own pictures: all of its code runs in order, on a quarter of its pictures, trained for seconds.

The other checks of the page (links, syntax, figures as recorded) are in tests/test_docs.py.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from guide_pictures import builder, figures, keep_one_of, sort_into_folders, steps
from made_circumstances import made_circumstances
from scripts import ROOT
from thumbnet.kernels.library import load_kernels
from thumbnet.runs.run import load_run

KEPT = 4  # one of so many pictures stays
# What stands for the guide's commands here, besides builder.REPLACED.
SHORTER = {
    "thumbnet train --data folder:parts --run-dir runs/first": (
        "thumbnet train --data folder:parts --minutes 0.7 --run-dir runs/first"
    ),
    "thumbnet data check --data folder:cells --out check": (
        "thumbnet data check --data folder:cells --epochs 2 --folds 2 --repeats 1 --out check"
    ),
    "thumbnet train --data folder:apart --groups auto --recall 0.9 --minutes 5 --run-dir runs/second": (
        "thumbnet train --data folder:apart --groups auto --recall 0.9 --minutes 0.7 --run-dir runs/second"
    ),
    "thumbnet train --data folder:cells --groups check/groups.csv --folds 4 --minutes 2 --run-dir runs/folds": (
        "thumbnet train --data folder:cells --groups check/groups.csv --folds 2 --minutes 0.7 --run-dir runs/folds"
    ),
}


def guide_steps() -> list[Any]:
    return steps.steps_of(builder.GUIDE.read_text())


def test_what_is_replaced_stands_in_the_guide() -> None:
    texts = [step.text for step in guide_steps()]
    assert not [text for text in {**builder.REPLACED, **SHORTER} if text not in texts]
    assert [step.language for step in guide_steps()].count("py") == 1


def test_a_guide_is_its_blocks_in_order(tmp_path: Path) -> None:
    page = (
        "```sh\nthumbnet recipes --json  # all\n\nthumbnet models\n```\n```\nno step\n```\n```py\nprint('here')\n```\n"
    )
    found = steps.steps_of(page)
    assert [(step.language, step.text) for step in found] == [
        ("sh", "thumbnet recipes --json"), ("sh", "thumbnet models"), ("py", "print('here')\n")
    ]  # fmt: skip
    assert steps.run_step(found[0], tmp_path, replaced={found[0].text: ""}).output == ""
    done = steps.run_step(steps.Step("py", "import os, sys; print(os.getcwd() + '/x'); sys.exit(7)"), tmp_path)
    assert (done.output, done.status) == ("x\n", 7)
    with pytest.raises(ValueError, match="begins with pip or thumbnet: rm"):
        steps.run_step(steps.Step("sh", "rm -r cells"), tmp_path)


def test_figures_stand_between_their_marks_and_go_again() -> None:
    page = builder.GUIDE.read_text() + (ROOT / "README.md").read_text()
    filled = figures.with_blocks(page, figures.blocks_of(made_record()))
    for said in (
        "Of 10 defective cells it finds 8; of 20 fine ones it calls 5 defective.",
        "| defective | 30 | 2 | 1 |",
        "the threshold became 0.321",
        "| area under the ROC curve | 0.910 | 0.900 to 0.920 |",
        "has 498 kB",
        "(`--folds 4 --minutes 2`: 8 min 20 s for the whole command)",
        "n = 1, a processor (a kind), 2026-11-29.",
        "a processor (a kind, 2 threads)",
    ):
        assert said in " ".join(filled.split()), said
    assert max(len(line) for line in filled.splitlines() if "```" not in line and "0.910" in line) <= 120
    assert figures.with_blocks(filled, {}) == figures.with_blocks(page, {})
    with pytest.raises(ValueError, match="nothing_such"):
        figures.with_blocks(page + "<!-- figures: nothing_such -->\n<!-- end of figures -->\n", {"first": "text"})


def made_record() -> dict[str, Any]:
    """A record as `build_guide.py` keeps it, of made-up figures."""
    run = {
        "reasons": ["2 minutes: sprint at 96x96 pixels.", "Not thumb-100k: too slow."], "num_test": 30, "num_val": 12,
        "num_test_leaked": 3, "commonest_share": 0.7, "test_accuracy": 0.8, "test_balanced_accuracy": 0.75,
        "test_auc": 0.89, "answers": {"defective": {"defective": 8, "fine": 2}, "fine": {"defective": 5, "fine": 15}},
    }  # fmt: skip
    measured = {"recall": 0.9, "recall_low": 0.8, "recall_high": 0.95}
    kinds = {"label": 2, "duplicate": 1, "dark": 0}
    check = {
        "num_images": 90, "num_held_out": 10, "accuracy": 0.85, "suspects": kinds, "class_sizes": {"defective": 30},
        "suspects_by_class": {"defective": kinds}, "num_groups": 7, "num_excluded": 0, "num_pairs": 8, "num_exact": 1,
    }  # fmt: skip
    found = {"value": 0.91, "low": 0.9, "high": 0.92}
    folds = {
        "num_folds": 4, "num_images": 100, "num_leaks": 0, "total_s": 480.0, "answers": run["answers"],
        "figures": dict.fromkeys(("accuracy", "balanced_accuracy", "auc", "average_precision"), found),
    }  # fmt: skip
    second = {**run, "threshold": 0.321, "validation": measured}
    return {
        "circumstances": made_circumstances("it", processor_kind="a kind"),
        "steps": [
            {"text": "thumbnet data info", "seconds": 61.0},
            {"text": "thumbnet train --data folder:cells --folds 4 --minutes 2 --run-dir runs/folds", "seconds": 500.0},
        ],
        "facts": {"first": run, "check": check, "second": second, "folds": folds, "page": {"num_bytes": 498_300}},
    }


@pytest.mark.guide
def test_the_guide_runs_as_it_stands(tmp_path: Path) -> None:
    load_kernels()  # less than a minute has no room to compile them
    pictures = sort_into_folders(tmp_path)
    text = " ".join(builder.GUIDE.read_text().split())
    counts = {name: len(list((pictures / name).iterdir())) for name in ("defective", "fine")}
    assert "in all {defective:,} pictures are `defective` and {fine:,} `fine`".format(**counts) in text
    assert f"{counts['fine'] / sum(counts.values()):.1%}".replace("%", " %") in text
    keep_one_of(KEPT, pictures)
    said: dict[str, str] = {}
    after_the_pictures = iter(guide_steps())
    next(step for step in after_the_pictures if step.language == "py")
    for step in after_the_pictures:
        done = steps.run_step(step, tmp_path, replaced={**builder.REPLACED, **SHORTER})
        assert done.status == 0, f"{step.text}\n{done.output}"
        assert "Traceback" not in done.output
        said[step.text] = done.output
    check_what_was_said(said)
    check_what_is_left(tmp_path)


def check_what_was_said(said: dict[str, str]) -> None:
    def of(begin: str) -> str:
        (output,) = [output for text, output in said.items() if text.startswith(begin)]
        return output

    assert "always 'fine'" in of("thumbnet data info")
    assert "0.7 minutes: " in of("thumbnet train --data folder:parts")
    assert "Leaks between splits" in of("thumbnet train --data folder:parts")
    assert "--groups check/groups.csv" in of("thumbnet data check").splitlines()[-1]
    assert "picked by recall 0.9" in of("thumbnet evaluate runs/second")
    assert "Leaks between splits" not in of("thumbnet train --data folder:apart")
    assert "out of fold: accuracy" in of("thumbnet train --data folder:cells")
    assert of("thumbnet predict apart/test/defective").startswith("model: runs/second")
    assert "runs/first" in of("thumbnet runs")
    assert "runs/folds" in of("thumbnet runs")


def check_what_is_left(folder: Path) -> None:
    facts = figures.read_facts(folder)
    record = {**made_record(), "facts": facts}
    assert set(figures.blocks_of(record)) == {"first", "check", "second", "folds", "page", "short", "circumstances"}
    assert 0 < facts["second"]["threshold"] < 1
    assert facts["second"]["num_test_leaked"] == 0 < facts["check"]["num_groups"]
    assert facts["folds"]["num_images"] == sum(
        len(list((folder / "cells" / kind).iterdir())) for kind in ("defective", "fine")
    )
    assert facts["folds"]["num_leaks"] == 0
    assert load_run(folder / "runs" / "second").card.decision is not None
    answers = list((folder / "sorted").rglob("*.png"))
    assert len(answers) == facts["second"]["num_test"]
    with (folder / "check" / "groups.csv").open(newline="") as file:
        assert all((folder / "cells" / row["path"]).is_file() for row in csv.DictReader(file))
    assert json.loads((folder / "runs" / "first" / "metrics.json").read_text())["minutes"] == 0.7
    assert "data:image" in (folder / "page" / "index.html").read_text()


def test_nothing_of_the_pictures_is_in_the_repository() -> None:
    """Their licence does not allow it; nor may a report of them be there, which shows some."""
    for folder in ("docs", "notebooks", "tests", "benchmarks/results"):
        assert not list((ROOT / folder).rglob("*cell[0-9][0-9][0-9][0-9]*"))
