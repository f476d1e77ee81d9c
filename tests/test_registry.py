"""What is known by name: our own, what is registered, and what installed packages bring by entry points."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins import install_plugin
from thumbnet.errors import ConfigError, ModelError
from thumbnet.specs.registry import Registry


def numbers() -> Registry[int]:
    return Registry("number", "test.numbers", {"one": 1, "two": 2}, error=ModelError)


def test_ours_and_what_is_registered_are_found_by_name() -> None:
    registry = numbers()
    registry.register("three", 3)
    assert [registry["one"], registry["three"]] == [1, 3]
    assert list(registry) == ["one", "two", "three"]
    assert dict(registry) == {"one": 1, "two": 2, "three": 3}
    assert "three" in registry
    assert "four" not in registry


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ModelError, match="unknown number 'four'") as refused:
        numbers()["four"]
    assert refused.value.hint == "choose one of one, two"


def test_what_is_there_is_replaced_only_on_demand() -> None:
    registry = numbers()
    registry.register("three", 3)
    with pytest.raises(ConfigError, match="number 'three' is there already"):
        registry.register("three", 33)
    registry.register("three", 33, replace=True)
    assert registry["three"] == 33
    with pytest.raises(ConfigError, match="'one' is one of thumbnet's own"):
        registry.register("one", 11, replace=True)


@pytest.mark.parametrize("name", ["", "Three", "a b", "a/b", "-a", "a=b", "é"])
def test_names_are_plain_words(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        numbers().register(name, 3)


def test_what_is_registered_in_a_scope_is_forgotten_after_it() -> None:
    registry = numbers()
    with registry.scope():
        registry.register("three", 3)
        assert "three" in registry
    assert list(registry) == ["one", "two"]


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = numbers()
    assert "seven" not in registry
    install_plugin(tmp_path, monkeypatch, {"test.numbers": {"seven": "SEVEN"}}, "SEVEN = 7")
    assert list(registry) == ["one", "two", "seven"]
    assert registry["seven"] == 7


def test_an_installed_package_is_found_where_importlib_metadata_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Dask does on Python 3.11: entry points then are objects of that package."""
    pytest.importorskip("importlib_metadata")
    install_plugin(tmp_path, monkeypatch, {"test.numbers": {"seven": "SEVEN"}}, "SEVEN = 7")
    assert numbers()["seven"] == 7


def test_a_broken_package_is_named_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = numbers()
    install_plugin(tmp_path, monkeypatch, {"test.numbers": {"seven": "SEVEN"}}, "import not_there")
    assert registry["one"] == 1
    assert list(registry) == ["one", "two", "seven"]
    with pytest.raises(ModelError, match=r"number 'seven' of the package plugin_\w+ 1.0 cannot be loaded: .*not_there"):
        registry["seven"]


def test_a_package_cannot_take_the_name_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(tmp_path, monkeypatch, {"test.numbers": {"one": "ONE"}}, "ONE = 11")
    registry = numbers()
    assert registry["one"] == 1
    with pytest.raises(ModelError, match=r"the package plugin_\w+ 1.0 also has a number 'one'"):
        list(registry)


def test_two_packages_with_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        install_plugin(tmp_path / place, monkeypatch, {"test.numbers": {"seven": "SEVEN"}}, "SEVEN = 7")
    with pytest.raises(ConfigError, match="two packages bring 'seven'"):
        numbers()["seven"]
