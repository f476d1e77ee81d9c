"""What a run keeps is read back as it was written, or the file that was damaged or edited is named."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import load_script
from thumbnet.augment import RandomCrop
from thumbnet.errors import CheckpointError, RunError
from thumbnet.runs.comparison.runs import compare_runs
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run, open_run_dir
from thumbnet.runs.teacher import load_teacher_logits

OLD = Path(__file__).parent / "data" / "run-2026-11"


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_run, tmp_path / "run")


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_of_forty_flipped_bits_in_weights_and_checkpoint_none_is_used(run: Path) -> None:
    generator = random.Random(0)
    for name in ["model.safetensors", "checkpoint-last.pt"] * 20:
        content = (run / name).read_bytes()
        flip(run / name, generator.randrange(8 * len(content)))
        with pytest.raises(CheckpointError, match=name):
            load_run(run) if name == "model.safetensors" else open_run_dir(run).read_checkpoint()
        (run / name).write_bytes(content)
    assert load_run(run).metrics["epochs"] == 2


@pytest.mark.parametrize("name", ["config.toml", "history.csv", "model.json", "metrics.json", "asked.toml"])
def test_no_other_damaged_file_of_a_finished_run_is_used(name: str, run: Path) -> None:
    generator = random.Random(1)
    content = (run / name).read_bytes()
    for _ in range(5):
        flip(run / name, generator.randrange(8 * len(content)))
        with pytest.raises(RunError, match=name):
            load_run(run)
        (run / name).write_bytes(content)


def test_damaged_predictions_are_named(run: Path) -> None:
    path = run / "predictions.csv"
    path.write_text(path.read_text().replace(",0,", ",1,", 1))
    with pytest.raises(RunError, match=r"predictions\.csv"):
        RunDir(run).read_predictions()
    with pytest.raises(RunError, match=r"predictions\.csv"):
        compare_runs([run, OLD])


def test_the_checksums_are_those_of_a_common_tool(run: Path) -> None:
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=run, check=True).returncode == 0


def test_a_run_whose_checksums_are_gone_or_short_is_refused(run: Path) -> None:
    path = run / "SHA256SUMS"
    content = path.read_text()
    path.write_text("".join(line for line in content.splitlines(keepends=True) if "model.safetensors" not in line))
    with pytest.raises(RunError, match="SHA256SUMS"):
        load_run(run)
    path.write_text(content.replace("  ", " ", 1))
    with pytest.raises(RunError, match="SHA256SUMS"):
        load_run(run)
    path.unlink()
    with pytest.raises(RunError, match="SHA256SUMS"):
        load_run(run)


def test_a_file_changed_on_purpose_is_accepted_with_its_new_line(run: Path) -> None:
    metrics = run / "metrics.json"
    metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "note": "mine"}))
    with pytest.raises(RunError, match=r"metrics\.json") as caught:
        load_run(run)
    assert "sha256sum" in caught.value.hint
    lines = [line for line in (run / "SHA256SUMS").read_text().splitlines() if "metrics.json" not in line]
    lines.append(f"{hashlib.sha256(metrics.read_bytes()).hexdigest()}  metrics.json")
    (run / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    assert load_run(run).metrics["note"] == "mine"


def test_a_file_that_is_written_anew_always_has_its_checksum(tmp_path: Path) -> None:
    folder = RunDir(tmp_path)
    folder.write_checked({"a.txt": "one", "b.txt": "two"})
    folder.write_checked({"a.txt": "three"})
    assert folder.read_checked("a.txt") == b"three"
    assert folder.read_checked("b.txt") == b"two"
    # Killed between the checksums and the file: both the old and the new content are then the file's own.
    sums = (tmp_path / "SHA256SUMS").read_text()
    (tmp_path / "SHA256SUMS").write_text(sums + f"{hashlib.sha256(b'four').hexdigest()}  a.txt\n")
    assert folder.read_checked("a.txt") == b"three"
    (tmp_path / "a.txt").write_text("four")
    assert folder.read_checked("a.txt") == b"four"
    (tmp_path / "a.txt").write_text("five")
    with pytest.raises(RunError, match=r"a\.txt"):
        folder.read_checked("a.txt")


def test_a_record_of_some_of_its_files_is_a_run(run: Path, tmp_path: Path) -> None:
    records = load_script("tools/records")
    for name in ("config.toml", "history.csv", "metrics.json", "model.json", "model.safetensors"):
        (tmp_path / "record").mkdir(exist_ok=True)
        shutil.copy(run / name, tmp_path / "record" / name)
    (tmp_path / "record" / "config.toml").write_text("# edited\n" + (run / "config.toml").read_text())
    with pytest.raises(RunError, match="SHA256SUMS"):
        load_run(tmp_path / "record")
    records.write_checksums(tmp_path / "record")
    assert load_run(tmp_path / "record").asked is None


def test_a_teachers_damaged_logits_are_computed_again(run: Path) -> None:
    teacher, told = load_run(run), []
    dataset = teacher.load_dataset()

    def logits() -> object:
        crop = RandomCrop(2)
        return load_teacher_logits(
            teacher, dataset, crop, flips=False, device="cpu", precision="float32", say=told.append
        ).logits

    first = logits()
    (path,) = run.glob("lessons-*.npy")
    told.clear()
    assert logits().equal(first)
    assert told == []
    flip(path, 8 * (path.stat().st_size - 100))
    assert logits().equal(first)
    assert "is damaged" in told[0]


def test_excluded_images_are_checked(run: Path) -> None:
    folder = RunDir(run)
    folder.write_checked({"excluded.csv": "index,path,label,suggested,score,kind\n"})
    (run / "excluded.csv").write_text("index,path,label,suggested,score,kind\n0,,0,,1,dark\n")
    with pytest.raises(RunError, match=r"excluded\.csv"):
        folder.exclusions(load_run(run).config.replace(exclude="suspects.csv"))


def test_a_moved_run_that_is_finished_stays_whole(run: Path, small_run: Path) -> None:
    data = shutil.copy(small_run.parent / "data.npz", run.parent / "moved.npz")
    assert resume(run, data=f"npz:{data}", log_style="silent").config.data == f"npz:{data}"
    assert load_run(run).config.data == f"npz:{data}"
