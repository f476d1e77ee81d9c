"""The verbs that tell how good a trained model is: evaluate, report."""

from __future__ import annotations

import argparse
import json
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
    robustness = measure(parsed, trained, dataset) if parsed.robustness else None
    held_out = None
    if parsed.temperature:
        _check_temperature(parsed, has_val=dataset.val is not None)
        held_out = predict_split(trained.model, dataset.split("val"), mean=dataset.mean, std=dataset.std)
    analysis = analyse(evaluate(trained.model, dataset, parsed.split), dataset.class_names, held_out=held_out)
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

    if parsed.pretrained is None:
        run = load_run(parsed.run)
        return run, run.load_dataset(
            parsed.data, data_dir=parsed.data_dir, allow_unverified=parsed.allow_unverified or None
        )
    if parsed.split != "test":
        raise ConfigError(
            f"--split {parsed.split} is given with --pretrained: which images were held out, its file does not say",
            hint="score the test split, or a run of your own",
        )
    trained = load_pretrained(parsed.pretrained)
    return trained, load_test_data(
        trained, parsed.data, data_dir=parsed.data_dir, allow_unverified=parsed.allow_unverified
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
        parsed.run, parsed.out, data_dir=parsed.data_dir, allow_unverified=parsed.allow_unverified or None
    )
    print(path)
