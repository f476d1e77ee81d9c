"""The folders that Frigate (a video recorder) and OpenMV (cameras) read: a model, its labels, and how to install them.

Frigate's classifiers of states and objects read `model.tflite` and `labelmap.txt`, and give RGB pictures of 224x224
pixels as uint8 whatever the model's input is; they divide the output by its sum (its source:
frigate/data_processing/real_time/custom_classification.py). OpenMV's `ml.Model("/name.tflite")` reads the labels of
`/name.txt`, named up to the first dot, and fits the camera's picture to an input [1,H,W,1 or 3] of uint8 (its source:
scripts/libraries/ml). Read there, not run on a device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from thumbnet.export.tflite.labels import label_lines
from thumbnet.export.tflite.metadata import moved_note
from thumbnet.models.unsure import UNSURE
from thumbnet.trained.shippable import Shippable

FRIGATE_SIDES = (224, 224)
FRIGATE_THRESHOLD = "0.8"  # Frigate's own
NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Target:
    """A reader's folder: the model's name in it, and the texts beside it by name. `camera` is the height and width of
    the pictures that it gives to the model, None where it fits them to the model."""

    model: str
    texts: Mapping[str, str]
    camera: tuple[int, int] | None = None


def target_folder(target: str, shippable: Shippable) -> Target:
    """The folder for `frigate` or `openmv`."""
    labels = label_lines(shippable.card.class_names)
    name = plain_name(shippable.name)
    _, height, width = shippable.card.image_shape
    unsure = shippable.card.unsure
    moved = moved_note(shippable)
    if target == "frigate":
        threshold = _frigate_threshold(shippable)
        readme = FRIGATE.format(name=name, width=width, height=height, moved=moved, threshold=threshold)
        if width != height:
            readme += STRETCHED.format(width=width, height=height)
        return Target("model.tflite", {"labelmap.txt": labels, "README.md": readme}, FRIGATE_SIDES)
    colour = "RGB565" if shippable.card.image_shape[0] == 3 else "GRAYSCALE"
    answer = "model.labels[best]"
    if unsure is not None:
        answer += f' if scores[best] >= {unsure.confidence:.4f} else "{UNSURE}"'
    readme = OPENMV.format(name=name, width=width, height=height, colour=colour, moved=moved, answer=answer)
    return Target(f"{name}.tflite", {f"{name}.txt": labels, "README.md": readme})


def _frigate_threshold(shippable: Shippable) -> str:
    """From which probability on Frigate is to take an answer: where the model is not unsure, or, of a model with a
    threshold, always, since its answers begin at one half."""
    card = shippable.card
    if card.unsure is not None:
        return f"{card.unsure.confidence:.4f}"
    return FRIGATE_THRESHOLD if card.decision is None else "0.5"


def plain_name(name: str) -> str:
    """A name of letters, digits, `_` and `-` alone."""
    return NOT_PLAIN.sub("_", name).strip("_") or "model"


FRIGATE = """\
# {name} for Frigate

An image classifier written by thumbnet, for Frigate 0.17 or later. It was checked in LiteRT, not in Frigate: **not run
on a device**.

1. Copy `model.tflite` and `labelmap.txt` to `/config/model_cache/{name}/`.
2. Add to Frigate's configuration a custom classification model of that name, for objects:

   ```yaml
   classification:
     custom:
       "{name}":
         enabled: true
         name: "{name}"
         threshold: {threshold}
         object_config:
           objects: [car]
           classification_type: sub_label
   ```

   or, for a part of a camera's picture, `state_config` in place of `object_config`: see Frigate's documentation of
   custom classification.
3. Restart Frigate. Do not train this model in Frigate's own pages: it would be replaced.

Frigate gives pictures of 224x224 pixels as uint8; the model shrinks them to the {width}x{height} that it was trained on
and answers with a probability for each class, uint8, in the order of `labelmap.txt`{moved}. A class called `none` means
to Frigate that an object has no sub-label.
"""

STRETCHED = """
Frigate stretches whatever it gives to a square, and the model stretches it back to {width}x{height}: crops of
`state_config` of these proportions are seen as they are. Objects are cut out square, so the model sees them distorted,
as it never did in training: for these, train with a square `image_size`.
"""

OPENMV = """\
# {name} for OpenMV

An image classifier written by thumbnet. It was checked in LiteRT and, where that could be installed, in the interpreter
for microcontrollers, not on a camera: **not run on a device**.

1. Copy `{name}.tflite` and `{name}.txt` to the camera's drive.
2. Run:

   ```python
   import ml
   import sensor

   sensor.reset()
   sensor.set_pixformat(sensor.{colour})
   sensor.set_framesize(sensor.QVGA)
   sensor.skip_frames(time=2000)

   model = ml.Model("/{name}.tflite")
   while True:
       scores = model.predict([sensor.snapshot()])[0].flatten().tolist()
       best = max(range(len(scores)), key=lambda index: scores[index])
       print({answer}, scores[best])
   ```

OpenMV fits the picture to the model's {width}x{height} pixels, uint8; normalisation is inside the model. The answer is
a probability for each class, in the order of `{name}.txt`{moved}.
"""
