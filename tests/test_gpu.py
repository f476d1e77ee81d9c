"""What only a GPU can show: run by `make test-gpu`, left out otherwise; skipped where there is no GPU.

THUMBNET_TEST_GPU=cpu runs them on the CPU instead: that shows that the tests themselves are sound, and no more.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fitting import fit_flat
from small_runs import small_config, write_small_data
from test_ranks import free_port
from thumbnet import Run, load_dataset, load_run, measure_robustness, resume, saliency_maps, train
from thumbnet.augment import create_policy
from thumbnet.data.batches import memory_order
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.metrics import Evaluation, evaluate
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.registry import create_model
from thumbnet.specs.launch import Launch
from thumbnet.specs.policies import POLICIES
from thumbnet.training.device import peak_memory_bytes, pick_device
from thumbnet.training.rank_group import begin_group
from thumbnet.training.ranks import joined
from thumbnet.training.result import FitResult

pytestmark = pytest.mark.gpu

BLOCKS = "c16s c16p c32"
ROUNDING = {"float32": 0.02, "bfloat16": 0.1}  # of losses, relatively; a GPU's float32 convolutions may round to TF32
DATA = os.environ.get("THUMBNET_DATA")


@pytest.fixture(scope="module")
def device() -> str:
    """`cuda`, or what THUMBNET_TEST_GPU names."""
    name = os.environ.get("THUMBNET_TEST_GPU", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU that PyTorch can use; THUMBNET_TEST_GPU=cpu runs this on the CPU")
    return name


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def trained_on(name: str, dataset: Dataset, **fields: object) -> FitResult[Evaluation]:
    """Three epochs of a small network by PyTorch's layers; its weights come from the CPU, whatever the device."""
    model = create_model(
        "sprint", num_classes=dataset.num_classes, in_channels=dataset.num_channels, seed=0, blocks=BLOCKS
    )
    values = {"device": name, "kernels": "pytorch", "epochs": 3, "lr": 0.1, "score": ("test",), **fields}
    return fit_flat(model, dataset, **values)


def losses(result: FitResult[Evaluation]) -> Tensor:
    return torch.tensor([record.train_loss for record in result.history])


@pytest.fixture(scope="module")
def reference(digits: Dataset) -> FitResult[Evaluation]:
    """On the CPU in float32."""
    return trained_on("cpu", digits)


def test_images_are_bytes_until_they_are_on_the_gpu(device: str, digits: Dataset) -> None:
    seen: list[tuple[torch.dtype, str]] = []
    shown: list[Tensor] = []

    def watch(images: Tensor) -> Tensor:
        seen.append((images.dtype, images.device.type))
        return images

    class Watched(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            shown.append(images.detach())
            return super().forward(images)

    model = Watched(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    fit_flat(model, digits, device=device, augmentation=watch)
    order = memory_order(torch.device(device))
    assert set(seen) == {(torch.uint8, device)}
    assert {(images.dtype, images.device.type) for images in shown} == {(torch.float32, device)}
    assert all(images.is_contiguous(memory_format=order) for images in shown)
    assert model[0].weight.is_contiguous(memory_format=order)
    assert model[0].weight.device.type == device


@pytest.mark.parametrize("name", sorted(POLICIES.without_packages()))
def test_augmentations_change_pixels_as_on_the_cpu(device: str, name: str) -> None:
    """The draws are the CPU's; what is interpolated may be a grey level off in a few pixels."""
    images = torch.randint(256, (60, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    there = here = images
    there = there.to(device)
    generator = torch.Generator().manual_seed(0)
    for augmentation in create_policy(name, flip=True, mean=(0.5, 0.4, 0.3), cutout=8):
        draws = augmentation.draw(len(images), (3, 32, 32), generator)
        here, there = augmentation.apply(here, draws), augmentation.apply(there, draws)
    difference = (there.cpu().int() - here.int()).abs()
    assert there.device.type == device
    assert difference.max() <= 2
    assert (difference > 0).float().mean() < 0.01


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_mixed_precision_learns_digits_as_float32_does(
    device: str, digits: Dataset, reference: FitResult[Evaluation], precision: str
) -> None:
    result = trained_on(device, digits, precision=precision)
    assert (result.device.partition(":")[0], result.precision) == (device, precision)
    torch.testing.assert_close(losses(result), losses(reference), rtol=ROUNDING[precision], atol=0.02)
    assert abs(result.scores["test"].accuracy - reference.scores["test"].accuracy) < 0.03


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convolutions_compute_in_the_precision_and_weights_stay_float32(
    device: str, digits: Dataset, precision: str
) -> None:
    """Losses alone would not show that all was computed in float32."""
    convolution = nn.Conv2d(1, 4, 3)
    model = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    seen: set[torch.dtype] = set()
    convolution.register_forward_hook(lambda module, given, result: seen.add(result.dtype))
    fit_flat(model, digits, device=device, precision=precision, kernels="pytorch")
    assert seen == {getattr(torch, precision)}
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of its compiler
def test_a_compiled_network_learns_the_same(device: str, digits: Dataset) -> None:
    """A network without shape checks, which PyTorch's compiler does not understand."""

    def fitted(*, compiled: bool) -> FitResult[Evaluation]:
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
        return fit_flat(nn.Sequential(*layers, nn.Linear(128, 10)), digits, device=device, compiled=compiled, epochs=2)

    torch.testing.assert_close(losses(fitted(compiled=True)), losses(fitted(compiled=False)), rtol=0.02, atol=0.02)


def test_everything_that_a_recipe_may_ask_for_runs(device: str, digits: Dataset) -> None:
    """Options that bring tensors of their own; with the same draws, so the losses are those of the CPU."""
    fields = {
        "augmentation": "strong", "alternating_flip": True, "scales": (0.5, 1.0), "scale_starts": (0.0, 0.5),
        "label_smoothing": 0.1, "mixup": 0.2, "class_weights": "balanced", "average_decay": 0.9,
        "optimizer": "muon", "lr": 0.02, "momentum": 0.6, "bias_lr": 0.02, "bias_momentum": 0.8, "head_lr": 0.1,
        "epochs": 2,
    }  # fmt: skip
    there, here = (trained_on(each, digits, **fields) for each in (device, "cpu"))
    torch.testing.assert_close(losses(there), losses(here), rtol=0.05, atol=0.02)


def test_dropout_follows_from_the_seed(device: str, digits: Dataset) -> None:
    def fitted(seed: int) -> FitResult[Evaluation]:
        model = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
        with torch.no_grad():
            model[3].weight.fill_(0.01)
            model[3].bias.zero_()
        return fit_flat(model, digits, device=device, seed=seed)

    first, again, other = (fitted(seed) for seed in (0, 0, 1))
    torch.testing.assert_close(losses(first), losses(again), rtol=1e-3, atol=1e-3)  # sums' order may differ on a GPU
    assert not torch.equal(losses(first), losses(other))


def test_a_model_scores_and_explains_as_on_the_cpu(device: str, digits: Dataset) -> None:
    model = create_model("sprint", num_classes=10, in_channels=1, seed=0, blocks=BLOCKS)
    fit_flat(model, digits, device=device)
    images = digits.test.images[:50]
    scored = evaluate(model, digits)
    logits = predict_logits(model, images, mean=digits.mean, std=digits.std)
    robust = measure_robustness(model, digits, num_images=50)
    maps = saliency_maps(model, images[:4], digits.test.labels[:4], mean=digits.mean, std=digits.std)
    model.cpu()
    assert abs(scored.accuracy - evaluate(model, digits).accuracy) < 0.01
    theirs = predict_logits(model, images, mean=digits.mean, std=digits.std)
    torch.testing.assert_close(logits, theirs, rtol=0.01, atol=0.05)
    assert abs(robust.mean_accuracy - measure_robustness(model, digits, num_images=50).mean_accuracy) < 0.05
    again = saliency_maps(model, images[:4], digits.test.labels[:4], mean=digits.mean, std=digits.std)
    torch.testing.assert_close(maps.maps, again.maps, rtol=0.05, atol=0.05)


@pytest.fixture(scope="module")
def run(device: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("gpu")
    config = small_config(write_small_data(folder / "data.npz"), epochs=3, device=device, precision="auto")
    return train(config, run_dir=folder / "run", log_style="silent", pictures=False)


def test_a_run_tells_its_device_and_is_read_without_one(device: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = load_run(run.path).metrics
    assert metrics is not None
    assert metrics["device"].partition(":")[0] == device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    read = load_run(run.path)
    assert next(read.model.parameters()).device.type == "cpu"


def test_a_stopped_run_goes_on(device: str, run: Run, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(state: object) -> None:
        if state.epoch == 2:  # type: ignore[attr-defined]
            raise StoppedError

    with pytest.raises(StoppedError):
        train(run.config, run_dir=tmp_path / "run", log_style="silent", pictures=False, on_epoch_end=stop)
    resumed = resume(tmp_path / "run", log_style="silent", pictures=False)
    ours, theirs = (load_run(each).model.state_dict() for each in (resumed.path, run.path))
    for name, values in ours.items():
        torch.testing.assert_close(values, theirs[name], rtol=0.01, atol=0.01)


def test_one_rank_trains_as_no_rank_does(device: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of one process, by NCCL on a GPU: every sum over the processes is taken there, of one summand."""
    alone = trained_on(device, digits)
    summed_on: list[str] = []
    add_up = dist.all_reduce

    def watch(values: Tensor) -> None:
        summed_on.append(values.device.type)
        add_up(values)

    monkeypatch.setattr(dist, "all_reduce", watch)
    with joined(Launch(0, 0, 1, "127.0.0.1", free_port())) as ranks:
        begin_group(dist.HashStore(), 0, 1)  # which a process that trains alone does not do
        assert dist.is_initialized()
        together = trained_on(device, digits, ranks=ranks)
    assert set(summed_on) == {device}
    torch.testing.assert_close(losses(together), losses(alone), rtol=ROUNDING["float32"], atol=0.01)


def test_memory_is_the_devices_own(device: str, digits: Dataset) -> None:
    before = peak_memory_bytes(pick_device(device))
    held = torch.ones(before // 4 + 25_000_000, device=device)
    assert peak_memory_bytes(pick_device(device)) > before + 50_000_000
    assert held.device.type == device


@pytest.mark.skipif(DATA is None, reason="needs CIFAR-10 in THUMBNET_DATA")
def test_mixed_precision_learns_cifar10_as_float32_does(device: str) -> None:
    """The network of `sprint` on 4,000 images for two epochs: nearly the same losses and accuracy."""
    data = load_dataset("cifar10", data_dir=DATA, allow_unverified=True)
    some = data.with_train(data.train.select(range(4000)))
    results = [
        fit_flat(
            create_model("sprint", num_classes=10, in_channels=3, seed=0),
            some, device=device, precision=precision, kernels="pytorch", epochs=2, batch_size=256, lr=0.01,
            optimizer="adamw", augmentation="shift-flip", score=("val",),
        )
        for precision in ("bfloat16", "float32")
    ]  # fmt: skip
    torch.testing.assert_close(losses(results[0]), losses(results[1]), rtol=0.1, atol=0.05)
    mixed, exact = (result.scores["val"].accuracy for result in results)
    assert abs(mixed - exact) < 0.04
