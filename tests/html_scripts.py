"""Runs the scripts of the pages that thumbnet writes in node, without a browser."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thumbnet.export.html.scripts import ENGINE_SCRIPTS

HTML = Path(__file__).parent.parent / "src" / "thumbnet" / "export" / "html"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")

# Reads the request, and runs the scripts that need no page.
LOAD = f"""
const fs = require("fs"), vm = require("vm");
const request = JSON.parse(fs.readFileSync(0, "utf8"));
if (request.javascript) delete globalThis.WebAssembly;
for (const name of {list(ENGINE_SCRIPTS)}) vm.runInThisContext(fs.readFileSync(`${{request.html}}/${{name}}`, "utf8"));
"""
# Runs each job on the engine and prints the results; with `javascript`, without WebAssembly.
ENGINE_JOBS = (
    LOAD
    + """
(async () => {
  const results = [], wasm = fs.readFileSync(request.wasm);
  for (const job of request.jobs) {
    const engine = await ThumbnetEngine.load(Buffer.from(job.weights, "base64"), { wasm });
    const found = [];
    for (const image of job.images) {
      const { logits, probabilities, map } = engine.run(Buffer.from(image, "base64"));
      const maps = Array.from(logits, (_, index) => Array.from(map(index)));
      found.push({ logits: Array.from(logits), probabilities: Array.from(probabilities), maps });
    }
    results.push({ kind: engine.kind, found });
  }
  console.log(JSON.stringify(results));
})();
"""
)


@dataclass(frozen=True)
class EngineResult:
    """Of one network: logits and probabilities [N,K], and every class's map [N,K,H,W]."""

    kind: str
    logits: np.ndarray
    probabilities: np.ndarray
    maps: np.ndarray


def run_node(script: str, request: object) -> Any:
    """What `script` prints as JSON when it is given `request` as JSON on its standard input."""
    assert NODE is not None
    done = subprocess.run([NODE, "-e", script], input=json.dumps(request), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_engine(
    jobs: Sequence[tuple[bytes, np.ndarray]], *, javascript: bool = False, wasm: Path = HTML / "engine.wasm"
) -> list[EngineResult]:
    """The engine's results for pairs of weights and images uint8 [N,C,H,W]."""
    request = {
        "html": str(HTML),
        "wasm": str(wasm),
        "javascript": javascript,
        "jobs": [
            {"weights": encoded(weights), "images": [encoded(image.tobytes()) for image in images]}
            for weights, images in jobs
        ],
    }
    results = []
    for (_, images), result in zip(jobs, run_node(ENGINE_JOBS, request), strict=True):
        logits, probabilities, maps = (
            np.array([found[key] for found in result["found"]]) for key in ("logits", "probabilities", "maps")
        )
        maps = maps.reshape(len(images), -1, *images.shape[2:])
        results.append(EngineResult(result["kind"], logits, probabilities, maps))
    return results


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
