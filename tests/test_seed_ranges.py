"""Seeds at the end of their range: every seed that is derived from them is in range, or it is refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_runs import small_config, write_small_data
from thumbnet.data_check.folds import check_folds, predict_out_of_fold
from thumbnet.errors import ConfigError
from thumbnet.runs.resolve import load_data
from thumbnet.runs.seeds.train import train_seeds
from thumbnet.specs.checks import MAX_SEED


def test_seeds_beyond_the_last_one_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "small.npz"), seed=MAX_SEED)
    with pytest.raises(ConfigError, match="seed is 18446744073709551616"):
        train_seeds(config, num_seeds=2, run_dir=tmp_path / "runs", log_style="silent")
    assert not (tmp_path / "runs").exists()
    dataset, config = load_data(config, say=lambda text: None)
    with pytest.raises(ConfigError, match="seed is "):
        check_folds(config, dataset, num_folds=2, num_repeats=1)


def test_a_seed_of_more_than_32_bits_divides_into_folds(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "small.npz"), seed=2**40)
    dataset, config = load_data(config, say=lambda text: None)
    found = predict_out_of_fold(config, dataset, num_folds=2, num_repeats=1, log_style="silent")
    assert len(found.probabilities) == len(dataset.train)
