"""Take a run's trained weights into the package, and its record into docs/results/zoo/.

    python tools/build_pretrained.py RUN
    python tools/build_pretrained.py RUN --as-teacher

RUN is a run on CIFAR-10, or a folder of several seeds, of which the first is taken, whatever it scored. What was
learnt of filters and head goes in half precision, the rest in full, if that leaves the accuracy within 0.03 points;
otherwise all stays in full precision.

As the teacher, a run goes with its weights to docs/results/teacher/, a run folder that `train --teacher` takes, and not
into the package.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import safetensors.torch
import torch
from records import remove_data_dir, write_checksums

from thumbnet.bench.measure import measure_model
from thumbnet.evaluation.export_data import collect_export_data
from thumbnet.evaluation.metrics import card_metrics, evaluate
from thumbnet.evaluation.tta import evaluate_tta
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.card import ModelCard, card_to_dict
from thumbnet.models.export_data import export_data_to_bytes
from thumbnet.models.pretrained import CARD, EXPORT_DATA_FOLDER
from thumbnet.runs.files.checksums import write_with_digests
from thumbnet.runs.files.names import PREDICTIONS, WEIGHTS
from thumbnet.runs.run import Run, load_run
from thumbnet.runs.seeds.train import is_seed_runs
from thumbnet.training.device import processor_name
from thumbnet.training.processor import processor_kind

ROOT = Path(__file__).parent.parent
PRETRAINED = ROOT / "src/thumbnet/models/pretrained"
ZOO = ROOT / "docs/results/zoo"
TEACHER = ROOT / "docs/results/teacher"
RECORD = ("config.toml", "history.csv", "metrics.json", "model.json")
SAME_ACCURACY = 3e-4


def main() -> None:
    """Write the weights and the record, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--data-dir", metavar="DIR")
    parser.add_argument("--as-teacher", action="store_true", help="keep it as docs/results/teacher instead")
    parsed = parser.parse_args()
    metrics = json.loads((parsed.run / "metrics.json").read_text())
    seeds = metrics["seeds"] if is_seed_runs(parsed.run) else [metrics["seed"]]
    paths = [parsed.run / f"seed-{seed}" for seed in seeds] if is_seed_runs(parsed.run) else [parsed.run]
    run = load_run(paths[0])
    if not parsed.as_teacher and not isinstance(run.model, BlockNet):
        raise SystemExit(f"{run.card.model} is no network of blocks: `thumbnet predict` could not run it on NumPy")
    dataset = run.load_dataset(data_dir=parsed.data_dir, allow_unverified=True)

    full = evaluate(run.model, dataset)
    half = copy.deepcopy(run.model)
    with torch.no_grad():
        for parameter in half.parameters():
            if is_large(parameter):
                parameter.copy_(parameter.half())
    halved = evaluate(half, dataset)
    is_half = abs(halved.accuracy - full.accuracy) <= SAME_ACCURACY
    model, evaluation = (half, halved) if is_half else (run.model, full)
    if parsed.as_teacher:
        keep_teacher(run, TEACHER, is_half=is_half)
        print({"half_precision": is_half, "accuracy": evaluation.accuracy})
        return
    path = PRETRAINED / f"{run.card.model}.safetensors"
    card = replace(
        run.card, architecture=run.model.architecture, metrics=card_metrics(evaluation, run.card.class_names)
    )
    path.write_bytes(weights_of(run, card, is_half=is_half))
    export_data = PRETRAINED / EXPORT_DATA_FOLDER / path.name
    export_data.parent.mkdir(exist_ok=True)
    export_data.write_bytes(export_data_to_bytes(collect_export_data(model, dataset)))
    folder = ZOO / run.card.model
    shutil.rmtree(folder, ignore_errors=True)
    for seed, source in zip(seeds, paths, strict=True):
        copy_record(source, folder / f"seed-{seed}")
        write_checksums(folder / f"seed-{seed}")
    record = {
        "model": run.card.model,
        "seed": seeds[0],
        "num_bytes": path.stat().st_size,
        "half_precision": is_half,
        "accuracy": evaluation.accuracy,
        "forward_images_per_s": measure_model(run.card.model, 128, "float32", "cpu").forward_images_per_s,
        "processor": processor_name(),
        "processor_kind": processor_kind(),
        "date": date.today().isoformat(),
        "tta_accuracy": evaluate_tta(model, dataset).accuracy,
    }
    (folder / "pretrained.json").write_text(json.dumps(record, indent=2) + "\n")
    print(record)


def is_large(parameter: torch.nn.Parameter) -> bool:
    """Whether it is worth half precision: a trained filter or head (frozen whitening spans orders of magnitude)."""
    return parameter.ndim > 1 and parameter.requires_grad


def copy_record(source: Path, folder: Path) -> None:
    """What is kept of a run: all that is small; of its config not where the data was on that machine."""
    if source.resolve() == folder.resolve():
        raise SystemExit(f"{source} is where the record goes: give the run that it was made from")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in RECORD:
        shutil.copy(source / name, folder / name)
    remove_data_dir(folder / "config.toml")


def keep_teacher(run: Run, folder: Path, *, is_half: bool) -> None:
    """Write a run that `load_run` takes to `folder`: its record, predictions, weights and their checksums."""
    copy_record(run.path, folder)
    contents = {name: (folder / name).read_bytes() for name in RECORD}
    contents |= {
        PREDICTIONS: (run.path / PREDICTIONS).read_bytes(),
        WEIGHTS: weights_of(run, run.card, is_half=is_half),
    }
    write_with_digests(folder, contents)


def weights_of(run: Run, card: ModelCard, *, is_half: bool) -> bytes:
    """The weights, with a card in their metadata."""
    large = {name for name, parameter in run.model.named_parameters() if is_large(parameter)}
    tensors = {
        name: (tensor.half() if is_half and name in large else tensor).contiguous()
        for name, tensor in run.model.state_dict().items()
    }
    return safetensors.torch.save(tensors, metadata={CARD: json.dumps(card_to_dict(card))})


if __name__ == "__main__":
    main()
