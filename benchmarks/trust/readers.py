"""Every reader of thumbnet's by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from thumbnet.errors import RunError
from thumbnet.runs.run import load_run
from trust.cache_readers import readers_of_the_cache
from trust.data_readers import readers_of_data
from trust.listing_readers import readers_of_listings
from trust.model_readers import readers_of_models
from trust.pack_readers import readers_of_packs
from trust.reader import Reader
from trust.run_readers import readers_of_runs


def make_readers(run: Path, place: Path) -> Mapping[str, Reader]:
    """The readers by name; `run` is a finished run of a small network, `place` an empty folder to work in."""
    place.mkdir(parents=True, exist_ok=True)
    return {
        **readers_of_data(place),
        **readers_of_packs(place),
        **readers_of_the_cache(place),
        **readers_of_runs(run, place),
        **readers_of_listings(run, place),
        **readers_of_models(run, place),
    }


def small_run(place: Path) -> Path:
    """A finished run to take the files of."""
    from trust.trainings import Training

    training = Training(place)
    if load_run(training.whole).metrics is None:
        raise RunError("the training left no metrics")
    return training.whole
