"""Every reader on broken files: it reads or refuses each with an error of ours.

benchmarks/fuzz_readers.py does so for long; what it found lies in tests/data/broken, a file a case.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thumbnet.data.packs.listing import Listing, done_parts

if TYPE_CHECKING:
    from trust.readers import Reader

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
FOUND = sorted((Path(__file__).parent / "data" / "broken").glob("*"))
NAMES = (
    "npz", "cifar-binary", "cifar-pickle", "pictures", "labels.csv", "groups.csv", "exclude.csv", "recipe", "manifest",
    "model.json", "metrics.json", "history.csv", "predictions.csv", "checkpoint-last.pt", "checkpoint-signed",
    "config.toml", "seeds.json",
    "folds.json", "folds.csv", "plan.json", "init.json", "robustness.json", "SHA256SUMS", "weights", "export-data",
    "exported", "logits", "form",
)  # fmt: skip
WORDS = (
    b"\xff" * 4, b"\x00" * 8, b"\x7f\xff\xff\xff", b"-1", b"1e999", b"9" * 400, b"nan", b"null", b"[" * 3000, b"\"",
    b",", b"\n", b"{}", b"\xef\xbb\xbf", b"",
)  # fmt: skip
# Where a change begins, in thousandths of the file, how many bytes it takes away, and what it puts there.
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 1000), st.sampled_from([0, 1, 4, 30, 10**9]), st.sampled_from(WORDS) | st.binary(max_size=4)
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def readers(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Reader]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from trust.readers import make_readers
    finally:
        sys.path.remove(str(BENCHMARKS))
    return make_readers(small_run, tmp_path_factory.mktemp("readers"))


def test_every_reader_is_tried(readers: Mapping[str, Reader]) -> None:
    assert set(readers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_broken_files_are_read_or_refused(readers: Mapping[str, Reader], name: str) -> None:
    reader = readers[name]

    @settings(max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(list(reader.seeds)), CHANGES)
    def check(content: bytes, changes: list[tuple[int, int, bytes]]) -> None:
        for place, num_removed, new in changes:
            start = place * len(content) // 1000
            content = content[:start] + new + content[start + num_removed :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a broken picture makes Pillow say
            reader.try_on(content)

    check()


@pytest.mark.parametrize("case", FOUND, ids=lambda path: path.name)
def test_what_was_found_once_is_read_or_refused(readers: Mapping[str, Reader], case: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        readers[case.name.rpartition("-")[0]].try_on(case.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_are_read(readers: Mapping[str, Reader], name: str) -> None:
    """Else the broken ones would all be refused for one reason."""
    for content in readers[name].seeds:
        readers[name].read(content)


def test_a_broken_note_of_what_is_decoded_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "done.jsonl").write_text("[" * 100_000 + "\n{}\n[]\n7\n")
    assert list(done_parts(tmp_path, Listing("files", {"train": ("a.png",)}), {})) == []


def test_a_foreign_error_is_none_of_ours(readers: Mapping[str, Reader]) -> None:
    """What the tests above would see."""
    reader = readers["npz"]
    with pytest.raises(ZeroDivisionError):
        type(reader)(reader.seeds, lambda content: 1 // 0).try_on(b"")
