"""Data that is removed, emptied or replaced while a training reads it, trains on it, or was broken off."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from thumbnet.config import config_to_toml
from trust.child import command, run_forked
from trust.tally import Tally
from trust.trainings import QUIET, Training, small_config

EMPTIED = b""


def while_it_runs(training: Training, number: int, *, seed: int = 0) -> Tally:
    """The data of a training goes at a random moment, in turn an .npz file, a folder of pictures and a pack.

    The training ends as the undisturbed one, or with a clear error; with the data back, it then goes on to that end.
    """
    tally, source = Tally(f"data removed or emptied at {number} random moments"), random.Random(seed)
    tally.note = (
        "a pack is removed, not emptied: cutting short a file that is mapped into memory ends the process (SIGBUS)"
    )
    kinds = _kinds(training)
    ends = {name: _undisturbed(training, name, data) for name, data in kinds.items()}
    names = list(kinds)
    for index in range(number):
        name = names[index % len(names)]
        is_emptied = name != "pack" and index // len(names) % 2 == 1
        data, run = kinds[name], training.place / "vanishing"
        shutil.rmtree(run, ignore_errors=True)
        kept = _copied(data, training.place / "kept")
        after_s = source.random() ** 3 * ends[name].seconds  # mostly early, while it is read
        thread = threading.Thread(target=_takes_away, args=(data, after_s, is_emptied))
        thread.start()
        ended = run_forked(command(*_begin(training, name, run)), training.place / "streams")
        thread.join()
        _copied(kept, data)
        what = f"{name} {'emptied' if is_emptied else 'removed'} after {after_s:.2f} s"
        if ended.fault:
            tally.fault(f"{what}: {ended.fault}")
            continue
        arguments = (
            ("train", "--resume", run, *QUIET) if (run / "config.toml").exists() else _begin(training, name, run)
        )
        finished = run_forked(command(*arguments), training.place / "streams")
        difference = finished.error if finished.code else ends[name].difference(run)
        if difference:
            tally.fault(f"{what}, then with the data: {difference}")
        else:
            tally.add("a clear error, then resumed to the same bytes" if ended.code else "not needed any more")
    return tally


def before_a_resume(training: Training, unfinished: Callable[[Path], Path]) -> Tally:
    """The data of a run that was broken off is gone, emptied, or another: a clear error; then it is back."""
    tally = Tally("data gone or changed before a resume")
    kept = training.data.read_bytes()
    other = np.load(training.data)
    for what in ("gone", "emptied", "changed"):
        run = unfinished(training.place / "vanished")
        if what == "gone":
            training.data.unlink()
        elif what == "emptied":
            training.data.write_bytes(EMPTIED)
        else:
            np.savez(training.data, images=255 - other["images"], labels=other["labels"])
        refused = training.finish(run)
        training.data.write_bytes(kept)
        finished = training.finish(run)
        difference = finished.error if finished.code else training.difference(run)
        if not refused.is_clear_error or difference:
            tally.fault(f"{what}: {refused.fault or refused.text or difference}")
        else:
            tally.add("a clear error, then resumed to the same bytes")
    return tally


def _kinds(training: Training) -> dict[str, Path]:
    """The pictures of the training as an .npz file, a folder and a pack, with a recipe for each."""
    place = training.place / "kinds"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    npz, folder, pack = place / "data.npz", place / "folder", place / "pack"
    shutil.copyfile(training.data, npz)
    arrays = np.load(npz)
    for index, (image, label) in enumerate(zip(arrays["images"], arrays["labels"], strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{index}.png")
    ended = run_forked(command("data", "pack", f"npz:{npz}", "--out", pack), training.place / "streams")
    if ended.code:
        raise SystemExit(ended.error)
    for name, source in (("npz", f"npz:{npz}"), ("folder", f"folder:{folder}"), ("pack", f"packed:{pack}")):
        config = small_config(npz).replace(data=source, image_size=16)
        (place / f"{name}.toml").write_text(config_to_toml(config))
    return {"npz": npz, "folder": folder, "pack": pack}


def _begin(training: Training, name: str, run: Path) -> tuple[str | Path, ...]:
    return "train", "--recipe", training.place / "kinds" / f"{name}.toml", "--run-dir", run, *QUIET


class _Undisturbed(Training):
    """The end of the same training on this kind of data."""

    def __init__(self, training: Training, whole: Path, seconds: float) -> None:
        self.place, self.whole, self.seconds = training.place, whole, seconds


def _undisturbed(training: Training, name: str, data: Path) -> _Undisturbed:
    whole = training.place / f"whole-{name}"
    shutil.rmtree(whole, ignore_errors=True)
    ended = run_forked(command(*_begin(training, name, whole)), training.place / "streams")
    if ended.code:
        raise SystemExit(f"{data}: {ended.error}")
    return _Undisturbed(training, whole, ended.seconds)


def _takes_away(data: Path, after_s: float, is_emptied: bool) -> None:
    time.sleep(after_s)
    if is_emptied:
        for path in [data] if data.is_file() else data.rglob("*"):
            if path.is_file():
                path.write_bytes(EMPTIED)
    elif data.is_file():
        data.unlink()
    else:
        shutil.rmtree(data)


def _copied(source: Path, target: Path) -> Path:
    """A copy with the times of the original, in the place of what is there."""
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
    return target
