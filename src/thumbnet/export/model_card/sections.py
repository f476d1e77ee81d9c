"""The text of a model card, by the headings of the Hugging Face Hub's template, which follow Mitchell et al. 2019."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from thumbnet.data.white_levels import describe_white
from thumbnet.export.licence import NOT_STATED, licence_of
from thumbnet.export.model_card.facts import (
    describe_accuracy,
    describe_data,
    describe_metrics,
    hyperparameters,
    intervals_of_run,
    leaks_of_run,
    short_source,
    training_command,
    training_config,
)
from thumbnet.export.model_card.text import code, code_block
from thumbnet.export.public_card import public_card
from thumbnet.trained.shippable import Shippable


def sections(shippable: Shippable, *, files: Sequence[str], command: str) -> str:
    """All sections, in Markdown.

    Args:
        files: a line of Markdown for each exported file.
        command: the command that wrote the latest of them.
    """
    environment = Environment(  # noqa: S701  # Markdown: foreign text goes through `code`
        loader=PackageLoader("thumbnet.export.model_card", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code
    card, config = public_card(shippable.card), training_config(shippable)
    channels, height, width = card.image_shape
    metrics, intervals = card.metrics or {}, intervals_of_run(shippable)
    which = f"--pretrained {shippable.name}" if shippable.run_path is None else "--run RUN"
    return environment.get_template("card.md.jinja").render(
        shippable=shippable,
        card=card,
        config=config,
        hyperparameters={} if config is None else hyperparameters(config),
        source=short_source(card.data),
        data=describe_data(card),
        licence=licence_of(shippable),
        is_licence_stated=licence_of(shippable) != NOT_STATED,
        image=f"{'grey' if channels == 1 else 'RGB'} pictures of {width} x {height} pixels",
        white=describe_white(card.white_levels),
        width=width,
        height=height,
        accuracy=describe_accuracy(metrics["test_accuracy"], int(metrics["num_test"])) if metrics else None,
        texts=describe_metrics(metrics, intervals),
        leaks=leaks_of_run(shippable),
        things="labels" if card.has_several_labels else "classes",
        has_intervals=bool(intervals),
        start=code_block(["pip install thumbnet", f"thumbnet predict photo.jpg {which}"]),
        reproduce=code_block([training_command(shippable, config), command]),
        files=files,
    )
