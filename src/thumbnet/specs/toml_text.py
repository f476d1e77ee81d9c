"""TOML texts, and the settings of the command line, as plain values."""

from __future__ import annotations

import re
import tomllib

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import shown

KEY_AND_VALUE = re.compile(r"""(?P<key>(?:"[^"]*"|[^"=])*)=(?P<value>.*)""", re.DOTALL)
MAX_KEY, MAX_PARTS = 1000, 10  # characters, and names between dots
DOT_OUTSIDE_QUOTES = re.compile(r"""\.(?=(?:[^"]*"[^"]*")*[^"]*$)""")


def parse_toml(text: str, *, name: str) -> dict[str, object]:
    """The values of a TOML text, or ConfigError naming where it came from and the line."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))  # a mark that some editors put at the beginning
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}", hint='texts need quotes: model = "dilated"') from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(name) from error


def parse_setting(setting: str) -> dict[str, object]:
    """`KEY=VALUE` of the command line as a nested dict; VALUE is TOML, or a bare word for a string.

    Dots nest, except for those in double quotes, as in `costs."St. Bernard"=5`.
    """
    found = KEY_AND_VALUE.fullmatch(setting)
    if found is None or not found["key"].strip() or len(found["key"]) > MAX_KEY:
        raise ConfigError(f"{shown(setting)} is not KEY=VALUE", hint="for instance --set momentum=0.95")
    key, text = found["key"], found["value"]
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"the value of {shown(key)}") from error
    parts = [part.replace('"', "") for part in DOT_OUTSIDE_QUOTES.split(key.strip())]
    if len(parts) > MAX_PARTS:
        raise ConfigError(f"{shown(key)} is no field", hint="a dot leads to an option of a field")
    for part in reversed(parts[1:]):
        value = {part: value}
    return {parts[0]: value}


def is_utf8(text: str) -> bool:
    """Whether a file could hold the text: names of files may have bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(name: str) -> ConfigError:
    return ConfigError(
        f"{name} holds a number of thousands of digits, or thousands of nested lists",
        hint="no field takes such a value",
    )
