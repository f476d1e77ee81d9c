"""Write the README's table of trained models from docs/results: python tools/build_zoo.py"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
README = DOCS.parent / "README.md"
ZOO = DOCS / "results" / "zoo"
EXPORTS = (
    DOCS / "results" / "export"
)  # written by benchmarks/bench_export.py, and MLPerf Tiny's files measured likewise
BEGIN, END = "<!-- zoo, made by tools/build_zoo.py -->\n", "<!-- end of zoo -->"
NONE = "-"


def head(kinds: Sequence[str]) -> str:
    """The table's first two lines; trainings on each kind of processor have a column of their own."""
    columns = ["model", "parameters", "MACs", *(f"accuracy (n), {kind}" for kind in kinds), "pretrained weights"]
    columns += ["with test-time augmentation", "size of these", "int8 accuracy", "int8 size", "C flash", "C RAM"]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"


def row(folder: Path, kinds: Sequence[str]) -> str:
    """A model's line of the table."""
    record = pretrained(folder)
    runs: list[dict[str, Any]] = [json.loads(path.read_text()) for path in sorted(folder.glob("seed-*/metrics.json"))]
    accuracies = [run["test_accuracy"] for run in runs]
    deviation = f" ± {100 * statistics.stdev(accuracies):.2f}" if len(runs) > 1 else ""
    trained = f"{100 * statistics.mean(accuracies):.2f}{deviation} % ({len(runs)})"
    by_kind = " | ".join(trained if kind == record["processor_kind"] else NONE for kind in kinds)
    return (
        f"| `{record['model']}` | {runs[0]['num_params']:,} | {runs[0]['macs'] / 1e6:.1f} M | "
        f"{by_kind} | {record['accuracy']:.2%} | {record['tta_accuracy']:.2%} | "
        f"{kb(record['num_bytes'])} | {shipped(record['model'])} |\n"
    )


def pretrained(folder: Path) -> dict[str, Any]:
    """What is recorded of a model's weights."""
    record: dict[str, Any] = json.loads((folder / "pretrained.json").read_text())
    return record


def kb(num_bytes: int | None) -> str:
    """Bytes in thousands."""
    return NONE if num_bytes is None else f"{num_bytes / 1000:,.0f} kB"


def shipped(model: str) -> str:
    """The columns of an int8 model and of its C, as far as they were measured."""
    int8, c = exported("onnx-int8", model), exported("c", model)
    accuracy = f"{int8['checks'][-1]['accuracy']:.2%}" if int8 else NONE
    details = c.get("details", {})
    flash, ram = details.get("flash_bytes"), details.get("ram_bytes")
    return f"{accuracy} | {kb(int8.get('num_bytes'))} | {kb(flash)} | {kb(ram)}"


def exported(format_name: str, model: str) -> dict[str, Any]:
    """What was measured of an export; empty where nothing was."""
    path = EXPORTS / f"{format_name}.json"
    models: dict[str, dict[str, Any]] = json.loads(path.read_text())["models"] if path.exists() else {}
    return models.get(model, {})


def yardsticks(kinds: Sequence[str]) -> str:
    """MLPerf Tiny's networks, as lines of the table."""
    untold = " | ".join([NONE] * (2 + len(kinds)))
    models: dict[str, dict[str, Any]] = json.loads((EXPORTS / "mlperf-tiny.json").read_text())["models"]
    return "".join(
        f"| MLPerf Tiny's {name} | {untold} | {known['accuracy']:.2%} | {NONE} | "
        f"{kb(known['num_bytes'])} | {known['int8_accuracy']:.2%} | {kb(known['int8_num_bytes'])} | {NONE} | {NONE} |\n"
        for name, known in models.items()
    )


def table() -> str:
    """The whole table, the smallest model first, and where it was measured."""
    folders = [path.parent for path in ZOO.glob("*/pretrained.json")]
    folders.sort(key=lambda folder: json.loads(next(folder.glob("seed-*/metrics.json")).read_text())["num_params"])
    kinds = sorted({pretrained(folder)["processor_kind"] for folder in folders}, reverse=True)
    machines = "; ".join(map(where_and_when, folders))
    return (
        head(kinds) + "".join(row(folder, kinds) for folder in folders) + yardsticks(kinds) + "\n"
        "CIFAR-10 test set (exact but for 20 images here), last epoch, one view; trainings by the kind of processor "
        "that they ran on. How long they train, and images/s: [docs/speed.md](docs/speed.md). The weights are those of "
        "seed 0, whatever it scored, measured by tools/build_pretrained.py; filters and heads are stored in half "
        "precision. Trained with `thumbnet "
        "train --recipe MODEL --seeds N`. int8: `export --format onnx-int8` on all test images; C: `export --format "
        "c`, for a Cortex-M4, the weights in flash, the picture not in RAM (benchmarks/bench_export.py, "
        "docs/results/export). MLPerf Tiny's are .tflite files in float32 and in int8, which were measured on the same "
        "test images, in LiteRT. Each run's config, history "
        f"and metrics: docs/results/zoo. Machines, versions and dates: {machines}.\n"
    )


def where_and_when(folder: Path) -> str:
    """On what machine and when a model was trained, and with which PyTorch."""
    record = pretrained(folder)
    card = json.loads((folder / f"seed-{record['seed']}" / "model.json").read_text())
    where = f"{record['processor']}, {record['processor_kind']}"
    return f"`{record['model']}`: {where}, torch {card['versions']['torch']}, {record['date']}"


def main() -> None:
    """Put the table in its place in the README."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"README.md has no place for the table: {BEGIN}{END}"
    README.write_text(before + BEGIN + "\n" + table() + "\n" + END + after)


if __name__ == "__main__":
    main()
