"""Sections of the report that are the user's own, shown before the network's architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup, escape

from thumbnet.errors import ConfigError
from thumbnet.specs.registry import Registry
from thumbnet.views.report.content import ReportContent


@dataclass(frozen=True)
class ReportSection:
    """A section's title, and the function that writes it."""

    title: str
    render: Callable[[ReportContent], str]


REPORT_SECTIONS: Registry[ReportSection] = Registry("report section", "thumbnet.report_sections", {})


def register_report_section(
    name: str, title: str, render: Callable[[ReportContent], str], *, replace: bool = False
) -> None:
    """Add a section to every report.

    Args:
        name: the end of its address in the page, `#own-NAME`.
        title: its heading, plain text.
        render: is given what the report shows and returns HTML as a `markupsafe.Markup`; a plain text is escaped. The
            page is one file that refers to no other: pictures belong into it as data URLs.
        replace: take the place of a section that was registered before.

    Raises:
        ConfigError: the name is no word, or is taken.
    """
    REPORT_SECTIONS.register(name, ReportSection(title, render), replace=replace)


def render_sections(content: ReportContent) -> list[tuple[str, str, Markup]]:
    """Name, title and HTML of every section.

    Raises:
        ConfigError: a section is no text, or its package cannot be loaded.
    """
    rendered = []
    for name, section in REPORT_SECTIONS.items():
        text: object = section.render(content)
        if not isinstance(text, str):
            raise ConfigError(f"the report section {name!r} gave {text!r}", hint="return HTML: a markupsafe.Markup")
        rendered.append((name, section.title, escape(text)))
    return rendered
