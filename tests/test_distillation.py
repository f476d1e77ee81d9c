"""Distillation: few crops, a teacher asked of each of them once, and a student that learns its answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thumbnet.augment import GridCrop, HorizontalFlip, RandomCrop
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.models.registry import create_model
from thumbnet.recipes import load_recipe
from thumbnet.run import resume, train
from thumbnet.run_dir import Run
from thumbnet.training.distillation import Lessons, ask_teacher
from thumbnet.training.fit import TrainingState, fit
from thumbnet.training.progress import Silent

GRID = GridCrop(padding=1, step=1)


@pytest.mark.parametrize("flips", [True, False])
def test_a_variant_is_a_crop_that_may_be_mirrored(flips: bool) -> None:
    grid = GridCrop(padding=3, step=2, flips=flips)
    assert grid.num_variants == 4 * 4 * (2 if flips else 1)
    images = torch.randint(0, 256, (grid.num_variants, 3, 9, 10), dtype=torch.uint8)
    made = grid.apply(images, {"variant": torch.arange(grid.num_variants)})
    index = 0
    for top in (0, 2, 4, 6):
        for left in (0, 2, 4, 6):
            for mirrored in (False, True)[: 2 if flips else 1]:
                one = images[index : index + 1]
                expected = RandomCrop(3).apply(one, {"top": torch.tensor([top]), "left": torch.tensor([left])})
                assert made[index].equal(expected[0].flip(2) if mirrored else expected[0])
                index += 1


def test_every_variant_is_drawn_as_often() -> None:
    drawn = GRID.draw(18_000, (3, 9, 9), torch.Generator().manual_seed(0))["variant"]
    counts = drawn.bincount(minlength=GRID.num_variants)
    assert len(counts) == 18
    assert 850 < counts.min() < counts.max() < 1_150


def test_steps_that_do_not_meet_the_far_side_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot cross 8 pixels in steps of 3"):
        GridCrop(padding=4, step=3)


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_hintons(weight: float, temperature: float) -> None:
    torch.manual_seed(0)
    ours, theirs, labels = torch.randn(5, 3), torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    lessons = Lessons(GRID, torch.zeros(5, 18, 3, dtype=torch.float16), weight, temperature)
    p, q = ((logits / temperature).softmax(1) for logits in (theirs, ours))
    divergence = (p * (p / q).log()).sum(dim=1).mean() * temperature**2
    label_loss = F.cross_entropy(ours, labels)
    torch.testing.assert_close(lessons.loss(ours, theirs, label_loss), (1 - weight) * label_loss + weight * divergence)


def test_a_teacher_is_asked_of_the_very_crops_that_a_student_sees(tiny_dataset: Dataset) -> None:
    teacher = create_model("sprint", num_classes=3, image_size=12, seed=0).eval()
    images, mean, std = tiny_dataset.train.images[:6], tiny_dataset.mean, tiny_dataset.std
    told: list[tuple[int, int]] = []
    logits = ask_teacher(
        teacher, images, GRID, mean=mean, std=std, precision="float32", say=lambda *now: told.append(now)
    )
    assert told[-1] == (18, 18)
    lessons = Lessons(GRID, logits, 1.0, 1.0)
    chosen, variants = torch.tensor([5, 0, 3]), torch.tensor([17, 4, 9])
    with torch.no_grad():
        crops = normalise(GRID.apply(images[chosen], {"variant": variants}), mean, std)
        expected = (teacher(crops) + teacher(crops.flip(3))) / 2
    torch.testing.assert_close(lessons.of(chosen, variants), expected, atol=2e-3, rtol=2e-3)


def _lessons(dataset: Dataset, weight: float) -> Lessons:
    """Of a teacher who takes each class for the next one, in every variant."""
    answers = F.one_hot((dataset.train.labels + 1) % 3, 3).half() * 8
    return Lessons(GRID, answers[:, None].expand(-1, GRID.num_variants, -1).contiguous(), weight, 1.0)


@pytest.mark.parametrize(("weight", "mixup"), [(1.0, 0.0), (0.9, 0.0), (1.0, 0.2)])
def test_a_student_learns_from_its_teacher_rather_than_from_labels(
    tiny_dataset: Dataset, weight: float, mixup: float
) -> None:
    student = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    fit(
        student, tiny_dataset, epochs=8, batch_size=16, lr=0.1, augmentation=[GRID], mixup=mixup, seed=5, device="cpu",
        lessons=_lessons(tiny_dataset, weight), progress=Silent(),
    )  # fmt: skip
    test = tiny_dataset.test
    with torch.no_grad():
        predicted = student.eval()(normalise(test.images, tiny_dataset.mean, tiny_dataset.std)).argmax(1)
    assert (predicted == (test.labels + 1) % 3).float().mean() >= 0.9


def test_lessons_that_do_not_fit_the_training_are_refused(tiny_dataset: Dataset) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
    lessons = _lessons(tiny_dataset, 1.0)
    for augmentation in ([], [RandomCrop(1)], [GridCrop(2, 1)], [HorizontalFlip(), GRID], [GRID, GRID]):
        with pytest.raises(ConfigError, match="the first augmentation is"):
            fit(model, tiny_dataset, epochs=1, augmentation=augmentation, lessons=lessons, progress=Silent())
    fewer = tiny_dataset.with_train(tiny_dataset.train.select(range(50)))
    with pytest.raises(ConfigError, match="of 96 images, but there are 50"):
        fit(model, fewer, epochs=1, augmentation=[GRID], lessons=lessons, progress=Silent())
    still = GridCrop(1, 1, flips=False)
    lessons = Lessons(still, torch.zeros(96, 9, 3, dtype=torch.float16), 1.0, 1.0)
    with pytest.raises(ConfigError, match="know nothing of it"):
        fit(model, tiny_dataset, epochs=1, augmentation=[still], alternating_flip=True, lessons=lessons)
    for weight, temperature in ((0.0, 1.0), (1.1, 1.0), (0.5, 0.0)):
        with pytest.raises(ConfigError, match="teacher_"):
            Lessons(still, lessons.logits, weight, temperature)


def test_a_student_resumed_ends_as_one_never_stopped(tiny_dataset: Dataset) -> None:
    ends, states = [], []
    for state in (None, 0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
        nn.init.zeros_(model[1].weight)

        def keep(state: TrainingState) -> None:
            weights = {name: tensor.clone() for name, tensor in state.model.items()}
            states.append(dataclasses.replace(state, model=weights, optimizer=_cloned(state.optimizer)))

        fit(
            model, tiny_dataset, epochs=3, lr=0.01, augmentation=[GRID], seed=5, device="cpu", progress=Silent(),
            lessons=_lessons(tiny_dataset, 0.5), on_epoch_end=keep, resume_from=None if state is None else states[0],
        )  # fmt: skip
        ends.append(model[1].weight)
    assert ends[0].equal(ends[1])


def _cloned(value: object) -> object:
    return torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, value)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Run:
    options = {"data": "digits", "epochs": 3, "batch_size": 128, "device": "cpu"}
    config = load_recipe(options=options, settings=["min_steps=1"])
    return train(config, run_dir=tmp_path_factory.mktemp("teacher"), log_style="silent")


def _student_options(teacher: Run, **changes: object) -> dict[str, object]:
    return {
        "data": "digits", "epochs": 1, "device": "cpu", "model": "resnet8", "teacher": str(teacher.path), **changes,
    }  # fmt: skip


SETTINGS = ["min_steps=1", "augmentation=grid-crop-flip"]


def test_a_run_learns_from_a_teacher_that_is_asked_once(
    teacher: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Digits are not mirrored, so neither is what the teacher is asked of.
    config = load_recipe(options=_student_options(teacher), settings=SETTINGS)
    student = train(config, run_dir=tmp_path / "a")
    (kept,) = teacher.path.glob("lessons-4-2-*.npy")
    assert f"its answers are kept in {kept}" in capsys.readouterr().err
    written = kept.stat().st_mtime_ns
    assert (student.config.teacher, student.config.teacher_weight) == (str(teacher.path.resolve()), 0.9)
    assert student.config.teacher_temperature == 2
    again = train(config, run_dir=tmp_path / "b")
    assert "Asking the teacher" not in capsys.readouterr().err
    assert kept.stat().st_mtime_ns == written
    assert again.metrics["test_loss"] == student.metrics["test_loss"]
    other = train(config.replace(teacher_temperature=8.0), run_dir=tmp_path / "c", log_style="silent")
    assert other.metrics["test_loss"] != student.metrics["test_loss"]
    alone = train(config.replace(teacher=None), run_dir=tmp_path / "d", log_style="silent")
    assert alone.metrics["test_loss"] != student.metrics["test_loss"]
    kept.write_bytes(b"not an array")
    (tmp_path / "a" / "metrics.json").unlink()
    (tmp_path / "a" / "checkpoint-last.pt").unlink()
    resumed = resume(tmp_path / "a", log_style="silent")
    assert resumed.metrics["test_loss"] == student.metrics["test_loss"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["min_steps=1"], "augmentation is 'shift-flip'"),
        ([*SETTINGS, "alternating_flip=true"], "alternating_flip is true"),
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


def test_a_teachers_fields_without_a_teacher_are_refused() -> None:
    for name in ("teacher_weight", "teacher_temperature"):
        with pytest.raises(ConfigError, match=f"{name} is given, but there is no teacher"):
            load_recipe(settings=[f"{name}=0.5"])
