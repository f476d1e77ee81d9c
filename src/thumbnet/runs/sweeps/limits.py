"""How large a network a sweep trains at most."""

from __future__ import annotations

from thumbnet.models.trace import Trace

PARAMS_OF_SIZES = (20_000, 50_000, 100_000, 200_000)  # which the recipes thumb-20k, ... promise


def default_limits(own: Trace) -> tuple[int, int]:
    """The parameters and MACs that are allowed where nothing else is said: of the sizes, the one that the recipe's own
    network is of, and the MACs of that network."""
    sizes = [size for size in PARAMS_OF_SIZES if size >= own.num_params]
    return (sizes[0] if sizes else own.num_params), own.macs


def beyond(trace: Trace, *, max_params: int, max_macs: int) -> list[str]:
    """Why a network is not trained, a text each; none where it is within the limits."""
    reasons = []
    if trace.num_params > max_params:
        reasons.append(f"{trace.num_params:,} parameters are more than {max_params:,}")
    if trace.macs > max_macs:
        reasons.append(f"{trace.macs:,} MACs are more than {max_macs:,}")
    return reasons
