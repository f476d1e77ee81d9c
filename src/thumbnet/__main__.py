"""`python -m thumbnet` is the command `thumbnet`."""

from __future__ import annotations

import sys

from thumbnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
