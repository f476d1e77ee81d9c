"""What a worker that does not see the caller's folder gives back: it names nothing of its own, temporary one."""

from __future__ import annotations

import html
import shlex
from dataclasses import replace
from pathlib import Path

from small_runs import small_config
from thumbnet.runs.jobs.sent_files import files_to_send_back, folder_of, make_token, sent_of, write_back
from thumbnet.runs.run import RunDir


def test_what_comes_back_names_the_callers_folder(tmp_path: Path) -> None:
    (tmp_path / "excluded.csv").write_text("index\n")
    elsewhere = Path('/not here/the caller\'s "runs"')
    sent = replace(sent_of(tmp_path, "seed-0", make_token(tmp_path)), folder=elsewhere)
    with folder_of(sent) as (copy, is_callers):
        assert not is_callers
        assert (copy / "excluded.csv").read_text() == "index\n"
        (copy / "seed-0").mkdir()
        run = RunDir(copy / "seed-0")
        run.write_config(small_config(Path("data.npz"), exclude=str(copy / "excluded.csv")), note="Data: of a test.")
        run.write("report.html", f"--exclude {copy / 'excluded.csv'}")
        files = files_to_send_back(copy, "seed-0", sent)
    write_back(tmp_path, "seed-0", files)
    back = RunDir(tmp_path / "seed-0")
    assert back.read_config().exclude == str(elsewhere / "excluded.csv")
    assert back.read_text("config.toml").startswith("# Data: of a test.\n")
    command = html.unescape(back.read_text("report.html"))
    assert shlex.split(command) == ["--exclude", str(elsewhere / "excluded.csv")]
