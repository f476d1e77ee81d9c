"""The verbs that tell how good a trained model is: evaluate, report."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from thumbnet.errors import ConfigError


def evaluate(parsed: argparse.Namespace) -> None:
    """Print the figures of a trained model."""
    from thumbnet.cli.robustness import measure
    from thumbnet.evaluation.analysis import analyse
    from thumbnet.evaluation.metrics import evaluate
    from thumbnet.evaluation.predictions import predict_split
    from thumbnet.evaluation.tta import evaluate_views

    trained, dataset = _trained_with_data(parsed)
    if parsed.temperature:
        _check_temperature(parsed, has_val=dataset.val is not None)
    robustness = measure(parsed, trained, dataset) if parsed.robustness else None
    held_out = None
    if parsed.temperature:
        held_out = predict_split(trained.model, dataset.split("val"), mean=dataset.mean, std=dataset.std)
    analysis = analyse(evaluate(trained.model, dataset, parsed.split), dataset.class_names, held_out=held_out)
    if parsed.temperature and analysis.temperature is None:
        print("no temperature is best for the validation images: their loss falls on and on", file=sys.stderr)
    values = {
        "model": trained.card.model,
        "num_params": trained.card.num_params,
        "data": dataset.source.name,
        "split": parsed.split,
        **analysis.to_dict(),
    }
    if parsed.tta:
        values["tta_accuracy"] = evaluate_views(trained.model, dataset, parsed.split).accuracy
    if robustness is not None:
        values["robustness"] = robustness.to_dict()
    if parsed.json:
        print(json.dumps(values))
        return
    print(
        f"{trained.card.model} ({trained.card.num_params:,} parameters) on {dataset.source.name}, {parsed.split} "
        f"split, {analysis.evaluation.num_images:,} images"
    )
    print(f"{analysis}")
    if parsed.tta:
        print(f"with test-time augmentation: accuracy {values['tta_accuracy']:.2%}")
    if robustness is not None:
        print(robustness)


def _trained_with_data(parsed: argparse.Namespace) -> tuple[Any, Any]:
    """The trained model that `evaluate` is asked of, and its data or the data named."""
    from thumbnet.model_card import load_pretrained, load_test_data
    from thumbnet.run_dir import load_run
    from thumbnet.same_test import load_own_dataset

    if parsed.pretrained is None:
        run = load_run(parsed.run)
        source = {"data_dir": parsed.data_dir, "allow_unverified": parsed.allow_unverified or None}
        if parsed.data is None:
            _refuse_all_images(parsed, is_own=True)
            return run, load_own_dataset(run, source)
        dataset = run.load_dataset(parsed.data, **source)
        is_own = dataset.checksum() == run.card.data_checksum
        _refuse_all_images(parsed, is_own=is_own or dataset.source.name == run.card.data)
        if not is_own:
            print(f"{parsed.data} is not all the run's own data: it may have been trained on some", file=sys.stderr)
            _tell_held_out(parsed, dataset)
        return run, dataset
    if parsed.split not in ("test", "all"):
        raise ConfigError(
            f"--split {parsed.split} is given with --pretrained: which images were held out, its file does not say",
            hint="score the test split, or a run of your own",
        )
    trained = load_pretrained(parsed.pretrained)
    dataset = load_test_data(trained, parsed.data, data_dir=parsed.data_dir, allow_unverified=parsed.allow_unverified)
    _refuse_all_images(parsed, is_own=dataset.source.name == trained.card.data)
    _tell_held_out(parsed, dataset)
    return trained, dataset


def _refuse_all_images(parsed: argparse.Namespace, *, is_own: bool) -> None:
    """ConfigError where all images are to be scored and the model was trained on most of them."""
    if parsed.split == "all" and is_own:
        raise ConfigError(
            "--split all is given, but the model was trained on most of these images",
            hint="score the test split, or other images of the same classes with --data",
        )


def _tell_held_out(parsed: argparse.Namespace, dataset: Any) -> None:
    """Say so where the test images are a share that would be held out in a training, and not all there are."""
    if parsed.split == "test" and dataset.test.positions is not None:
        print(
            f"{dataset.source.name} has no test split: scored are the {len(dataset.test):,} images that a training "
            "would hold out; --split all scores all there are.",
            file=sys.stderr,
        )


def _check_temperature(parsed: argparse.Namespace, *, has_val: bool) -> None:
    if parsed.pretrained is not None:
        raise ConfigError(
            "--temperature is given with --pretrained: which images were held out, its file does not say",
            hint="fit it for a run of your own",
        )
    if parsed.split != "test":
        raise ConfigError(
            f"--temperature is given with --split {parsed.split}: it is fitted on the validation split, to be judged "
            "on other images",
            hint="leave --split out",
        )
    if not has_val:
        raise ConfigError(
            "--temperature is given, but the run held no images out for validation, and it is fitted on those",
            hint="train with val_fraction above 0",
        )


def report(parsed: argparse.Namespace) -> None:
    """Write a run's report anew."""
    from thumbnet.reporting import write_report

    path = write_report(
        parsed.run,
        parsed.out,
        data=parsed.data,
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified or None,
    )
    print(path)
