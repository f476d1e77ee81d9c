"""The command `thumbnet`, and `python -m thumbnet`."""

from __future__ import annotations

import sys
import time


def main() -> int:
    """Run the command line that this process was started with; returns the exit code."""
    began_s = time.perf_counter() - time.process_time()  # what Python itself took to start counts, too
    try:
        from thumbnet.cli import main as run
    except KeyboardInterrupt:  # at a moment when nothing of ours is there yet
        print("thumbnet: interrupted", file=sys.stderr)
        return 130
    return run(began_s=began_s)


if __name__ == "__main__":
    sys.exit(main())
