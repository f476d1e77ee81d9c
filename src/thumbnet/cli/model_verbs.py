"""The verbs that use models or tell of them: evaluate, predict, summary, graph, bench, models, recipes."""

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
    """Print the scores of a trained model."""
    from thumbnet.cli.robustness import measure
    from thumbnet.evaluation.metrics import evaluate
    from thumbnet.evaluation.tta import evaluate_views
    from thumbnet.model_card import TrainedModel, load_pretrained, load_test_data
    from thumbnet.run_dir import load_run

    trained: TrainedModel
    if parsed.pretrained is not None:
        if parsed.split != "test":
            raise ConfigError(
                f"--split {parsed.split} is given with --pretrained: which images were held out, its file does not say",
                hint="score the test split, or a run of your own",
            )
        trained = load_pretrained(parsed.pretrained)
        dataset = load_test_data(
            trained, parsed.data, data_dir=parsed.data_dir, allow_unverified=parsed.allow_unverified
        )
    else:
        trained = run = load_run(parsed.run)
        dataset = run.load_dataset(
            parsed.data, data_dir=parsed.data_dir, allow_unverified=parsed.allow_unverified or None
        )
    robustness = measure(parsed, trained, dataset) if parsed.robustness else None
    evaluation = evaluate(trained.model, dataset, parsed.split)
    values = {
        "model": trained.card.model,
        "num_params": trained.card.num_params,
        "data": dataset.source.name,
        "split": parsed.split,
        "num_images": evaluation.num_images,
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
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
        f"split: accuracy {evaluation.accuracy:.2%}, loss {evaluation.loss:.4f} ({evaluation.num_images:,} images)"
    )
    if parsed.tta:
        print(f"with test-time augmentation: accuracy {values['tta_accuracy']:.2%}")
    if robustness is not None:
        print(robustness)


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
