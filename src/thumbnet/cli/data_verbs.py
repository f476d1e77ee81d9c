"""The verbs of `thumbnet data`: info, split, pack, cache, prepare, preview, check."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from thumbnet.cli.early_checks import check_data
from thumbnet.cli.options import image_size_of
from thumbnet.cli.output import put, put_json, write_file
from thumbnet.cli.training_verbs import DECISION_FIELDS, STOPPING_FIELDS, recipe_config, refuse_settings
from thumbnet.config import TrainConfig, config_to_dict
from thumbnet.specs.division import Division
from thumbnet.specs.inputs import Inputs
from thumbnet.terminal.streams import tell
from thumbnet.terminal.text import counted, escaped

SET_DATA_FIELDS = (
    "image_size",
    "fit",
    "split_seed",
    "groups",
    "flip",
    "skip_unreadable",
    "labels",
)  # of a recipe: what tells how data is read

OF_A_RUN = ("score_test", "score_every", "report_robustness")  # fields of a recipe that `check` has no use for

PLANS_A_SIZE = "Given neither a recipe nor a size, `thumbnet train` chooses one that fits into its minutes."


def info(parsed: argparse.Namespace) -> None:
    """Print what a dataset holds."""
    check_data(parsed.data)

    from thumbnet.data.class_counts import baseline, class_table, dataset_counts
    from thumbnet.data.originals import picture_sides
    from thumbnet.data.source_registry import obeys
    from thumbnet.data.sources import load_dataset
    from thumbnet.recipes import load_recipe
    from thumbnet.runs.size_advice import advise_size

    dataset = load_dataset(
        parsed.data or "auto",
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified,
        image_size=image_size_of(parsed.image_size),
        val_fraction=parsed.val_fraction,
        split_seed=parsed.split_seed,
        groups=parsed.groups,
    )
    sides = picture_sides(dataset)
    values: dict[str, Any] = {
        "source": dataset.source.name,
        "num_train": len(dataset.train),
        "num_val": 0 if dataset.val is None else len(dataset.val),
        "num_test": len(dataset.test),
        "class_names": dataset.class_names,
        "image_shape": dataset.image_shape,
        "picture_sides": None if sides is None else asdict(sides),
        "mean": dataset.mean,
        "std": dataset.std,
        "verified": dataset.source.verified,
    }
    advice = "" if sides is None else advise_size(load_recipe(), dataset, sides)
    if advice and obeys(dataset.source.name, "image_size"):
        advice += f" {PLANS_A_SIZE}"
    for sentence in (dataset.source.note, *dataset.source.remarks, advice):
        if sentence:
            tell(sentence)
    counts, always = dataset_counts(dataset), baseline(dataset.test.labels, dataset.class_names)
    if parsed.json:
        commonest = {"commonest_class": always.class_name, "commonest_share": always.accuracy}
        put_json({**values, "class_counts": counts, **commonest})
        return
    put(dataset.source.description)
    values["picture_sides"] = sides
    for name, value in values.items():
        if value is not None:
            put(f"{name.replace('picture_sides', 'pictures'):12} {_plain(value)}")
    num_images = {name: len(dataset.split(name)) for name in next(iter(counts.values()))}
    put(f"\n{class_table(counts, num_images=num_images)}\naccuracy on the test images without a model: {always}")


def split(parsed: argparse.Namespace) -> None:
    """Divide a folder of pictures into train, val and test folders, and print how many pictures are where."""
    from thumbnet.data.split_folder import split_folder

    done = split_folder(
        parsed.path,
        parsed.out,
        test=parsed.test,
        val=parsed.val,
        split_seed=parsed.split_seed,
        groups=parsed.groups,
        labels=parsed.labels,
        link=parsed.link,
    )
    for sentence in done.remarks:
        tell(sentence)
    if parsed.json:
        put_json(done.to_dict())
        return
    put(done)
    groups = ["--groups", "auto"] if done.is_grouped else []  # also where a training holds validation images out
    put(f"to train on it: {shlex.join(['thumbnet', 'train', '--data', f'folder:{done.path}', *groups])}")


def pack(parsed: argparse.Namespace) -> None:
    """Decode data into a folder to keep, and print what it holds."""
    check_data(parsed.data)

    from thumbnet.data.packs.pack import pack_data
    from thumbnet.recipes import load_recipe
    from thumbnet.runs.size_advice import advise_by_shape

    image_size = image_size_of(parsed.image_size)
    packed = pack_data(
        parsed.data,
        parsed.out,
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified,
        image_size=image_size,
        fit=parsed.fit,
        skip_unreadable=parsed.skip_unreadable,
        labels=parsed.labels,
    )
    sides, advice = packed.picture_sides, ""
    if sides is not None and image_size != "auto":
        shape, fit = packed.image_shape, parsed.fit
        advice = advise_by_shape(load_recipe(), shape, len(packed.counts), sides, fit=fit, is_packed=True)
    for sentence in (*packed.remarks, *([advice] if advice else [])):
        tell(sentence)
    if parsed.json:
        put_json(packed.to_dict())
        return
    channels, height, width = packed.image_shape
    put(packed)
    put(
        f"{packed.num_images:,} images of {width}x{height} pixels in {'grey' if channels == 1 else 'colour'}, "
        f"{packed.num_bytes / 1e6:,.1f} MB"
    )
    put(f"to train on it: {shlex.join(['thumbnet', 'train', '--data', f'packed:{packed.path}'])}")


def cache(parsed: argparse.Namespace) -> None:
    """List or remove the decoded pictures that are kept."""
    from thumbnet.data.packs.entries import cache_entries, clear_cache, summed

    if parsed.clear is not None:
        cleared = clear_cache(parsed.clear or None)
        if parsed.json:
            put_json({"cleared": [entry.name for entry in cleared]})
            return
        put(f"{summed(cleared)} removed")
        return
    place, entries = cache_entries()
    if parsed.json:
        put_json({"path": None if place is None else str(place), "entries": [entry.to_dict() for entry in entries]})
        return
    put(f"{'no cache' if place is None else place}: {summed(entries)}")
    for entry in entries:
        put(entry)


def prepare(parsed: argparse.Namespace) -> None:
    """Fetch CIFAR-10 unless it is there."""
    from thumbnet.data.own_sources import data_folder, prepare_cifar10

    splits = prepare_cifar10(parsed.data_dir, allow_unverified=parsed.allow_unverified)
    put(f"{splits.source.description}\n{data_folder(parsed.data_dir)}")


def preview(parsed: argparse.Namespace) -> None:
    """Write a picture of augmented images."""
    check_data(parsed.data)

    from thumbnet.views.figure import save_figure
    from thumbnet.views.preview import preview_augmentation

    figure = preview_augmentation(
        parsed.data or "auto",
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified,
        image_size=image_size_of(parsed.image_size),
        augmentation=parsed.augmentation,
        seed=parsed.seed,
    )
    write_file(parsed.out, lambda path: save_figure(figure, path))


def check(parsed: argparse.Namespace) -> None:
    """Check a dataset, and print how many images are suspected of what."""
    held_out = ["val_fraction", "val_per_class", "refit", *STOPPING_FIELDS]
    refuse_settings(parsed, held_out, "data check holds no images out for validation")
    refuse_settings(parsed, OF_A_RUN, "data check leaves no run with scores and a report")
    refuse_settings(parsed, DECISION_FIELDS, "data check answers with the likeliest class")
    config = recipe_config(parsed)

    from thumbnet.data_check.check import EXCLUDE, GROUPS, SUSPECTS, check_data

    done = check_data(
        config,
        num_folds=parsed.folds,
        num_repeats=parsed.repeats,
        kinds=parsed.kinds,
        max_labels=parsed.max_labels,
        out=parsed.out,
        log_style="auto",
        jobs=parsed.jobs,
        scheduler=parsed.scheduler,
    )
    if parsed.json:
        put_json({**done.summary, "path": str(done.path)})
        return
    put(done)
    put(f"results: {done.path}")
    kinds = ", ".join(done.summary["kinds"])
    command = ["thumbnet", "train", "--data", done.summary["data"]]
    if done.suspects and not done.excluded:
        put(f"nothing to leave out by --kinds {kinds}; look at {done.path / SUSPECTS} for other kinds")
    if done.summary["num_groups"] and not done.summary["groups_are_parted"]:
        groups, others = ["--groups", str(done.path / GROUPS)], _data_options(config, without=("groups",))
        put(f"to keep alike pictures on one side of every split: {shlex.join([*command, *groups, *others])}")
    if done.excluded:
        what = f"{counted(done.summary['num_excluded'], 'image')} ({kinds})"
        listed, how = str(done.path / EXCLUDE), ""
        if config.exclude is None:
            command += ["--exclude", listed]
        else:  # of which a training takes one
            how = f", too, add the lines of {listed}, without the heading, to {config.exclude}"
        put(f"to leave {what} out{how}: {shlex.join([*command, *_data_options(config)])}")


def _data_options(config: TrainConfig, *, without: Collection[str] = ()) -> list[str]:
    """The options that make another recipe read the same data in the same way, those fields left out."""
    options = [] if config.data_dir is None else ["--data-dir", config.data_dir]
    options += ["--allow-unverified"] if config.allow_unverified else []
    options += [] if config.exclude is None else ["--exclude", config.exclude]
    values = config_to_dict(config)
    defaults = {**vars(TrainConfig), "flip": Inputs.flip, "groups": Division.groups}
    for name in SET_DATA_FIELDS:
        if name not in without and values[name] != defaults[name]:
            options += ["--set", f"{name}={json.dumps(values[name])}"]
    return options


def _plain(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(f"{item:.4f}" if isinstance(item, float) else escaped(str(item)) for item in value)
    return str(value)
