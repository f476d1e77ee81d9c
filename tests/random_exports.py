"""Untrained networks of blocks with lively norms, as requests of an export, without a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.evaluation.export_data import collect_export_data
from thumbnet.export.request import CheckImages, ExportRequest
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.card import ModelCard
from thumbnet.models.sprint import SprintNet
from thumbnet.trained.shippable import Shippable, build_program

NUM_IMAGES = 40
NUM_TRAIN = 200  # their maps' ranges are measured
MEAN, STD = (0.4, 0.5, 0.6), (0.3, 0.2, 0.1)

# Name: blocks (after a stem and a colon, if it is another), whether it is sprint's kind (no shortcuts, no padding), the
# images' shape, the number of classes.
KINDS = {
    "separable": ("b8 b24 b24p b24d2 b24", False, (3, 16, 16), 4),
    "plain": ("c8 c8x2 c16p", False, (3, 16, 16), 4),
    "strided": ("b8s b8 c12s c12", False, (3, 13, 10), 4),
    "sprint": ("c8s c8 c16p c16", True, (3, 16, 16), 4),
    "one channel": ("c8p b8 b8", False, (1, 16, 16), 4),
    "48x40": ("b8p b8 b8d3", False, (3, 48, 40), 4),
    "100 classes": ("c8p b16p b16", False, (3, 12, 12), 100),
    "stem": ("w4s2: b8 b12p b12", False, (3, 30, 23), 4),
    "stem without overlap": ("w7s7: c8s c12", True, (1, 66, 50), 4),
    "smallest": ("b8p b8p b8p", False, (3, 3, 5), 2),
}


def random_dataset(image_shape: tuple[int, int, int], num_classes: int, *, seed: int = 0) -> Dataset:
    """Three by three patches of any brightness, with noise."""
    generator = np.random.default_rng(seed)

    def split(num_images: int) -> Split:
        shape = (num_images, image_shape[0])
        brightness, contrast = generator.uniform(0, 200, (*shape, 1, 1)), generator.uniform(-50, 50, (*shape, 3, 3))
        rows, columns = (np.arange(side) * 3 // side for side in image_shape[1:])
        noise = generator.normal(0, 10, (num_images, *image_shape))
        images = np.clip(brightness + contrast[:, :, rows][..., columns] + noise, 0, 255)
        return Split(torch.from_numpy(images.astype(np.uint8)), torch.arange(num_images) % num_classes)

    channels = image_shape[0]
    return Dataset(
        train=split(NUM_TRAIN),
        val=split(NUM_IMAGES),
        test=split(NUM_IMAGES),
        class_names=tuple(f"class {index}" for index in range(num_classes)),
        mean=MEAN[:channels],
        std=STD[:channels],
        flip_keeps_labels=True,
        source=Source("noise", "noise made for tests"),
        val_fraction=0.5,
    )


def random_network(blocks: str, dataset: Dataset, *, is_sprint: bool = False) -> BlockNet:
    """A network with statistics of the data, norms' scales of both signs, and logits of about 2, whose mean is 0.

    `blocks` is as in KINDS.
    """
    torch.manual_seed(0)
    images = normalise(dataset.train.images, dataset.mean, dataset.std)
    kind = SprintNet if is_sprint else BlockNet
    stem, _, blocks = blocks.rpartition(": ")
    channels, num_classes = images.shape[1], len(dataset.class_names)
    model = kind(blocks=blocks, stem=stem or None, in_channels=channels, num_classes=num_classes)
    model.init_from_data(images)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in model.blocks.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight
            )  # without the identity of Jordan's networks, which no training leaves
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None
            norm.weight.copy_(torch.empty_like(norm.weight).uniform_(0.5, 1.5) * torch.randn_like(norm.weight).sign())
            nn.init.normal_(norm.bias, std=0.5)
        model(images)
        model.eval()
        seen: list[Tensor] = []
        hook = model.head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
        model(images)
        hook.remove()
        mean = seen[0].mean(0)
        model.head.weight -= (model.head.weight @ mean)[:, None] * mean / mean.square().sum()  # no class is preferred
        model.head.weight *= 2 / model(images).std()
    return model


def random_request(kind: str, out: Path, *, name: str = "random", class_names: tuple[str, ...] = ()) -> ExportRequest:
    """A request to export one of KINDS, with held-out images and test images; the original is PyTorch's."""
    return request_of(*KINDS[kind], out, name=name, class_names=class_names)


def request_of(
    blocks: str,
    is_sprint: bool,
    image_shape: tuple[int, int, int],
    num_classes: int,
    out: Path,
    *,
    name: str = "random",
    class_names: tuple[str, ...] = (),
) -> ExportRequest:
    """The same for any network of blocks, described as in KINDS."""
    dataset = random_dataset(image_shape, num_classes)
    model = random_network(blocks, dataset, is_sprint=is_sprint)
    weights = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    card = ModelCard(
        model="random",
        model_options={"blocks": model.architecture.blocks, "stem": model.architecture.stem},
        num_params=sum(tensor.size for tensor in weights.values()),
        class_names=class_names or dataset.class_names,
        mean=dataset.mean,
        std=dataset.std,
        image_shape=image_shape,
        recipe="none",
        data="noise",
        data_description=dataset.source.description,
        data_note="",
        data_checksum="0" * 64,
        data_verified=None,
        num_train=NUM_TRAIN,
        num_val=NUM_IMAGES,
        num_test=NUM_IMAGES,
        versions={},
        commit=None,
        architecture=model.architecture,
        metrics={"test_accuracy": 0.25, "num_test": NUM_IMAGES},
    )
    shippable = Shippable(name, card, build_program(card, card.architecture, weights), None, out.parent / "run")
    assert dataset.val is not None
    return ExportRequest(
        shippable=shippable.with_export_data(collect_export_data(model, dataset), name="random"),
        out=out,
        max_drop=0.15,
        held_out=_check_images("held-out", model, dataset.val, dataset),
        test=_check_images("test", model, dataset.test, dataset),
        has_data=True,
    )


def without_data(request: ExportRequest) -> ExportRequest:
    """The same request with sample pictures alone."""
    test = request.test
    some = slice(0, 20)
    samples = CheckImages("20 samples", test.images[some], test.labels[some], test.logits[some])
    return replace(request, held_out=None, test=samples, has_data=False)


def _check_images(name: str, model: BlockNet, split: Split, dataset: Dataset) -> CheckImages:
    """Images with the model's own classes as labels, one in four wrong: its accuracy is 75 %."""
    with torch.inference_mode():
        logits = model(normalise(split.images, dataset.mean, dataset.std)).numpy()
    num_classes = len(dataset.class_names)
    labels = (logits.argmax(axis=1) + (np.arange(len(logits)) % 4 == 0)) % num_classes
    return CheckImages(f"{len(labels)} {name} images", split.images.numpy(), labels, logits)
