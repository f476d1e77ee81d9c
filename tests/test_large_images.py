"""benchmarks/bench_large_images.py: its rows and its verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import bench_large_images

        return bench_large_images
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_a_row_has_the_stem_for_the_size(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "BATCH_SIZE", 4)
    row = benchmark.measure("sprint", 64, num_steps=4)
    assert (row["stem"], row["num_steps"]) == ("w4s2", 2)
    assert row["image_s"] > 0
    assert 15e6 < row["macs"] < 20e6


def test_the_verdict_is_on_224_pixels(benchmark: Any) -> None:
    def rows(macs: float, seconds: float) -> list[dict[str, Any]]:
        return [
            {"model": "sprint", "side": side, "stem": "w2", "macs": each[0], "image_s": each[1]}
            for side, each in ((32, (1e6, 1e-3)), (160, (9e6, 9e-3)), (224, (macs, seconds)))
        ]

    assert "**holds** for 1 of 1 models" in benchmark.describe(rows(6e6, 2.9e-3), circumstances="here")
    assert "**misses** for 0 of 1 models" in benchmark.describe(rows(6.1e6, 2e-3), circumstances="here")
    assert "**misses** for 0 of 1 models" in benchmark.describe(rows(2e6, 3.1e-3), circumstances="here")
    assert "| sprint | 224 | w2 | 6.0 M | 6.0 | 2.00 | 0.50 |" in benchmark.describe(rows(6e6, 2e-3), circumstances="")
