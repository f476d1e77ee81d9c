"""The data source packed:DIR: what `thumbnet data pack` has written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from thumbnet.data.images import READER_VERSION
from thumbnet.data.packs.manifest import Manifest, read_manifest
from thumbnet.data.packs.store import check_images, read_splits
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ConfigError, DataError
from thumbnet.specs.data import Labels, WhiteLevels
from thumbnet.specs.sizes import Fit
from thumbnet.terminal.text import counted


def read_packed(
    path: Path,
    *,
    white_levels: WhiteLevels | None = None,
    fit: Fit = "crop",
    labels: Labels = "auto",
    show_progress: bool = True,
) -> SourceSplits:
    """The splits of a pack, whose images are read from its files when they are used.

    Args:
        white_levels: those that a model's own pictures were scaled by; None: as the pack's were.
        fit, labels: those that the pack must have been made with, as a run on its folder asks for; "crop" and "auto":
            any.
        show_progress: show on stderr how far the images are checked, where that takes more than two seconds.

    Raises:
        DatasetNotFoundError: there is no pack.
        DataError: it is damaged, or its pictures with more than 8 bits were scaled otherwise.
        ConfigError: it was made with another fit, or with other labels.
    """
    manifest = read_manifest(path)
    for name, asked, made in (("fit", fit, manifest.fit), ("labels", labels, manifest.labels_from)):
        if asked not in ("crop", "auto", made):
            raise ConfigError(
                f"{name} is {asked!r}, but the pack {path} was made with {made!r}",
                hint=f"leave {name} out, or pack the data again with --{name} {asked}",
            )
    _check_white_levels(path, manifest, white_levels)
    splits = read_splits(path, manifest, check_images(path, manifest, show_progress=show_progress))
    what = "labels, of which each may have several," if splits.train.has_several_labels else "classes"
    images = counted(manifest.num_images, "image")
    description = f"{images} of {len(manifest.class_names)} {what} in the pack {path}"
    remarks = manifest.source.remarks
    if manifest.reader != READER_VERSION:
        remarks = (*remarks, f"The pack {path} was made by thumbnet {manifest.made_by}, which read pictures otherwise.")
    source = replace(splits.source, name=f"packed:{path.resolve()}", description=description, remarks=remarks)
    return replace(splits, source=source)


def _check_white_levels(path: Path, manifest: Manifest, white_levels: WhiteLevels | None) -> None:
    """DataError where a model knows another white than that by which the pack's pictures were scaled."""
    for kind, white in manifest.white_levels.items():
        wanted = (white_levels or {}).get(kind, white)
        if wanted != white:
            raise DataError(
                f"the pack {path} takes the level {white:,.0f} for white in its pictures with more than 8 bits, the "
                f"model {wanted:,.0f}",
                hint="give the folder of the pictures: --data folder:PATH",
            )
