"""The verb that sweeps."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from thumbnet.cli.output import put, put_json
from thumbnet.cli.training_verbs import RECIPE_OPTIONS, recipe_config
from thumbnet.errors import ConfigError
from thumbnet.runs.sweeps.question import MEASURES
from thumbnet.runs.sweeps.space import parse_space
from thumbnet.specs.extras import require_extra
from thumbnet.terminal.streams import tell

if TYPE_CHECKING:
    from thumbnet.runs.sweeps.results import SweepResult
    from thumbnet.training.progress import LogStyle


def sweep(parsed: argparse.Namespace) -> None:
    """Make trials, or go on with them, and print the best one."""
    require_extra("sweep", "thumbnet sweep", packages=("optuna",))
    if parsed.accept_changes and not parsed.resume:
        raise ConfigError("--accept-changes is given without --resume", hint="leave it out, or go on with a sweep")
    if parsed.resume:
        _refuse_options_of_resume(parsed)
        config = None
    else:  # refused before PyTorch is imported
        config = recipe_config(parsed)
        parse_space(config, parsed.search or ())

    from thumbnet.runs.sweeps.sweep import resume_sweep
    from thumbnet.runs.sweeps.sweep import sweep as make_sweep

    log_style: LogStyle = parsed.log_style or "auto"
    try:
        if config is None:
            result = resume_sweep(
                parsed.run_dir,
                trials=parsed.trials,
                minutes=parsed.sweep_minutes,
                storage=parsed.storage,
                jobs=parsed.jobs,
                log_style=log_style,
                accept_changes=parsed.accept_changes,
                began_s=parsed.began_s,
            )
        else:
            result = make_sweep(
                config,
                search=parsed.search,
                trials=parsed.trials,
                grid=parsed.grid,
                minutes=parsed.sweep_minutes,
                storage=parsed.storage,
                jobs=parsed.jobs,
                run_dir=parsed.run_dir,
                max_params=parsed.max_params,
                max_macs=parsed.max_macs,
                log_style=log_style,
                began_s=parsed.began_s,
            )
    except KeyboardInterrupt:
        tell("\nStopped. The sweep's folder keeps its trials; go on with: thumbnet sweep --run-dir DIR --resume")
        raise
    _print(result, as_json=parsed.json)


def _print(result: SweepResult, *, as_json: bool) -> None:
    best = result.best
    counts = {state: sum(trial.state == state for trial in result.trials) for state in _STATES}
    if as_json:
        chosen = None if best is None else {"trial": best.number, "value": best.value, "params": dict(best.params)}
        put_json({"path": str(result.path), **counts, "measure": result.measure, "best": chosen})
        return
    put(", ".join(f"{count} {state}" for state, count in counts.items() if count))
    if best is not None and best.value is not None:
        put(f"best: trial {best.number}, {MEASURES[result.measure]} {best.value:.2%} on validation")
        put(f"train it: {result.command}")
    put(f"results: {result.path}")


_STATES = ("finished", "pruned", "failed", "refused", "running")


def _refuse_options_of_resume(parsed: argparse.Namespace) -> None:
    if parsed.run_dir is None:
        raise ConfigError("--resume is given without --run-dir", hint="name the sweep's folder with --run-dir")
    for name in ("recipe", "settings", "search", "grid", "max_params", "max_macs", *RECIPE_OPTIONS):
        if getattr(parsed, name, None) not in (None, False):
            option = "--set" if name == "settings" else f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option} cannot be given with --resume: the sweep goes on as it was asked for",
                hint=f"leave {option} out, or begin a new sweep",
            )
