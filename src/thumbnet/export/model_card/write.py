"""The model card as a file: beside what was exported, or in its folder."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from thumbnet.atomic import write_atomically
from thumbnet.errors import ConfigError
from thumbnet.export.model_card.header import header
from thumbnet.export.model_card.sections import sections
from thumbnet.export.model_card.text import code
from thumbnet.export.request import ExportResult
from thumbnet.models.card import card_to_dict
from thumbnet.runs.files.names import check_no_part_of_a_run
from thumbnet.terminal.text import escaped
from thumbnet.trained.shippable import Shippable

NAME = "model-card.md"
MARKER = "<!-- written by thumbnet export; model "
WHOLE_FOLDER = "- this folder: "  # how a line begins that is about a folder


def choose_card_path(shippable: Shippable, out: Path, *, is_folder: bool) -> Path:
    """Where the card of an export to `out` goes: model-card.md, or <out's stem>.model-card.md if that is another's.

    Raises:
        ConfigError: both are there and another's, or the folder has other things in it than an export.
    """
    if is_folder:
        path = out / NAME
        if out.exists() and any(out.iterdir()) and MARKER not in _read(path):
            raise ConfigError(f"{out} has other things in it", hint="name a new or empty folder with --out")
        return path
    for name in (NAME, f"{out.stem}.{NAME}"):
        path = out.parent / name
        if not path.exists() or _may_be_replaced(path, shippable, out):
            check_no_part_of_a_run(path)
            return path
    raise ConfigError(
        f"{path} is there, and is no card of this model", hint="move it, or name another place with --out"
    )


def write_model_card(shippable: Shippable, result: ExportResult, path: Path, *, usage: str, command: str) -> None:
    """Write the card of an export; the lines of other files of this model that are still there stay.

    Args:
        usage: how a file of this format is used, in Markdown.
        command: the command that wrote it.
    """
    new = file_line(result, folder=path.parent, usage=usage)
    kept = _lines_of_others(path, result.path) if _marker(shippable) in _read(path) else ()
    text = f"{header(shippable)}\n\n{_marker(shippable)}\n\n"
    text += sections(shippable, files=sorted([*kept, new]), command=command)
    write_atomically(path, text)


def file_line(result: ExportResult, *, folder: Path, usage: str) -> str:
    """What is to be known of an export, in one line of Markdown."""
    begin = WHOLE_FOLDER if result.path == folder else _begin(result.path.name)
    facts = [f"{result.format}, {result.num_bytes:,} bytes", *map(str, result.checks)]
    facts += [
        f"{key.replace('_', ' ')} {code(str(value))}" for key, value in result.details.items() if value is not None
    ]
    return f"{begin}{usage}{'. ' if usage else ''}{'; '.join(facts)}"


def export_command(shippable: Shippable, format_name: str, *, max_drop: float | None, target: str | None) -> str:
    """The command that writes an export; a run's folder as RUN."""
    words = ["thumbnet", "export", shippable.name if shippable.run_path is None else "RUN", "--format", format_name]
    words += [] if max_drop is None else ["--max-drop", str(max_drop)]
    words += [] if target is None else ["--for", target]
    words += [] if shippable.licence is None else ["--license", shippable.licence]
    return shlex.join(words)


def _may_be_replaced(path: Path, shippable: Shippable, out: Path) -> bool:
    """Whether it is of this model, or of another whose files are gone or about to be replaced."""
    content = _read(path)
    return _marker(shippable) in content or (MARKER in content and not any(_lines_of_others(path, out)))


def _lines_of_others(path: Path, out: Path) -> Iterator[str]:
    """The lines of a card about files that are there, other than `out`."""
    others = tuple(_begin(file.name) for file in path.parent.iterdir() if file.is_file() and file.name != out.name)
    yield from (line for line in _read(path).splitlines() if line.startswith(others))


def _begin(name: str) -> str:
    return f"- {code(name)}: "


def _marker(shippable: Shippable) -> str:
    """A comment by which the card of this very model is known again."""
    values = {"name": escaped(shippable.name), **card_to_dict(shippable.card)}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return f"{MARKER}{digest[:16]} -->"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
