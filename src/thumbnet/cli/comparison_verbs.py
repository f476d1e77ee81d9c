"""The verb that sets runs side by side: compare."""

from __future__ import annotations

import argparse

from thumbnet.cli.output import put, put_json


def compare(parsed: argparse.Namespace) -> None:
    """Print how runs compare with the first of them, and write pictures if --out is given."""
    from thumbnet.runs.compare import compare_runs, write_comparison

    source = {
        "data": parsed.data,
        "data_dir": parsed.data_dir,
        "allow_unverified": parsed.allow_unverified or None,
    }
    comparison = compare_runs([parsed.baseline, *parsed.runs], **source)
    if parsed.out is not None:
        write_comparison(comparison, parsed.out, **source)
    if parsed.json:
        put_json(comparison.to_dict())
        return
    put(comparison)
    if parsed.out is not None:
        put(f"results: {parsed.out}")
