"""Whether a run folder or a trained model of the package is meant: an existing folder wins. Without PyTorch."""

from __future__ import annotations

from pathlib import Path

from thumbnet.errors import ConfigError
from thumbnet.models.pretrained import list_pretrained
from thumbnet.runs.files.names import BEST, CONFIG, FOLDS, SWEEP
from thumbnet.terminal.text import quoted

MAX_NAMED = 5  # runs in a hint


def is_pretrained_name(run_or_name: str | Path) -> bool:
    """Whether it names a trained model of the package, and no existing folder."""
    return str(run_or_name) in list_pretrained() and not Path(run_or_name).is_dir()


def check_weights_for(model: str) -> None:
    """ConfigError where `init` is auto and no trained weights of the model come with the package, or a folder has their
    name."""
    if model not in list_pretrained():
        raise ConfigError(
            f"init is 'auto', but no trained weights of {model} come with the package",
            hint=f"give --model {', '.join(list_pretrained())}, or leave init out",
        )
    if not is_pretrained_name(model):
        raise ConfigError(
            f"init is 'auto', but an existing folder wins over the trained model {model}",
            hint="start in another folder, or leave init out",
        )


def hint_for_no_run(path: str | Path, *, otherwise: str) -> str:
    """How to go on where the folder `path` was to be a run, and is none."""
    if (Path(path) / SWEEP).exists():
        best = Path(path) / BEST
        train = f"; train its best trial with: thumbnet train --recipe {quoted(best)}" if best.exists() else ""
        return f"it is a sweep, which goes on with: thumbnet sweep --run-dir {quoted(path)} --resume{train}"
    inside = [inner for pattern in ("seed-*", "fold-*") for inner in Path(path).glob(pattern)]
    runs = sorted((str(inner) for inner in inside if (inner / CONFIG).exists()), key=lambda name: (len(name), name))
    if runs:
        more = f" and so on ({len(runs)} runs)" if len(runs) > MAX_NAMED else ""
        hint = f"give one of the runs in it: {', '.join(runs[:MAX_NAMED])}{more}"
        return f"{hint}; for a model of all images, train without --folds" if (Path(path) / FOLDS).exists() else hint
    if str(path) not in list_pretrained():
        return otherwise
    if Path(path).is_dir():
        return f"an existing folder wins over the trained model {path}: for that, start in another folder"
    return f"{path} is the name of a trained model of the package, where a run folder is expected"
