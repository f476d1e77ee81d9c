"""Write docs/reference.md and its pictures from a run folder: python tools/build_reference.py RUN

The page is the published one with our own run: results, summary, graph, log, curves and misclassified images.
"""

from __future__ import annotations

import csv
import shutil
import sys
from datetime import date
from pathlib import Path

from records import remove_data_dir

import thumbnet
from thumbnet.training.history import History
from thumbnet.views.curves import Curves

DOCS = Path(__file__).parent.parent / "docs"
PUBLISHED_HISTORY = DOCS / "results" / "published" / "history.csv"
PUBLISHED = {"best train": 0.8790, "best test": 0.8566, "last test": 0.8551, "parameters": 198_660, "epochs": 20}
KEPT = ("config.toml", "history.csv", "metrics.json", "misclassified.png", "graph.svg", "summary.txt", "confusion.png")


def build_page(run_path: Path, docs: Path = DOCS) -> Path:
    """The page made from the run at `run_path`, with the files that it shows in docs/results/reference/."""
    run = thumbnet.load_run(run_path)
    folder = docs / "results" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(run.path / name, folder / name)
    remove_data_dir(folder / "config.toml")
    series = [published_curves(), thumbnet.curves_of(run.history, label="this run")]
    thumbnet.save_figure(thumbnet.draw_curves(series), folder / "curves.png")
    page = docs / "reference.md"
    page.write_text(describe(run, (folder / "summary.txt").read_text()))
    return page


def published_curves() -> Curves:
    """The published history, whose accuracies are in per cent and whose training loss is the last batch's."""
    with PUBLISHED_HISTORY.open() as file:
        rows = list(csv.DictReader(file))
    return Curves(
        label="published",
        epochs=[int(row["epoch"]) for row in rows],
        train_loss=[float(row["last_batch_train_loss"]) for row in rows],
        train_accuracy=[float(row["train_accuracy_percent"]) / 100 for row in rows],
        eval_loss=[float(row["test_loss"]) for row in rows],
        eval_accuracy=[float(row["test_accuracy_percent"]) / 100 for row in rows],
        eval_split="test",
    )


def describe(run: thumbnet.Run, summary: str) -> str:
    """The page's text."""
    metrics, history = run.metrics, run.history
    ours = {
        "best train": metrics["best_train_accuracy"],
        "best test": metrics.get("best_test_accuracy", metrics["test_accuracy"]),
        "last test": metrics["test_accuracy"],
        "parameters": metrics["num_params"],
        "epochs": metrics["epochs"],
    }
    rows = [f"| {name} | {_figure(PUBLISHED[name])} | {_figure(value)} |" for name, value in ours.items()]
    short = (
        f"\nThis run has {metrics['epochs']} of the recipe's 20 epochs: compare it with the published epoch "
        f"{metrics['epochs']}. The full run comes with a later version.\n"
        if metrics["epochs"] < PUBLISHED["epochs"]
        else ""
    )
    finished = date.fromtimestamp((run.path / "metrics.json").stat().st_mtime)
    command = f"thumbnet train --recipe {run.card.recipe} --epochs {metrics['epochs']} --seed {metrics['seed']}"
    return f"""# The reference system, published and ours

The network `dilated`, trained by the recipe `{run.card.recipe}`; made by `python tools/build_reference.py RUN`.
{short}
| metric | published | this run (n = 1, one view) |
|---|---|---|
{chr(10).join(rows)}

Data: {run.card.data_description}. Where this says that
the test batch is not as published, the test set is exact but for 20 images. Seed {metrics["seed"]},
{metrics["train_s"]:,.0f} s of training on {metrics["machine"]} (a processor of the kind {metrics["processor_kind"]};
threads when it ended: {metrics["num_threads"]}), torch
{run.card.versions["torch"]}, finished on {finished}; the command:

```sh
{command} --allow-unverified  # long
```

## Layers

```
{summary.rstrip()}
```

## Graph

![The network as a graph](results/reference/graph.svg)

## Log

```
{_log(history, metrics["num_test"]).rstrip()}
```

## Curves

The published training loss is that of each epoch's last batch; ours is the mean over the epoch.

![Loss and accuracy by epoch](results/reference/curves.png)

## Ten misclassified test images

![Ten misclassified images](results/reference/misclassified.png)
"""


def _figure(value: float) -> str:
    return f"{value:.2%}" if isinstance(value, float) else f"{value:,}"


def _log(history: History, num_test: int) -> str:
    lines = []
    for record in history:
        lines.append(f"Epoch {record.epoch}: lr {record.lr:g}, train accuracy {record.train_accuracy:.2%}")
        if record.test_accuracy is not None:
            right = round(record.test_accuracy * num_test)
            lines.append(
                f"Test set: Average loss: {record.test_loss:.4f}, Accuracy: {right}/{num_test} "
                f"({100 * record.test_accuracy:.2f}%)"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(f"{build_page(Path(sys.argv[1]))}\n")
