"""The help of the command: the field's words in plain sentences, and something of every option."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from thumbnet.cli import build_parser

UNCLEAR = re.compile(
    r"\bsays?\b|\bis asked\b|\btell|\bbut for\b|\band the like\b|, too\b|\bwhere there is one\b|\bof these\b|\banew\b"
)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_no_sentence_of_the_help_is_of_the_patterns_that_readers_stumbled_over() -> None:
    found = [
        (each.prog, match[0]) for each in parsers(build_parser()) for match in UNCLEAR.finditer(each.format_help())
    ]
    assert found == []


def test_every_option_says_what_it_does_and_not_only_its_default() -> None:
    for parser in parsers(build_parser()):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue  # its verbs have descriptions of their own
            assert action.help, (parser.prog, action.dest)
            assert not action.help.startswith("default: "), (parser.prog, action.dest)


def test_distillation_and_robustness_have_their_names() -> None:
    text = {parser.prog: " ".join(parser.format_help().split()) for parser in parsers(build_parser())}
    assert "distil from this finished run" in text["thumbnet train"]
    assert "also report accuracy under corruptions (noise, blur, ...)" in text["thumbnet evaluate"]
