"""The layer table: the published one as a golden file, and its columns added up again from the printed text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from thumbnet.errors import ModelError
from thumbnet.models.registry import create_model, list_models
from thumbnet.views.summary import Row, Summary, summarize

GOLDEN = Path(__file__).parent / "golden" / "dilated_summary.txt"
# The published counts, in the order of the table in the design's seed.md.
CONVOLUTION_COUNTS = [864, 9216, 18432, 2048, 9216, 17856, 40176, 2304, 9216, 18432, 64, 5376, 63504, 840]
BATCH_NORM_COUNTS = [64, 64, 128, 64, 124, 144, 64, 128, 168, 168]
ROW = re.compile(
    r" *(?P<kind>\w+)-(?P<number>\d+) +\[-1, (?P<shape>[\d, ]+)\] +(?P<params>[\d,]+)"
    r"(?: +(?P<macs>[\d,]+) +(?P<field>[\d,]+))?"
)


def number(text: str) -> int:
    return int(text.replace(",", ""))


def printed_rows(table: str) -> list[re.Match[str]]:
    return [match for line in table.splitlines() if (match := ROW.fullmatch(line))]


def printed_total(table: str, name: str) -> float:
    found = re.search(rf"{re.escape(name)}: ([\d,.]+)", table)
    assert found, name
    return float(found[1].replace(",", ""))


def check_totals(table: str, image_values: int) -> None:
    """The figures under a table follow from its rows."""
    rows = printed_rows(table)
    num_params = sum(number(row["params"]) for row in rows)
    assert printed_total(table, "Total params") == num_params
    trainable, frozen = printed_total(table, "Trainable params"), printed_total(table, "Non-trainable params")
    assert trainable + frozen == num_params
    num_values = sum(torch.Size(int(side) for side in row["shape"].split(", ")).numel() for row in rows)
    sizes = [image_values * 4 / 2**20, num_values * 2 * 4 / 2**20, num_params * 4 / 2**20]
    names = ["Input size (MB)", "Forward/backward pass size (MB)", "Params size (MB)"]
    assert [printed_total(table, name) for name in names] == [round(size, 2) for size in sizes]
    assert printed_total(table, "Estimated Total Size (MB)") == round(sum(sizes), 2)


def dilated_summary() -> Summary:
    return summarize(create_model("dilated"), (3, 32, 32))


def test_the_left_of_the_table_is_the_published_one() -> None:
    printed = f"{dilated_summary()}\n"  # as print() writes it
    # Blanks fill the lines that go on to the right; every other character is the same, up to the empty last line.
    assert [line[:64].rstrip() for line in printed.split("\n")] == GOLDEN.read_text().split("\n")
    assert [len(line) for line in printed.split("\n") if set(line) in ({"-"}, {"="})] == [98] * 5


def test_the_published_table_adds_up() -> None:
    golden = GOLDEN.read_text()
    rows = printed_rows(golden)
    assert [int(row["number"]) for row in rows] == list(range(1, 47))
    assert [number(row["params"]) for row in rows if row["kind"] == "Conv2d"] == CONVOLUTION_COUNTS
    assert [number(row["params"]) for row in rows if row["kind"] == "BatchNorm2d"] == BATCH_NORM_COUNTS
    assert sum(CONVOLUTION_COUNTS + BATCH_NORM_COUNTS) == 198_660
    check_totals(golden, 3 * 32 * 32)


def test_printed_macs_are_parameters_times_positions() -> None:
    """Without biases, every parameter of a convolution is used once at each position of its map; no other row costs."""
    rows = printed_rows(str(dilated_summary()))
    expected = []
    for row in rows:
        _, height, width = (int(side) for side in row["shape"].split(", "))
        expected.append(number(row["params"]) * height * width if row["kind"] == "Conv2d" else 0)
    assert [number(row["macs"]) for row in rows] == expected
    assert sum(expected) == 136_161_672
    assert [(row["kind"], number(row["field"])) for row in rows[-3:]] == [
        ("Dropout", 25), ("AvgPool2d", 44), ("Conv2d", 44),
    ]  # fmt: skip


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("image_shape", [(3, 32, 32), (1, 40, 36)])
def test_printed_columns_add_up(name: str, image_shape: tuple[int, int, int]) -> None:
    model = create_model(name, in_channels=image_shape[0])
    next(model.parameters()).requires_grad_(False)
    summary = summarize(model, image_shape)
    table = str(summary)
    check_totals(table, torch.Size(image_shape).numel())
    rows = printed_rows(table)
    assert len(rows) == len(summary.rows)
    assert summary.num_trainable < summary.num_params == sum(number(row["params"]) for row in rows)
    assert printed_total(table, "Total MACs") == sum(number(row["macs"]) for row in rows) == summary.macs
    assert printed_total(table, "Receptive field") == number(rows[-1]["field"]) == summary.receptive_field
    assert len({len(line) for line in table.splitlines() if ROW.fullmatch(line) or set(line) == {"="}}) == 1


@pytest.mark.parametrize(
    ("name", "num_params", "macs", "receptive_field", "num_layers"),
    [("dilated", 198_660, 136_161_672, 44, 46), ("resnet8", 78_186, 12_501_632, 53, 22)],
)
def test_plain_values_for_json(name: str, num_params: int, macs: int, receptive_field: int, num_layers: int) -> None:
    values = summarize(create_model(name), (3, 32, 32)).to_dict()
    assert json.loads(json.dumps(values)) == values
    assert set(values) == {"num_params", "macs", "receptive_field", "layers"}
    assert (values["num_params"], values["macs"], values["receptive_field"]) == (num_params, macs, receptive_field)
    assert len(values["layers"]) == num_layers
    assert sum(layer["macs"] for layer in values["layers"]) == macs
    assert values["layers"][0] == {
        "name": "Conv2d-1",
        "kind": "Conv2d",
        "output_shape": [32 if name == "dilated" else 16, 32, 32],
        "num_params": 864 if name == "dilated" else 448,
        "macs": 884_736 if name == "dilated" else 442_368,
        "receptive_field": 3,
    }


def test_long_names_and_shapes_widen_the_table() -> None:
    class ALayerWithQuiteALongNameIndeed(nn.ReLU):
        pass

    table = str(summarize(nn.Sequential(nn.Conv2d(3, 8, 1), ALayerWithQuiteALongNameIndeed()), (3, 10, 10)))
    rows = printed_rows(table)
    assert [row["kind"] for row in rows] == ["Conv2d", "ALayerWithQuiteALongNameIndeed"]
    assert len({row.end("params") for row in rows}) == len({row.end("macs") for row in rows}) == 1
    assert len({len(line) for line in table.splitlines()[:5]}) == 1
    wide = Summary((Row("ReLU-1", "ReLU", (1_000_000, 20_000, 20_000), 0, 0, 1),), (1, 1, 1), 0, 0, 0, 1)
    assert len({len(line) for line in str(wide).splitlines()[:4]}) == 1


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError):
        summarize(create_model("dilated"), (3, 28, 28))
