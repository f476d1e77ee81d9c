"""The verbs that score a trained model: evaluate, report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thumbnet.cli.options import refuse_options
from thumbnet.cli.output import PartlyDoneError, put, put_json
from thumbnet.errors import ExtraMissingError, RunError, ThumbnetError
from thumbnet.runs.files.names import REPORT
from thumbnet.specs.evaluation import EvaluationRequest
from thumbnet.specs.extras import require_extra
from thumbnet.terminal.streams import tell
from thumbnet.terminal.text import quoted

if TYPE_CHECKING:
    from thumbnet.runs.evaluate import TrainedEvaluation
    from thumbnet.runs.folds.evaluate import FoldsEvaluation
    from thumbnet.runs.seeds.evaluate import SeedsEvaluation


def evaluate(parsed: argparse.Namespace) -> None:
    """Print the metrics of a trained model, of runs with several seeds, or of all images out of fold."""
    from thumbnet.runs.which import is_pretrained_name

    measured = {name: getattr(parsed, name) for name in ("split", "tta", "temperature", "robustness")}
    is_pretrained = parsed.pretrained is not None or is_pretrained_name(parsed.run)
    EvaluationRequest(  # refused before anything heavy is imported, read or downloaded
        has_other_data=parsed.data is not None, is_pretrained=is_pretrained, **measured
    )
    evaluation = _evaluated(parsed, measured)
    if parsed.json:
        put_json(evaluation.to_dict())
    else:
        put(evaluation)


def _evaluated(
    parsed: argparse.Namespace, measured: Mapping[str, Any]
) -> TrainedEvaluation | SeedsEvaluation | FoldsEvaluation:
    """The figures of a trained model, of runs with several seeds, or of all images out of fold."""
    from thumbnet.runs.folds.runs import is_fold_runs

    if parsed.run is not None and is_fold_runs(parsed.run):
        return _evaluated_folds(parsed)
    from thumbnet.runs.evaluate import evaluate_trained
    from thumbnet.runs.init import load_trained
    from thumbnet.runs.seeds.evaluate import evaluate_seeds
    from thumbnet.runs.seeds.runs import is_seed_runs
    from thumbnet.trained.model import load_pretrained

    place = {"data_dir": parsed.data_dir, "allow_unverified": parsed.allow_unverified or None}
    if parsed.pretrained is None and is_seed_runs(parsed.run):
        return evaluate_seeds(parsed.run, parsed.data, **place, say=tell, **measured)
    trained = load_trained(parsed.run) if parsed.pretrained is None else load_pretrained(parsed.pretrained)
    return evaluate_trained(trained, parsed.data, **place, say=tell, **measured)


def _evaluated_folds(parsed: argparse.Namespace) -> FoldsEvaluation:
    """The figures of all images out of fold, from the predictions that are kept."""
    others = () if parsed.split == "test" else ("split",)
    refuse_options(
        parsed,
        (*others, "tta", "temperature", "robustness", "data", "data_dir", "allow_unverified"),
        why=f", but {parsed.run} holds runs on several folds, whose predictions are kept",
        hint=f"leave it out, or evaluate one of the runs in {parsed.run}",
    )
    from thumbnet.runs.folds.evaluate import evaluate_folds

    return evaluate_folds(parsed.run)


def report(parsed: argparse.Namespace) -> None:
    """Write a run's report again, or open the one that is there."""
    if parsed.open:
        _open_report(parsed)
        return
    path = Path(parsed.run) / REPORT
    try:
        require_extra("train", "writing a report anew")
    except ExtraMissingError as error:
        if path.is_file():
            raise ExtraMissingError(error.message, hint=f"{error.hint}; or open {path} with --open") from error
        raise
    from thumbnet.runs.write_report import write_report

    path = write_report(
        parsed.run,
        parsed.out,
        data=parsed.data,
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified or None,
    )
    put(path)


def _open_report(parsed: argparse.Namespace) -> None:
    refuse_options(
        parsed,
        ("out", "data", "data_dir", "allow_unverified"),
        why=" with --open, which writes no report",
        hint="leave one of them out",
    )
    path = (Path(parsed.run) / REPORT).resolve()
    if not path.is_file():
        raise RunError(
            f"there is no report in {parsed.run}", hint=f"write it with: thumbnet report {quoted(parsed.run)}"
        )
    import webbrowser

    put(path)
    if not webbrowser.open(path.as_uri()):
        no_browser = ThumbnetError("no browser could be started", hint=f"open {path} in one yourself")
        raise PartlyDoneError(no_browser)
