"""The verbs that use models or tell of them: evaluate, report, predict, summary, graph, bench, models, recipes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thumbnet.cli.output import write_file
from thumbnet.errors import ConfigError
from thumbnet.recipes import DEFAULT_RECIPE, describe_recipes

DEFAULT_PRETRAINED = "sprint"


def evaluate(parsed: argparse.Namespace) -> None:
    """Print the figures of a trained model."""
    from thumbnet.evaluation.analysis import analyse
    from thumbnet.evaluation.metrics import evaluate
    from thumbnet.evaluation.predictions import predict_split
    from thumbnet.evaluation.tta import evaluate_views

    trained, dataset = _trained_with_data(parsed)
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


def predict(parsed: argparse.Namespace) -> None:
    """Print what a trained model says of pictures."""
    from thumbnet.model_card import TrainedModel, load_pretrained, predict

    trained: TrainedModel
    if parsed.run is None:
        trained = load_pretrained(parsed.pretrained or DEFAULT_PRETRAINED)
    else:
        from thumbnet.run_dir import load_run  # only here: without it, the command starts twice as fast

        trained = load_run(parsed.run)
    predictions = predict(trained, parsed.images)
    if parsed.json:
        print(json.dumps({"predictions": [asdict(prediction) for prediction in predictions]}))
        return
    for prediction in predictions:
        ranked = ", ".join(f"{guess.class_name} {guess.probability:.1%}" for guess in prediction.top)
        print(f"{prediction.path}: {ranked}")


def summary(parsed: argparse.Namespace) -> None:
    """Print a model's layers."""
    from thumbnet.views.summary import summarize

    summary = summarize(_model(parsed), (parsed.in_channels, parsed.image_size, parsed.image_size))
    print(json.dumps(summary.to_dict()) if parsed.json else summary)


def graph(parsed: argparse.Namespace) -> None:
    """Print or write a model's graph."""
    from thumbnet.atomic import write_atomically
    from thumbnet.views.graph import draw_graph

    suffix = Path(parsed.out).suffix.removeprefix(".") if parsed.out else ""
    chosen = parsed.format or suffix or "svg"
    if chosen not in ("svg", "png", "dot"):
        raise ConfigError(f"cannot draw a graph as {chosen!r}", hint="name a file .svg, .png or .dot, or give --format")
    if chosen == "png" and parsed.out is None:
        raise ConfigError("a PNG cannot go to stdout", hint="give --out FILE")
    drawing = draw_graph(_model(parsed), (parsed.in_channels, parsed.image_size, parsed.image_size), chosen)
    if parsed.out is None:
        print(drawing)
    else:
        write_file(parsed.out, lambda path: write_atomically(path, drawing))


def bench(parsed: argparse.Namespace) -> None:
    """Measure, and print it."""
    from thumbnet.bench.measure import run_bench

    bench = run_bench(
        models=parsed.models,
        recipes=parsed.recipes,
        batch_size=parsed.batch_size,
        precision=parsed.precision,
        device=parsed.device,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(json.dumps(bench.to_dict()) if parsed.json else bench)


def list_models(parsed: argparse.Namespace) -> None:
    """Print the models."""
    from thumbnet.models.registry import describe_models

    models = describe_models()
    if parsed.json:
        print(json.dumps({"models": [asdict(model) for model in models]}))
        return
    for model in models:
        print(f"{model.name:16} {model.num_params:>9,} parameters  {model.description}")


def list_recipes(parsed: argparse.Namespace) -> None:
    """Print the recipes."""
    recipes = describe_recipes()
    if parsed.json:
        print(json.dumps({"recipes": [asdict(recipe) for recipe in recipes]}))
        return
    for recipe in recipes:
        default = " (default)" if recipe.name == DEFAULT_RECIPE else ""
        print(f"{recipe.name}{default}: {recipe.model}, {recipe.epochs} epochs")
        print("".join(f"    {line}\n" for line in recipe.promise.splitlines()))


def _model(parsed: argparse.Namespace) -> Any:
    from thumbnet.models.registry import create_model

    return create_model(
        parsed.model, num_classes=parsed.num_classes, in_channels=parsed.in_channels, image_size=parsed.image_size
    )
