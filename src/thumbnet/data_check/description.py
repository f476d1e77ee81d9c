"""What a check of a dataset has found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thumbnet.terminal.text import counted, escaped

MAX_CLASSES = 30  # in the table: those with the most suspects


def describe_check(summary: Mapping[str, Any]) -> str:
    """The values of check.json for people, in lines."""
    agreement = f"for {summary['accuracy']:.1%} of them, models that had not seen the image predict its label"
    lines = [
        f"{summary['num_images']:,} training images of {summary['data']}; {agreement}",
        f"{counted(summary['num_held_out'], 'image')} of other splits, searched for duplicates only",
    ]
    lines += [f"{kind:15} {number:>7,}{_remark(kind, summary)}" for kind, number in summary["suspects"].items()]
    if summary["models_are_weak"]:
        lines.append(
            f"Caution: the models are right on about {summary['models_accuracy']:.0%} of the images, too few to tell "
            "wrong labels from mistakes of theirs. Train longer (--epochs), or with a better recipe (--recipe)."
        )
    lines += _table(summary)
    lines += [f"Warning: {loss['warning']}" for loss in summary["warnings"]]
    return "\n".join(lines)


def _table(summary: Mapping[str, Any]) -> list[str]:
    """The suspects by class and kind, of the kinds and classes that have any."""
    kinds = [kind for kind, number in summary["suspects"].items() if number]
    by_class = summary["suspects_by_class"]
    found = [name for name, counts in by_class.items() if any(counts.values())]
    if not found:
        return []
    shown = sorted(sorted(found, key=lambda name: -sum(by_class[name].values()))[:MAX_CLASSES], key=found.index)
    rows = [["class", "images", *kinds]]
    rows += [
        [escaped(name), f"{summary['class_sizes'][name]:,}", *(f"{by_class[name][kind]:,}" for kind in kinds)]
        for name in shown
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:{widths[0]}}", *padded]))
    if len(shown) < len(found):
        lines.append(f"... and {len(found) - len(shown):,} more classes with suspects: see check.json")
    return lines


def _remark(kind: str, summary: Mapping[str, Any]) -> str:
    if kind == "label" and summary["suspects"]["label"]:
        limit = "at most" if summary["models_are_weak"] else "about"
        return (
            f"   probably wrong labels: {limit} {summary['label_precision']:.0%} of these, which are "
            f"{summary['label_recall']:.0%} of about {summary['num_label_errors']:,.0f}"
        )
    if kind in ("exact-duplicate", "duplicate"):
        pairs = [pair for pair in summary["duplicates"] if pair["is_exact"] == (kind == "exact-duplicate")]
        across = sum(pair["first"]["split"] != pair["second"]["split"] for pair in pairs)
        return f"   of {counted(len(pairs), 'pair')} in all splits, {across:,} across splits" if pairs else ""
    return ""
