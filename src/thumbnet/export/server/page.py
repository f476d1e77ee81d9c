"""The page at `/`."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from thumbnet.trained.shippable import Shippable


@dataclass(frozen=True)
class Page:
    """A page and the Content-Security-Policy that it is served with."""

    content: bytes
    policy: str


def build_page(shippable: Shippable) -> Page:
    """A page that names the model."""
    name = escape(shippable.name)
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><h1>{name}</h1></html>'
    return Page(text.encode(), "default-src 'none'; frame-ancestors 'none'")
