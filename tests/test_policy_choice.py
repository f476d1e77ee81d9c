"""`augmentation = "auto"` has the flips and turns that keep the classes of this data's validation images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn

from small_runs import small_config, write_small_data
from thumbnet.augment import Policy, create_policy, register_policy
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.runs.choices import augmentation as augmentation_choice
from thumbnet.runs.choices import augmentation_probe
from thumbnet.runs.choices.augmentation import (
    Change,
    PolicyChoice,
    _balanced,
    _right,
    judge_changes,
    judge_policies,
    with_chosen_policy,
)
from thumbnet.runs.choices.augmentation_probe import MOST_PROBE_STEPS, short_training, train_probe
from thumbnet.runs.choices.flat_colours import are_flat, flat_share
from thumbnet.runs.resolve import resolve_config
from thumbnet.runs.train import train
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.optimizers import AdamW
from thumbnet.training.fit import fit


class Side(nn.Module):
    """Tells whether the left or the right half of an image is brighter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        middle = images.shape[3] // 2
        halves = [images[:, 0, :, :middle].mean(dim=(1, 2)), images[:, 0, :, middle:].mean(dim=(1, 2))]
        return torch.stack(halves, dim=1) * self.scale


class Brightness(Side):
    """Tells whether an image is dark or bright."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images[:, 0].mean(dim=(1, 2))
        return torch.stack([-bright, bright], dim=1) * self.scale


def halves(num_images: int = 120, *, width: int = 8, is_bright: bool = False) -> Dataset:
    """Noise of two classes: the left or the right half brighter, or the whole."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_images) % 2
    images = torch.randint(0, 100, (num_images, 1, 8, width), generator=generator, dtype=torch.uint8)
    for number, label in enumerate(labels.tolist()):
        if is_bright:
            images[number] += 120 * label
        else:
            images[number, :, :, label * width // 2 : (label + 1) * width // 2] += 100
    split = Split(images, labels)
    return Dataset(split, split, split, ("a", "b"), (0.5,), (0.2,), True, Source("npz:x.npz", "made up"))


def harmless(model: nn.Module, dataset: Dataset) -> list[str]:
    assert dataset.val is not None
    return [change.name for change in judge_changes(model, dataset, dataset.val) if change.is_harmless]


def test_changes_that_turn_a_class_into_another_are_found() -> None:
    assert harmless(Side(), halves()) == ["upside down"]
    assert harmless(Brightness(), halves(is_bright=True)) == ["left-right", "upside down", "by 90 degrees"]
    assert harmless(Brightness(), halves(width=10, is_bright=True)) == ["left-right", "upside down"]  # not square
    assert judge_changes(Brightness(), halves(), halves().train) == []  # it knows nothing of these


def test_of_several_labels_each_is_looked_at() -> None:
    dataset = halves()
    labels = torch.stack([1 - dataset.train.labels, dataset.train.labels], dim=1).to(torch.uint8)
    split = replace(dataset.train, labels=labels)
    assert harmless(Side(), replace(dataset, train=split, val=split, test=split)) == ["upside down"]


class Given(nn.Module):
    """Logits that are known before."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[: len(images)]


def test_of_several_labels_the_balanced_accuracies_are_averaged() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(120, 4, generator=generator) < torch.tensor([0.1, 0.5, 0.9, 1.1])).to(torch.uint8)
    logits = torch.randn(120, 4, generator=generator) + labels
    dataset = halves()
    split = replace(dataset.train, labels=labels)
    found = float(_balanced(_right(Given(logits), dataset, split), split).mean())
    pairs = zip(labels[:, :3].T, logits[:, :3].T >= 0, strict=True)  # all have the last one
    assert found == pytest.approx(sum(balanced_accuracy_score(*pair) for pair in pairs) / 3)


def test_a_rare_class_counts_as_much_as_a_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.tensor([0] * 90 + [1] * 30)
    right = torch.arange(120) < 110  # 20 of the rare ones
    few_common, few_rare = right & (torch.arange(120) >= 4), right & (torch.arange(120) < 106)
    answers = iter([right, right, few_common, few_rare])
    monkeypatch.setattr(augmentation_choice, "_right", lambda *_: next(answers))
    split = Split(torch.zeros(120, 1, 8, 8, dtype=torch.uint8), labels)
    changes = judge_changes(Side(), halves(), split)
    assert changes[0].accuracy == pytest.approx((1 + 2 / 3) / 2)
    assert [change.is_harmless for change in changes] == [True, True, False]  # 4 of 90, or 4 of 30


def test_only_flips_to_the_left_and_right_may_cost_what_chance_may(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, place = torch.arange(100) % 2, torch.arange(100)
    right = place < 70
    other = right & (place >= 12) | (place >= 92)  # 4 points less, of 20 beyond chance; their error is 4.5
    answers = iter([right, other, other, right])
    monkeypatch.setattr(augmentation_choice, "_right", lambda *_: next(answers))
    split = Split(torch.zeros(100, 1, 8, 8, dtype=torch.uint8), labels)
    assert [change.is_harmless for change in judge_changes(Side(), halves(), split)] == [True, False, True]


@pytest.fixture
def config() -> TrainConfig:
    return small_config(Path("x.npz"), augmentation="auto", epochs=50)


@pytest.mark.parametrize(
    ("epochs", "model", "is_bright", "expected"),
    [
        (5, Side(), False, ("flips", False)),
        (5, Brightness(), True, ("turns", True)),
        (20, Brightness(), False, ("shift2-flip", True)),  # a probe that learnt nothing: what is known of the source
        (66, Side(), False, ("strong-flips", False)),
        (66, Brightness(), True, ("strong-turns", True)),
    ],
)
def test_the_policy_has_what_is_harmless_and_is_as_strong_as_the_training_is_long(
    epochs: int,
    model: nn.Module,
    is_bright: bool,
    expected: tuple[str, bool],
    config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(augmentation_choice, "train_probe", lambda short, dataset: model)
    judgement = judge_policies(config, halves(is_bright=is_bright), say=lambda text: None)
    choice = judgement.choice(epochs)
    assert (choice.augmentation, choice.flip) == expected
    assert f"for {epochs} epochs" in judgement.reason(choice, epochs)


def flat(num_images: int, *, size: int = 16) -> torch.Tensor:
    """White images with a rectangle of one colour, each in another place."""
    images = torch.full((num_images, 3, size, size), 255, dtype=torch.uint8)
    for number, image in enumerate(images):
        image[:, 2 + number % 4 : 9, 3 : 10 + number % 3] = torch.tensor([30, 60, number], dtype=torch.uint8)[
            :, None, None
        ]
    return images


def test_images_in_flat_colours_are_told_from_others() -> None:
    images = flat(40)
    assert flat_share(images) == 1.0
    assert are_flat(images)
    assert are_flat(images[:, :1])
    noise = torch.randint(0, 256, (40, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert flat_share(noise) < 0.01
    on_white = torch.where(images == 255, images, noise)  # a photograph that is cut out: its background tells nothing
    assert flat_share(on_white) < 0.01
    assert flat_share(torch.full((3, 3, 16, 16), 7, dtype=torch.uint8)) == 0.0
    assert flat_share(torch.cat([images[:21], noise[:19]])) == 1.0  # most of them
    framed = on_white.clone()
    framed[:, :, :, :2] = framed[:, :, :, -2:] = 128  # shown whole
    assert flat_share(framed) > 0.3 > 0.01 > flat_share(framed, frame=128)
    assert flat_share(torch.full((3, 1, 16, 16), 128, dtype=torch.uint8), frame=128) == 0.0


def test_images_in_flat_colours_are_never_changed_strongly(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation_choice, "train_probe", lambda short, dataset: Brightness())
    split = Split(flat(40), torch.arange(40) % 2)
    dataset = Dataset(split, split, split, ("a", "b"), (0.5,) * 3, (0.2,) * 3, True, Source("npz:x.npz", "made up"))
    for given in (dataset, dataset.without_flips()):
        judgement = judge_policies(config, given, say=lambda text: None)
        choice = judgement.choice(300)
        assert choice.augmentation == "shift2-flip"
        assert "for 300 epochs of images in flat colours; " in judgement.reason(choice, 300)
    assert judge_policies(config, halves(), say=lambda text: None).is_flat is False


def test_without_enough_images_only_what_is_known_of_the_source_counts(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        augmentation_choice, "train_probe", lambda short, dataset: pytest.fail("a training for nothing")
    )
    few = judge_policies(config, halves(28), say=lambda text: None)
    assert few.choice(1) == PolicyChoice("shift-flip", flip=True)
    assert few.reason(few.choice(1), 1).startswith(
        "augmentation: shift-flip, with flips left to right, for 1 epoch; 28 "
    )
    chosen = [with_chosen_policy(config, halves(28), say=lambda text: None, epochs=epochs)[0] for epochs in (None, 30)]
    assert [each.inputs.augmentation for each in chosen] == ["strong", "shift2-flip"]
    letters = judge_policies(config, halves().without_flips(), say=lambda text: None)
    assert letters.choice(1) == PolicyChoice("shift-flip", flip=False)
    with pytest.raises(ConfigError, match="augmentation is 'auto', but no images are held out") as caught:
        judge_policies(config, replace(halves(), val=None), say=lambda text: None)
    assert "val_fraction" in caught.value.hint


def test_the_short_training_is_of_the_recipe_that_learns_soonest_and_no_longer_than_it_must_be(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[TrainConfig] = []
    monkeypatch.setattr(augmentation_probe, "fit_config", lambda config, *_, **__: trained.append(config))
    own = halves()
    fields = {"model": "thumb-200k", "model_options": {}, "batch_size": 2, "epochs": 200, "optimizer": AdamW(lr=0.1)}
    slow = resolve_config(config.replace(**fields), own)
    for most_steps in (None, 7):
        train_probe(short_training(slow, own, most_steps=most_steps), own)
    whole, short = trained
    sprint = load_recipe("sprint")
    assert (whole.model, whole.batch_size, whole.inputs.augmentation) == ("sprint", 32, "shift2-flip")
    assert whole.inputs.scales == (1.0,)  # of 8 pixels; larger ones grow
    assert whole.optimizer == replace(sprint.optimizer, lr=sprint.optimizer.lr / 4)  # 32 images a step instead of 512
    assert whole.steps == 100  # 25 epochs of 4 steps; a tenth of 200 epochs are fewer
    assert short.steps == 7
    longer = slow.replace(epochs=10_000)
    assert short_training(longer, own, most_steps=None).steps == MOST_PROBE_STEPS


def test_after_few_steps_only_flips_to_the_left_and_right_are_judged(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation_choice, "train_probe", lambda short, dataset: Brightness())
    for epochs, most_steps, expected in (
        (50, 59, "shift-flip"),
        (50, 60, "turns"),
        (50, None, "turns"),
        (14, None, "shift-flip"),  # of 4 steps
        (15, None, "turns"),
    ):
        few = config.replace(epochs=epochs)
        judgement = judge_policies(few, halves(is_bright=True), say=lambda text: None, most_steps=most_steps)
        choice = judgement.choice(5)
        assert (choice.augmentation, choice.flip) == (expected, True)


@pytest.mark.parametrize(
    ("num_images", "model", "expected"),
    [
        (70, Side(), ("shift-flip", False)),  # gauges, say: left and right are two classes
        (70, Brightness(), ("shift-flip", True)),
        (100, Side(), ("flips", False)),
    ],
)
def test_few_validation_images_still_tell_that_flips_change_the_classes(
    num_images: int,
    model: nn.Module,
    expected: tuple[str, bool],
    config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(augmentation_choice, "train_probe", lambda short, dataset: model)
    dataset = halves(num_images, is_bright=isinstance(model, Brightness))
    choice = judge_policies(config, dataset, say=lambda text: None).choice(5)
    assert (choice.augmentation, choice.flip) == expected


def test_no_more_validation_images_are_looked_at_than_tell(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    monkeypatch.setattr(augmentation_choice, "MOST_IMAGES", 110)
    monkeypatch.setattr(augmentation_choice, "train_probe", lambda short, dataset: Side())
    monkeypatch.setattr(
        augmentation_choice, "judge_changes", lambda model, dataset, held_out: looked_at.append(len(held_out)) or []
    )
    for num_images in (120, 108):
        judge_policies(config, halves(num_images), say=lambda text: None)
    assert looked_at == [110, 108]


def test_a_run_records_the_policy_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation_choice, "MIN_IMAGES", 8)
    monkeypatch.setattr(augmentation_choice, "MIN_IMAGES_OF_TURNS", 8)
    monkeypatch.setattr(augmentation_choice, "TRUSTED_STEPS", 1)
    judged = [Change("left-right", 0.9, 0.5, False), Change("upside down", 0.9, 0.9, True)]
    monkeypatch.setattr(augmentation_choice, "judge_changes", lambda model, dataset, held_out: judged)
    config = small_config(write_small_data(tmp_path / "data.npz"), augmentation="auto", alternating_flip=True)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert (run.config.inputs.augmentation, run.config.inputs.flip) == ("flips", False)
    assert run.asked is not None
    assert run.asked.inputs.augmentation == "auto"
    said = (run.path / "config.toml").read_text().splitlines()
    assert any(
        line.startswith("# augmentation: flips, without flips left to right") and "90.0%" in line for line in said
    )
    again = train(run.config, run_dir=tmp_path / "again", log_style="silent", pictures=False)
    assert again.metrics["test_loss"] == run.metrics["test_loss"]  # the choice took nothing from the training's chance
    forced = train(config.replace(flip=True), run_dir=tmp_path / "forced", log_style="silent", pictures=False)
    assert (forced.config.inputs.flip, forced.config.inputs.alternating_flip) == (True, True)
    assert "# augmentation: flips, with flips left to right, for 1 epoch;" in (forced.path / "config.toml").read_text()


def test_a_policy_must_be_named_where_nothing_chooses_it(tmp_path: Path) -> None:
    for ask in (
        lambda: create_policy("auto", flip=True, mean=(0.5,)),
        lambda: fit(Side(), halves(), epochs=1, inputs=Inputs(augmentation="auto")),
    ):
        with pytest.raises(ConfigError, match="the policy 'auto' is chosen by `train`"):
            ask()
    with pytest.raises(ConfigError, match="'auto' is no name for a policy"):
        register_policy("auto", Policy(build=lambda mean: []))
    with pytest.raises(ConfigError, match="a teacher is given, but augmentation is 'auto'"):
        load_recipe(options={"teacher": "runs/1", "augmentation": "auto"})
