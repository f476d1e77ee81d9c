"""Whether a sweep loses nothing: killed and resumed, shared by two processes, its best trial trained anew.

python benchmarks/bench_sweep.py --keep DIR [--trials 20] [--epochs 4]

Sweeps of small networks on the digits. One is killed (SIGKILL) in its middle trial and resumed. Two processes share
another on a PostgreSQL server that is started here (Debian's package postgresql), as its own user. Then the recipe of
the best trial is trained anew, one thread each time. Every part keeps its folders under --keep, which must be new.
Writes benchmarks/results/sweep_<hardware>_<date>.md and .json.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from measuring import circumstances, describe_circumstances, holds, make_parser, write_results
from postgres import postgres_server, server_programs

SEARCH = ["lr=0.02..0.5:log", "batch_size=64,128", 'model_options.blocks=["c8p", "c8p c16p"]']


def main() -> None:
    """Make the sweeps, print and write."""
    parser = make_parser(__doc__)
    parser.add_argument("--keep", type=Path, required=True, metavar="DIR", help="a new folder for the sweeps")
    parser.add_argument("--trials", type=int, default=20, help="of each sweep (default: 20)")
    parser.add_argument("--epochs", type=int, default=4, help="of each trial (default: 4)")
    parsed = parser.parse_args()
    parsed.keep.mkdir(parents=True)
    if server_programs() is None:
        raise SystemExit("no PostgreSQL server is installed: make setup-services")
    began_s = time.perf_counter()
    values: dict[str, Any] = circumstances() | {"num_threads": 1, "trials": parsed.trials, "epochs": parsed.epochs}
    values["killed"] = killed_and_resumed(parsed.keep / "killed", parsed.trials, parsed.epochs)
    values["shared"] = shared(parsed.keep, parsed.trials, parsed.epochs)
    values["best"] = trained_anew(parsed.keep / "killed", parsed.keep / "best")
    values["seconds"] = time.perf_counter() - began_s
    report = describe(values)
    print(report)
    print(write_results("sweep", values, report))


def begin(folder: Path, trials: int, epochs: int, *options: str) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own."""
    command = [sys.executable, "-m", "thumbnet", "sweep", "--data", "digits", "--epochs", str(epochs)]
    command += [part for text in SEARCH for part in ("--search", text)]
    command += ["--trials", str(trials), "--run-dir", str(folder), "--log-style", "silent", *options]
    return subprocess.Popen(command, env=one_thread(), stdout=subprocess.DEVNULL)


def one_thread() -> dict[str, str]:
    """The environment of a process that computes with one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def killed_and_resumed(folder: Path, trials: int, epochs: int) -> dict[str, Any]:
    """A sweep that is killed in its middle trial, after an epoch of it, and resumed."""
    process = begin(folder, trials, epochs)
    while process.poll() is None and not (len(states(folder)) >= trials // 2 - 1 and in_a_trial(folder)):
        time.sleep(0.01)
    process.kill()
    if process.wait() == 0:
        raise SystemExit("the sweep was over before it could be killed: give more epochs")
    before = states(folder)
    print(f"killed after {len(before)} trials", flush=True)
    resume = ["sweep", "--run-dir", str(folder), "--resume", "--log-style", "silent"]
    subprocess.run([sys.executable, "-m", "thumbnet", *resume], check=True, env=one_thread(), stdout=subprocess.DEVNULL)
    return {"before": len(before), "states": Counter(states(folder).values()), "folders": len(trial_folders(folder))}


def in_a_trial(folder: Path) -> bool:
    """Whether a trial that is not in the table yet has an epoch behind it."""
    done = states(folder)
    return any(
        int(path.name.removeprefix("trial-")) not in done and (path / "history.csv").exists()
        for path in trial_folders(folder)
    )


def shared(keep: Path, trials: int, epochs: int) -> dict[str, Any]:
    """Two processes with one storage."""
    folders = [keep / "first", keep / "second"]
    with postgres_server() as address:
        processes = [begin(folder, trials, epochs, "--storage", address) for folder in folders]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise SystemExit("a sweep on PostgreSQL failed; its error stands above")
        resume = ["sweep", "--run-dir", str(folders[0]), "--resume", "--log-style", "silent", "--storage", address]
        subprocess.run(  # the table of whoever ended first lacks the other's last trials
            [sys.executable, "-m", "thumbnet", *resume], check=True, env=one_thread(), stdout=subprocess.DEVNULL
        )
    made = [{path.name for path in trial_folders(folder)} for folder in folders]
    return {
        "states": Counter(states(folders[0]).values()),
        "trials_of_each": [len(names) for names in made],
        "made_twice": sorted(made[0] & made[1]),
    }


def trained_anew(folder: Path, run_dir: Path) -> dict[str, Any]:
    """The validation accuracy of the best trial's recipe, and of the trial."""
    train = [
        "train",
        "--recipe",
        str(folder / "best.toml"),
        "--run-dir",
        str(run_dir),
        "--no-pictures",
        "--log-style",
        "silent",
    ]
    subprocess.run([sys.executable, "-m", "thumbnet", *train], check=True, env=one_thread(), stdout=subprocess.DEVNULL)
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        finished = [float(row["value"]) for row in csv.DictReader(file) if row["state"] == "finished"]
    anew = json.loads((run_dir / "metrics.json").read_text())
    return {"trial": max(finished), "anew": anew["val_accuracy"], "test_accuracy": anew["test_accuracy"]}


def states(folder: Path) -> dict[int, str]:
    """The state of each trial in the table, by its number."""
    try:
        with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
            return {int(row["trial"]): row["state"] for row in csv.DictReader(file)}
    except FileNotFoundError:
        return {}


def trial_folders(folder: Path) -> list[Path]:
    return sorted(folder.glob("trial-*"))


def describe(values: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    wanted, killed, both, best = values["trials"], values["killed"], values["shared"], values["best"]

    def counted(states: dict[str, int]) -> int:
        return states.get("finished", 0) + states.get("pruned", 0)

    def listed(states: dict[str, int]) -> str:
        return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))

    whole, once = counted(killed["states"]) == wanted, counted(both["states"]) == wanted and not both["made_twice"]
    searched = ", ".join(f"`{text}`" for text in SEARCH)
    halves = " and ".join(map(str, both["trials_of_each"]))
    verdicts = [
        f"Killed in a trial after {killed['before']} others, and resumed: {listed(killed['states'])}: {holds(whole)}.",
        (
            f"Two processes on one PostgreSQL storage, {halves} trials: {listed(both['states'])}, "
            f"{len(both['made_twice'])} made twice: {holds(once)}."
        ),
        (
            f"The best trial's recipe trained anew: {best['anew']:.4%} of the validation images, the trial "
            f"{best['trial']:.4%}: {holds(best['anew'] == best['trial'])}. Its test accuracy is "
            f"{best['test_accuracy']:.2%}."
        ),
    ]
    lines = ["# Sweeps: nothing lost", "", describe_circumstances(values), ""]
    lines += [f"{wanted} trials of {values['epochs']} epochs on the digits; `--search` {searched}.", ""]
    lines += [*(f"- {verdict}" for verdict in verdicts), "", f"{values['seconds']:.0f} s altogether.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
