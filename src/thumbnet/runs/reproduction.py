"""A run trained again from its resolved config, and compared with it: history, weights, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from thumbnet.errors import RunError
from thumbnet.runs.environment import check_still_here, using_threads
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.files.names import WEIGHTS
from thumbnet.runs.folds.runs import is_fold_runs
from thumbnet.runs.known_data import Sibling
from thumbnet.runs.resolve import speaker
from thumbnet.runs.resume import relocated
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.seeds.runs import is_seed_runs
from thumbnet.runs.train import begin
from thumbnet.specs.trust import takes_trust
from thumbnet.training.progress import LogStyle
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import STOP, Stop

TIMES = ("train_s", "images_per_s")  # of an epoch, which no training has twice
COMPARED = ("test_accuracy", "test_loss", "val_accuracy", "val_loss")  # of metrics.json
CIRCUMSTANCES = ("device", "kernels", "num_threads", "machine", "processor_kind", "cpu")  # of metrics.json


@dataclass(frozen=True)
class Compared:
    """A figure of both trainings; None where one has none. `is_same`: to the last bit."""

    name: str
    then: float | None
    now: float | None

    @property
    def is_same(self) -> bool:
        return self.then == self.now


@dataclass(frozen=True)
class Reproduction:
    """What came of training a run again.

    Args:
        run: the run; `path`: the folder of the new one, None where it was a temporary one.
        figures: those of the end.
        first_different_epoch: from which on the histories differ, times apart; None: nowhere.
        weights_are_same: to the last bit; `largest_difference` is that of any two weights.
        causes: what was otherwise, a text each.
    """

    run: Path
    path: Path | None
    figures: tuple[Compared, ...]
    first_different_epoch: int | None
    weights_are_same: bool
    largest_difference: float
    causes: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether the weights, the history and the figures are the same to the last bit."""
        are_same = all(figure.is_same for figure in self.figures)
        return self.weights_are_same and self.first_different_epoch is None and are_same

    def to_dict(self) -> dict[str, object]:
        return {
            "run": str(self.run),
            "path": None if self.path is None else str(self.path),
            "is_same": self.is_same,
            "figures": [asdict(figure) for figure in self.figures],
            "first_different_epoch": self.first_different_epoch,
            "weights_are_same": self.weights_are_same,
            "largest_difference": self.largest_difference,
            "causes": list(self.causes),
        }

    def __str__(self) -> str:
        rows = [(each.name, _shown(each.then), _shown(each.now), _same(each.is_same)) for each in self.figures]
        epoch = self.first_different_epoch
        rows.append(("history", "", "", "the same" if epoch is None else f"differs from epoch {epoch} on"))
        weights = "the same" if self.weights_are_same else f"differ by up to {self.largest_difference:.3g}"
        rows.append(("weights", "", "", weights))
        lines = [f"{name:<14}  {then:>12}  {now:>12}  {same}".rstrip() for name, then, now, same in rows]
        return "\n".join([f"{'':<14}  {'then':>12}  {'now':>12}", *lines])


@takes_trust
def reproduce_run(
    run_dir: str | Path,
    *,
    out: str | Path | None = None,
    data: str | None = None,
    data_dir: str | Path | None = None,
    log_style: LogStyle = "auto",
    trust_code: bool = False,
) -> Reproduction:
    """Train a finished run again, from its resolved config and with as many threads, and compare.

    Args:
        run_dir: the run's folder.
        out: a new or empty folder for the new run; None: a temporary one.
        data, data_dir: where its data is now, as in `resume`.
        log_style, trust_code: as in `resume`.

    Raises:
        RunError: it is no finished run; or it was trained with code that is not trusted, or is in no file.
        ThumbnetError: its data is not there, or is other data; as `train`.
    """
    if is_seed_runs(run_dir) or is_fold_runs(run_dir):
        raise RunError(f"{run_dir} holds several runs", hint="name one of the runs in it")
    then = load_run(run_dir)
    folder, num_epochs = RunDir(then.path), len(then.history)
    was_stopped = then.metrics.get("stopped_by") == "callback"  # by a function that no folder keeps
    config = relocated(then.config, data=data, data_dir=data_dir, device=None)
    check_still_here(  # another one gives other bits
        config.engine.device,
        cannot=f"{then.path} cannot be trained again",
        hint="reproduce it on a machine with such a device, or train its config.toml with --device auto",
    )
    config = config.replace(exclude=folder.exclusions(config), groups=folder.groups(config))
    recorded = then.metrics.get("num_threads")
    threads = recorded if isinstance(recorded, int) and config.engine.threads is None else None

    def stop_as_then(state: TrainingState) -> Stop | None:
        return STOP if was_stopped and state.epoch == num_epochs else None

    with _folder(out) as place, using_threads(threads, say=speaker(log_style)):
        now = begin(
            config,
            run_dir=place,
            log_style=log_style,
            pictures=False,
            asked=then.asked,
            is_resolved=True,
            data_note=folder.data_note(),
            remarks=folder.training_remarks(),
            sibling=Sibling(then.path, then.known_data),
            on_epoch_end=stop_as_then if was_stopped else None,
        )
        return compared(then, now, path=None if out is None else now.path)


def compared(then: Run, now: Run, *, path: Path | None) -> Reproduction:
    """How the second run differs from the first."""
    named = [name for name in COMPARED if name in then.metrics or name in now.metrics]
    before, after = then.model.state_dict(), now.model.state_dict()
    differences = [
        float((before[name].double() - after[name].double()).abs().max()) for name in before if before[name].numel()
    ]
    same_bytes = (then.path / WEIGHTS).read_bytes() == (now.path / WEIGHTS).read_bytes()
    return Reproduction(
        run=then.path,
        path=path,
        figures=tuple(Compared(name, _number(then.metrics, name), _number(now.metrics, name)) for name in named),
        first_different_epoch=_first_different(then, now),
        weights_are_same=same_bytes or all(torch.equal(before[name], after[name]) for name in before),
        largest_difference=max(differences, default=0.0),
        causes=tuple(_causes(then, now)),
    )


def _first_different(then: Run, now: Run) -> int | None:
    rows = [
        [{name: value for name, value in row.items() if name not in TIMES} for row in run.history.to_rows()]
        for run in (then, now)
    ]
    for number, (before, after) in enumerate(zip(*rows, strict=False), start=1):
        if before != after:
            return number
    return None if len(rows[0]) == len(rows[1]) else min(map(len, rows)) + 1


def _causes(then: Run, now: Run) -> Iterator[str]:
    for name in CIRCUMSTANCES:
        before, after = then.metrics.get(name), now.metrics.get(name)
        if before is not None and before != after:
            yield f"{name} was {before} and is {after}"
    ranks = [known_metrics(run.metrics).num_ranks for run in (then, now)]
    if ranks[0] != ranks[1]:
        yield f"num_ranks (processes that trained together) was {ranks[0]} and is {ranks[1]}"
    for name, version in then.card.versions.items():
        if version != now.card.versions.get(name):
            yield f"{name} was {version} and is {now.card.versions.get(name)}"
    if then.card.commit != now.card.commit:
        yield f"thumbnet's commit was {then.card.commit} and is {now.card.commit}"
    changes = then.metrics.get("resumed_with_changes")
    if isinstance(changes, list):
        yield f"the run was resumed with changes: {'; '.join(map(str, changes))}"


def _number(metrics: Mapping[str, object], name: str) -> float | None:
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _same(is_same: bool) -> str:
    return "the same" if is_same else "differs"


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory(prefix="thumbnet-") as made:
        yield Path(made) / "run"
