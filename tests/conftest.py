"""Array shapes in signatures are checked while the tests run: jaxtyping and beartype, on every function of the package."""

from __future__ import annotations

import os

from jaxtyping import install_import_hook

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["MPLBACKEND"] = "agg"

hook = install_import_hook("thumbnet", "beartype.beartype")
