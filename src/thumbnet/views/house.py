"""The look that all our pages share: colours in both schemes, type, sections and buttons. Without PyTorch."""

from __future__ import annotations

from importlib import resources

from markupsafe import Markup


def house_style() -> Markup:
    """A style sheet, which a page's own comes after."""
    return Markup((resources.files("thumbnet.views") / "house.css").read_text(encoding="utf-8"))  # noqa: S704  # a file of ours
