"""Every reader on broken files: it reads or refuses each with an error of ours, in 10 s and 1 GB.

benchmarks/fuzz_readers.py does so for long; what it found lies in tests/data/broken, a file a case.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bounded_reading import begun, try_on
from thumbnet.data.leaks import find_leaks
from thumbnet.data.packs.listing import Listing, done_parts
from thumbnet.data.packs.pack import pack_data
from thumbnet.data.sources import load_dataset
from thumbnet.models.export_data import DETAILS

if TYPE_CHECKING:
    from trust.readers import Reader

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
FOUND = sorted((Path(__file__).parent / "data" / "broken").glob("*"))
NAMES = (
    "npz", "cifar-binary", "cifar-pickle", "cifar-archive", "pictures", "picture-headers", "labels.csv", "groups.csv",
    "exclude.csv", "leaks.csv", "leaks-val.csv", "recipe",
    "manifest", "pack-labels", "pack-paths", "pack-images", "pack-leaks", "pack-results", "verified.json", "file.json",
    "cache-listing", "cache-facts", "cache-manifest", "begun-listing", "begun-facts", "begun-parts",
    "model.json", "metrics.json", "history.csv", "predictions.csv", "checkpoint-last.pt", "checkpoint-signed",
    "config.toml", "seeds.json", "folds.json", "folds.csv", "plan.json", "init.json", "remarks.json", "data-note.txt",
    "robustness.json", "SHA256SUMS", "label-predictions", "val-logits", "sweep.json",
    "listed-metrics", "listed-config", "listed-history", "listed-seeds", "listed-folds", "listed-run-of-seeds",
    "weights", "weights-numpy", "export-data", "export-data-numpy", "config-of-card", "onnx-card", "exported",
    "exported-signed", "logits", "form",
)  # fmt: skip
OF_FOLDERS = ("cache-", "begun-", "listed-", "pack-")  # which read more than one file for each case
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
    reader = begun(readers[name])
    num_examples = 8 if name.startswith(OF_FOLDERS) else 20

    @settings(
        max_examples=num_examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(list(reader.seeds)), CHANGES)
    def check(content: bytes, changes: list[tuple[int, int, bytes]]) -> None:
        for place, num_removed, new in changes:
            start = place * len(content) // 1000
            content = content[:start] + new + content[start + num_removed :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a broken picture makes Pillow say
            try_on(reader, content)

    check()


@pytest.mark.parametrize("case", FOUND, ids=lambda path: path.name)
def test_what_was_found_once_is_read_or_refused(readers: Mapping[str, Reader], case: Path) -> None:
    reader = begun(readers[case.name.rpartition("-")[0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try_on(reader, case.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_are_read(readers: Mapping[str, Reader], name: str) -> None:
    """Else the broken ones would all be refused for one reason."""
    for content in readers[name].seeds:
        readers[name].read(content)


def array(values: object, dtype: str) -> bytes:
    """An .npy file."""
    content = io.BytesIO()
    np.save(content, np.array(values, dtype))
    return content.getvalue()


def headed(header: bytes) -> bytes:
    """An .npy file with any header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"


def with_other_kind(facts: bytes) -> bytes:
    """Facts of pictures of a kind that there is not."""
    values = np.load(io.BytesIO(facts))
    values["kind"] = 9
    return array(values, values.dtype)


def with_details(export_data: bytes, **changes: object) -> bytes:
    """Export data with other values in its description."""
    size = int.from_bytes(export_data[:8], "little")
    header = json.loads(export_data[8 : 8 + size])
    details = {**json.loads(header["__metadata__"][DETAILS]), **changes}
    header["__metadata__"][DETAILS] = json.dumps(details)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + export_data[8 + size :]


def change(**changes: object) -> Callable[[bytes], bytes]:
    """The same JSON object with other values."""
    return lambda content: json.dumps({**json.loads(content), **changes}).encode()


def stem_of(**changes: object) -> Callable[[bytes], bytes]:
    """The description of a network for C with another stem."""

    def changed(content: bytes) -> bytes:
        values = json.loads(content)
        values["program"]["stem"] |= changes
        return json.dumps(values).encode()

    return changed


HUGE = 10**400
TOKENS = headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': ((((")  # at which NumPy's parser gives up
LEAK = b"index,path,label,suggested,score,kind,split,other_split,other_index,other_path,likeness,flipped\n"


@pytest.mark.parametrize(
    ("name", "crafted"),
    [
        ("pack-labels", lambda content: TOKENS),
        ("pack-labels", lambda content: array(["a"] * 26, "U1")),
        ("pack-labels", lambda content: array([99] * 26, "int64")),
        ("pack-labels", lambda content: array([-1] * 26, "int64")),
        ("pack-labels", lambda content: array([[2, 0]] * 26, "uint8")),
        ("pack-labels", lambda content: b"PK\x03\x04"),
        ("pack-paths", lambda content: json.dumps(["\ud800"] * 26).encode()),
        ("pack-paths", lambda content: json.dumps("a" * 26).encode()),
        ("pack-images", lambda content: TOKENS),
        ("manifest", change(class_names=["a"])),
        ("export-data", lambda content: with_details(content, num_images=float("inf"))),
        ("exported-signed", change(checksums={"/dev/zero": ""})),
        ("exported-signed", change(checksums={"../a": ""})),
        ("exported-signed", change(checksums=["a"])),
        ("exported-signed", change(files=[["a"]])),
        ("exported-signed", stem_of(padding=10**9)),
        ("exported-signed", stem_of(stride="2")),
        ("exported-signed", stem_of(mean16="head")),
        ("sweep.json", change(measure="test_accuracy")),
        ("sweep.json", change(search=[f"lr=1..{'9' * 5000}"])),
        ("sweep.json", change(search=[f"lr=1..{'9' * 400}"])),
        ("sweep.json", change(search=["lr=0..1e300:step=1e-300"])),
        ("sweep.json", change(search=[f"lr={'[' * 700}{']' * 700}"])),
        ("sweep.json", change(search=[f"{'a.' * 900}a=1,2"])),
        ("sweep.json", change(search=[f"{'.' * 60_000}=1,2"])),
        ("leaks.csv", lambda content: LEAK + b"-1,,a,b,1,leak,train,test,0,,1,false\n"),
        ("leaks.csv", lambda content: LEAK + b"1,,a,b,1,leak,train,test,0,,nan,false\n"),
        ("leaks.csv", lambda content: LEAK + b"1,,a,b,1,leak,train,exam,0,,1,false\n"),
        ("config-of-card", lambda content: b"\xff" + content),
    ],
)
def test_crafted_files_are_refused(readers: Mapping[str, Reader], name: str, crafted: Callable[[bytes], bytes]) -> None:
    reader = begun(readers[name])
    assert not try_on(reader, crafted(reader.seeds[0]))


@pytest.mark.parametrize(
    ("name", "crafted"),
    [
        ("cache-facts", with_other_kind),
        ("cache-facts", lambda content: TOKENS),
        ("begun-facts", lambda content: TOKENS),
        ("begun-facts", lambda content: b"PK\x03\x04"),
        ("begun-parts", lambda content: content.replace(b'"first": 0', b'"first": 1e999')),
        ("pack-leaks", lambda content: b"[3]"),
        ("pack-leaks", lambda content: b'[[["train", 99, "test", 0, 1.0, false]], 1, 1]'),
        ("pack-results", lambda content: b"[" * 3000),
        ("listed-metrics", change(test_auc=HUGE)),
        ("listed-metrics", change(num_test=0)),
        ("listed-run-of-seeds", change(test_accuracy=1e299)),
        ("listed-seeds", change(figures={"test_accuracy": {"low": HUGE, "high": 1}})),
    ],
)
def test_crafted_files_that_are_passed_over(
    readers: Mapping[str, Reader], name: str, crafted: Callable[[bytes], bytes]
) -> None:
    reader = begun(readers[name])
    assert try_on(reader, crafted(reader.seeds[0]))


def test_leaks_that_a_pack_keeps_are_of_its_images(readers: Mapping[str, Reader], tmp_path: Path) -> None:
    """Others are not believed: they are looked for again."""
    pack = tmp_path / "pack"
    from trust.data_readers import folder_of_pictures

    pack_data(f"folder:{folder_of_pictures(tmp_path / 'pictures')}", pack, image_size=8)
    dataset = load_dataset(f"packed:{pack}")
    expected = find_leaks(dataset)
    (kept,) = (pack / "results").glob("leaks-*.json")
    for leak in (3, ["train", 99, "test", 0, 1.0, False], ["train", "0", "test", 0, 1.0, False]):
        text = json.dumps([[leak], 1, 1])
        kept.write_text(json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}))
        assert find_leaks(dataset) == expected
        assert json.loads(kept.read_text())["text"] != text


def test_a_broken_note_of_what_is_decoded_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "done.jsonl").write_text("[" * 100_000 + "\n{}\n[]\n7\n")
    assert list(done_parts(tmp_path, Listing("files", {"train": ("a.png",)}), {})) == []
