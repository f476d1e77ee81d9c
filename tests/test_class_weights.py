"""Class weights and the balanced sampler: against plain re-computation; what the history then says; what is refused."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fitting import fit_flat
from small_runs import small_config, write_small_data
from thumbnet.config import config_from_toml, config_to_toml
from thumbnet.data.batches import balanced_order
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective
from thumbnet.training.class_weights import resolve_class_weights
from thumbnet.training.distillation import distillation_loss
from thumbnet.training.history import History, history_from_csv, history_from_rows
from thumbnet.training.lr_finder import find_lr
from thumbnet.training.mixup import Mixed, Targets
from thumbnet.training.state import TrainingState
from thumbnet.training.step import weighted_loss
from thumbnet.training.tally import Tally

LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
NAMES = ("cat", "dog", "frog")


@pytest.fixture
def unequal(tiny_dataset: Dataset) -> Dataset:
    """Sixty images in all: 32 of the first class, 20 of the second, 8 of the third."""
    labels = tiny_dataset.train.labels
    chosen = torch.cat([(labels == label).nonzero().flatten()[:count] for label, count in enumerate((32, 20, 8))])
    return tiny_dataset.with_train(tiny_dataset.train.select(chosen))


def flat_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(27, 3))


def quick_fit(model: nn.Module, dataset: Dataset, **flat: object) -> History:
    return fit_flat(
        model, dataset, **{"batch_size": 16, "augmentation": "none", "device": "cpu", "kernels": "pytorch", **flat}
    ).history


@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
@pytest.mark.parametrize("weights", ["balanced", {"dog": 3, "frog": 0.5}])
def test_an_image_weighs_one_on_average(sampler: str, weights: object) -> None:
    if sampler == weights == "balanced":
        with pytest.raises(ConfigError, match="both balance the classes"):
            resolve_class_weights(Objective(class_weights="balanced"), Inputs(sampler="balanced"), LABELS, NAMES)
        return
    objective, inputs = Objective(class_weights=weights), Inputs(sampler=sampler)  # type: ignore[arg-type]
    found = resolve_class_weights(objective, inputs, LABELS, NAMES)
    assert found is not None
    drawn = LABELS if sampler == "shuffled" else torch.arange(99) % 3
    assert float(found[drawn].mean()) == pytest.approx(1)
    ratios = [1, 2, 6] if weights == "balanced" else [1, 3, 0.5]
    torch.testing.assert_close(found / found[0], torch.tensor(ratios).float())


def test_equal_weights_are_none() -> None:
    for weights in ("none", {"cat": 2, "dog": 2, "frog": 2}, {}):
        assert resolve_class_weights(Objective(class_weights=weights), Inputs(), LABELS, NAMES) is None  # type: ignore[arg-type]
    assert resolve_class_weights(Objective(class_weights="balanced"), Inputs(), torch.arange(9) % 3, NAMES) is None


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"dog": 0}, r"class_weights\.dog is 0"),
        ({"dog": -1.0}, r"class_weights\.dog is -1"),
        ({"dog": float("nan")}, r"class_weights\.dog is nan"),
        ({"dog": 1e4}, r"class_weights\.dog is 10000"),
        ({"dog": "much"}, r"class_weights\.dog is 'much'"),
        ({"dog": True}, r"class_weights\.dog is True"),
        ({"bird": 2}, "names 'bird', which is no class"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        resolve_class_weights(Objective(class_weights=weights), Inputs(), LABELS, NAMES)  # type: ignore[arg-type]
    assert caught.value.hint


def test_classes_without_an_image_cannot_be_balanced() -> None:
    for values in ((Objective(class_weights="balanced"), Inputs()), (Objective(), Inputs(sampler="balanced"))):
        with pytest.raises(ConfigError, match="class 'frog' has no training image"):
            resolve_class_weights(*values, LABELS[:90], NAMES)


@pytest.mark.parametrize("has_teacher", [False, True])
@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_the_loss_is_the_sum_over_the_images(lam: float, has_teacher: bool) -> None:
    torch.manual_seed(0)
    logits, labels, taught = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 2]), torch.randn(6, 3)
    objective = Objective(label_smoothing=0.1)
    if has_teacher:
        objective = dataclasses.replace(objective, teacher="run").resolved()
    weights = torch.tensor([0.5, 1.0, 4.0])
    targets = Targets(labels, taught if has_teacher else None)
    mixed = Mixed(torch.zeros(6, 1, 2, 2), targets, targets.reversed() if lam < 1 else targets, lam)
    loss, by_class = weighted_loss(objective, logits, mixed, weights)

    def of_one(index: int, target: Targets) -> float:
        row = logits[index : index + 1]
        found = F.cross_entropy(row, target.labels[index : index + 1], label_smoothing=0.1)
        if target.teacher_logits is not None:
            theirs = target.teacher_logits[index : index + 1]
            found = distillation_loss(row, theirs, found, weight=0.9, temperature=2.0)
        return float(found)

    def weight_of(index: int, target: Targets) -> float:
        return float(weights[target.labels[index]])

    pairs = [(index, share, target) for index in range(6) for share, target in (
        (lam, mixed.targets), (1 - lam, mixed.other_targets)
    )]  # fmt: skip
    expected = sum(share * weight_of(index, target) * of_one(index, target) for index, share, target in pairs) / 6
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    plain = sum(share * of_one(index, target) for index, share, target in pairs)
    assert float(by_class[:, 0].sum()) == pytest.approx(plain, rel=1e-5)
    assert by_class[:, 2].tolist() == [3, 2, 1]
    assert by_class[:, 1].sum() == mixed.num_correct(logits)


def test_distillation_image_by_image_is_that_of_the_batch() -> None:
    torch.manual_seed(0)
    ours, theirs, losses = torch.randn(5, 3), torch.randn(5, 3), torch.rand(5)
    for weight, temperature in ((0.3, 4.0), (1.0, 1.0)):
        each = distillation_loss(ours, theirs, losses, weight=weight, temperature=temperature)
        whole = distillation_loss(ours, theirs, losses.mean(), weight=weight, temperature=temperature)
        torch.testing.assert_close(each.mean(), whole)


def test_a_weight_of_one_for_all_trains_the_same_bits(unequal: Dataset) -> None:
    plain, weighted = flat_net(), flat_net()
    first = quick_fit(plain, unequal, epochs=2)
    second = quick_fit(weighted, unequal, epochs=2, class_weights={"green": 1.0})
    assert first.column("train_loss") == second.column("train_loss")
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), weighted.parameters(), strict=True))


@pytest.mark.parametrize(
    "fields", [{"class_weights": "balanced"}, {"class_weights": {"blue": 9}}, {"sampler": "balanced"}]
)
def test_the_history_compares_with_other_images(unequal: Dataset, fields: dict[str, object]) -> None:
    """At a rate of next to nothing the model stays as it is: loss and accuracy are those without weights."""
    dataset = unequal if "class_weights" in fields else unequal.with_train(
        unequal.train.select(torch.cat([torch.arange(20), torch.arange(32, 52), torch.arange(52, 60).repeat(3)[:20]]))
    )  # fmt: skip
    (plain,) = quick_fit(flat_net(), dataset, lr=1e-12)
    (record,) = quick_fit(flat_net(), dataset, lr=1e-12, score=("test",), **fields)
    assert record.train_loss == pytest.approx(plain.train_loss, abs=1e-5)
    assert record.train_accuracy == pytest.approx(plain.train_accuracy)
    assert record.objective is not None
    assert record.train_balanced_accuracy is not None
    if "class_weights" in fields:
        assert abs(record.objective - record.train_loss) > 0.01
    assert record.test_balanced_accuracy == pytest.approx(record.test_accuracy)  # as many of each class
    assert (plain.objective, plain.train_balanced_accuracy, plain.val_balanced_accuracy) == (None, None, None)


def test_a_tally_weighs_the_classes_by_their_shares() -> None:
    tally = Tally(0, shares=torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64))
    tally.add(torch.tensor(2.0), torch.tensor(3), 4, torch.tensor([[6.0, 1, 2], [3.0, 2, 2], [0.0, 0, 0]]))
    report = tally.report()
    assert report.mean_loss == pytest.approx((0.7 * 3 + 0.2 * 1.5) / 0.9)
    assert report.accuracy == pytest.approx((0.7 * 0.5 + 0.2 * 1) / 0.9)
    assert (report.objective, report.balanced_accuracy) == (2.0, 0.75)
    tally.add(torch.tensor(1.0), torch.tensor(0), 4, torch.tensor([[0.0, 0, 0], [1.0, 0, 2], [8.0, 0, 2]]))
    report = tally.report()
    assert report.mean_loss == pytest.approx(0.7 * 3 + 0.2 * 1 + 0.1 * 4)
    assert report.objective == 1.5


def test_columns_of_unequal_classes_come_back_and_stay_out_where_they_are_empty(unequal: Dataset) -> None:
    plain = quick_fit(flat_net(), unequal)
    weighted = quick_fit(flat_net(), unequal, class_weights="balanced", score=("val", "test"))
    assert "balanced" not in plain.to_csv().splitlines()[0]
    header = weighted.to_csv().splitlines()[0].split(",")
    assert header[-4:] == ["objective", "train_balanced_accuracy", "val_balanced_accuracy", "test_balanced_accuracy"]
    for history in (plain, weighted):
        assert history_from_csv(history.to_csv()) == history
        assert history_from_rows(history.to_rows()) == history


def test_a_balanced_epoch_has_each_class_as_often_and_no_image_again_before_all_others() -> None:
    order = balanced_order(LABELS, 3, torch.Generator().manual_seed(0))
    assert len(order) == 100
    assert sorted(LABELS[order].bincount().tolist()) == [33, 33, 34]
    seen = order.bincount(minlength=100)
    for label in range(3):
        times = seen[label == LABELS]
        assert int(times.max() - times.min()) <= 1
    assert not torch.equal(order, balanced_order(LABELS, 3, torch.Generator().manual_seed(1)))
    assert torch.equal(order, balanced_order(LABELS, 3, torch.Generator().manual_seed(0)))
    assert (LABELS[order[:50]].bincount(minlength=3) > 5).all()  # mixed: no class comes first


def test_a_balanced_training_goes_on_to_the_bit(unequal: Dataset) -> None:
    states: list[TrainingState] = []
    fields = {"sampler": "balanced", "class_weights": {"blue": 2}, "epochs": 3, "mixup": 0.2}
    whole, resumed = flat_net(), flat_net()
    history = quick_fit(whole, unequal, on_epoch_end=states.append, **fields)
    again = quick_fit(resumed, unequal, resume_from=copy.deepcopy(states[0]), **fields)
    assert history.column("train_loss") == again.column("train_loss")
    assert history.column("objective") == again.column("objective")
    assert all(torch.equal(*pair) for pair in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_the_rates_finder_obeys_weights_and_sampler(unequal: Dataset) -> None:
    trials = [
        find_lr(flat_net(), unequal, num_steps=30, batch_size=16, device="cpu", **fields).losses  # type: ignore[arg-type]
        for fields in (
            {}, {"objective": Objective(class_weights="balanced")}, {"inputs": Inputs(sampler="balanced")},
        )
    ]  # fmt: skip
    assert len(set(trials)) == 3
    with pytest.raises(ConfigError, match="which is no class"):
        find_lr(flat_net(), unequal, objective=Objective(class_weights={"x": 2}), device="cpu")


def test_a_config_keeps_a_table_of_class_names(tmp_path: object) -> None:
    data = write_small_data(tmp_path / "small.npz")  # type: ignore[operator]
    config = small_config(data, class_weights={"a.b = [c]": 2.5, "ü": 3}, sampler="balanced")
    assert config_from_toml(config_to_toml(config), name="config.toml") == config
    assert config.replace(class_weights="none").objective.class_weights == "none"
    for field in ("class_weights", "sampler"):
        with pytest.raises(ConfigError, match=f"{field} is 'often'"):
            config.replace(**{field: "often"})
    with pytest.raises(ConfigError, match="both balance the classes"):
        config.replace(class_weights="balanced")
