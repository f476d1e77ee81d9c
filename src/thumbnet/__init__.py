"""thumbnet: train, understand and ship image classifiers under 200,000 parameters, on a laptop, in minutes."""

from __future__ import annotations

__version__ = "0.1.0"
