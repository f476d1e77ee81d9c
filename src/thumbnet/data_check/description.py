"""What a check of a dataset has found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_check(summary: Mapping[str, Any]) -> str:
    """The values of check.json for people, in lines."""
    agreement = f"for {summary['accuracy']:.1%} of them, models that had not seen the image predict its label"
    lines = [
        f"{summary['num_images']:,} training images of {summary['data']}; {agreement}",
        f"{summary['num_held_out']:,} images of other splits, searched for duplicates only",
    ]
    lines += [f"{kind:10} {number:>7,}{_remark(kind, summary)}" for kind, number in summary["suspects"].items()]
    if summary["models_are_weak"]:
        lines.append(
            f"Caution: the models are right on about {summary['models_accuracy']:.0%} of the images, too few to tell "
            "wrong labels from mistakes of theirs. Train longer (--epochs), or with a better recipe (--recipe)."
        )
    return "\n".join(lines)


def _remark(kind: str, summary: Mapping[str, Any]) -> str:
    if kind == "label" and summary["suspects"]["label"]:
        limit = "at most" if summary["models_are_weak"] else "about"
        return (
            f"   probably wrong labels: {limit} {summary['label_precision']:.0%} of these, which are "
            f"{summary['label_recall']:.0%} of about {summary['num_label_errors']:,.0f}"
        )
    if kind == "duplicate" and summary["duplicates"]:
        across = sum(pair["first"]["split"] != pair["second"]["split"] for pair in summary["duplicates"])
        return f"   of {len(summary['duplicates']):,} pairs in all splits, {across:,} across splits"
    return ""
