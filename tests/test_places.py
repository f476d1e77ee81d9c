"""Paths and links that no system follows: a data error that names them, not a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from odd_pictures import make_classes
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ImageError, ThumbnetError


@pytest.mark.parametrize("data", ["folder:a\0b", "npz:a\0b", f"folder:{'x' * 5000}", f"npz:{'x' * 5000}"])
def test_a_path_that_no_system_takes_is_refused(data: str) -> None:
    with pytest.raises(ThumbnetError):
        load_dataset(data)


def test_links_that_lead_nowhere_are_named_with_all_other_bad_files(tmp_path: Path) -> None:
    make_classes(tmp_path)
    (tmp_path / "cat" / "itself.png").symlink_to("itself.png")
    (tmp_path / "cat" / "long.png").symlink_to("x" * 300)
    with pytest.raises(ImageError, match=r"2 of 8 files") as caught:
        load_dataset(f"folder:{tmp_path}")
    assert "itself.png" in caught.value.message
    assert "long.png" in caught.value.message
    assert len(load_dataset(f"folder:{tmp_path}", skip_unreadable=True, val_fraction=0).train) == 4
