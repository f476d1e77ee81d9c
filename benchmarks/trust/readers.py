"""Every reader of thumbnet's as a function of bytes, with whole files to begin from."""

from __future__ import annotations

import base64
import io
import json
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from thumbnet.data.cifar import decode_binary_batch, decode_python_batch
from thumbnet.data.dataset import Split
from thumbnet.data.exclusion import read_exclusions
from thumbnet.data.images import read_image_array
from thumbnet.data.npz import read_npz
from thumbnet.data.packs.manifest import CHECKSUM, MANIFEST, _digest
from thumbnet.data.packs.packed import read_packed
from thumbnet.data.sources import load_dataset
from thumbnet.errors import RunError, ThumbnetError
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness
from thumbnet.export.c.reading import find_stored, load_c_folder
from thumbnet.export.server.defaults import MAX_BYTES
from thumbnet.export.server.forms import FormReader, boundary_of
from thumbnet.export.server.limits import Limits
from thumbnet.export.server.refusals import RefusedError
from thumbnet.models.export_data import export_data_from_bytes
from thumbnet.models.registry import create_model
from thumbnet.models.weights import put_weights
from thumbnet.recipes import load_recipe
from thumbnet.runs.files.checksums import SIGNATURE_LENGTH, read_digests, signature
from thumbnet.runs.files.contents import weights_to_bytes
from thumbnet.runs.files.folder import RunDir, read_robustness
from thumbnet.runs.files.init_record import InitChoice, StartTrial, init_choice_to_dict
from thumbnet.runs.files.names import CHECKPOINT, CHECKSUMS
from thumbnet.runs.folds.runs import read_folds
from thumbnet.runs.folds.table import FoldList, FoldRow, FoldTable
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.runs.planning.record import PlanRecord, StepTime, plan_to_dict
from thumbnet.runs.run import load_run

EXPECTED = (ThumbnetError, RefusedError)  # the latter: the server's answer
PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PCX", "DDS", "SGI", "JPEG2000")
# A pickle of two black images, as CIFAR's are written.
PICKLE = zlib.decompress(
    base64.b64decode(
        "eNrt2ctOwkAUBuBpQZSC9xve71o3JLyGjSxm1Q0h0+mYkpSWv50mkmjiRpCn1in0Kcz5FpPJ+c+cdn++7E8wVw5lGiqZOyopLw4s"
        "v84YC4UWsP2GucZCj5IeajPUOdZkUown065MM9UdF7EeiSwTU2eYKZkmuc4KqR00Vl1OEq5SrHvsGxuR5VtmYIBmZKY5HK052hyb"
        "rmd59itrz7BVPQz1dGL+Zdu3TX/Rw87iZ45djj3Xqy1nfGC/3++//BrLw2MaB8HCfIF1GCGEEEIIIYQQQgghhBBC/iEclguGI45j"
        "jU4QWdUeI1BxjpMyOuU4G+Dc9ZjXVCZvmTwQWkbDZRcuyqZLjqtqZfGO67Jyw3FrKk1TeRvFKhFjleOuTO45HgZ4dKt+gaey6nI8"
        "Ry1VdP8Aydpr2w=="
    )
)
BOUNDARY = b"xYzZY"
FORM = (
    b'--xYzZY\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    b'\x89PNG\r\n--xYzZY\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--xYzZY--\r\n'
)


@dataclass(frozen=True)
class Reader:
    """`seeds` are whole files; `read` takes a file's content and does what thumbnet does with it."""

    seeds: Sequence[bytes]
    read: Callable[[bytes], object]

    def try_on(self, content: bytes) -> bool:
        """Whether it is read; False where it is refused as it should be. Any other error is raised."""
        try:
            self.read(content)
        except EXPECTED:
            return False
        return True


def make_readers(run: Path, place: Path) -> Mapping[str, Reader]:
    """The readers by name; `run` is a finished run of a small network, `place` an empty folder to work in."""
    place.mkdir(parents=True, exist_ok=True)
    return {**_of_data(place), **_of_runs(run, place), **_of_models(run, place)}


def _of_data(place: Path) -> dict[str, Reader]:
    train = Split(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    folder = _folder(place / "folder")
    data = f"folder:{folder}"
    pack = place / "pack"
    from thumbnet.data.packs.pack import pack_data

    pack_data(data, pack, image_size=8)

    def recipe(content: bytes) -> None:
        load_recipe(str(_put(place / "recipe.toml", content)))

    def labels(content: bytes) -> None:
        labels_file = _put(folder / "labels.csv", content)
        try:
            load_dataset(data, image_size=8)
        finally:
            labels_file.unlink()

    npz = io.BytesIO()
    np.savez(npz, images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 0, 1]), class_names=np.array(["a", "b"]))
    binary = b"".join(bytes([label]) + bytes(3072) for label in (0, 9, 3))
    suspects = b"index,path,label,suggested,score,kind\n0,,0,1,0.9,label\n2,,0,,0.1,duplicate\n"
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.png"))]
    labels_csv = "path,label,split\n" + "".join(
        f"{name},{'xy'[index % 2]},{'train' if index % 5 else 'test'}\n" for index, name in enumerate(files)
    )
    groups_csv = "path,group\n" + "".join(f"{name},{index // 2}\n" for index, name in enumerate(files))

    def manifest(content: bytes) -> None:
        """With its checksum, or only that would be looked at."""
        with suppress(ValueError, RecursionError):
            values = json.loads(content)
            if isinstance(values, dict):
                values.pop(CHECKSUM, None)
                content = json.dumps({**values, CHECKSUM: _digest(values)}).encode()
        _with(pack / MANIFEST, content, lambda: read_packed(pack, show_progress=False))

    return {
        "npz": Reader([npz.getvalue()], lambda content: read_npz(_put(place / "data.npz", content))),
        "cifar-binary": Reader([binary], lambda content: decode_binary_batch(content, place / "data_batch_1.bin")),
        "cifar-pickle": Reader([PICKLE], lambda content: decode_python_batch(content, place / "data_batch_1")),
        "pictures": Reader(_pictures(), lambda content: read_image_array(io.BytesIO(content), image_size=16)),
        "labels.csv": Reader([labels_csv.encode()], labels),
        "groups.csv": Reader(
            [groups_csv.encode()],
            lambda content: load_dataset(data, image_size=8, groups=str(_put(place / "groups.csv", content))),
        ),
        "exclude.csv": Reader(
            [suspects],
            lambda content: read_exclusions(_put(place / "suspects.csv", content), train, ("0", "1")),
        ),
        "recipe": Reader([b'recipe = "sprint"\nepochs = 3\nlr = 0.1\nmodel_options.blocks = "c8p"\n'], recipe),
        "manifest": Reader([(pack / MANIFEST).read_bytes()], manifest),
    }


def _of_runs(run: Path, place: Path) -> dict[str, Reader]:
    """Without SHA256SUMS, since a file that is not that of its checksum is not read at all."""
    copy = place / "run"
    shutil.copytree(run, copy, dirs_exist_ok=True)
    digests = (copy / CHECKSUMS).read_bytes()
    (copy / CHECKSUMS).unlink()
    folder = RunDir(copy)
    facts = DataFacts(30, 5, 6, (15, 15), 1, (16, 16), is_resized=False)
    plan = PlanRecord(1.0, facts, "sprint", 9, 3, 9, *[0.5] * 6, (StepTime(16, 16, 0.1),), ("why",))
    trial = StartTrial("sprint", "sprint", 9, 1.0, 0.5, 0.7, 0.1)
    robust = Robustness(10, 0, 0.5, (CorruptedAccuracy("noise", 0.1, "of pixels", 0.4),))
    more: dict[str, Mapping[str, object]] = {
        "seeds.json": {"seeds": [0, 1, 2]},
        "folds.json": FoldList(2, (0,), "0" * 64).to_dict(),
        "plan.json": plan_to_dict(plan),
        "init.json": init_choice_to_dict(InitChoice(None, "why", 5, (trial,), 0.1, 0.1)),
        "robustness.json": robust.to_dict(),
    }
    for name, values in more.items():
        (copy / name).write_text(json.dumps({"format": 1, **values}))
    (copy / "folds.csv").write_text(
        FoldTable(tuple(FoldRow("", "0", "", each % 2, False) for each in range(4))).to_csv()
    )
    reads: dict[str, Callable[[], object]] = {
        "model.json": folder.read_card,
        "metrics.json": folder.read_metrics,
        "history.csv": folder.read_history,
        "predictions.csv": folder.read_any_predictions,
        "checkpoint-last.pt": folder.read_checkpoint,
        "config.toml": folder.read_config,
        "seeds.json": folder.read_seeds,
        "folds.json": lambda: read_folds(folder),
        "folds.csv": lambda: read_folds(folder),
        "plan.json": folder.read_plan,
        "init.json": folder.read_init_choice,
        "robustness.json": lambda: read_robustness(folder),
    }
    readers = {
        name: Reader(
            [(copy / name).read_bytes()], lambda content, name=name, read=read: _with(copy / name, content, read)
        )
        for name, read in reads.items()
    }
    checkpoint = copy / CHECKPOINT
    readers["checkpoint-signed"] = Reader(
        [checkpoint.read_bytes()], lambda content: _with(checkpoint, _signed_anew(content), folder.read_checkpoint)
    )
    sums = Reader([digests], lambda content: _with(copy / CHECKSUMS, content, lambda: read_digests(copy), removed=True))
    return {**readers, "SHA256SUMS": sums}


def _of_models(run: Path, place: Path) -> dict[str, Reader]:
    from thumbnet.export.export import export_model
    from thumbnet.runs.teacher import _read_logits

    model = create_model("sprint", num_classes=2, in_channels=1, blocks="c8p")
    exported = place / "c"
    export_model(run, "c", out=exported)
    stored = find_stored(exported)
    assert stored is not None
    logits = io.BytesIO()
    np.save(logits, np.zeros((4, 3, 3, 2), np.float16))
    teacher = place / "teacher"
    teacher.mkdir(exist_ok=True)

    def form(content: bytes) -> None:
        boundary, _, body = content.partition(b"\n")
        reader = FormReader(boundary_of(f"multipart/form-data; boundary={boundary.decode('latin-1')}"), Limits())
        for start in range(0, min(len(body), MAX_BYTES), 50):
            reader.write(body[start : start + 50])
        reader.finish()

    def kept_logits(content: bytes) -> None:
        _put(teacher / "lessons.npy", content)
        _read_logits(RunDir(teacher), "lessons.npy", (4, 3, 3, 2), say=lambda text: None)

    return {
        "weights": Reader(
            [weights_to_bytes(model.state_dict())], lambda content: put_weights(model, content, name="w")
        ),
        "export-data": Reader(
            [(run / "export-data.safetensors").read_bytes()], lambda content: export_data_from_bytes(content, name="e")
        ),
        "exported": Reader(
            [stored.read_bytes()], lambda content: _with(stored, content, lambda: load_c_folder(exported))
        ),
        "logits": Reader([logits.getvalue()], kept_logits),
        "form": Reader([BOUNDARY + b"\n" + FORM], form),
    }


def _signed_anew(checkpoint: bytes) -> bytes:
    """With the checksum of what it holds now, or only that would be looked at."""
    body = checkpoint[:-SIGNATURE_LENGTH]
    return body + signature(body)


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _with(path: Path, content: bytes, read: Callable[[], object], *, removed: bool = False) -> None:
    """Read with another content of a file, which then has its own again."""
    own = b"" if removed else path.read_bytes()
    path.write_bytes(content)
    try:
        read()
    finally:
        if removed:
            path.unlink()
        else:
            path.write_bytes(own)


def _folder(folder: Path) -> Path:
    for index in range(6):
        place = folder / "ab"[index % 4 // 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 40 * index).save(place / f"{index}.png")
    for name in ("a", "b"):
        for index in range(6, 16):
            Image.new("L", (8, 8), index).save(folder / name / f"{index}.png")
    return folder


def _pictures() -> list[bytes]:
    seeds = []
    for kind in PICTURES:
        for mode in ("RGB", "L"):
            content = io.BytesIO()
            try:
                Image.new(mode, (20, 12), 90).save(content, kind)
            except (OSError, ValueError, KeyError):  # a format that this build of Pillow does not write so
                continue
            seeds.append(content.getvalue())
    return seeds


def small_run(place: Path) -> Path:
    """A finished run to take the files of."""
    from trust.trainings import Training

    training = Training(place)
    if load_run(training.whole).metrics is None:
        raise RunError("the training left no metrics")
    return training.whole
