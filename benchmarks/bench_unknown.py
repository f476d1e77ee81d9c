"""Does a distance in the last features refuse foreign pictures better than confidence does?

python benchmarks/bench_unknown.py --keep DIR [--seeds 0 1 2] [--homes cifar-6 digits solar] [--data-dir DIR]

A model that never saw a thing like the picture should not name a class. It may refuse by its confidence, or by how far
the mean of the last maps lies from those of its classes. Three ways to measure that are compared with confidence:

- z-scores: the distance to the nearest class's mean, each feature divided by its deviation within the classes;
- cosine: one less the cosine of the angle to the nearest class's mean, seen from the mean of all;
- low rank: Mahalanobis's distance to the nearest class's mean, by the RANK main directions within the classes and the
  mean variance of all others.

Means and deviations are of training pictures. Each limit is set so that 5 % of the model's own validation pictures are
refused; its own test pictures say whether it holds, and decide nothing. Foreign are the four classes of CIFAR-10 that
the first model never saw, the other models' pictures, and noise. The rule, written down before the first run: a way is
kept if the share of foreign pictures that it refuses, the mean over foreign sets, then over the home sets and seeds, is
at least 1.5 times that of confidence, n = 3.

Runs and scores are kept in DIR, and not repeated: what was stopped is gone on with. The solar cells are fetched as a
package into DIR/packages unless they are there. A few minutes on two cores; nothing is timed. Writes
benchmarks/results/unknown_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8
from measuring import (
    check_kept,
    cifar_folder,
    circumstances,
    describe_circumstances,
    make_parser,
    theme_of,
    write_results,
)
from own_pictures.folders import Part
from own_pictures.sets import Place, made
from PIL import Image

from thumbnet.data.cifar import read_cifar10
from thumbnet.data.digits import read_digits
from thumbnet.evaluation.images import PictureForm
from thumbnet.export.request import softmax
from thumbnet.models.program_numpy import ProgramRunner
from thumbnet.runs.run import load_run
from thumbnet.runs.shippable import load_shippable

HOMES = ("cifar-6", "digits", "solar")
NUM_KNOWN = 6  # classes of CIFAR-10, the first ones
OPTIONS = {
    "cifar-6": [],
    "digits": [],
    "solar": ["--set", "image_size=64"],
}
VAL_FRACTION = 0.2  # so that a limit rests on hundreds of pictures
OWN_REFUSED = 0.05
LEAST_GAIN = 1.5
RANK = 16
MOST_FOREIGN = 1000  # pictures of a set
MOST_MEASURED = 10_000  # training pictures for means and deviations
WAYS = ("z-scores", "cosine", "low rank")

Pixels = UInt8[np.ndarray, "n c h w"]


def main() -> None:
    """Train and score what is missing, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--keep", metavar="DIR", required=True, help="keep data, runs and scores there")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--homes", nargs="+", choices=HOMES, default=list(HOMES), help="default: all")
    parser.add_argument("options", nargs="*", help="more options of `thumbnet train`, after --")
    parsed = parser.parse_args()
    keep = Path(parsed.keep)
    keep.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(keep, cifar_folder(parsed.data_dir))
    scores = {
        home: [score(pictures, home, seed, keep, parsed.options) for seed in parsed.seeds] for home in parsed.homes
    }
    values: dict[str, Any] = circumstances() | {"scores": scores, "summary": summarise(scores)}
    report = describe(values)
    print(report)
    print(write_results(theme_of("unknown", parsed.homes, HOMES), values, report))


class Pictures:
    """The home sets' data, and foreign pictures."""

    def __init__(self, keep: Path, cifar: str) -> None:
        self._keep = keep
        self._splits = read_cifar10(Path(cifar), allow_unverified=True)
        self._place = Place(keep, cifar)

    def data_of(self, home: str) -> str:
        """The home set as `--data` takes it."""
        if home == "digits":
            return "digits"
        return f"npz:{self._known()}" if home == "cifar-6" else f"folder:{made('solar', self._place).side('split')}"

    def _known(self) -> Path:
        """The pictures of the first classes of CIFAR-10, as an .npz file."""
        path = self._keep / "cifar-6.npz"
        if not path.exists():
            arrays: dict[str, np.ndarray] = {"class_names": np.array(self._splits.class_names[:NUM_KNOWN])}
            assert self._splits.test is not None
            for name, split in (("train", self._splits.train), ("test", self._splits.test)):
                labels = split.labels.numpy()
                arrays[f"{name}_images"] = split.images.numpy()[labels < NUM_KNOWN]
                arrays[f"{name}_labels"] = labels[labels < NUM_KNOWN]
            unfinished = path.with_suffix(".part.npz")
            np.savez(unfinished, **arrays)
            unfinished.replace(path)
        return path

    def foreign_to(self, home: str, form: PictureForm) -> Iterator[tuple[str, Pixels]]:
        """The foreign sets by name, in the form that the home's model sees."""
        assert self._splits.test is not None
        labels, images = self._splits.test.labels.numpy(), self._splits.test.images.numpy()
        if home == "cifar-6":
            yield "other classes", _brought_to(form, _pictures(images[labels >= NUM_KNOWN]))
        else:
            yield "CIFAR-10", _brought_to(form, _pictures(images))
        if home != "digits":
            digits = read_digits().test
            assert digits is not None
            yield "digits", _brought_to(form, _pictures(digits.images.numpy()))
        if home != "solar":
            files = Part.of(made("solar", self._place).side("split") / "test").files
            yield "solar cells", _brought_to(form, [Image.open(files[index]) for index in _some(len(files))])
        generator = np.random.default_rng(0)
        shape = (MOST_FOREIGN, *form.image_shape)
        yield "uniform noise", generator.integers(0, 256, shape, dtype=np.uint8)
        yield "Gaussian noise", np.clip(generator.normal(128, 50, shape), 0, 255).astype(np.uint8)
        colours = generator.integers(0, 256, (MOST_FOREIGN, form.image_shape[0], 1, 1), dtype=np.uint8)
        yield "single colours", np.ascontiguousarray(np.broadcast_to(colours, shape))


def _some(num: int) -> Int64[np.ndarray, " m"]:
    """At most MOST_FOREIGN of so many, evenly spread."""
    return np.unique(np.linspace(0, num - 1, min(num, MOST_FOREIGN)).astype(np.int64))


def _pictures(images: Pixels) -> list[Image.Image]:
    some = images[_some(len(images))]
    return [Image.fromarray(each[0] if len(each) == 1 else each.transpose(1, 2, 0).copy()) for each in some]


def _brought_to(form: PictureForm, pictures: list[Image.Image]) -> Pixels:
    return np.stack([form.read(each) for each in pictures])


@dataclass(frozen=True)
class Looks:
    """What a model gives for pictures: the mean of its last maps [N,D], and its confidence [N]."""

    features: Float[np.ndarray, "n d"]
    confidence: Float[np.ndarray, " n"]


def _looks(runner: ProgramRunner, images: Pixels) -> Looks:
    found = runner.run(images)
    features = found.maps.astype(np.float64).mean(axis=(1, 2))
    return Looks(features, softmax(found.logits).max(axis=1))


def measures_of(
    features: Float[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"]
) -> dict[str, Callable[[Float[np.ndarray, "m d"]], Float[np.ndarray, " m"]]]:
    """By way, a function from features to their distance from what these training features of classes are like."""
    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
    centre = features.mean(axis=0)
    within = features - means[np.unique(labels, return_inverse=True)[1]]
    deviations = np.sqrt((within**2).mean(axis=0)) + 1e-9
    variances, directions = np.linalg.eigh(within.T @ within / len(within))
    rank = min(RANK, len(variances) - 1)
    others = float(variances[:-rank].mean()) + 1e-12
    scales = np.sqrt(np.concatenate([np.full(len(variances) - rank, others), np.maximum(variances[-rank:], 1e-12)]))

    def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        squares = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
        return np.sqrt(squares.min(axis=1))

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)

    def whitened(rows: np.ndarray) -> np.ndarray:
        return (rows @ directions) / scales

    return {
        "z-scores": lambda rows: nearest(rows / deviations, means / deviations),
        "cosine": lambda rows: 1 - (unit(rows - centre) @ unit(means - centre).T).max(axis=1),
        "low rank": lambda rows: nearest(whitened(rows), whitened(means)),
    }


def score(pictures: Pictures, home: str, seed: int, keep: Path, options: list[str]) -> dict[str, Any]:
    """The share of pictures that each way refuses, by set; read where it was measured before."""
    run_dir = train(pictures.data_of(home), keep / "runs" / f"{home}-{seed}", home, seed, options)
    kept = run_dir.with_suffix(".scores.json")
    if kept.exists():
        before: dict[str, Any] = json.loads(kept.read_text())
        return before
    run, shippable = load_run(run_dir), load_shippable(run_dir)
    dataset, card = run.load_dataset(), shippable.card
    assert shippable.program is not None
    assert dataset.val is not None
    runner = ProgramRunner(shippable.program)
    chosen = np.random.default_rng(0).permutation(len(dataset.train))[:MOST_MEASURED]
    seen = _looks(runner, dataset.train.images.numpy()[chosen])
    measures = measures_of(seen.features, dataset.train.labels.numpy()[chosen])
    own = _looks(runner, dataset.val.images.numpy())
    limits = {name: float(np.quantile(measure(own.features), 1 - OWN_REFUSED)) for name, measure in measures.items()}
    least = float(np.quantile(own.confidence, OWN_REFUSED))

    def refused(looks: Looks) -> dict[str, float]:
        shares = {name: float((measure(looks.features) > limits[name]).mean()) for name, measure in measures.items()}
        return {"confidence": float((looks.confidence < least).mean()), **shares}

    form = PictureForm(card.image_shape, card.class_names, card.white_levels, fit=card.fit)
    found = {
        "seed": seed,
        "test_accuracy": run.metrics["test_accuracy"],
        "num_val": len(dataset.val),
        "own test pictures": refused(_looks(runner, dataset.test.images.numpy())),
        "foreign": {name: refused(_looks(runner, images)) for name, images in pictures.foreign_to(home, form)},
    }
    unfinished = kept.with_suffix(".part")
    unfinished.write_text(json.dumps(found, indent=1) + "\n")
    unfinished.replace(kept)
    return found


def train(data: str, run_dir: Path, home: str, seed: int, options: list[str]) -> Path:
    """The run's folder; trained unless it is there, or gone on with where it was stopped."""
    words = [
        "--recipe",
        "sprint",
        "--seed",
        str(seed),
        "--set",
        f"val_fraction={VAL_FRACTION}",
        *OPTIONS[home],
        *options,
    ]
    check_kept(run_dir, words)
    if not (run_dir / "metrics.json").exists():
        begun = (run_dir / "config.toml").exists()
        rest = ["--resume", str(run_dir)] if begun else [*words, "--data", data, "--run-dir", str(run_dir)]
        command = [sys.executable, "-m", "thumbnet", "train", *rest, "--no-pictures"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return run_dir


def summarise(scores: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """By way, the share of foreign pictures refused: the mean over sets, then over homes, then over seeds, with the
    deviation over seeds (None of one); and the gain."""
    by_seed = {
        way: [
            statistics.fmean(statistics.fmean(shares[way] for shares in one["foreign"].values()) for one in of_seed)
            for of_seed in zip(*scores.values(), strict=True)
        ]
        for way in ("confidence", *WAYS)
    }
    refused = {way: statistics.fmean(of_seeds) for way, of_seeds in by_seed.items()}
    gains = {way: refused[way] / refused["confidence"] if refused["confidence"] else None for way in WAYS}
    passing = [way for way in WAYS if refused[way] >= LEAST_GAIN * refused["confidence"]]
    return {
        "refused": refused,
        "deviations": {way: _deviation(of_seeds) for way, of_seeds in by_seed.items()},
        "gains": gains,
        "passing": passing,
    }


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _share(values: Sequence[float]) -> str:
    """Mean and deviation, in per cent."""
    deviation = _deviation(values)
    return f"{statistics.fmean(values):.1%}" + ("" if deviation is None else f" ({100 * deviation:.1f})")


def describe(values: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    scores, summary = values["scores"], values["summary"]
    num_seeds = len(next(iter(scores.values())))
    names = ("confidence", *WAYS)
    lines = [
        "# Refusing foreign pictures: distance in the last features against confidence",
        "",
        describe_circumstances(values),
        "",
        (
            f"The recipe sprint, n = {num_seeds} seeds; each way refuses {OWN_REFUSED:.0%} of the model's own "
            "validation pictures. Shares refused, means (deviations over seeds, in points):"
        ),
        "",
        f"| model | pictures | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for home, of_seeds in scores.items():
        accuracy = statistics.fmean(one["test_accuracy"] for one in of_seeds)
        rows = {"own test pictures": [one["own test pictures"] for one in of_seeds]}
        rows |= {name: [one["foreign"][name] for one in of_seeds] for name in of_seeds[0]["foreign"]}
        for name, shares in rows.items():
            cells = [_share([each[way] for each in shares]) for way in names]
            lines.append(f"| {home} ({accuracy:.2%} right) | {name} | {' | '.join(cells)} |")
    deviations = summary["deviations"]
    cells = [
        f"**{share:.1%}**" + ("" if deviations[way] is None else f" ({100 * deviations[way]:.1f})")
        for way, share in summary["refused"].items()
    ]
    lines.append(f"| all | foreign | {' | '.join(cells)} |")
    gains = ", ".join(f"{way} {gain:.2f}" for way, gain in summary["gains"].items() if gain is not None)
    passing = ", ".join(summary["passing"]) or "none"
    lines += [
        "",
        f"Times as many foreign pictures as confidence refuses: {gains}. At least {LEAST_GAIN}: {passing}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
