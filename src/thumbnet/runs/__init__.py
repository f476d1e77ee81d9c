"""RUNS: what a training leaves in its folder, and how it is kept whole."""
