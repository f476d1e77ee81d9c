"""One call from a run, or a pretrained model, to a checked export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from thumbnet.errors import ConfigError, ExportError
from thumbnet.export.check_images import find_data, held_out_images, images_of, sample_images, with_export_data
from thumbnet.export.formats import FORMATS, ExportFormat
from thumbnet.export.licence import with_licence
from thumbnet.export.model_card.facts import training_config
from thumbnet.export.model_card.write import NAME, choose_card_path, export_command, write_model_card
from thumbnet.export.paths import choose_path, made_parent
from thumbnet.export.request import MAX_DROP, ExportRequest, ExportResult, Say
from thumbnet.models.unknown import UNKNOWN
from thumbnet.models.unsure import UNSURE
from thumbnet.runs.shippable import load_shippable
from thumbnet.specs.extras import require_extra
from thumbnet.specs.trust import takes_trust
from thumbnet.trained.shippable import Shippable

if TYPE_CHECKING:
    from thumbnet.data.dataset import Dataset


@takes_trust
def export_model(
    run_or_name: str | Path,
    format: str,  # noqa: A002  # as the command calls it
    *,
    out: str | Path | None = None,
    max_drop: float | None = None,
    target: str | None = None,
    licence: str | None = None,
    data: str | None = None,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    trust_code: bool = False,
    say: Say = lambda text: None,
) -> ExportResult:
    """Write a trained model so that it works elsewhere, after checking what was written against it.

    Args:
        run_or_name: a run folder, or the name of a trained model of the package; an existing folder wins.
        format: one of `onnx`, `onnx-int8`, `tflite`, `c` and `html`, or a registered one.
        out: the file, or its folder; for `c` the folder; None: exports/<name>/<name> with the format's ending.
        max_drop: the most accuracy (a fraction) that quantisation may cost, judged on validation images, or on training
            images that were not used for calibration; None: 0.005 and a standard error. Refused by formats that
            do not quantise.
        target: for tflite, `frigate` or `openmv`: the folder that these read.
        licence: of a run's model, as an SPDX identifier such as `CC-BY-4.0`; None: not stated. The package's models are
            under MIT.
        data, data_dir, allow_unverified: where the model's own data is, as in `load_dataset`. Without them a run's data
            is taken where its config says; if it is not there, and for a trained model of the package, the sample
            pictures that come with the model are checked instead of a split.
        trust_code: as in `load_run`.
        say: gets sentences for people.

    Raises:
        ConfigError: an argument is wrong. ExportError: this format cannot take the model, or what was written does not
            do what the model does. ExtraMissingError: a package is not installed. RunError, DataError: the run or the
            data cannot be used.
    """
    chosen = FORMATS[format]
    _check_options(format, chosen, max_drop=max_drop, target=target)
    shippable = with_licence(load_shippable(run_or_name), licence)
    _check_takes(format, chosen, shippable)
    _check_installed(format, chosen)
    dataset = find_data(shippable, data, data_dir=data_dir, allow_unverified=allow_unverified, say=say)
    return export_shippable(shippable, format, out=out, max_drop=max_drop, target=target, dataset=dataset, say=say)


def export_shippable(
    shippable: Shippable,
    format: str,  # noqa: A002
    *,
    out: str | Path | None = None,
    max_drop: float | None = None,
    target: str | None = None,
    dataset: Dataset | None = None,
    say: Say = lambda text: None,
) -> ExportResult:
    """`export_model` for a model that is read already, with its own data; None: it is checked on its samples."""
    chosen = FORMATS[format]
    _check_options(format, chosen, max_drop=max_drop, target=target)
    _check_takes(format, chosen, shippable)
    _check_installed(format, chosen)
    if shippable.card.unsure is not None and not chosen.obeys_decisions:
        say(f"{format} answers with a class where the model is {UNSURE}: it does not say that it obeys such rules")
    is_folder = chosen.is_folder or target is not None
    suffix = chosen.suffix if target is None else f"-{target}"
    path = choose_path(out, name=shippable.name, suffix=suffix, is_folder=is_folder)
    card_path = choose_card_path(shippable, path, is_folder=is_folder)
    if card_path.name != NAME:
        say(f"the model card is {card_path}, since {NAME} there is not this model's")
    shippable = with_export_data(shippable, dataset)
    held_out = None if dataset is None else held_out_images(shippable, dataset)
    request = ExportRequest(
        shippable=shippable,
        out=path,
        max_drop=max_drop,
        held_out=held_out,
        test=sample_images(shippable) if dataset is None else images_of(shippable, dataset.test, "test images"),
        has_data=dataset is not None,
        target=target,
        say=say,
    )
    training_config(shippable)  # which the card tells: if it cannot be read, nothing is written
    if chosen.is_quantised and held_out is None:
        say("what int8 costs in accuracy is not judged: that needs images that were not trained on (--data)")
    with made_parent(path):
        result = replace(chosen.write(request), metrics=shippable.card.metrics, model_card=card_path)
        _say_what_was_allowed(result, request)
        command = export_command(shippable, format, max_drop=max_drop, target=target)
        write_model_card(shippable, result, card_path, usage=chosen.usage, command=command)
    return result


def _say_what_was_allowed(result: ExportResult, request: ExportRequest) -> None:
    """A drop above MAX_DROP that may be chance."""
    if request.max_drop is None and request.held_out is not None and result.checks[0].costs_more_than(MAX_DROP):
        drop, error = 100 * result.checks[0].drop, 100 * result.checks[0].drop_error
        request.say(
            f"it costs {drop:.2f} points of accuracy on {request.held_out.description} (standard error {error:.2f}): "
            f"not certainly more than {100 * MAX_DROP:g}. To be strict, give --max-drop"
        )


def _check_options(name: str, chosen: ExportFormat, *, max_drop: float | None, target: str | None) -> None:
    if max_drop is not None and not chosen.is_quantised:
        raise ConfigError(
            f"max_drop is given, but {name} does not quantise: it loses nothing", hint="leave --max-drop out"
        )
    if max_drop is not None and not 0 <= max_drop <= 1:
        raise ConfigError(f"max_drop is {max_drop}", hint="give a fraction from 0 to 1, for instance 0.005")
    if target is not None and target not in chosen.targets:
        fitting = ", ".join(f"{known} ({other})" for other in FORMATS for known in FORMATS[other].targets)
        raise ConfigError(f"{name} is not written for {target!r}", hint=f"leave --for out, or choose one of {fitting}")


def _check_installed(name: str, chosen: ExportFormat) -> None:
    """ExtraMissingError now, not after all images were read and scored."""
    if chosen.extra is not None:
        require_extra(chosen.extra, f"the format {name}")


def _check_takes(name: str, chosen: ExportFormat, shippable: Shippable) -> None:
    if shippable.program is None and not chosen.takes_any_model:
        raise ExportError(
            f"{shippable.card.model} cannot be exported to {name}, which takes {chosen.takes}",
            hint="export it to onnx, which takes any model, or train one of those",
        )
    if shippable.card.has_several_labels and not chosen.takes_several_labels:
        taking = ", ".join(each for each in FORMATS.without_packages() if FORMATS[each].takes_several_labels)
        raise ExportError(
            f"the model's pictures may have several labels, and {name} would answer with the likeliest one alone",
            hint=f"export it to one that has all labels: {taking}",
        )
    if shippable.card.unknown is not None and not chosen.says_unknown:
        saying = ", ".join(each for each in FORMATS.without_packages() if FORMATS[each].says_unknown)
        raise ExportError(
            f"the model's answer may be {UNKNOWN!r}, and {name} would answer with a class instead",
            hint=f'{f"export it to one that says so: {saying}; or " if saying else ""}train with unknown = "off"',
        )
    if shippable.card.decision is not None and not chosen.obeys_decisions:
        obeying = ", ".join(each for each in FORMATS.without_packages() if FORMATS[each].obeys_decisions)
        raise ExportError(
            f"the model answers by a threshold, and {name} would answer with the likelier class instead",
            hint=f"export it to one that obeys: {obeying}; or train without a threshold",
        )
