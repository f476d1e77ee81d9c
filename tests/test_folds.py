"""`train --folds K`: every image is predicted once by a model that was not trained on it, and all are reported on."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from small_runs import NUM_IMAGES, rows_of, small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.folder_tree import is_output
from thumbnet.data.source_registry import keeping_sources, read_source
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, DataError, RunError
from thumbnet.evaluation import robustness_scoring as measuring
from thumbnet.evaluation.analysis import analyse
from thumbnet.evaluation.corruptions import CORRUPTIONS
from thumbnet.evaluation.pooled_robustness import pooled_over_images
from thumbnet.evaluation.predictions import Predictions, StoredPredictions
from thumbnet.models.card import card_to_dict
from thumbnet.models.decision import margin_of
from thumbnet.recipes import load_recipe
from thumbnet.runs.comparison.folds import compare_folds
from thumbnet.runs.folds import figures as fold_figures
from thumbnet.runs.folds import report as fold_report
from thumbnet.runs.folds.config import shared_config
from thumbnet.runs.folds.evaluate import evaluate_folds
from thumbnet.runs.folds.figures import OutOfFold, evaluation_of, out_of_fold
from thumbnet.runs.folds.pooled import PooledFigure
from thumbnet.runs.folds.runs import FoldRuns, load_folds, read_folds
from thumbnet.runs.folds.table import FoldList, FoldRow, FoldTable
from thumbnet.runs.folds.train import resume_folds, train_folds
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.run import RunDir, read_robustness
from thumbnet.runs.write_report import write_report
from thumbnet.specs import own_code
from thumbnet.specs.data import DataSpec, ReadOptions
from thumbnet.views.comparison import p_text

NUM_FOLDS = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    return small_config(write_small_data(tmp_path_factory.mktemp("data") / "data.npz"))


@pytest.fixture(scope="module")
def folds(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> FoldRuns:
    """Two folds of twenty images each; a test that changes the folder copies it."""
    folder = tmp_path_factory.mktemp("folds") / "folds"
    return train_folds(config, num_folds=NUM_FOLDS, run_dir=folder, log_style="silent", pictures=False)


def test_every_image_is_predicted_once_by_the_model_that_had_not_seen_it(folds: FoldRuns) -> None:
    rows, table = rows_of(folds.path / "predictions.csv"), rows_of(folds.path / "folds.csv")
    assert [row["source_index"] for row in rows] == [str(index) for index in range(NUM_IMAGES)]
    assert [row["fold"] for row in rows] == [row["fold"] for row in table]
    assert [row["class_name"] for row in rows] == [row["label"] for row in table]
    assert Counter(row["fold"] for row in table) == {"0": 20, "1": 20}
    for fold, run in enumerate(folds.runs):
        own = [row["probability"] for row in rows_of(run.path / "predictions.csv")]
        assert [row["probability"] for row in rows if row["fold"] == str(fold)] == own


def test_each_fold_is_a_whole_run_that_loads_its_own_data(folds: FoldRuns) -> None:
    seen = []
    for fold, run in enumerate(folds.runs):
        assert (run.config.division.folds, run.config.division.fold) == (NUM_FOLDS, fold)
        dataset = load_own_dataset(run)  # compares checksums
        assert dataset.test.positions is not None
        seen += dataset.test.positions.tolist()
        assert not set(seen[-20:]) & set(dataset.train.positions.tolist())  # type: ignore[union-attr]
    assert sorted(seen) == list(range(NUM_IMAGES))
    first, second = folds.runs
    assert first.config.mean != second.config.mean  # of its own training images


def test_the_figures_are_those_of_all_images(folds: FoldRuns) -> None:
    metrics = json.loads((folds.path / "metrics.json").read_text())
    rows = rows_of(folds.path / "predictions.csv")
    accuracy = np.mean([row["label"] == row["prediction"] for row in rows])
    assert metrics["test_accuracy"] == pytest.approx(accuracy)
    assert metrics["test_accuracy"] == pytest.approx(np.mean([run.metrics["test_accuracy"] for run in folds.runs]))
    assert (metrics["n"], metrics["num_folds"], metrics["num_images"]) == (1, NUM_FOLDS, NUM_IMAGES)
    assert set(metrics["figures"]) == {
        "accuracy", "balanced_accuracy", "macro_f1", "mcc", "auc", "average_precision",
    }  # fmt: skip
    for figure in metrics["figures"].values():
        assert figure["low"] < figure["high"]
        assert figure["std_over_seeds"] is None
    accuracy = metrics["figures"]["accuracy"]
    assert accuracy["low"] < accuracy["value"] == metrics["test_accuracy"] < accuracy["high"]
    assert [fold["num_test"] for fold in metrics["folds"]] == [20, 20]
    assert (metrics["commonest_class"], metrics["commonest_share"]) == ("0", 0.5)
    assert metrics["settings"]["lr"] == 0.05
    assert not {"seed", "folds", "fold"} & set(metrics["settings"])
    assert load_folds(folds.path).metrics["figures"] == metrics["figures"]


def test_what_is_missing_is_trained_to_the_same_end(folds: FoldRuns, tmp_path: Path) -> None:
    folder = shutil.copytree(folds.path, tmp_path / "folds")
    shutil.rmtree(folder / "fold-1")
    (folder / "metrics.json").unlink()
    with pytest.raises(RunError, match="are not finished"):
        load_folds(folder)
    resumed = resume_folds(folder, log_style="silent", pictures=False)
    assert (folder / "predictions.csv").read_text() == (folds.path / "predictions.csv").read_text()
    assert resumed.runs[1].card.data_checksum == folds.runs[1].card.data_checksum


def test_it_does_not_go_on_with_other_data(config: TrainConfig, folds: FoldRuns, tmp_path: Path) -> None:
    folder = shutil.copytree(folds.path, tmp_path / "folds")
    shutil.rmtree(folder / "fold-1")
    other = write_small_data(tmp_path / "other.npz", seed=5)
    for name in ("fold-0/config.toml", "shared.toml"):
        text = (folder / name).read_text()
        RunDir((folder / name).parent).write_checked({Path(name).name: text.replace(config.data, f"npz:{other}")})
    with pytest.raises(RunError, match="was begun on other data"):
        resume_folds(folder, log_style="silent", pictures=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",0,0\n", f",{'9' * 5_000},0\n").encode(), "row "),  # no number for Python
        (lambda text: text.replace(",0,0\n", ",1,0\n").encode(), "not in the folds 0 to 1"),
        (lambda text: text.splitlines()[0].encode(), "not in the folds 0 to 1"),
        (lambda text: text.encode() + b"\xff", "utf-8"),
    ],
)
def test_a_table_that_is_none_is_damaged(
    change: Callable[[str], bytes], message: str, folds: FoldRuns, tmp_path: Path
) -> None:
    folder = shutil.copytree(folds.path, tmp_path / "folds")
    RunDir(folder).write_checked({"folds.csv": change((folder / "folds.csv").read_text())})
    with pytest.raises(RunError, match=rf"folds\.csv .*{message}"):
        evaluate_folds(folder)


def test_folds_are_trained_with_several_seeds(config: TrainConfig, tmp_path: Path) -> None:
    done = train_folds(
        config.replace(seed=3), num_folds=2, num_seeds=2, run_dir=tmp_path / "folds", log_style="silent", pictures=False
    )
    names = [run.path.name for run in done.runs]
    assert names == ["fold-0-seed-3", "fold-0-seed-4", "fold-1-seed-3", "fold-1-seed-4"]
    assert {path.name for path in (tmp_path / "folds").glob("predictions*.csv")} == {
        "predictions-seed-3.csv", "predictions-seed-4.csv",
    }  # fmt: skip
    assert done.metrics["seeds"] == [3, 4]
    assert done.metrics["test_accuracy_std"] is not None
    page = write_report(done.path).read_text()
    table, metrics = table_of(page), done.metrics
    first = [run.metrics["test_accuracy"] for run in done.runs[:2]]
    assert table["0"][1] == f"{100 * np.mean(first):.1f} %"
    assert metrics["by_fold"][0]["accuracy"] == pytest.approx(np.mean(first))  # type: ignore[index]
    assert table["seed to seed"][1] == f"{100 * metrics['test_accuracy_std']:.1f} %"
    assert "all that follows the table is of seed 3" in page


def table_of(page: str) -> dict[str, list[str]]:
    """The cells of the report's table of folds, by the heading of their row."""
    section = page[page.index('<section id="folds"') :].split("</section>")[0]
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
    ]
    return {heading: [cell.replace("\u00a0", " ") for cell in cells] for heading, *cells in rows}


def test_the_report_shows_all_images_and_every_fold(
    folds: FoldRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(folds.path, tmp_path / "folds")
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    page = (folder / "report.html").read_text()
    assert "Each of 40 images was predicted once" in page
    assert "40, in 2 folds" in page
    assert "each fold has its own" in page
    assert "--folds 2" in page
    table, figures = table_of(page), folds.metrics["figures"]
    assert list(table) == ["fold", "0", "1", "mean", "deviation", "all images", "95 % interval"]
    names = ["images", "accuracy", "balanced accuracy", "macro F1", "Matthews\u2019 coefficient", "area under ROC"]
    assert table["fold"] == [*names, "average precision", "training", "report"]
    for fold, run in enumerate(folds.runs):
        metrics = run.metrics
        assert table[str(fold)][:2] == ["20", f"{100 * metrics['test_accuracy']:.1f} %"]
        assert table[str(fold)][4:7] == [
            f"{metrics[f'test_{name}']:.3f}" for name in ("mcc", "auc", "average_precision")
        ]
    areas = [run.metrics["test_auc"] for run in folds.runs]
    assert (table["mean"][5], table["deviation"][5]) == (f"{np.mean(areas):.3f}", f"{np.std(areas, ddof=1):.3f}")
    area = figures["auc"]  # type: ignore[index]
    assert (table["all images"][0], table["all images"][5]) == ("40", f"{area['value']:.3f}")
    assert table["95 % interval"][5] == f"{area['low']:.3f} to {area['high']:.3f}"


def test_the_report_pools_what_the_folds_measured_under_corruptions(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "CORRUPTIONS", CORRUPTIONS[1:2])
    wanted = config.replace(report_robustness=True)
    done = train_folds(wanted, num_folds=NUM_FOLDS, run_dir=tmp_path / "folds", log_style="silent")
    found = [read_robustness(RunDir(run.path)) for run in done.runs]
    assert None not in found
    pooled = pooled_over_images([each for each in found if each is not None])
    page = (done.path / "report.html").read_text()
    section = page[page.index('<section id="robustness"') :].split("</section>")[0]
    assert f"on all 40 images out of fold: {100 * pooled.accuracy:.1f} %" in section
    assert "Pooled over 2 folds" in section
    assert section.count('<figure class="chart"') == 1
    assert '<a href="#robustness">' in page


def test_the_report_has_what_holds_for_the_beginning_of_all_folds(folds: FoldRuns, tmp_path: Path) -> None:
    folder = shutil.copytree(folds.path, tmp_path / "folds")
    for fold in range(NUM_FOLDS):
        remarks = ["The first filters are adapted.", f"Chosen on fold {fold}."]
        RunDir(folder / f"fold-{fold}").write_checked({"remarks.json": json.dumps({"format": 1, "remarks": remarks})})
    page = write_report(folder).read_text()
    assert page.count("The first filters are adapted.") == 1
    assert "Chosen on fold" not in page
    own = write_report(folder / "fold-1").read_text()
    assert "The first filters are adapted." in own
    assert "Chosen on fold 1." in own
    RunDir(folder / "fold-1").write_checked({"remarks.json": '{"format": 1, "remarks": "none"}'})
    with pytest.raises(RunError, match=r"remarks\.json is damaged"):
        write_report(folder)


def test_classes_have_intervals_by_groups_where_images_belong_together(
    folds: FoldRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_list, table = read_folds(RunDir(folds.path))
    asked: list[object] = []
    monkeypatch.setattr(fold_figures, "analyse", lambda *given, groups: asked.append(groups) or analyse(*given))
    out_of_fold(folds.runs, fold_list, table)
    grouped = FoldTable(tuple(replace(row, group=f"object {index // 4}") for index, row in enumerate(table.rows)))
    out_of_fold(folds.runs, fold_list, grouped)
    assert asked == [None, tuple(index // 4 for index in range(NUM_IMAGES))]


def test_the_report_is_written_anew_from_data_that_moved(
    folds: FoldRuns, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved.npz"
    shutil.copy(config.data.removeprefix("npz:"), moved)
    out = tmp_path / "out.html"
    assert main(["report", str(folds.path), "--data", f"npz:{moved}", "--out", str(out)]) == 0
    again = write_report(folds.path, tmp_path / "again.html")
    assert out.read_text().replace(str(moved), config.data.removeprefix("npz:")) == again.read_text()
    other = write_small_data(tmp_path / "other.npz", seed=5)
    assert main(["report", str(folds.path), "--data", f"npz:{other}", "--out", str(out)]) != 0
    assert "are not those that" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="the dataset that was given is fold 0 of 2"):
        write_report(folds.path, dataset=load_own_dataset(folds.runs[0]))


def test_each_image_is_looked_at_by_the_model_of_its_fold(folds: FoldRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, int]] = []

    def looked(model: nn.Module, dataset: Dataset, predictions: Predictions, chosen: list[int]) -> tuple[Tensor, str]:
        asked.extend((dataset.mean, index) for index in chosen)
        return torch.full((len(chosen), *dataset.image_shape[1:]), 0.5), "note"

    monkeypatch.setattr(fold_report, "saliency_of_gallery", looked)
    folder = RunDir(folds.path)
    fold_list, table = read_folds(folder)
    fold_report.build_folds_report(folder, folds.runs, out_of_fold(folds.runs, fold_list, table), DataPlace())
    assert {mean for mean, _ in asked} == {run.config.mean for run in folds.runs}
    for mean, index in asked:
        assert mean == folds.runs[table.rows[index].fold].config.mean


def test_the_table_of_folds_has_means_over_the_seeds_and_a_dash_where_a_fold_has_no_figure() -> None:
    rows = ({"accuracy": 0.5, "auc": 0.75}, {"accuracy": 1.0})
    found = OutOfFold(FoldList(2, (0,), ""), FoldTable(()), rows, (), ())
    vars(found)["figures"] = {"accuracy": PooledFigure(0.7, 0.6, 0.8, None), "auc": PooledFigure(0.75, 0.5, 1.0, None)}
    assert found.over_folds() == {"accuracy": (0.75, pytest.approx(0.5 / 2**0.5)), "auc": (0.75, None)}


def test_the_command_ends_with_what_holds_out_of_fold(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from thumbnet.config import config_to_toml

    recipe = tmp_path / "small.toml"
    recipe.write_text(config_to_toml(config))
    arguments = ["train", "--recipe", str(recipe), "--folds", "2", "--run-dir", str(tmp_path / "folds")]
    assert main([*arguments, "--no-pictures", "--log-style", "silent"]) == 0
    lines = capsys.readouterr().out.splitlines()
    figure = json.loads((tmp_path / "folds" / "metrics.json").read_text())["figures"]["accuracy"]
    accuracy = f"{figure['value']:.2%} [{figure['low']:.1%}, {figure['high']:.1%}]"
    assert lines[-2].startswith(f"out of fold: accuracy {accuracy}, balanced accuracy ")
    assert "area under the ROC curve" in lines[-2]
    assert ", average precision " in lines[-2]
    assert "; always '0' has accuracy 50.00% (40 images, each predicted once by a model that was not " in lines[-2]
    assert "trained on it; 2 folds, seed 0; " in lines[-2]
    assert lines[-2].endswith("; in brackets the 95% interval)")
    assert main(["train", "--resume", str(tmp_path / "folds"), "--no-pictures"]) == 0
    assert main(["train", "--resume", str(tmp_path / "folds"), "--folds", "2"]) != 0


@pytest.mark.parametrize(
    ("num_folds", "fields", "message"),
    [
        (1, {}, "folds is 1"),
        (51, {}, "folds is 51"),
        (2, {"teacher": "runs/x", "augmentation": "crop-flip"}, "teacher is 'runs/x', which has seen"),
        (2, {"folds": 3, "fold": 0}, "the recipe has folds = 3 already"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(
    num_folds: int, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train_folds(small_config(Path("not-there.npz"), **fields), num_folds=num_folds)


def test_a_class_with_fewer_images_than_folds_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="than the 21 folds need: '0' has 20, '1' has 20"):
        train_folds(config, num_folds=21, run_dir=tmp_path / "folds", log_style="silent")
    assert not (tmp_path / "folds").exists()


def test_weights_of_the_same_data_are_refused(folds: FoldRuns, config: TrainConfig) -> None:
    known = config.replace(init=str(folds.runs[0].path))
    with pytest.raises(ConfigError, match="which has seen the images that are held out in turn"):
        train_folds(known, num_folds=2)


def test_groups_and_leaks_across_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_small_data(tmp_path / "data.npz")
    arrays = dict(np.load(data))
    arrays["images"][31] = arrays["images"][4]  # the same picture twice
    np.savez(data, **arrays)
    lines = [f"{index},pair {index // 4}" for index in range(8)]
    (tmp_path / "groups.csv").write_text("\n".join(["index,group", *lines]))
    config = small_config(data, groups=str(tmp_path / "groups.csv"), split_seed=3)
    done = train_folds(config, num_folds=2, run_dir=tmp_path / "folds", pictures=False)
    _, table = read_folds(RunDir(done.path))
    assert len({row.fold for row in table.rows[:4]}) == len({row.fold for row in table.rows[4:8]}) == 1
    assert [row.group for row in table.rows[:9]] == ["pair 0"] * 4 + ["pair 1"] * 4 + [""]
    codes = table.groups()
    assert codes is not None
    assert len(set(codes[:4])) == len(set(codes[4:8])) == 1
    assert len(set(codes)) == 34
    assert table.rows[4].fold != table.rows[31].fold
    told = capsys.readouterr().err
    assert told.count("Leaks between folds: 2 images equal") == 1
    assert told.count("Groups (groups.csv): 2 groups") == 1
    assert "\nfold-0: fold 1 of 2 is held out.\n" in told
    assert "\nfold-1: fold 2 of 2 is held out.\n" in told
    (row,) = rows_of(done.path / "leaks.csv")
    assert (row["index"], row["other_index"]) == ("31", "4")
    assert sum(run.metrics["num_leaks"] for run in done.runs) == 2  # each is in training where the other is held out
    same = compare_folds([done.path, shutil.copytree(done.path, tmp_path / "same")])
    (by_group,) = same.by_group
    assert ", macro f1 +0.00 to +0.00 points, mcc +0.0000 to +0.0000, auc +0.0000 to +0.0000, average" in str(same)
    assert by_group == dict.fromkeys(by_group or (), (0.0, 0.0))
    less = config.replace(exclude=str(done.path / "leaks.csv"))
    again = train_folds(less, num_folds=2, run_dir=tmp_path / "again", pictures=False)
    assert "Leaks" not in capsys.readouterr().err
    assert (again.metrics["num_images"], again.metrics["num_excluded"]) == (39, 1)
    unequal = compare_folds([again.path, shutil.copytree(again.path, tmp_path / "twin")])
    (pair,) = unequal.comparisons
    assert pair.balanced is not None
    bounds = f"{100 * pair.balanced.low:+.2f} to {100 * pair.balanced.high:+.2f}"
    assert f"    balanced accuracy: +0.00 points (95% interval {bounds})\n" in str(unequal)
    assert unequal.to_dict()["comparisons"][0]["balanced_accuracy_difference"] == asdict(pair.balanced)  # type: ignore[index]
    assert [row["source_index"] for row in rows_of(again.path / "predictions.csv")] == [
        str(index) for index in range(40) if index != 31
    ]


def test_a_source_is_read_once_while_it_is_kept(config: TrainConfig) -> None:
    spec = DataSpec(config.data)
    with keeping_sources() as kept:
        first, second = read_source(spec, ReadOptions()), read_source(spec, ReadOptions(show_progress=False))
        assert first is second
        assert not first.owns_images
        assert list(kept.values()) == [first]
    assert read_source(spec, ReadOptions()) is not first


def test_the_folder_is_known_as_thumbnets_own(folds: FoldRuns) -> None:
    assert is_output(folds.path)


def test_evaluate_shows_all_images_out_of_fold(folds: FoldRuns, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folds.path)]) == 0
    told = capsys.readouterr().out
    assert "2 folds, 40 images out of fold" in told
    assert re.search(r"figure +all images +95% interval +mean of folds +deviation +fold 0 +fold 1\n", told)
    area = folds.metrics["figures"]["auc"]  # type: ignore[index]
    assert re.search(rf"\nauc +{area['value']:.4f} +{area['low']:.4f} to {area['high']:.4f} ", told)
    assert f"accuracy {folds.metrics['test_accuracy']:.2%}" in told
    assert main(["evaluate", str(folds.path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["figures"] == folds.metrics["figures"]
    (evaluation,) = values["evaluations"]
    assert evaluation["auc"] == pytest.approx(folds.metrics["figures"]["auc"]["value"])  # type: ignore[index]
    assert main(["evaluate", str(folds.path), "--tta"]) != 0
    assert "tta is given, but" in capsys.readouterr().err


def test_recipes_are_compared_on_the_same_folds(
    folds: FoldRuns, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train_folds(
        config.replace(lr=0.2, epochs=2), num_folds=2, run_dir=tmp_path / "other", log_style="silent", pictures=False
    )
    comparison = compare_folds([folds.path, other.path])
    (pair,), (area,) = comparison.comparisons, comparison.areas
    accuracies = [float(each.metrics["test_accuracy"]) for each in (folds, other)]  # type: ignore[arg-type]
    assert pair.difference == pytest.approx(accuracies[1] - accuracies[0])
    assert area is not None
    areas = [evaluate_folds(each.path).to_dict()["evaluations"][0]["auc"] for each in (folds, other)]  # type: ignore[index]
    assert area.difference == pytest.approx(areas[1] - areas[0])
    assert area.interval[0] <= area.difference <= area.interval[1]
    assert main(["compare", str(folds.path), str(other.path)]) == 0
    text = capsys.readouterr().out
    assert "area under the ROC curve" in text
    assert f"): accuracy {100 * accuracies[0]:.2f} %, balanced accuracy " in text
    assert "corrected" not in text
    third = shutil.copytree(other.path, tmp_path / "third")
    several = compare_folds([folds.path, other.path, third])
    assert f"({p_text(several.comparisons[0].holm_p_value)} corrected)" in str(several)
    assert "McNemar's exact test, corrected by Holm;" in str(several)
    assert main(["compare", str(folds.path), str(other.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparisons"][0]["difference"] == pytest.approx(pair.difference)
    apart = train_folds(
        config.replace(split_seed=7), num_folds=2, run_dir=tmp_path / "apart", log_style="silent", pictures=False
    )
    with pytest.raises(RunError, match="were divided differently"):
        compare_folds([folds.path, apart.path])
    with pytest.raises(RunError, match="holds no runs on several folds"):
        compare_folds([folds.path, folds.runs[0].path])


def test_areas_are_of_the_class_of_the_threshold_and_the_report_says_that_each_fold_has_its_own(
    config: TrainConfig, tmp_path: Path
) -> None:
    own = config.replace(threshold=0.3, positive="0")
    done = train_folds(own, num_folds=2, run_dir=tmp_path / "folds", log_style="silent", pictures=False)
    rows = rows_of(done.path / "predictions.csv")
    labels, shares = [row["label"] == "0" for row in rows], [float(row["p_0"]) for row in rows]
    assert [int(row["prediction"]) for row in rows] == [0 if share >= 0.3 else 1 for share in shares]
    figures = done.metrics["figures"]
    assert figures["average_precision"]["value"] == pytest.approx(average_precision_score(labels, shares))  # type: ignore[index]
    page = write_report(done.path).read_text()
    assert "from a probability of 0.3 on, as given" in page
    assert "The curves and the validation accuracy count the likelier class; all other figures obey" in page
    assert "answers at a threshold of its own" not in page
    assert ">Back to 30.0 %<" in page
    table = page.partition('aria-label="Table of thresholds"')[2].partition("</table>")[0]
    assert table.count('<th scope="row">30.0 %') == table.count("(the model's)") == 1
    found = evaluate_folds(done.path).found
    assert isinstance(found, OutOfFold)
    kept = found.analyses[0].evaluation.at_threshold
    assert kept is not None
    assert kept.accuracy == done.metrics["test_accuracy"]
    folder = RunDir(done.path / "fold-1")
    card = folder.read_card()
    assert card.decision is not None
    picked = replace(card.decision, threshold=0.0004, margin=margin_of(0.0004), rule="f1")
    folder.write_checked({"model.json": json.dumps(card_to_dict(replace(card, decision=picked)))})
    page = write_report(done.path).read_text()
    assert "answers at a threshold of its own, 0.040 % to 30.0 %, which" in page
    assert "The ring is at 50.0 %, the filled dot" in page
    assert "(the model's)" not in page
    assert "No threshold was picked" not in page


def test_a_network_of_the_users_own_is_copied_and_trusted_only_on_demand(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\n\ndef net(*, num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "        nn.Linear(4, num_classes))\n"
    )
    monkeypatch.setattr(own_code, "_executed", {})
    own = config.replace(model=f"{net}:net", model_options={})
    done = train_folds(own, num_folds=2, run_dir=tmp_path / "folds", log_style="silent", pictures=False)
    shutil.rmtree(done.path / "fold-1")
    (done.path / "metrics.json").unlink()
    net.unlink()
    monkeypatch.setattr(own_code, "_executed", {})
    with pytest.raises(RunError, match="code"):
        resume_folds(done.path, log_style="silent", pictures=False)
    again = resume_folds(done.path, log_style="silent", pictures=False, trust_code=True)
    assert again.metrics["test_accuracy"] == done.metrics["test_accuracy"]


def test_what_a_fold_finds_out_of_its_images_is_not_taken_to_others() -> None:
    table = FoldTable(tuple(FoldRow("", name, "", index % 2, index == 0) for index, name in enumerate("zzzaaza")))
    asked = small_config(
        Path("data.npz"), augmentation="auto", alternating_flip=True, threshold="f1", val_fraction="auto"
    )
    found = {"augmentation": "flips", "flip": False, "alternating_flip": False, "mean": [0.5], "std": [0.2]}
    in_first = asked.replace(val_fraction=0.1929, val_per_class=60, **found)
    shared = shared_config(asked, in_first, table, ("z", "a"), None)
    assert (shared.inputs.augmentation, shared.inputs.flip, shared.inputs.alternating_flip) == ("auto", "auto", True)
    assert shared.mean is None
    assert (shared.val_fraction, shared.val_per_class) == ("auto", None)
    assert shared.decisions.positive == "a"  # of three images, as z, and the second: in every fold


def test_a_fold_whose_images_are_all_left_out_is_refused_before_another_is_trained(
    config: TrainConfig, tmp_path: Path
) -> None:
    test = load_dataset(config.data, val_fraction=0, folds=3, fold=1).test
    assert test.positions is not None
    rows = zip(test.positions.tolist(), test.labels.tolist(), strict=True)
    lines = [f"{index},,{label},,1.0,label" for index, label in rows]
    listed = tmp_path / "listed.csv"
    listed.write_text("\n".join(["index,path,label,suggested,score,kind", *lines]))
    with pytest.raises(DataError, match="without the excluded images, fold 1 of 3 has none to be scored on"):
        train_folds(config.replace(exclude=str(listed)), num_folds=3, run_dir=tmp_path / "run", log_style="silent")
    assert not (tmp_path / "run").exists()


def test_weights_of_the_package_know_the_data_that_they_were_trained_on() -> None:
    config = load_recipe("sprint", options={"data": "cifar10", "init": "thumb-20k", "model": "thumb-20k"})
    with pytest.raises(ConfigError, match="init is 'thumb-20k', which has seen"):
        train_folds(config, num_folds=2)


def test_the_surest_answers_keep_their_order() -> None:
    margins = torch.tensor([40.0, 30.0], dtype=torch.float64)  # both have a probability of 1 but for 13 digits and more
    surer = torch.stack([(-margins).exp(), 1 - (-margins).exp()], dim=1)
    stored = StoredPredictions(torch.tensor([1, 0]), torch.tensor([1, 1]), surer[:, 1], None, surer)
    curves = evaluation_of(stored).binary
    assert curves is not None
    assert curves.auc == 1
