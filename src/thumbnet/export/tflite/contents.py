"""A trained model as the bytes of a .tflite file."""

from __future__ import annotations

from dataclasses import replace

from thumbnet.export.public_card import public_card
from thumbnet.export.tflite.flatbuffer import graph_to_bytes
from thumbnet.export.tflite.metadata import describe, metadata_of, with_labels
from thumbnet.export.tflite.network import build_graph
from thumbnet.terminal.text import escaped
from thumbnet.trained.shippable import Shippable


def file_bytes(shippable: Shippable, *, camera: tuple[int, int] | None = None) -> bytes:
    """The file with labels and metadata, without the folders of the machine that it was trained on; equal models give
    equal bytes.

    Args:
        camera: height and width of RGB pictures that the file takes and shrinks; None: it takes the model's own.
    """
    shippable = replace(shippable, card=public_card(shippable.card))
    assert shippable.program is not None
    assert shippable.export_data is not None
    graph = build_graph(shippable.program, shippable.export_data, camera=camera, decision=shippable.card.decision)
    in_channels = shippable.card.image_shape[0] if camera is None else 3
    model = graph_to_bytes(
        graph,
        name=escaped(shippable.name),
        description=describe(shippable),
        metadata=metadata_of(shippable, in_channels=in_channels),
    )
    return with_labels(model, shippable)
