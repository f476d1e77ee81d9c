"""The metadata of a .tflite file: TensorFlow Lite's own, which is a second flatbuffer (its schema, M001, is in no
package that we need, so its few tables are written here by their fields' positions), and the model's card.

The label file that the metadata names is in a zip archive that follows the model in the same file.
"""

from __future__ import annotations

import io
import json
import zipfile

import flatbuffers

from thumbnet.data.white_levels import describe_white
from thumbnet.evaluation.figure_names import or_balanced
from thumbnet.export.licence import licence_of
from thumbnet.export.tflite.labels import label_lines
from thumbnet.models.card import card_to_dict
from thumbnet.terminal.text import escaped
from thumbnet.trained.shippable import Shippable

FILE_IDENTIFIER = b"M001"
METADATA = "TFLITE_METADATA"  # the buffer's name, by which readers find it
CARD = "thumbnet"  # that of our card, as JSON in ASCII
LABELS = "labels.txt"
AXIS_LABELS = 2  # an associated file's type: labels of an output's positions
IMAGE_PROPERTIES = 2  # of the union of contents
SCORE_THRESHOLDING = 3  # of the union of options of a unit of processing
RGB, GREY = 1, 2
MIN_PARSER_VERSION = "1.0.0"
DATE = (1980, 1, 1, 0, 0, 0)  # of the zip's files: equal models give equal bytes
AUTHOR = "trained with thumbnet"


def metadata_of(shippable: Shippable, *, in_channels: int) -> dict[str, bytes]:
    """The buffers of metadata by name; `in_channels` are those of the pictures that the file takes."""
    card = json.dumps(card_to_dict(shippable.card), allow_nan=False, separators=(",", ":"))
    return {METADATA: _model_metadata(shippable, in_channels), CARD: card.encode("ascii")}


def describe(shippable: Shippable) -> str:
    """A line about the model."""
    card = shippable.card
    channels, height, width = card.image_shape
    accuracy = ""
    if card.metrics is not None and "test_accuracy" in card.metrics:
        balanced = or_balanced(card.metrics["test_accuracy"], card.metrics.get("test_balanced_accuracy"))
        accuracy = f"; accuracy before quantisation {card.metrics['test_accuracy']:.2%}{balanced}"
    kind = "RGB" if channels == 3 else "grey"
    if card.fit == "letterbox":
        kind = f"letterboxed {kind}"
    return escaped(
        f"{shippable.name}: {len(card.class_names)} classes, {card.num_params:,} parameters, trained on "
        f"{kind} pictures of {width}x{height} pixels of {card.data_description}{accuracy}"
    )


def moved_note(shippable: Shippable) -> str:
    """Said of the probabilities of a model with a threshold, or of one that may be unsure."""
    decision, unsure = shippable.card.decision, shippable.card.unsure
    if unsure is not None:
        return f", and the model is unsure where none of them is at least {unsure.confidence:.4g}"
    if decision is None:
        return ""
    return f", moved so that one half stands for the model's threshold of {decision.threshold:.4g}"


def with_labels(model: bytes, shippable: Shippable) -> bytes:
    """A .tflite file followed by a zip archive with the label file: any unzip finds it."""
    archive = io.BytesIO(model)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as file:
        entry = zipfile.ZipInfo(LABELS, DATE)
        entry.external_attr = 0o644 << 16
        file.writestr(entry, label_lines(shippable.card.class_names))
    return archive.getvalue()


def _model_metadata(shippable: Shippable, in_channels: int) -> bytes:
    white = describe_white(shippable.card.white_levels)
    white = f"; {white}" if white else ""
    builder = flatbuffers.Builder(1024)
    labels = _table(
        builder,
        4,
        {0: builder.CreateString(LABELS), 1: builder.CreateString("the class of each position")},
        {2: AXIS_LABELS},
    )
    classes = _table(
        builder,
        7,
        {
            0: builder.CreateString("probability"),
            1: builder.CreateString(f"The probability of each class, 0 to 255 for 0 to 1{moved_note(shippable)}."),
            **_thresholding(builder, shippable),
            6: _tables(builder, labels),
        },
    )
    properties = _table(builder, 2, {}, {0: RGB if in_channels == 3 else GREY})
    content = _table(builder, 3, {1: properties}, {0: IMAGE_PROPERTIES})
    image = _table(
        builder,
        7,
        {
            0: builder.CreateString("image"),
            1: builder.CreateString(f"A picture's pixels, 0 to 255; the normalisation is inside{white}."),
            3: content,
        },
    )
    network = _table(builder, 7, {2: _tables(builder, image), 3: _tables(builder, classes)})
    texts = {
        0: escaped(shippable.name),
        1: describe(shippable),
        4: AUTHOR,
        5: licence_of(shippable),
        7: MIN_PARSER_VERSION,
    }
    fields = {position: builder.CreateString(text) for position, text in texts.items()}
    fields[3] = _tables(builder, network)
    builder.Finish(_table(builder, 8, fields), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _thresholding(builder: flatbuffers.Builder, shippable: Shippable) -> dict[int, int]:
    """The field of an output's units of processing, which readers of the metadata obey: classes below the confidence
    are no answer. None where the model is never unsure."""
    unsure = shippable.card.unsure
    if unsure is None:
        return {}
    builder.StartObject(1)
    builder.PrependFloat32Slot(0, unsure.confidence, 0.0)
    options: int = builder.EndObject()
    return {4: _tables(builder, _table(builder, 2, {1: options}, {0: SCORE_THRESHOLDING}))}


def _table(
    builder: flatbuffers.Builder, num_fields: int, offsets: dict[int, int], numbers: dict[int, int] | None = None
) -> int:
    """A table with texts, tables and vectors by their offsets, and numbers of a byte, by their fields' positions."""
    builder.StartObject(num_fields)
    for position, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(position, offset, 0)
    for position, number in (numbers or {}).items():
        builder.PrependInt8Slot(position, number, 0)
    end: int = builder.EndObject()
    return end


def _tables(builder: flatbuffers.Builder, table: int) -> int:
    """A vector of one table."""
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(table)
    end: int = builder.EndVector()
    return end
