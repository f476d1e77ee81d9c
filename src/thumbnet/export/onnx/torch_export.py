"""Networks that are no networks of blocks, by PyTorch's exporter."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from thumbnet.data.batches import normalise
from thumbnet.errors import ExportError
from thumbnet.export.onnx.graph import BATCH, OPSET, finished
from thumbnet.export.onnx.names import IMAGES, LOGITS, PROBABILITIES
from thumbnet.export.original import load_original
from thumbnet.trained.shippable import Shippable

TRACED_BATCH = 2


class FromPixels(nn.Module):
    """A network with its preprocessing before it and a softmax behind it."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = mean, std

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities of uint8 images [N,H,W,C]."""
        logits: Tensor = self.network(normalise(images.permute(0, 3, 1, 2), self.mean, self.std))
        return logits, logits.softmax(dim=1)


def torch_graph(shippable: Shippable, *, properties: Mapping[str, str]) -> onnx.ModelProto:
    """The model as PyTorch's exporter traces it: the older exporter, which writes opset 17 and folds the norms.

    Raises:
        ExportError: it has no ONNX for an operation of the network.
    """
    card = shippable.card
    channels, height, width = card.image_shape
    network = FromPixels(load_original(shippable).model.cpu().eval(), card.mean, card.std).eval()
    names = (IMAGES, LOGITS, PROBABILITIES)
    images = torch.zeros((TRACED_BATCH, height, width, channels), dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "traced.onnx"
            warnings.simplefilter("ignore")  # that it is the older one, and of each `if` in a network's code
            torch.onnx.export(
                network,
                (images,),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=list(names[:1]),
                output_names=list(names[1:]),
                dynamic_axes={name: {0: BATCH} for name in names},
            )
            graph = onnx.load(file).graph
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ExportError(
            f"PyTorch's exporter cannot write {card.model}: {error}",
            hint="build the network of operations that ONNX has, and that do not depend on the pixels' values",
        ) from error
    graph.name = "thumbnet"
    _strip(graph)
    return finished(graph, properties)


def _strip(graph: onnx.GraphProto) -> None:
    """Without notes on where in which file an operation was written."""
    graph.ClearField("doc_string")
    graph.ClearField("metadata_props")
    for node in graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)
