"""What checks annotations under test: beartype, taking an int where a float is expected, as PEP 484 does."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
