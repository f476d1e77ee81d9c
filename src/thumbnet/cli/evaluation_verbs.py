"""The verbs that score a trained model: evaluate, report."""

from __future__ import annotations

import argparse

from thumbnet.cli.output import put, put_json
from thumbnet.specs.evaluation import EvaluationRequest
from thumbnet.terminal.streams import tell


def evaluate(parsed: argparse.Namespace) -> None:
    """Print the metrics of a trained model."""
    from thumbnet.runs.which import is_pretrained_name

    measured = {name: getattr(parsed, name) for name in ("split", "tta", "temperature", "robustness")}
    is_pretrained = parsed.pretrained is not None or is_pretrained_name(parsed.run)
    EvaluationRequest(  # refused before anything heavy is imported, read or downloaded
        has_other_data=parsed.data is not None, is_pretrained=is_pretrained, **measured
    )
    from thumbnet.runs.evaluate import evaluate_trained
    from thumbnet.runs.init import load_trained
    from thumbnet.trained.model import load_pretrained

    evaluation = evaluate_trained(
        load_trained(parsed.run) if parsed.pretrained is None else load_pretrained(parsed.pretrained),
        parsed.data,
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified or None,
        say=tell,
        **measured,
    )
    if parsed.json:
        put_json(evaluation.to_dict())
    else:
        put(evaluation)


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
