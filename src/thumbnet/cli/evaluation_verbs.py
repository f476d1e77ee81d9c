"""The verbs that score a trained model: evaluate, report."""

from __future__ import annotations

import argparse
from typing import Any

from thumbnet.cli.output import put, put_json
from thumbnet.errors import ConfigError
from thumbnet.terminal.streams import tell


def evaluate(parsed: argparse.Namespace) -> None:
    """Print the metrics of a trained model."""
    _refuse_what_does_not_fit(parsed)
    from thumbnet.evaluation.analysis import analyse
    from thumbnet.evaluation.metrics import evaluate
    from thumbnet.evaluation.tta import evaluate_tta
    from thumbnet.runs.robustness import measure

    trained, dataset, is_own = _trained_with_data(parsed)
    held_out = _held_out_predictions(trained, dataset if is_own else None) if parsed.temperature else None
    robustness = measure(parsed, trained, dataset, is_own=is_own) if parsed.robustness else None
    split = "test" if parsed.split == "all" else parsed.split
    analysis = analyse(evaluate(trained.model, dataset, split), dataset.class_names, held_out=held_out)
    if parsed.temperature and analysis.temperature is None:
        tell("no temperature is fitted: the loss on the validation images has no minimum")
    values = {
        "model": trained.card.model,
        "num_params": trained.card.num_params,
        "data": dataset.source.name,
        "split": parsed.split,
        **analysis.to_dict(),
    }
    if parsed.tta:
        values["tta_accuracy"] = evaluate_tta(trained.model, dataset, split).accuracy
    if robustness is not None:
        values["robustness"] = robustness.to_dict()
    if parsed.json:
        put_json(values)
        return
    images = "all images" if parsed.split == "all" else f"{parsed.split} split"
    put(
        f"{trained.card.model} ({trained.card.num_params:,} parameters) on {dataset.source.name}, {images}, "
        f"{analysis.evaluation.num_images:,} images"
    )
    put(f"{analysis}")
    if parsed.tta:
        put(f"with test-time augmentation: accuracy {values['tta_accuracy']:.2%}")
    if robustness is not None:
        put(robustness)


def _refuse_what_does_not_fit(parsed: argparse.Namespace) -> None:
    """ConfigError where options contradict each other, before anything is read or downloaded."""
    if parsed.robustness and parsed.split != "test":
        raise ConfigError(
            f"--robustness is given with --split {parsed.split}: it is measured on test images",
            hint="leave --split out, or --robustness",
        )
    if parsed.temperature and parsed.pretrained is not None:
        raise ConfigError(
            "--temperature is given with --pretrained: which images were held out, its file does not say",
            hint="fit it for a run of your own",
        )
    if parsed.temperature and parsed.split not in ("test", "all"):
        raise ConfigError(
            f"--temperature is given with --split {parsed.split}: it is fitted on the validation split, to be judged "
            "on other images",
            hint="leave --split out",
        )
    if parsed.pretrained is not None and parsed.split not in ("test", "all"):
        raise ConfigError(
            f"--split {parsed.split} is given with --pretrained: which images were held out, its file does not say",
            hint="score the test split, or a run of your own",
        )
    if parsed.split == "all" and parsed.data is None:
        raise ConfigError(
            "--split all is given without --data, but the model was trained on most of its own images",
            hint="score the test split, or other images of the same classes with --data",
        )


def _trained_with_data(parsed: argparse.Namespace) -> tuple[Any, Any, bool]:
    """The trained model, the data to score it on, and whether that is surely the model's own."""
    from thumbnet.runs.own_data import load_named_dataset, load_own_dataset
    from thumbnet.runs.run import load_run
    from thumbnet.trained.data import load_test_data, load_unseen_data
    from thumbnet.trained.model import load_pretrained

    trained: Any = load_run(parsed.run) if parsed.pretrained is None else load_pretrained(parsed.pretrained)
    source = {"data_dir": parsed.data_dir, "allow_unverified": parsed.allow_unverified}
    if parsed.split == "all":
        dataset = load_unseen_data(trained, parsed.data, **source)
        _tell_remarks(dataset)
        tell(f"scored as if {trained.card.model} had been trained on none of these images")
        never_flipped = parsed.pretrained is None and trained.config.inputs.flip is False
        return trained, dataset.without_flips() if never_flipped else dataset, False
    if parsed.pretrained is not None:
        dataset = load_test_data(trained, parsed.data, **source)
        _tell_remarks(dataset)
        _tell_held_out(dataset)
        return trained, dataset, False
    source["allow_unverified"] = parsed.allow_unverified or None
    if parsed.data is None:
        return trained, load_own_dataset(trained, source), True
    dataset, is_own = load_named_dataset(trained, parsed.data, source)
    if not is_own:
        _tell_remarks(dataset)
        tell(f"{parsed.data} differs from the run's own data: the model may have been trained on some of these images")
        _tell_held_out(dataset)
    return trained, dataset, is_own


def _tell_remarks(dataset: Any) -> None:
    """Print what to know about images other than the model's own."""
    for remark in dataset.source.remarks:
        tell(remark)


def _tell_held_out(dataset: Any) -> None:
    """Say so if the test images are a share that a training would hold out, and not all images."""
    if dataset.test.positions is not None:
        tell(
            f"{dataset.source.name} has no test split: scored are the {len(dataset.test):,} images that a training "
            "would hold out; --split all scores all there are."
        )


def _held_out_predictions(run: Any, dataset: Any | None) -> Any:
    """Predictions for the run's own validation images; `dataset` is its data, or None to read it here."""
    from thumbnet.evaluation.predictions import predict_split
    from thumbnet.runs.own_data import load_own_dataset

    own = load_own_dataset(run, {}) if dataset is None else dataset
    if own.val is None:
        raise ConfigError(
            "--temperature is given, but the run held no images out for validation, and it is fitted on those",
            hint="train with val_fraction above 0",
        )
    return predict_split(run.model, own.val, mean=own.mean, std=own.std)


def report(parsed: argparse.Namespace) -> None:
    """Write a run's report again."""
    from thumbnet.runs.report import write_report

    path = write_report(
        parsed.run,
        parsed.out,
        data=parsed.data,
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified or None,
    )
    put(path)
