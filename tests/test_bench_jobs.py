"""benchmarks/bench_jobs.py: what it trains, and what it says of the times and the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_jobs

    return bench_jobs


@contextmanager
def no_cluster(folder: Path) -> Iterator[str]:
    yield "tcp://h:1"


def test_it_compares_times_and_weights(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[list[str]] = []

    def train(folder: Path, seeds: int, more: list[str]) -> float:
        trained.append(more)
        for seed in range(seeds):
            (folder / f"seed-{seed}").mkdir(parents=True)
            other = "--scheduler" in more and seed == wrong
            (folder / f"seed-{seed}" / "model.safetensors").write_text(f"{seed} {other} {'--threads' in more}")
        return 6.0 if "--jobs" in more else 10.0

    monkeypatch.setattr(bench, "train", train)
    monkeypatch.setattr(bench, "cluster", no_cluster)
    for wrong, epochs, verdict in (
        (-1, None, "the same weights: holds"),
        (2, 2, "**not the same** weights: misses"),
    ):
        values = bench.measure(tmp_path / f"{wrong}", seeds=3, epochs=epochs, turns=1)
        assert values["share"] == values["share_of_pair"] == 0.6
        assert values["are_same_bits"] == (wrong == -1)
        monkeypatch.setattr(bench, "describe_circumstances", lambda values: "here")
        text = bench.report(values)
        assert "takes **0.60** of one after the other (bar: 0.75): holds." in text
        assert verdict in text
        assert (", 2 epochs: the whole command" in text) == (epochs == 2)
    assert ["--scheduler", "tcp://h:1", "--threads", "1"] in trained
    assert ["--epochs", "2", "--jobs", "2"] in trained
    assert len(trained) == 14
