"""Unusual systems: no home, no cache, folders whose names are not UTF-8, pictures that are in no file."""

from __future__ import annotations

import io
import json
import os
import pwd
import sys
from pathlib import Path

import pytest
from PIL import Image

import thumbnet
from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import config_from_toml, config_to_toml
from thumbnet.data import own_sources
from thumbnet.errors import ConfigError, DownloadError, ImageError, ThumbnetError


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No HOME and no entry in the system's list of users, as in many containers; returns the current folder."""

    def unknown(_: int) -> pwd.struct_passwd:
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_CACHE_HOME", "THUMBNET_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def never_download(place: Path) -> None:
    raise AssertionError("nothing may be fetched")


def test_without_a_home_everything_but_downloads_works(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_sources, "download_cifar10", never_download)
    assert thumbnet.load_dataset("digits").num_classes == 10
    dataset = thumbnet.load_dataset("auto")
    assert dataset.source.name == "digits"
    assert "no home folder" in dataset.source.note
    with pytest.raises(DownloadError, match="no home folder") as caught:
        thumbnet.load_dataset("cifar10")
    assert "THUMBNET_DATA" in caught.value.hint
    for data, options in (("folder:~/pets", {}), ("npz:~/pets.npz", {}), ("cifar10", {"data_dir": "~/cifar"})):
        with pytest.raises(ConfigError, match="no home folder"):
            thumbnet.load_dataset(data, **options)  # type: ignore[arg-type]
    assert list(homeless.iterdir()) == []  # nor a folder called "~"


def test_a_cache_that_cannot_be_written_leaves_the_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()  # a file where the folder would be, as root may write anywhere else
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("THUMBNET_DATA", raising=False)
    monkeypatch.setattr(own_sources, "download_cifar10", never_download)
    dataset = thumbnet.load_dataset("auto")
    assert dataset.source.name == "digits"
    assert "cannot be written" in dataset.source.note
    with pytest.raises(DownloadError, match="cannot be written"):
        thumbnet.load_dataset("cifar10")


@pytest.fixture
def odd_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose name is not UTF-8."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:  # as on macOS
        pytest.skip("this file system has UTF-8 names only")
    monkeypatch.chdir(folder)
    return folder


def test_a_run_in_a_folder_whose_name_is_not_utf8(
    odd_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_small_data(tmp_path / "small.npz")
    Path("small.toml").write_text(config_to_toml(small_config(data)))
    run = str(odd_folder / os.fsdecode(b"r\xff"))
    assert main(["train", "--recipe", "small.toml", "--run-dir", run, "--no-pictures"]) == 0
    assert r"r\xff" in capsys.readouterr().out
    assert main(["evaluate", run, "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert main(["report", run]) == 0
    assert r"r\xff" in (Path(run) / "report.html").read_text()


def test_data_whose_path_is_not_utf8_is_refused_before_anything_is_read(odd_folder: Path) -> None:
    for name in ("a", "b"):
        (odd_folder / name).mkdir()
        for index in range(4):
            Image.new("RGB", (8, 8), (index, 9 * index, 3)).save(odd_folder / name / f"{index}.png")
    arguments = ["train", "--data", "folder:.", "--recipe", "quick", "--run-dir", "../run"]
    assert main(arguments) == 2
    assert not Path("../run").exists()
    with pytest.raises(ThumbnetError, match="not UTF-8"):
        thumbnet.load_recipe("quick", options={"data": f"folder:{odd_folder}"})


@pytest.mark.parametrize("address", ["https://example.org/cat.jpg", "http://example.org/cat.jpg", "ftp://a/b.png"])
def test_addresses_are_not_fetched_and_that_is_said(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", address]) == 2
    told = capsys.readouterr().err
    assert f"{address} is an address" in told
    assert "download" in told
    with pytest.raises(ImageError, match="is an address"):
        thumbnet.predict(thumbnet.load_pretrained("sprint"), [address])


def test_a_dash_reads_the_picture_from_stdin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "red.png"
    Image.new("RGB", (50, 30), "red").save(picture)
    assert main(["predict", str(picture), "--json"]) == 0
    (from_file,) = json.loads(capsys.readouterr().out)["predictions"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(picture.read_bytes())))
    assert main(["predict", "-", str(picture), "--json"]) == 0
    from_stdin, again = json.loads(capsys.readouterr().out)["predictions"]
    assert (from_stdin["path"], again["path"]) == ("-", str(picture))
    for prediction in (from_stdin, again):
        assert prediction["class_name"] == from_file["class_name"]
        assert prediction["probability"] == pytest.approx(from_file["probability"], abs=1e-5)
    for content, message in ((b"", "is empty"), (b"no picture", "is not an image")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert main(["predict", "-"]) == 2
        assert f"the picture from stdin {message}" in capsys.readouterr().err
    assert main(["predict", "-", "-"]) == 2
    assert "only once" in capsys.readouterr().err


def test_a_config_is_read_whatever_the_path_of_its_data() -> None:
    config = thumbnet.load_recipe("quick", options={"data": "folder:/a\x1bb\x85\u2028c"})
    assert config_from_toml(config_to_toml(config), name="it") == config
