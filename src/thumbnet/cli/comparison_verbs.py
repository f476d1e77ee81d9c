"""The verb that sets runs side by side: compare."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from thumbnet.cli.options import refuse_options
from thumbnet.cli.output import put, put_json

if TYPE_CHECKING:
    from thumbnet.runs.comparison.folds import FoldsComparison
    from thumbnet.runs.comparison.runs import RunComparison
    from thumbnet.runs.comparison.seeds import SeedsComparison


def compare(parsed: argparse.Namespace) -> None:
    """Print how runs, recipes over their seeds, or recipes on the same folds compare with the first; write pictures if
    --out is given."""
    from thumbnet.runs.folds.runs import is_fold_runs

    folders = [parsed.baseline, *parsed.runs]
    if any(map(is_fold_runs, folders)):
        _compare_folds(parsed, folders)
        return
    from thumbnet.runs.comparison.runs import compare_runs
    from thumbnet.runs.comparison.seeds import compare_seeds, is_of_seeds
    from thumbnet.runs.comparison.write import write_comparison
    from thumbnet.runs.comparison.write_seeds import write_seeds_comparison
    from thumbnet.runs.seeds.runs import is_seed_runs

    source = {
        "data": parsed.data,
        "data_dir": parsed.data_dir,
        "allow_unverified": parsed.allow_unverified or None,
    }
    if is_of_seeds(folders, [is_seed_runs(folder) for folder in folders]):
        recipes = compare_seeds(folders, **source)
        if parsed.out is not None:
            write_seeds_comparison(recipes, parsed.out)
        _put(recipes, parsed)
        return
    comparison = compare_runs(folders, **source)
    if parsed.out is not None:
        write_comparison(comparison, parsed.out, **source)
    _put(comparison, parsed)


def _put(comparison: RunComparison | SeedsComparison | FoldsComparison, parsed: argparse.Namespace) -> None:
    if parsed.json:
        put_json(comparison.to_dict())
        return
    put(comparison)
    if parsed.out is not None:
        put(f"results: {parsed.out}")


def _compare_folds(parsed: argparse.Namespace, folders: list[str]) -> None:
    """Print how folders of folds compare, image by image out of fold."""
    from thumbnet.runs.comparison.folds import compare_folds

    refuse_options(
        parsed,
        ("out", "data", "data_dir", "allow_unverified"),
        why=", but folders of folds are compared by the predictions they keep",
        hint="leave it out, or compare runs in them",
    )
    _put(compare_folds(folders), parsed)
