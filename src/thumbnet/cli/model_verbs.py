"""The verbs that use or list models: summary, graph, bench, models, recipes."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thumbnet.cli.options import image_size_of
from thumbnet.cli.output import put, put_json, write_file
from thumbnet.errors import ConfigError
from thumbnet.recipes import DEFAULT_RECIPE, describe_recipes
from thumbnet.specs.sizes import Sides, as_sides
from thumbnet.terminal.streams import tell
from thumbnet.terminal.text import counted


def summary(parsed: argparse.Namespace) -> None:
    """Print a model's layers."""
    from thumbnet.views.summary import summarize

    summary = summarize(_model(parsed), (parsed.in_channels, *_sides(parsed)))
    put_json(summary.to_dict()) if parsed.json else put(summary)


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
    drawing = draw_graph(_model(parsed), (parsed.in_channels, *_sides(parsed)), chosen)
    if parsed.out is None:
        put(drawing)
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
        say=tell,
    )
    put_json(bench.to_dict()) if parsed.json else put(f"{bench}\n{bench.layer_table()}" if parsed.layers else bench)


def list_models(parsed: argparse.Namespace) -> None:
    """Print the models."""
    from thumbnet.models.registry import describe_models

    models = describe_models()
    if parsed.json:
        put_json({"models": [asdict(model) for model in models]})
        return
    for model in models:
        put(f"{model.name:16} {model.num_params:>9,} parameters  {model.description}")


def list_recipes(parsed: argparse.Namespace) -> None:
    """Print the recipes."""
    recipes = describe_recipes()
    if parsed.json:
        put_json({"recipes": [asdict(recipe) for recipe in recipes]})
        return
    for recipe in recipes:
        default = " (default)" if recipe.name == DEFAULT_RECIPE else ""
        length = counted(recipe.epochs, "epoch") if recipe.minutes is None else counted(recipe.minutes, "minute")
        put(f"{recipe.name}{default}: {recipe.model}, {length}")
        put("".join(f"    {line}\n" for line in recipe.promise.splitlines()))


def _model(parsed: argparse.Namespace) -> Any:
    from thumbnet.models.registry import create_with_options, resolved_options

    sides = _sides(parsed)
    return create_with_options(
        parsed.model,
        resolved_options(parsed.model, {}, sides=sides),
        num_classes=parsed.num_classes,
        in_channels=parsed.in_channels,
        image_size=sides,
        seed=None,
    )


def _sides(parsed: argparse.Namespace) -> Sides:
    size = image_size_of(parsed.image_size)
    if size == "auto":
        raise ConfigError('image_size is "auto", but there is no data', hint="give a side in pixels, or [height,width]")
    return as_sides(size)
