"""The trained models of the package exported to every format and checked on all of CIFAR-10's test images.

python benchmarks/bench_export.py [--format onnx onnx-int8 ...] [--model thumb-20k ...] [--out DIR] [--data-dir DIR]

Prints a table; writes docs/results/export/<format>.json, a row for each model: bytes, accuracy of the original and of
the export, agreement on held-out and on test images, seconds from the loaded model to the checked file, and the
format's own facts. Rows of models that are not measured now stay as they are.
"""

from __future__ import annotations

import json
import tempfile
import time
from argparse import Namespace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from measuring import circumstances, describe_circumstances, make_parser

from thumbnet.data.dataset import Dataset
from thumbnet.export.export import export_shippable
from thumbnet.export.formats import FORMATS
from thumbnet.export.original import load_original_data
from thumbnet.models.pretrained import list_pretrained
from thumbnet.trained.shippable import Shippable, load_pretrained_shippable

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "export"
PACKAGES = ("numpy", "onnx", "onnxruntime", "ai-edge-litert", "tflite-micro")
HEAD = "| model | bytes | accuracy, % | original, % | agree, % | largest difference | held-out: drop, points | s |"


def main() -> None:
    """Export, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--format", nargs="+", choices=list(FORMATS), default=list(FORMATS), help="default: all")
    parser.add_argument("--model", nargs="+", choices=list_pretrained(), default=list_pretrained(), help="default: all")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder (default: docs/results/export)")
    parsed = parser.parse_args()
    about = circumstances() | {"versions": {name: known for name in PACKAGES if (known := _version(name)) is not None}}
    models = {name: _load(name, parsed) for name in parsed.model}
    parsed.out.mkdir(parents=True, exist_ok=True)
    for name in parsed.format:
        rows = {model: measure(shippable, name, dataset) for model, (shippable, dataset) in models.items()}
        path = parsed.out / f"{name}.json"
        kept = json.loads(path.read_text())["models"] if path.exists() else {}
        new = {model: {**row, **about} for model, row in rows.items()}
        path.write_text(json.dumps({"models": kept | new}, indent=1) + "\n")
        print(f"\n{name}\n\n{HEAD}\n|{'---|' * HEAD.count(' | ')}---|")
        for model, row in rows.items():
            print(as_line(model, row))
    print(f"\n{describe_circumstances(about)}")


def measure(shippable: Shippable, format_name: str, dataset: Dataset) -> dict[str, Any]:
    """A row: an export to a folder that is deleted."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = export_shippable(
            shippable, format_name, out=Path(folder) / f"{shippable.name}{FORMATS[format_name].suffix}",
            max_drop=1.0 if FORMATS[format_name].is_quantised else None, dataset=dataset, say=print,
        )  # fmt: skip
        seconds = time.perf_counter() - start
    values = result.to_dict()
    return {
        "num_bytes": result.num_bytes,
        "checks": values["checks"],
        "details": values["details"],
        "seconds": round(seconds, 2),
    }


def as_line(model: str, row: dict[str, Any]) -> str:
    """A line of the table."""
    held_out, test = row["checks"][0], row["checks"][-1]
    return (
        f"| {model} | {row['num_bytes']:,} | {test['accuracy']:.2%} | {test['original_accuracy']:.2%} | "
        f"{test['agreement']:.2%} | {test['max_difference']:.2g} | {100 * held_out['drop']:.2f} | {row['seconds']} |"
    )


def _load(name: str, parsed: Namespace) -> tuple[Shippable, Dataset]:
    shippable = load_pretrained_shippable(name)
    return shippable, load_original_data(shippable, data_dir=parsed.data_dir, allow_unverified=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
