"""What computes in parallel counts the processors that this process may use, not those of the machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thumbnet
from thumbnet.data.packs import build, decoding

SOURCE = Path(thumbnet.__file__).parent
# Where it is the machine's number that is wanted, and why.
OF_THE_MACHINE = {
    "specs/processors.py": "for systems that do not say how many this process may use",
    "training/device.py": "a sentence that describes the machine",
}


def test_only_these_ask_for_the_number_of_the_machine() -> None:
    found = {
        path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if "cpu_count" in path.read_text("utf-8")
    }
    assert found == set(OF_THE_MACHINE)


def test_pictures_are_decoded_by_as_many_processes_as_there_are_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 5, 9}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr(build, "MIN_FILES_FOR_PROCESSES", 1)
    numbers: list[int] = []

    def do_parts(tasks: object, *, num_processes: int) -> list[object]:
        numbers.append(num_processes)
        return [decoding.do_part(task, map) for task in tasks]  # type: ignore[attr-defined]

    monkeypatch.setattr(build, "do_parts", do_parts)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.full((4, 4, 3), 9 * number + 80 * (name == "dog"), np.uint8)
            pixels[0, 0] = number
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    assert set(numbers) == {3}
