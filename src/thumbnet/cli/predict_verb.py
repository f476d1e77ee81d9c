"""The verb predict: pictures, folders and patterns in; classes out, as text, JSON or CSV, picture by picture."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from thumbnet.cli.output import PartlyDoneError
from thumbnet.cli.prediction_output import writer_for
from thumbnet.cli.stdin import STDIN, stdin_as_file
from thumbnet.errors import ConfigError, ImageError
from thumbnet.terminal.streams import tell
from thumbnet.terminal.text import counted, quoted

if TYPE_CHECKING:
    from thumbnet.cli.predicting_model import PredictingModel
    from thumbnet.evaluation.sorted_pictures import PictureSorter
    from thumbnet.trained.predictor import Predictor

DEFAULT_PRETRAINED = "thumb-200k"  # the most accurate of them
SORT_HINT = "sort into a folder that you may write, on a disk with room"
RUNTIME_FROM = 300  # pictures: from there on ONNX Runtime makes up for its import


def predict(parsed: argparse.Namespace) -> None:
    """Print a trained model's predictions of pictures; what cannot be read or sorted is named at the end."""
    _check_options(parsed)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's own threads would be in the way of ours
    from thumbnet.data.picture_files import find_pictures
    from thumbnet.data.unreadable import unreadable_error

    sort_into = None if parsed.sort_into is None else Path(parsed.sort_into)
    unreadable: list[tuple[str, ImageError]] = []
    unsorted: list[ImageError] = []
    with stdin_as_file(parsed.images) as (names, name_of):

        def report(name: str, error: ImageError) -> None:
            shown = name_of(name)
            if shown != name:  # a temporary file's, which tells nobody anything
                error = ImageError(error.message.replace(name, "the picture from stdin"), hint=error.hint)
            unreadable.append((shown, error))

        paths = find_pictures(names, left_out=sort_into, on_unreadable=report)
        num_names = len(paths) + len(unreadable)
        predictor, model = _load_predictor(parsed, len(paths))
        sorter = None if sort_into is None else _sorter(parsed, sort_into, predictor)
        card = predictor.card
        writer = writer_for(
            parsed, min(parsed.top, len(card.class_names)), has_several_labels=card.label_decision is not None
        )
        writer.begin(model)
        predictions = predictor.stream(
            paths,
            num_top=parsed.top,
            batch_size=parsed.batch_size,
            on_unreadable=report,
        )
        for prediction in predictions:
            writer.put(prediction, name_of(prediction.path))
            if sorter is not None:
                try:
                    sorter.add(prediction.path, prediction.class_name, other_answer=prediction.other_answer)
                except ImageError as error:
                    unsorted.append(error)
        writer.end(unreadable)
    if sorter is not None:
        tell(f"{counted(sorter.num_sorted, 'picture')} {'linked' if parsed.link else 'copied'} into {sort_into}")
    errors = [error for _, error in unreadable]
    if len(errors) == num_names:
        raise unreadable_error(errors, len(errors), hint="give other pictures")
    failures = []
    if errors:
        failures.append(unreadable_error(errors, num_names, hint="the others are predicted"))
    if unsorted:
        failures.append(
            unreadable_error(unsorted, num_names - len(errors), hint=SORT_HINT, trouble="pictures are not sorted")
        )
    if failures:
        both = ImageError("\n".join(error.message for error in failures), hint=failures[-1].hint)
        raise PartlyDoneError(both)


def _check_options(parsed: argparse.Namespace) -> None:
    """Refuse what cannot be done before anything is imported or read."""
    for option, value in (("--top", parsed.top), ("--batch-size", parsed.batch_size)):
        if value < 1:
            raise ConfigError(f"{option} is {value}", hint="give 1 or more")
    if parsed.sort_into is None:
        if parsed.copy or parsed.link:
            raise ConfigError(
                f"{'--copy' if parsed.copy else '--link'} is given without --sort-into", hint="say where with it"
            )
    elif STDIN in parsed.images:
        raise ConfigError("a picture from stdin has no name to be sorted under", hint="give its file")


def _sorter(parsed: argparse.Namespace, folder: Path, predictor: Predictor) -> PictureSorter:
    from thumbnet.evaluation.sorted_pictures import PictureSorter

    if predictor.card.label_decision is not None:
        raise ConfigError(
            "--sort-into is given, but the model's pictures may have several labels: a picture has no one folder",
            hint="take --csv, which has a column labels",
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, but pictures are to be sorted into it", hint="name a folder")
    card = predictor.card
    return PictureSorter(folder, card.class_names, links=parsed.link, other_answers=card.other_answers)


def _load_predictor(parsed: argparse.Namespace, num_pictures: int) -> tuple[Predictor, PredictingModel]:
    """By --model, --run or --pretrained, with the model's name. Many pictures are predicted by ONNX Runtime where it is
    installed."""
    from thumbnet.cli.predicting_model import PredictingModel

    if parsed.model is not None:
        from thumbnet.export.exported import load_exported

        exported = load_exported(parsed.model)
        return exported, PredictingModel(parsed.model, exported.card)
    from thumbnet.runs.predict import shippable_predictor
    from thumbnet.runs.shippable import load_shippable
    from thumbnet.trained.shippable import load_pretrained_shippable

    if parsed.run is not None:
        shippable = load_shippable(parsed.run)
    else:
        if parsed.pretrained is None:
            _mention_own_run()
        shippable = load_pretrained_shippable(parsed.pretrained or DEFAULT_PRETRAINED)
    name = parsed.run or shippable.name
    model = PredictingModel(name, shippable.card, comes_with_package=shippable.run_path is None)
    if shippable.program is not None and num_pictures >= RUNTIME_FROM:
        from thumbnet.specs.extras import missing_packages

        if not missing_packages("onnx", packages=["onnx", "onnxruntime"]):
            from thumbnet.export.onnx.quick import runtime_predictor

            return runtime_predictor(shippable.card, shippable.program), model
    return shippable_predictor(shippable), model


def _mention_own_run() -> None:
    """Where no model is named beside runs of the user's, say how to take one of these."""
    from thumbnet.cli.predicting_model import newest_run

    run = newest_run()
    if run is not None:
        tell(f"{run.parts[0]}/ holds models of your own: the newest one predicts with --run {quoted(run)}")
