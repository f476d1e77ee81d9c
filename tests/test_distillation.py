"""Distillation: few crops, a teacher asked of each of them once, and a student that learns its answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fitting import fit_flat
from thumbnet.augment import POLICIES, CoarseDropout, HorizontalFlip, RandomCrop, create_policy
from thumbnet.config import config_to_dict
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.data.source_registry import val_fraction_of
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError
from thumbnet.models.registry import create_model, num_params
from thumbnet.recipes import describe_recipes, load_recipe
from thumbnet.runs.resume import resume
from thumbnet.runs.run import Run, load_run
from thumbnet.runs.teacher import compute_teacher_logits
from thumbnet.runs.train import train
from thumbnet.specs.objective import Objective
from thumbnet.training.distillation import TeacherLogits, distillation_loss
from thumbnet.training.state import TrainingState

CROP = RandomCrop(padding=2)


def _logits_of(logits: torch.Tensor, crop: RandomCrop = CROP) -> TeacherLogits:
    return TeacherLogits(crop, logits.half())


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_logits_between_two_crops_is_interpolated(padding: int) -> None:
    """Bilinear interpolation gives back what is linear in the corner's place."""
    places = torch.arange(3) * padding
    logits = torch.stack(torch.broadcast_tensors(2.0 * places[:, None], -0.5 * places + 1), dim=-1)
    teacher = _logits_of(torch.stack([logits, logits + 3]), RandomCrop(padding))
    top, left = torch.cartesian_prod(torch.arange(2 * padding + 1), torch.arange(2 * padding + 1)).view(-1, 2).T
    expected = torch.stack([2.0 * top, -0.5 * left + 1], dim=1)
    for image, more in ((0, 0), (1, 3)):
        torch.testing.assert_close(teacher.at(torch.full_like(top, image), top, left), expected + more)


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_hintons(weight: float, temperature: float) -> None:
    torch.manual_seed(0)
    ours, theirs, labels = torch.randn(5, 3), torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    p, q = ((logits / temperature).softmax(1) for logits in (theirs, ours))
    divergence = (p * (p / q).log()).sum(dim=1).mean() * temperature**2
    label_loss = F.cross_entropy(ours, labels)
    loss = distillation_loss(ours, theirs, label_loss, weight=weight, temperature=temperature)
    torch.testing.assert_close(loss, (1 - weight) * label_loss + weight * divergence)


@pytest.mark.parametrize("flips", [True, False])
def test_a_teacher_predicts_the_very_crops_that_a_student_sees(tiny_dataset: Dataset, flips: bool) -> None:
    teacher = create_model("sprint", num_classes=3, image_size=12, seed=0).eval()
    images, mean, std = tiny_dataset.train.images[:6], tiny_dataset.mean, tiny_dataset.std
    told: list[str] = []
    logits = compute_teacher_logits(
        teacher, images, CROP, flips=flips, mean=mean, std=std, precision="float32", say=told.append
    )
    assert (len(told), told[-1]) == (9, "... 9 of 9 crops")
    chosen, top, left = torch.tensor([5, 0, 3]), torch.tensor([0, 4, 2]), torch.tensor([4, 2, 0])
    with torch.no_grad():
        crops = normalise(CROP.apply(images[chosen], {"top": top, "left": left}), mean, std)
        expected = (teacher(crops) + teacher(crops.flip(3))) / 2 if flips else teacher(crops)
    torch.testing.assert_close(_logits_of(logits).at(chosen, top, left), expected, atol=2e-3, rtol=2e-3)


def _shifted_classes(dataset: Dataset) -> TeacherLogits:
    """Of a teacher who takes each class for the next one, wherever the image is cropped."""
    answers = F.one_hot((dataset.train.labels + 1) % 3, 3) * 8
    return _logits_of(answers[:, None, None].expand(-1, 3, 3, -1))


@pytest.mark.parametrize("alternating", [True, False])
def test_the_answer_is_to_the_crop_that_was_drawn(
    tiny_dataset: Dataset, alternating: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher answers with the crop's place; a hole, which draws a place of its own, does not change that.

    Every image is a ramp to the right, so its crop's left column tells where it was cut, and a falling one that it was
    flipped before.
    """
    ramp = torch.arange(12, dtype=torch.uint8).mul(10).add(100).expand(96, 3, 12, 12).contiguous()
    dataset = tiny_dataset.with_train(dataclasses.replace(tiny_dataset.train, images=ramp))
    columns = torch.tensor([0.0, 2.0, 4.0])  # of the window, where it is asked about
    teacher = _logits_of(columns[None, None, :, None].expand(96, 3, 3, 3))
    told: list[torch.Tensor] = []
    shown: list[torch.Tensor] = []
    answer = TeacherLogits.at

    def keep(self: TeacherLogits, *arguments: torch.Tensor) -> torch.Tensor:
        told.append(answer(self, *arguments)[:, 0])
        return answer(self, *arguments)

    monkeypatch.setattr(TeacherLogits, "at", keep)
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
    model.register_forward_pre_hook(lambda _, images: shown.append(images[0].detach()))
    fit_flat(
        model, dataset, epochs=2, augmentation=[CROP, CoarseDropout(size=1, p=1.0, fill=(0, 0, 0))], batch_size=32,
        alternating_flip=alternating, teacher=teacher, lr=0.01, device="cpu",
    )  # fmt: skip
    pixels = torch.cat(shown) * torch.tensor(dataset.std).view(1, 3, 1, 1) + torch.tensor(dataset.mean).view(1, 3, 1, 1)
    row = (pixels * 255).round()[:, 0].median(dim=1).values  # the window's middle row, padding and hole aside
    falls = row[:, 5] > row[:, 6]
    from_left = (row[:, 5] - 100) / 10  # where the window's sixth pixel was in the image as it came
    expected = torch.where(falls, from_left - 6 + 2, from_left - 5 + 2)  # the sixth from the right, where flipped
    assert falls.any() == alternating
    assert len(set(expected.tolist())) == 5
    torch.testing.assert_close(torch.cat(told), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("weight", "mixup"), [(1.0, 0.0), (0.9, 0.0), (1.0, 0.2)])
def test_a_student_learns_from_its_teacher_rather_than_from_labels(
    tiny_dataset: Dataset, weight: float, mixup: float
) -> None:
    student = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    fit_flat(
        student, tiny_dataset, epochs=8, batch_size=16, lr=0.1, augmentation=[CROP], mixup=mixup, seed=5, device="cpu",
        teacher=_shifted_classes(tiny_dataset), teacher_weight=weight, teacher_temperature=1.0,
    )  # fmt: skip
    test = tiny_dataset.test
    with torch.no_grad():
        predicted = student.eval()(normalise(test.images, tiny_dataset.mean, tiny_dataset.std)).argmax(1)
    assert (predicted == (test.labels + 1) % 3).float().mean() >= 0.9


def test_teacher_logits_that_do_not_fit_the_training_are_refused(tiny_dataset: Dataset) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
    teacher = _shifted_classes(tiny_dataset)
    for augmentation in ([], [RandomCrop(1)], [RandomCrop(2, "reflect")], [HorizontalFlip(), CROP], [CROP, CROP]):
        with pytest.raises(ConfigError, match="the first augmentation is"):
            fit_flat(model, tiny_dataset, augmentation=augmentation, teacher=teacher)
    fewer = tiny_dataset.with_train(tiny_dataset.train.select(range(50)))
    with pytest.raises(ConfigError, match="for 96 images, but there are 50"):
        fit_flat(model, fewer, augmentation=[CROP], teacher=teacher)
    with pytest.raises(ConfigError, match="teacher is 'runs/x', but fit needs its logits"):
        fit_flat(model, fewer, teacher="runs/x")
    for weight, temperature in ((0.0, 1.0), (1.1, 1.0), (0.5, 0.0)):
        with pytest.raises(ConfigError, match="teacher_"):
            Objective(teacher=teacher, teacher_weight=weight, teacher_temperature=temperature)


def test_a_student_resumed_ends_as_one_never_stopped(tiny_dataset: Dataset) -> None:
    ends, states = [], []
    for state in (None, 0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
        nn.init.zeros_(model[1].weight)

        def keep(state: TrainingState) -> None:
            weights = {name: tensor.clone() for name, tensor in state.model.items()}
            states.append(dataclasses.replace(state, model=weights, optimizer=_cloned(state.optimizer)))

        fit_flat(
            model, tiny_dataset, epochs=3, lr=0.01, augmentation=[CROP], seed=5, device="cpu", teacher_weight=0.5,
            teacher=_shifted_classes(tiny_dataset), on_epoch_end=keep, resume_from=None if state is None else states[0],
        )  # fmt: skip
        ends.append(model[1].weight)
    assert ends[0].equal(ends[1])


def _cloned(value: object) -> object:
    return torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, value)


SETTINGS = ["min_steps=1"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small network trained on a few digits of 16x16 pixels, not flipped."""
    folder = tmp_path_factory.mktemp("taught")
    digits = load_dataset("digits", val_fraction=0.0).train.select(range(120))
    np.savez(folder / "digits.npz", images=digits.images[:, :, ::2, ::2].numpy(), labels=digits.labels.numpy())
    options = {"data": f"npz:{folder / 'digits.npz'}", "epochs": 3, "batch_size": 64, "device": "cpu", "flip": False}
    config = load_recipe(options=options, settings=[*SETTINGS, "model_options.blocks=c8s"])
    return train(config, run_dir=folder / "teacher", log_style="silent", pictures=False)


def _student_options(teacher: Run, **changes: object) -> dict[str, object]:
    return {
        "data": teacher.config.data, "epochs": 1, "device": "cpu", "flip": False, "model": "resnet8",
        "teacher": str(teacher.path), **changes,
    }  # fmt: skip


def test_a_run_learns_from_a_teacher_that_is_asked_once(
    teacher: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Digits are not flipped, so neither is what the teacher is asked of.
    config = load_recipe(options=_student_options(teacher), settings=SETTINGS)
    student = train(config, run_dir=tmp_path / "a", pictures=False)
    (kept,) = teacher.path.glob("lessons-reflect-1-*.npy")
    assert f"its answers are kept in {kept}" in capsys.readouterr().err
    written = kept.stat().st_mtime_ns
    objective = Objective(teacher=str(teacher.path.resolve()), teacher_weight=0.9, teacher_temperature=2.0)
    assert dataclasses.replace(student.config.objective, label_smoothing=0.0) == objective
    again = train(config, run_dir=tmp_path / "b", pictures=False)
    assert "Asking the teacher" not in capsys.readouterr().err
    assert kept.stat().st_mtime_ns == written
    assert again.metrics["test_loss"] == student.metrics["test_loss"]
    other = train(config.replace(teacher_temperature=8.0), run_dir=tmp_path / "c", log_style="silent", pictures=False)
    assert other.metrics["test_loss"] != student.metrics["test_loss"]
    alone = train(config.replace(teacher=None), run_dir=tmp_path / "d", log_style="silent", pictures=False)
    assert alone.metrics["test_loss"] != student.metrics["test_loss"]
    kept.write_bytes(b"not an array")
    (tmp_path / "a" / "metrics.json").unlink()
    (tmp_path / "a" / "checkpoint-last.pt").unlink()
    resumed = resume(tmp_path / "a", log_style="silent", pictures=False)
    assert resumed.metrics["test_loss"] == student.metrics["test_loss"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([*SETTINGS, "augmentation=none"], "augmentation is 'none'"),
        ([*SETTINGS, "split_seed=1"], "other training, validation or test images"),
        ([*SETTINGS, "teacher_weight=0.0"], "teacher_weight is 0.0"),
        ([*SETTINGS, "teacher_temperature=-1"], "teacher_temperature is -1"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    teacher: Run, tmp_path: Path, settings: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(load_recipe(options=_student_options(teacher), settings=settings), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_students_have_the_policies_that_begin_with_a_crop() -> None:
    policies = {name: create_policy(name, flip=True, mean=(0.5,) * 3) for name in POLICIES}
    for name, traits in POLICIES.items():
        assert isinstance(policies[name][0], RandomCrop) == traits.begins_with_crop


def test_the_teacher_that_is_kept_is_a_run() -> None:
    kept = load_run(Path(__file__).parent.parent / "docs/results/teacher")
    assert num_params(kept.model) == kept.card.num_params == 837_472
    recipe = load_recipe("teacher")
    assert kept.config.val_fraction == val_fraction_of("cifar10")
    for name in ("model", "model_options", "epochs", "lr", "augmentation", "cutout"):
        assert config_to_dict(kept.config)[name] == config_to_dict(recipe)[name]
    (promise,) = (each.promise for each in describe_recipes() if each.name == "teacher")
    assert f"{kept.metrics['test_accuracy']:.2%}".replace("%", " %") in promise


def test_a_teachers_fields_without_a_teacher_are_refused() -> None:
    for name in ("teacher_weight", "teacher_temperature"):
        with pytest.raises(ConfigError, match=f"{name} is given, but there is no teacher"):
            load_recipe(settings=[f"{name}=0.5"])
