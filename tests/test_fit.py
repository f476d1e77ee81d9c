"""fit: learns, repeats itself, resumes exactly, obeys its arguments, and stops where the loss is lost."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fitting import fit_flat
from thumbnet.augment import HorizontalFlip
from thumbnet.data.batches import normalise, shuffled_batches
from thumbnet.data.dataset import Dataset, Split
from thumbnet.errors import CheckpointError, ConfigError, ModelError, NonFiniteLossError
from thumbnet.evaluation.metrics import evaluate
from thumbnet.models.registry import create_model
from thumbnet.specs.schedules import OneCycle, StepSchedule
from thumbnet.training.alternating import AlternatingFlip
from thumbnet.training.history import History
from thumbnet.training.lr_finder import find_lr
from thumbnet.training.progress import EpochPlan, Progress, Silent, StepReport
from thumbnet.training.randomness import epoch_randomness
from thumbnet.training.state import TrainingState


def small_net(dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(dropout), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip


def quick_fit(model: nn.Module, dataset: Dataset, **changes: object) -> History:
    arguments = {"epochs": 3, "batch_size": 16, "lr": 0.1, "seed": 5, "device": "cpu", "progress": Silent(), **changes}
    return fit_flat(model, dataset, **arguments).history


def without_times(history: History) -> list[dict[str, object]]:
    return [
        {name: value for name, value in row.items() if name not in ("train_s", "images_per_s")}
        for row in history.to_rows()
    ]


def test_a_fit_learns(tiny_dataset: Dataset) -> None:
    model = create_model("resnet8", num_classes=3, image_size=12, seed=0)
    history = quick_fit(model, tiny_dataset, epochs=8, score=("val", "test"))
    assert evaluate(model, tiny_dataset).accuracy >= 0.9
    assert history[-1].test_accuracy == evaluate(model, tiny_dataset).accuracy
    assert history[-1].val_accuracy == evaluate(model, tiny_dataset, "val").accuracy
    assert history[-1].train_loss < history[0].train_loss / 2
    assert [record.epoch for record in history] == list(range(1, 9))


def test_a_fit_equals_the_loop_written_out_plainly(tiny_dataset: Dataset) -> None:
    model, plain = small_net(), small_net()
    history = quick_fit(model, tiny_dataset, epochs=2, augmentation="none", schedule=OneCycle(0.5), weight_decay=0.01)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    step = 0
    for epoch in (1, 2):
        losses, num_correct = [], 0
        with epoch_randomness(5, epoch, torch.device("cpu")) as streams:
            for chosen in shuffled_batches(96, 16, streams.shuffling):
                optimizer.param_groups[0]["lr"] = 0.1 * OneCycle(0.5).factor(step, num_steps=12, steps_per_epoch=6)
                images = normalise(tiny_dataset.train.images[chosen], tiny_dataset.mean, tiny_dataset.std)
                logits = plain(images)
                loss = F.cross_entropy(logits, tiny_dataset.train.labels[chosen])
                num_correct += int((logits.argmax(1) == tiny_dataset.train.labels[chosen]).sum())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                step += 1
        assert history[epoch - 1].train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)
        assert history[epoch - 1].train_accuracy == pytest.approx(num_correct / 96)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_history_and_another_does_not(tiny_dataset: Dataset) -> None:
    histories = [without_times(quick_fit(small_net(), tiny_dataset, seed=seed)) for seed in (5, 5, 6)]
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]


def test_a_fit_leaves_the_global_random_state_alone(tiny_dataset: Dataset) -> None:
    model = small_net()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    quick_fit(model, tiny_dataset)
    assert torch.rand(3).equal(expected)


@pytest.mark.parametrize("stop_after", [1, 2])
@pytest.mark.parametrize("changes", [{}, {"average_decay": 0.9, "mixup": 0.5}, {"alternating_flip": True}])
def test_a_resumed_fit_ends_as_one_never_stopped(
    tiny_dataset: Dataset, stop_after: int, changes: dict[str, float]
) -> None:
    states: list[TrainingState] = []
    whole = small_net()

    def keep(state: TrainingState) -> None:
        weights = {name: tensor.clone() for name, tensor in state.model.items()}
        momenta = torch.utils._pytree.tree_map(
            lambda x: x.clone() if isinstance(x, torch.Tensor) else x, state.optimizer
        )
        average = None if state.average is None else {name: tensor.clone() for name, tensor in state.average.items()}
        states.append(dataclasses.replace(state, model=weights, optimizer=momenta, average=average))

    expected = quick_fit(whole, tiny_dataset, on_epoch_end=keep, score=("val",), **changes)
    resumed = small_net()
    history = quick_fit(resumed, tiny_dataset, resume_from=states[stop_after - 1], score=("val",), **changes)
    assert without_times(history) == without_times(expected)
    assert all(a.equal(b) for a, b in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True))


def test_a_state_stays_as_it_was_and_goes_on_twice_to_the_same_end(tiny_dataset: Dataset) -> None:
    states: list[TrainingState] = []
    model = small_net()
    quick_fit(model, tiny_dataset, epochs=2, average_decay=0.9, on_epoch_end=states.append)
    for _ in range(2):
        again = small_net()
        quick_fit(again, tiny_dataset, epochs=2, average_decay=0.9, resume_from=states[0])
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], tensor)
    without = dataclasses.replace(states[0], average=None)
    with pytest.raises(CheckpointError, match="has no average"):
        quick_fit(small_net(), tiny_dataset, epochs=2, average_decay=0.9, resume_from=without)
    with pytest.raises(CheckpointError, match=r"average_decay is 0.*has one"):
        quick_fit(small_net(), tiny_dataset, epochs=2, average_decay=0.0, resume_from=states[0])
    with pytest.raises(CheckpointError, match="epochs is 1, but the state is that after epoch 2"):
        quick_fit(small_net(), tiny_dataset, epochs=1, average_decay=0.9, resume_from=states[1])


@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_model_for_other_classes_is_refused_before_the_first_step(tiny_dataset: Dataset, num_classes: int) -> None:
    model = create_model("resnet8", num_classes=num_classes, image_size=12, seed=0)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with pytest.raises(ModelError, match=f"has {num_classes} classes, but the dataset 3"):
        quick_fit(model, tiny_dataset)
    assert all(parameter.equal(before[name]) for name, parameter in model.named_parameters())
    with pytest.raises(ModelError, match=f"has {num_classes} classes, but the dataset 3"):
        find_lr(model, tiny_dataset, batch_size=8, device="cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", -1.0), ("lr", float("nan")), ("momentum", 1.0), ("weight_decay", -1.0), ("label_smoothing", 2.0),
        ("mixup", -1.0), ("average_decay", 1.0), ("seed", -1), ("bias_lr", -1.0), ("bias_momentum", 5.0),
        ("head_lr", 0.0),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(tiny_dataset: Dataset, name: str, value: float) -> None:
    muon = {"optimizer": "muon", "bias_lr": 0.1, "bias_momentum": 0.9, "head_lr": 0.1}
    arguments = {**(muon if name in muon else {}), name: value}
    with pytest.raises(ConfigError, match=f"^{name} is "):
        quick_fit(small_net(), tiny_dataset, **arguments)


def test_dropout_and_augmentation_differ_from_epoch_to_epoch() -> None:
    drawn = []
    for epoch in (1, 2, 1):
        with epoch_randomness(0, epoch, torch.device("cpu")) as streams:
            drawn.append((torch.rand(5), torch.rand(5, generator=streams.augmentation)))
    assert drawn[0][0].equal(drawn[2][0])
    assert drawn[0][1].equal(drawn[2][1])
    assert not drawn[0][0].equal(drawn[1][0])
    assert not drawn[0][1].equal(drawn[1][1])
    assert not drawn[0][0].equal(drawn[0][1])


def test_a_named_policy_flips_only_if_the_labels_allow_it(tiny_dataset: Dataset) -> None:
    still = dataclasses.replace(tiny_dataset, flip_keeps_labels=False)
    flipped, plain, none = (
        without_times(quick_fit(small_net(), dataset, epochs=1, augmentation=policy))
        for dataset, policy in ((tiny_dataset, "crop-flip"), (still, "crop-flip"), (still, ()))
    )
    assert flipped != plain
    assert plain != none
    assert without_times(quick_fit(small_net(), tiny_dataset, epochs=1, augmentation="none")) == none
    assert without_times(quick_fit(small_net(), still, epochs=1, augmentation=(HorizontalFlip(p=0.0),))) != flipped


def test_the_history_tells_the_rate_of_each_epochs_last_step(tiny_dataset: Dataset) -> None:
    history = quick_fit(small_net(), tiny_dataset, schedule=StepSchedule(1, 0.5), epochs=3)
    assert history.column("lr") == [0.1, 0.05, 0.025]


def test_label_smoothing_raises_the_loss_of_a_model_that_is_sure(tiny_dataset: Dataset) -> None:
    model = small_net(0.0)
    quick_fit(model, tiny_dataset, epochs=8)
    plain, smooth = (
        quick_fit(copy.deepcopy(model), tiny_dataset, epochs=1, lr=1e-9, label_smoothing=smoothing)[0].train_loss
        for smoothing in (0.0, 0.5)
    )
    assert smooth > plain + 0.1


def test_progress_is_told_every_step_and_epoch(tiny_dataset: Dataset) -> None:
    class Recorder(Progress):
        def __init__(self) -> None:
            self.events: list[object] = []

        def epoch_begins(self, plan: EpochPlan) -> None:
            self.events.append(plan)

        def step_ends(self, report: StepReport) -> None:
            self.events.append((report.num_steps, report.num_images))

        def epoch_ends(self, record: object) -> None:
            self.events.append("end")

    recorder = Recorder()
    quick_fit(small_net(), tiny_dataset, epochs=1, batch_size=40, progress=recorder, schedule=StepSchedule(9, 0.1))
    assert recorder.events == [EpochPlan(1, 1, 0.1, 96, 3), (1, 40), (2, 80), (3, 96), "end"]


def test_a_lost_loss_stops_the_run_with_step_and_cause(tiny_dataset: Dataset) -> None:
    with pytest.raises(NonFiniteLossError, match=r"at step \d+") as caught:
        quick_fit(small_net(), tiny_dataset, lr=1e30, schedule=StepSchedule(9, 0.1))
    assert "learning rate" in caught.value.hint


def test_arguments_that_do_not_fit_are_refused(tiny_dataset: Dataset) -> None:
    bad = [{"epochs": 0}, {"batch_size": 1}, {"device": "abacus"}, {"augmentation": "blur"}]
    for change in bad:
        with pytest.raises(ConfigError):
            quick_fit(small_net(), tiny_dataset, **change)
    without_val = dataclasses.replace(tiny_dataset, val=None)
    with pytest.raises(ConfigError, match="no validation split"):
        quick_fit(small_net(), without_val, score=("val",))
    with pytest.raises(ConfigError, match="1 training image"):
        quick_fit(small_net(), tiny_dataset.with_train(tiny_dataset.train.select([0])))


def test_the_forecast_weighs_steps_by_the_area_of_their_images(
    tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that counts areas, the forecast is exact: growing images make the later steps dearer."""
    clock = {"s": 0.0}

    class Forecasts(Silent):
        told: list[float]

        def forecast(self, train_s: float) -> None:
            self.told.append(train_s)

    progress = Forecasts()
    progress.told = []
    model = small_net()
    model.register_forward_pre_hook(
        lambda _, inputs: clock.update(s=clock["s"] + inputs[0].shape[-1] * inputs[0].shape[-2] / 100)
    )
    monkeypatch.setattr("thumbnet.training.forecast.time.perf_counter", lambda: clock["s"])
    big = Split(F.interpolate(tiny_dataset.train.images, size=(32, 32)), tiny_dataset.train.labels)
    dataset = dataclasses.replace(tiny_dataset, train=big, val=None, test=big)
    sizes = {"scales": (0.5, 1.0), "scale_starts": (0.0, 0.5)}
    quick_fit(model, dataset, epochs=4, batch_size=8, **sizes, augmentation="none", progress=progress)
    assert progress.told == [pytest.approx(24 * 2.56 + 24 * 10.24)]


def test_an_averaged_fit_ends_with_the_average_of_its_steps(tiny_dataset: Dataset) -> None:
    model, plain = small_net(), small_net()
    states: list[TrainingState] = []
    steps: list[dict[str, torch.Tensor]] = []

    class Recorder(Silent):
        def step_ends(self, report: StepReport) -> None:
            steps.append({name: tensor.clone() for name, tensor in plain.state_dict().items()})

    quick_fit(plain, tiny_dataset, progress=Recorder())
    begin = {name: tensor.clone() for name, tensor in small_net().state_dict().items()}
    history = quick_fit(model, tiny_dataset, average_decay=0.8, on_epoch_end=states.append, score=("val",))
    expected = begin["0.weight"]
    for step, state in enumerate(steps):
        share = min(0.8, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * state["0.weight"]
    torch.testing.assert_close(model.state_dict()["0.weight"], expected)
    assert model.state_dict()["1.num_batches_tracked"] == len(steps) == 18
    assert history[-1].val_accuracy == evaluate(model, tiny_dataset, "val").accuracy
    assert states[-1].average is not None


@pytest.mark.parametrize("changes", [{"mixup": 1.0}, {"average_decay": 0.5}, {"alternating_flip": True}])
def test_mixing_averaging_and_flipping_in_turn_change_the_end(tiny_dataset: Dataset, changes: dict[str, float]) -> None:
    model, plain = small_net(), small_net()
    quick_fit(plain, tiny_dataset)
    quick_fit(model, tiny_dataset, **changes)
    assert not model.state_dict()["0.weight"].equal(plain.state_dict()["0.weight"])


def test_an_alternating_flip_shows_every_image_both_ways_in_two_epochs() -> None:
    flip = AlternatingFlip(7, seed=0)
    order = torch.tensor([6, 0, 3, 1, 2, 5, 4])
    flipped = [flip.flipped(order, epoch) for epoch in (1, 2, 3)]
    assert flipped[0].equal(flip.begins_flipped[order])
    assert flipped[0].sum() == 4
    assert flipped[1].equal(~flipped[0])
    assert flipped[2].equal(flipped[0])
    others = AlternatingFlip(1000, seed=1).begins_flipped != AlternatingFlip(1000, seed=2).begins_flipped
    assert 400 < others.sum() < 600


def test_an_alternating_flip_takes_the_place_of_a_random_one(tiny_dataset: Dataset) -> None:
    train = tiny_dataset.train
    symmetric = Split(torch.cat([train.images, train.images.flip(3)], dim=3), train.labels)
    dataset = dataclasses.replace(tiny_dataset, train=symmetric, val=None, test=symmetric)
    ends = []
    for alternating_flip in (False, True):
        model = small_net(dropout=0.0)
        fit_flat(model, dataset, epochs=2, augmentation=(), alternating_flip=alternating_flip, seed=5, device="cpu")
        ends.append(model.state_dict()["0.weight"])
    torch.testing.assert_close(*ends)  # a flip changes none of these images
    with pytest.raises(ConfigError, match="augmentations flip images, too"):
        quick_fit(small_net(), tiny_dataset, augmentation=[HorizontalFlip()], alternating_flip=True)


def test_a_state_of_another_optimizer_is_refused(tiny_dataset: Dataset) -> None:
    states: list[TrainingState] = []
    quick_fit(small_net(), tiny_dataset, epochs=1, on_epoch_end=states.append)
    with pytest.raises(CheckpointError, match=r"momentum was 0\.9, not 0\.5"):
        quick_fit(small_net(), tiny_dataset, momentum=0.5, resume_from=states[0])
    muon = {"optimizer": "muon", "bias_lr": 0.1, "bias_momentum": 0.9, "head_lr": 0.1}
    with pytest.raises(CheckpointError, match="of another optimizer"):
        quick_fit(small_net(), tiny_dataset, **muon, resume_from=states[0])
