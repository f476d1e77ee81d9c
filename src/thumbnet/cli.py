"""The command `thumbnet`: parse, call, print; no logic. What is heavy is imported when a verb needs it.

Results go to stdout, progress and messages to stderr. Exit code 2 is a user's error, 130 an interruption.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thumbnet import __version__
from thumbnet.config import DEVICES, PRECISIONS, TrainConfig
from thumbnet.errors import ConfigError, ThumbnetError
from thumbnet.recipes import DEFAULT_RECIPE, describe_recipes, load_recipe

DEFAULT_PRETRAINED = "sprint"
RECIPE_OPTIONS = (
    "model",
    "init",
    "data",
    "data_dir",
    "allow_unverified",
    "epochs",
    "batch_size",
    "lr",
    "seed",
    "device",
)
RESUME_OPTIONS = ("data_dir", "device", "log_style")  # all others are taken from the run that goes on


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parsed = build_parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], None] = parsed.verb
    try:
        verb(parsed)
    except ThumbnetError as error:
        print(f"thumbnet: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("thumbnet: interrupted", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of every verb; each sets `verb` to the function that carries it out."""
    parser = argparse.ArgumentParser(
        prog="thumbnet", description="Train, understand and ship image classifiers under 200,000 parameters."
    )
    parser.add_argument("--version", action="version", version=f"thumbnet {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    train = _add_verb(verbs, "train", _train, "train a model and leave a run folder")
    _add_recipe_options(train)
    place = train.add_mutually_exclusive_group()
    place.add_argument("--run-dir", metavar="DIR", help="a new or empty folder (default: runs/<recipe>-<n>)")
    place.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped")
    train.add_argument("--init", metavar="NAME_OR_RUN", help="begin with trained weights, under a new head")
    train.add_argument("--seeds", metavar="N", type=int, help="train with N seeds, from --seed on, a run folder each")
    train.add_argument("--log-style", choices=("auto", "reference", "silent"), help="how to tell of the progress")

    evaluate = _add_verb(verbs, "evaluate", _evaluate, "score a run's model on a split")
    which = evaluate.add_mutually_exclusive_group(required=True)
    which.add_argument("run", metavar="RUN", nargs="?", help="a run folder")
    which.add_argument("--pretrained", metavar="NAME", help="a model whose weights come with the package")
    evaluate.add_argument("--tta", action="store_true", help="score the mean of several views, too")
    evaluate.add_argument("--split", choices=("test", "val", "train"), default="test", help="default: test")
    _add_data_options(evaluate, "the run's own")
    _add_json(evaluate)

    predict = _add_verb(verbs, "predict", _predict, "say what is in pictures")
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="picture files of any size")
    whose = predict.add_mutually_exclusive_group()
    whose.add_argument("--run", metavar="RUN", help="the run folder whose model to use")
    whose.add_argument("--pretrained", metavar="NAME", help=f"a model of the package (default: {DEFAULT_PRETRAINED})")
    _add_json(predict)

    summary = _add_verb(verbs, "summary", _summary, "list a model's layers, parameters and cost")
    _add_model_options(summary)
    _add_json(summary)

    graph = _add_verb(verbs, "graph", _graph, "draw a model as a graph")
    _add_model_options(graph)
    graph.add_argument("--format", choices=("svg", "png", "dot"), help="default: that of --out's name, else svg")
    graph.add_argument("--out", metavar="FILE", help="where to write it (default: stdout; png needs a file)")

    find_lr = _add_verb(verbs, "find-lr", _find_lr, "find a learning rate for a recipe")
    _add_recipe_options(find_lr)
    find_lr.add_argument("--plot", metavar="FILE", help="draw the trial as a PNG, too")
    _add_json(find_lr)

    bench = _add_verb(verbs, "bench", _bench, "measure this machine, the models' speed and what the recipes take")
    bench.add_argument("--models", metavar="NAME", nargs="*", help="default: all of them")
    bench.add_argument("--recipes", metavar="NAME", nargs="*", help="names or .toml files (default: all of them)")
    bench.add_argument("--batch-size", type=int, default=128, help="images a step, for the models (default: 128)")
    bench.add_argument("--precision", choices=PRECISIONS, default="auto", help="for the models (default: auto)")
    bench.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")
    _add_json(bench)

    _add_data_verbs(verbs)
    _add_json(_add_verb(verbs, "models", _models, "list the models"))
    _add_json(_add_verb(verbs, "recipes", _recipes, "list the recipes and what they promise"))
    return parser


def _add_data_verbs(verbs: Any) -> None:
    data = verbs.add_parser("data", help="look at a dataset, or fetch it")
    parts = data.add_subparsers(title="verbs", metavar="VERB", required=True)
    info = _add_verb(parts, "info", _data_info, "what a dataset holds")
    _add_data_options(info, "auto")
    _add_split_options(info)
    _add_json(info)
    prepare = _add_verb(parts, "prepare", _data_prepare, "download CIFAR-10 if it is not there, and verify it")
    _add_data_options(prepare, "cifar10")
    preview = _add_verb(parts, "preview", _data_preview, "draw a batch before and after augmentation")
    _add_data_options(preview, "auto")
    preview.add_argument("--augmentation", metavar="POLICY", default="crop-flip", help="default: crop-flip")
    preview.add_argument("--seed", type=int, default=0, help="of the batch and its augmentation (default: 0)")
    preview.add_argument("--out", metavar="FILE", default="preview.png", help="default: preview.png")


def _train(parsed: argparse.Namespace) -> None:
    from thumbnet.run import resume, train
    from thumbnet.seeds import is_seed_runs, resume_seeds, train_seeds
    from thumbnet.training.progress import LogStyle

    log_style: LogStyle = parsed.log_style or "auto"
    try:
        if parsed.resume is not None:
            _refuse_options_of_resume(parsed)
            go_on = resume_seeds if is_seed_runs(parsed.resume) else resume
            done = go_on(parsed.resume, data_dir=parsed.data_dir, device=parsed.device, log_style=log_style)
        elif parsed.seeds is not None:
            done = train_seeds(
                _recipe_config(parsed), num_seeds=parsed.seeds, run_dir=parsed.run_dir, log_style=log_style
            )
        else:
            done = train(_recipe_config(parsed), run_dir=parsed.run_dir, log_style=log_style)
    except KeyboardInterrupt:
        print("\nStopped. The last finished epoch is kept; go on with: thumbnet train --resume RUN", file=sys.stderr)
        raise
    metrics = done.metrics
    if "n" in metrics:
        deviation = metrics["test_accuracy_std"]
        spread = "" if deviation is None else f" ± {deviation:.2%}"
        print(
            f"test accuracy {metrics['test_accuracy']:.2%}{spread} (n = {metrics['n']}, seeds "
            f"{', '.join(map(str, metrics['seeds']))}), {metrics['train_s']:.0f} s of training each"
        )
    else:
        print(
            f"test accuracy {metrics['test_accuracy']:.2%} ({metrics['num_test']:,} images of {metrics['data']}) "
            f"after {metrics['epochs']} epochs, {metrics['train_s']:.0f} s of training"
        )
    print(f"results: {done.path}")


def _evaluate(parsed: argparse.Namespace) -> None:
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
    if parsed.json:
        print(json.dumps(values))
        return
    print(
        f"{trained.card.model} ({trained.card.num_params:,} parameters) on {dataset.source.name}, {parsed.split} "
        f"split: accuracy {evaluation.accuracy:.2%}, loss {evaluation.loss:.4f} ({evaluation.num_images:,} images)"
    )
    if parsed.tta:
        print(f"with test-time augmentation: accuracy {values['tta_accuracy']:.2%}")


def _predict(parsed: argparse.Namespace) -> None:
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


def _summary(parsed: argparse.Namespace) -> None:
    from thumbnet.views.summary import summarize

    summary = summarize(_model(parsed), (parsed.in_channels, parsed.image_size, parsed.image_size))
    print(json.dumps(summary.to_dict()) if parsed.json else summary)


def _graph(parsed: argparse.Namespace) -> None:
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
        _write_file(parsed.out, lambda path: write_atomically(path, drawing))


def _find_lr(parsed: argparse.Namespace) -> None:
    from thumbnet.run import find_recipe_lr
    from thumbnet.views.curves import draw_lr_trial
    from thumbnet.views.figure import save_figure

    trial = find_recipe_lr(_recipe_config(parsed))
    if parsed.plot is not None:
        _write_file(parsed.plot, lambda path: save_figure(draw_lr_trial(trial), path))
    print(json.dumps({"lr": trial.lr}) if parsed.json else f"lr {trial.lr:.3g}")


def _bench(parsed: argparse.Namespace) -> None:
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


def _data_info(parsed: argparse.Namespace) -> None:
    from thumbnet.data.sources import load_dataset

    dataset = load_dataset(
        parsed.data or "auto",
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified,
        image_size=parsed.image_size,
        val_fraction=parsed.val_fraction,
        split_seed=parsed.split_seed,
    )
    values = {
        "source": dataset.source.name,
        "num_train": len(dataset.train),
        "num_val": 0 if dataset.val is None else len(dataset.val),
        "num_test": len(dataset.test),
        "class_names": dataset.class_names,
        "image_shape": dataset.image_shape,
        "mean": dataset.mean,
        "std": dataset.std,
        "verified": dataset.source.verified,
    }
    if dataset.source.note:
        print(dataset.source.note, file=sys.stderr)
    if parsed.json:
        print(json.dumps(values))
        return
    print(dataset.source.description)
    for name, value in values.items():
        print(f"{name:12} {_plain(value)}")


def _data_prepare(parsed: argparse.Namespace) -> None:
    from thumbnet.data.sources import data_folder, prepare_cifar10

    if parsed.data not in (None, "cifar10"):
        raise ConfigError(f"{parsed.data!r} needs no preparation", hint="only cifar10 is downloaded")
    splits = prepare_cifar10(parsed.data_dir, allow_unverified=parsed.allow_unverified)
    print(f"{splits.source.description}\n{data_folder(parsed.data_dir)}")


def _data_preview(parsed: argparse.Namespace) -> None:
    from thumbnet.views.figure import save_figure
    from thumbnet.views.preview import preview_augmentation

    figure = preview_augmentation(
        parsed.data or "auto",
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified,
        augmentation=parsed.augmentation,
        seed=parsed.seed,
    )
    _write_file(parsed.out, lambda path: save_figure(figure, path))


def _models(parsed: argparse.Namespace) -> None:
    from thumbnet.models.registry import describe_models

    models = describe_models()
    if parsed.json:
        print(json.dumps({"models": [asdict(model) for model in models]}))
        return
    for model in models:
        print(f"{model.name:16} {model.num_params:>9,} parameters  {model.description}")


def _recipes(parsed: argparse.Namespace) -> None:
    recipes = describe_recipes()
    if parsed.json:
        print(json.dumps({"recipes": [asdict(recipe) for recipe in recipes]}))
        return
    for recipe in recipes:
        default = " (default)" if recipe.name == DEFAULT_RECIPE else ""
        print(f"{recipe.name}{default}: {recipe.model}, {recipe.epochs} epochs")
        print("".join(f"    {line}\n" for line in recipe.promise.splitlines()))


def _add_verb(
    verbs: Any, name: str, verb: Callable[[argparse.Namespace], None], description: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    parser.set_defaults(verb=verb)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_data_options(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help=f"auto, cifar10, cifar100, digits, folder:PATH or npz:FILE (default: {default})",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where CIFAR is, or goes (default: THUMBNET_DATA, else the cache folder)"
    )
    parser.add_argument(
        "--allow-unverified", action="store_true", help="accept files that differ from the official ones"
    )


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image-size", type=int, default=32, help="side that a folder's images get (default: 32)")
    parser.add_argument("--val-fraction", type=float, default=0.1, help="held out for validation (default: 0.1)")
    parser.add_argument("--split-seed", type=int, default=0, help="of the held-out images (default: 0)")


def _add_recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", metavar="NAME", help=f"a recipe or a .toml file (default: {DEFAULT_RECIPE})")
    parser.add_argument("--model", metavar="NAME", help="another model than the recipe's")
    parser.add_argument("--epochs", type=int, help="passes over the training images")
    parser.add_argument("--batch-size", type=int, help="images a step")
    parser.add_argument("--lr", type=float, help="base learning rate")
    parser.add_argument("--seed", type=int, help="of weights, shuffling, augmentation and dropout")
    parser.add_argument("--device", choices=DEVICES, help="default: auto")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", dest="settings", help="any other field of the recipe; repeatable"
    )
    _add_data_options(parser, "the recipe's, auto as a rule")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a name that `thumbnet models` lists")
    parser.add_argument("--num-classes", type=int, default=10, help="default: 10")
    parser.add_argument("--in-channels", type=int, default=3, help="1 or 3 (default: 3)")
    parser.add_argument("--image-size", type=int, default=32, help="side in pixels (default: 32)")


def _recipe_config(parsed: argparse.Namespace) -> TrainConfig:
    options = {name: getattr(parsed, name, None) for name in RECIPE_OPTIONS}
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    return load_recipe(parsed.recipe or DEFAULT_RECIPE, options=given, settings=parsed.settings or ())


def _refuse_options_of_resume(parsed: argparse.Namespace) -> None:
    for name in ("recipe", "settings", "seeds", *RECIPE_OPTIONS):
        if name not in RESUME_OPTIONS and getattr(parsed, name) not in (None, False):
            option = "--set" if name == "settings" else f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option} cannot be given with --resume: the run goes on with its own config",
                hint=f"leave {option} out, or begin a new run",
            )


def _model(parsed: argparse.Namespace) -> Any:
    from thumbnet.models.registry import create_model

    return create_model(
        parsed.model, num_classes=parsed.num_classes, in_channels=parsed.in_channels, image_size=parsed.image_size
    )


def _write_file(name: str, write: Callable[[Path], None]) -> None:
    try:
        write(Path(name))
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be written: {error}", hint="name a file in a folder that you may write"
        ) from error
    print(name)


def _plain(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(f"{item:.4f}" if isinstance(item, float) else str(item) for item in value)
    return str(value)
