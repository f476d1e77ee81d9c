"""The pages' pictures.js resamples as Pillow does, to the bit."""

from __future__ import annotations

import numpy as np
from PIL import Image

from html_scripts import HTML, encoded, needs_node, run_node
from thumbnet.data.images import centre_part

PICTURE_JOBS = """
const { html, jobs } = JSON.parse(require("fs").readFileSync(0, "utf8"));
require(html + "/pictures.js");
console.log(JSON.stringify(jobs.map(({ rgba, size: [width, height], shape: [channels, rows, columns] }) => {
  const image = { data: Buffer.from(rgba, "base64"), width, height };
  const { pixels } = ThumbnetPictures.fromPixels(image, { channels, height: rows, width: columns });
  return Array.from(pixels);
})));
"""


@needs_node
def test_it_resamples_as_pillow_does() -> None:
    generator = np.random.default_rng(0)
    shapes = [(3, 32, 32), (1, 32, 32), (3, 48, 40), (1, 28, 28), (3, 7, 90)]
    sizes = [(32, 32), (1, 1), (33, 32), (32, 31), (640, 427), (400, 601), (48, 40), (40, 48), (97, 13), (5, 300)]
    sizes += [tuple(generator.integers(1, 200, 2).tolist()) for _ in range(15)]
    cases = [(size, shape) for size in sizes for shape in shapes]
    pictures = [generator.choice([0, 255, 100], (height, width, 3)).astype(np.uint8) for (width, height), _ in cases]
    jobs = []
    for picture, (size, shape) in zip(pictures, cases, strict=True):
        rgba = np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=2)
        jobs.append({"rgba": encoded(rgba.tobytes()), "size": size, "shape": shape})
    found = run_node(PICTURE_JOBS, {"html": str(HTML), "jobs": jobs})
    for picture, (size, shape), pixels in zip(pictures, cases, found, strict=True):
        expected = centre_part(Image.fromarray(picture), shape[1:], shape[0])
        assert np.array_equal(np.array(pixels).reshape(shape), expected), (size, shape)
