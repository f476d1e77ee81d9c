"""The verbs that ship a trained model: export, serve."""

from __future__ import annotations

import argparse

from thumbnet.cli.output import put, put_json
from thumbnet.errors import ConfigError
from thumbnet.terminal.streams import tell

EXPORT_OPTIONS = ("format", "out", "max_drop", "target", "licence", "data", "data_dir", "allow_unverified")
OPTION_NAMES = {"target": "--for", "licence": "--license"}


def export(parsed: argparse.Namespace) -> None:
    """Export a trained model and print what was written and how it was checked, or list the formats."""
    if parsed.list:
        _list_formats(parsed)
        return
    from thumbnet.export.formats import FORMATS

    if parsed.format is None:
        raise ConfigError("no format is given", hint=f"give --format one of {', '.join(FORMATS)}")
    from thumbnet.export.export import export_model

    result = export_model(
        parsed.run_or_name,
        parsed.format,
        out=parsed.out,
        max_drop=parsed.max_drop,
        target=parsed.target,
        licence=parsed.licence,
        data=parsed.data,
        data_dir=parsed.data_dir,
        allow_unverified=parsed.allow_unverified or None,
        say=tell,
    )
    put_json(result.to_dict()) if parsed.json else put(result)


def serve(parsed: argparse.Namespace) -> None:
    """Serve a trained model over HTTP until the process is asked to end."""
    from thumbnet.export.server.limits import Limits
    from thumbnet.export.server.serve import serve as serve_model

    limits = Limits(max_bytes=parsed.max_bytes, max_pixels=parsed.max_pixels)
    serve_model(parsed.run_or_name, host=parsed.host, port=parsed.port, limits=limits, say=tell)


def _list_formats(parsed: argparse.Namespace) -> None:
    for name in EXPORT_OPTIONS:
        given = getattr(parsed, name)
        if given is not None and given is not False:
            option = OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
            raise ConfigError(f"{option} is given with --list, which exports nothing", hint=f"leave {option} out")
    from thumbnet.export.formats import FORMATS

    if parsed.json:
        put_json({"formats": [{"name": name, **FORMATS[name].to_dict()} for name in FORMATS]})
        return
    for name in FORMATS:
        known = FORMATS[name]
        put(f"{name}: {known.purpose}")
        installed = (
            "" if known.extra is None else " (installed here)" if known.is_installed else " (not installed here)"
        )
        put(f"    takes {known.takes}; needs {known.needs}{installed}")
        if known.targets:
            put(f"    --for {', '.join(known.targets)}: the folder that these read")
