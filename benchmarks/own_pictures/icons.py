"""Icons by the family that they are drawn in: what tells them apart is style, the width of lines and their ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from own_pictures.packages import Packages
from own_pictures.pictures import Drawn

SIDE = 64
ICONS_EACH = 400
FAMILIES = {  # package, where its icons lie, and what the rest of their paths is: lines, not filled shapes
    "bootstrap": ("bootstrap-icons", "icons/", r"(?!.*-fill\.svg).+\.svg"),
    "carbon": ("@carbon/icons", "svg/32/", r".+\.svg"),
    "ionicons": ("ionicons", "dist/svg/", r".+-outline\.svg"),
    "lucide": ("lucide-static", "icons/", r".+\.svg"),
    "mdi": ("@mdi/svg", "svg/", r".+-outline\.svg"),
    "phosphor": ("@phosphor-icons/core", "assets/regular/", r".+\.svg"),
    "remix": ("remixicon", "icons/", r".+-line\.svg"),
    "tabler": ("@tabler/icons", "icons/outline/", r".+\.svg"),
}
# In a process of its own, since the package is not installed: its folder is on the path there alone.
DRAW = """
import json, sys
sys.path.insert(0, sys.argv[1])
import resvg_py
for line in sys.stdin:
    svg, target = json.loads(line)
    content = bytes(resvg_py.svg_to_bytes(svg_string=svg, width={side}, height={side}, background="white"))
    with open(target, "wb") as file:
        file.write(content)
""".format(side=SIDE)  # noqa: UP032  # braces of the program would have to be doubled


def icons(packages: Packages, scratch: Path) -> Iterator[Drawn]:
    """400 icons of each of eight families, drawn in black on white; `scratch` is a folder for a while."""
    scratch.mkdir(parents=True, exist_ok=True)
    for family, (package, folder, rest) in FAMILIES.items():
        members = packages.members(package, prefix=folder, suffix=".svg")
        found = [(path.removeprefix(folder), content) for path, content in members]
        found = [(path, content) for path, content in found if re.fullmatch(rest, path)]
        order = np.random.default_rng(3).permutation(len(found))[:ICONS_EACH]
        chosen = sorted(found[index] for index in order)
        drawn = [scratch / f"{family}-{index:04}.png" for index in range(len(chosen))]
        _draw(packages, [content.decode() for _, content in chosen], drawn)
        for (path, _), file in zip(chosen, drawn, strict=True):
            name = path.removesuffix(".svg").replace("/", "-")
            yield Drawn(family, f"{name}.png", file.read_bytes())
            file.unlink()


def _draw(packages: Packages, texts: Sequence[str], targets: Sequence[Path]) -> None:
    lines = [json.dumps([_in_black(text), str(target)]) for text, target in zip(texts, targets, strict=True)]
    program = [sys.executable, "-c", DRAW, str(packages.unpacked("resvg-py"))]
    subprocess.run(program, input="\n".join(lines) + "\n", text=True, check=True)


def _in_black(svg: str) -> str:
    return svg.replace("currentColor", "#000000")
