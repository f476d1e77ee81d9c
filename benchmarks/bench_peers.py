"""What else could be trained in the same time: peers by PyTorch alone beside our recipes, in one sitting.

python benchmarks/bench_peers.py --keep DIR [--peers sprint airbench94 ...] [--minutes 1 2 5 10 20] [--seeds 0]

Each peer (benchmarks/peers) is a published network with published hyper-parameters: nothing is tuned, and the test set
is scored once after each training. A short timing says which layout is faster and how many steps fit a budget. Each
training is in a process of its own, and nothing else may run beside it: 40 minutes for each peer and seed. What is
finished is kept in DIR/peers.json and not repeated as long as its code is the same; another processor, number of
threads, PyTorch or Python is refused there. After each training benchmarks/results/peers_<hardware>_<date>.md, .json
and .png are written anew, with the date of the first one, of what was trained by today's code. THUMBNET_CPU=avx2
measures AVX2, for all of them.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from measuring import cifar_folder, circumstances, make_parser, write_results
from peers import PEERS, measure
from peers.ours import OURS, time_ours, train_ours
from peers.record import Record, code_of_ours, code_of_peer
from peers.report import describe, draw, points_of, verdicts

from thumbnet.bench.measure import matrix_gflops
from thumbnet.training.progress import duration
from thumbnet.views.figure import save_figure

MINUTES = [1.0, 2.0, 5.0, 10.0, 20.0]


def main() -> None:
    """Train what is missing, print and write."""
    parser = make_parser(__doc__)
    names = [*OURS, *PEERS]
    parser.add_argument(
        "--keep", type=Path, required=True, metavar="DIR", help="where peers.json and our runs are, or go"
    )
    parser.add_argument("--peers", nargs="+", choices=names, default=["sprint", *PEERS], help=f"of {', '.join(names)}")
    parser.add_argument("--minutes", nargs="+", type=budget, default=MINUTES, help="default: 1 2 5 10 20")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="default: 0")
    parser.add_argument("--note", default="", help="a sentence for the report, as what ran beside")
    parsed = parser.parse_args()
    folder = cifar_folder(parsed.data_dir)
    record = Record(parsed.keep, circumstances())
    for minutes in sorted(parsed.minutes):
        for seed in parsed.seeds:
            for name in parsed.peers:
                train_if_missing(record, name, minutes, seed, folder)
                path = write(record, parsed.note)
    print(path.read_text())
    print(path)


def budget(text: str) -> float:
    """Minutes above 0."""
    minutes = float(text)
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} minutes: give more than 0")
    return minutes


def train_if_missing(record: Record, name: str, minutes: float, seed: int, folder: str) -> None:
    """Time and train a peer, except what the record has."""
    code = code_of(name)
    if record.run(name, minutes, seed, code) is not None:
        return
    peak = matrix_gflops()
    timing = record.timing(name, code)
    if timing is None:
        timing = record.add_timing(name, code, timing_of(name, folder))
    if name in OURS:
        result = train_ours(name, folder, 60 * minutes, seed, timing, record.path.parent / f"runs-{code}")
    else:
        result = in_own_process(measure.train_peer, name, folder, 60 * minutes, seed, timing)
    record.add_run(name, minutes, seed, code, result | {"matrix_gflops": peak})
    print(
        f"{minutes:g} min, {name}, seed {seed}: {result['test_accuracy']:.2%} in {duration(result['train_s'])}, "
        f"{result['epochs']:.3g} epochs",
        flush=True,
    )


def timing_of(name: str, folder: str) -> dict[str, Any]:
    """How fast it trains here."""
    if name in OURS:
        return in_own_process(time_ours, name)
    timing: dict[str, Any] = in_own_process(measure.timing, name, folder)
    return timing | {"setup_s": in_own_process(measure.setup_s, name, folder, timing)}


def code_of(name: str) -> str:
    """A digest of the code that a training depends on."""
    return code_of_ours() if name in OURS else code_of_peer(name)


def write(record: Record, note: str) -> Path:
    """All that is finished by today's code, as files."""
    codes = {name: code_of(name) for name in (*OURS, *PEERS)}
    kept = record.values
    values: dict[str, Any] = kept["circumstances"] | {"note": note, "command": record.now["command"]}
    values["timings"] = {name: each for name, each in kept["timings"].items() if each["code"] == codes[name]}
    values["runs"] = [run for run in kept["runs"] if run["code"] == codes[run["peer"]]]
    values["num_by_other_code"] = len(kept["runs"]) - len(values["runs"])
    values["verdicts"] = verdicts(points_of(values["runs"]))
    values["matrix_gflops"] = [run["matrix_gflops"] for run in values["runs"]]
    path = write_results("peers", values, "")
    path.write_text(describe(values, path.with_suffix(".png").name))
    machine = f"{values['processor']}, {values['processor_kind']}"
    save_figure(draw(machine, points_of(values["runs"])), path.with_suffix(".png"))
    return path


def in_own_process(function: Any, *arguments: Any) -> Any:
    """What a function gives in a process without settings of this one."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
