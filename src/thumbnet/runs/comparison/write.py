"""What a comparison of runs leaves in a folder: curves, costs and disagreements as pictures, and comparison.json."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.originals import larger_images
from thumbnet.errors import ConfigError, RunError
from thumbnet.runs.comparison.runs import RunComparison
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.run import RunDir
from thumbnet.views.comparison import draw_costs
from thumbnet.views.curves import curves_of, draw_curves
from thumbnet.views.disagreements import IMAGE_PX, disagreements_of, draw_disagreements
from thumbnet.views.figure import png_bytes

COMPARISON = "comparison.json"


def write_comparison(
    comparison: RunComparison,
    out_dir: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    allow_unverified: bool | None = None,
    dataset: Dataset | None = None,
) -> None:
    """Write curves.png, cost.png, disagreements.png and, last of all, comparison.json to a new or empty folder.

    Args:
        data, data_dir, allow_unverified: where the images are now, as in `Run.load_dataset`.
        dataset: the images, read before.

    Raises:
        ConfigError: the folder is not empty; DataError: the images cannot be read.
        RunError: they are not those of the run, or the folder cannot be written.
    """
    folder = RunDir(Path(out_dir))
    check_new_or_empty(folder.path)
    place = DataPlace(data, data_dir, allow_unverified, dataset)
    images = load_own_dataset(comparison.runs[0], place)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the folder {folder.path} cannot be created: {error}", hint="name another") from error
    names = [metrics.name for metrics in comparison.metrics]
    curves = [curves_of(run.history, label=name) for run, name in zip(comparison.runs, names, strict=True)]
    folder.write("curves.png", png_bytes(draw_curves(curves)))
    folder.write("cost.png", png_bytes(draw_costs(comparison.metrics)))
    shown = partial(larger_images, images, images.test, side=IMAGE_PX)
    disagreements = [
        disagreements_of(names[0], comparison.predictions[0], name, stored, pair, shown)
        for name, stored, pair in zip(names[1:], comparison.predictions[1:], comparison.comparisons, strict=True)
    ]
    folder.write("disagreements.png", png_bytes(draw_disagreements(disagreements, images.class_names)))
    folder.write_json(COMPARISON, comparison.to_dict())


def check_new_or_empty(path: Path) -> None:
    """ConfigError where the folder is there already and holds something."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ConfigError(f"{path} is there already and is no empty folder", hint="name a new or empty folder")
