"""Scripts and styles without comments and needless spaces: shorter, the same to a browser, and readable by names."""

from __future__ import annotations

import re

# Strings, comments, white space, and the rest. A `/` that begins no comment is taken for a division, or for a regular
# expression without quotes and `//`: others are written as `new RegExp("...")`.
TOKEN = re.compile(
    r""" "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*` | //[^\n]* | /\*.*?\*/ | [ \t\n]+
    | [^"'`/ \t\n]+ | / """,
    re.DOTALL | re.VERBOSE,
)
WORD = re.compile(r"[\w$]")
# After these characters, and before those, a statement does not end with its line (or ends without it).
GOES_ON = frozenset("{,;([=&|?:<>*\n")
GOES_ON_BEFORE = frozenset("}),]?:&|=*")


def compact_script(code: str) -> str:
    """`code` of ours, in JavaScript, shorter; it has no empty statements at a block's end."""
    tokens = [token for token in TOKEN.findall(code) if not token.startswith(("//", "/*"))]
    assert sum(len(token) for token in tokens) <= len(code)
    kept: list[str] = []
    for index, token in enumerate(tokens):
        if token.strip():
            if kept and token.startswith("}") and kept[-1].endswith(";"):
                kept[-1] = kept[-1][:-1]
            kept.append(token)
            continue
        before = kept[-1][-1] if kept else "\n"
        after = next((other[0] for other in tokens[index + 1 :] if other.strip()), "\n")
        if "\n" in token:
            if before not in GOES_ON and after not in GOES_ON_BEFORE:
                kept.append("\n")
        elif (WORD.match(before) and WORD.match(after)) or (before in "+-" and before == after):
            kept.append(" ")
    return "".join(kept)


def compact_style(code: str) -> str:
    """A style sheet of ours, shorter; its strings have none of `{};,` and no comments."""
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)
    code = re.sub(r"\s*([{};,])\s*", r"\1", code)
    return re.sub(r"\s+", " ", re.sub(r":\s+", ":", code)).replace(";}", "}").strip()
