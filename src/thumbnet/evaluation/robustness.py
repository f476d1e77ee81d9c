from dataclasses import dataclass


@dataclass(frozen=True)
class Robustness:
    rows: tuple = ()
