"""What the scripts that copy a run into the repository share."""

from __future__ import annotations

import re
from pathlib import Path

from thumbnet.runs.files.folder import RunDir


def remove_data_dir(config: Path) -> None:
    """Rewrite a config.toml without the folder of the data: every machine looks for the data in its own."""
    config.write_text(re.sub(r"^data_dir = .*\n", "", config.read_text(), flags=re.MULTILINE))


def write_checksums(folder: Path) -> None:
    """SHA256SUMS of the files that were copied, or changed for the record."""
    RunDir(folder).write_checked({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
