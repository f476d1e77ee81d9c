"""What must be known of a trained model to use it. Without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from thumbnet.config import Option
from thumbnet.errors import ModelError
from thumbnet.models.architecture import BLOCKS_OF_OLD_CARDS, DEFAULT_STEM, OF_MODELS, Architecture, parse_blocks
from thumbnet.models.decision import Decision, contradiction_of
from thumbnet.models.label_decision import LabelDecision, contradiction_of_labels
from thumbnet.models.unknown import UNKNOWN, Unknown, contradiction_of_unknown
from thumbnet.models.unsure import UNSURE, Unsure, contradiction_of_unsure
from thumbnet.specs.json_text import FORMAT, check_format, damaged
from thumbnet.specs.sizes import Fit, Sides, as_image_size
from thumbnet.specs.typed import from_fields

CARD_FORMAT = 3
FORMAT_BEFORE = 2  # of cards of cropped pictures, whose answer is the likeliest class: earlier versions read these, too
MAX_SIDE = 4096  # pixels
MAX_COUNT = 2**40
AnswerKind: TypeAlias = Literal["likeliest", "threshold", "unsure", "labels"]


@dataclass(frozen=True)
class ModelCard:
    """model.json: what must be known to use the weights, and where they came from.

    `mean` and `std` are per channel, of pixels in 0..1; `image_shape` is channels, height, width; `data_checksum` is
    the SHA-256 of all pixels and labels; `data_verified` is None where nothing is published to check against; `commit`
    is that of the checkout it was trained in, if it was one; `white_levels` are those by which pictures with more than
    8 bits were scaled (see data/white_levels.py), None of a model from before they were kept. `code` has the SHA-256 of
    the file that the model's class is in, by its name, where that is code of a user's own. `architecture` is that of
    a network of blocks; `metrics` are those of the test split (`test_accuracy`, `test_loss`, `ece`: the expected
    calibration error, and `num_test`). Both are None of models from before they were kept, the former of others, too.
    `decision` is how the logits become an answer; None: the likeliest class.
    `fit` is how pictures of another shape are brought to that of the model. `unsure` is when its answer is none of the
    classes; None: never. `label_decision` is there where a picture may have several labels, or none: from which logit
    on each of them is answered; it then has no `decision`, and is never unsure or unknown. `unknown` is when the answer
    is that a picture is unlike all that the model was trained on, whatever the other rules say; None: never. `refit`:
    the weights were in the end trained anew on training and validation images together.
    """

    model: str
    model_options: Mapping[str, Option]
    num_params: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]
    recipe: str
    data: str
    data_description: str
    data_note: str
    data_checksum: str
    data_verified: bool | None
    num_train: int
    num_val: int
    num_test: int
    versions: Mapping[str, str]
    commit: str | None
    white_levels: Mapping[str, float] | None = None
    architecture: Architecture | None = None
    metrics: Mapping[str, float] | None = None
    decision: Decision | None = None
    fit: Fit = "crop"
    code: Mapping[str, str] = field(default_factory=dict)
    unsure: Unsure | None = None
    label_decision: LabelDecision | None = None
    unknown: Unknown | None = None
    refit: bool = False

    @property
    def answer_kind(self) -> AnswerKind:
        """What the answer is, unless it is "unknown": the likeliest class; by a threshold; that or "unsure"; or several
        labels."""
        if self.decision is not None:
            return "threshold"
        if self.unsure is not None:
            return "unsure"
        return "labels" if self.has_several_labels else "likeliest"

    @property
    def other_answers(self) -> tuple[str, ...]:
        """What it may answer in the place of a class: "unknown", "unsure"."""
        rules = {UNKNOWN: self.unknown, UNSURE: self.unsure}
        return tuple(word for word, rule in rules.items() if rule is not None)

    @property
    def has_several_labels(self) -> bool:
        """Whether a picture may have several labels, or none."""
        return self.label_decision is not None

    @property
    def image_size(self) -> int | Sides:
        """The images' side in pixels, or their height and width where these differ."""
        return as_image_size(self.image_shape[1:])


def card_to_dict(card: ModelCard) -> dict[str, Any]:
    """Plain values for JSON; `card_from_dict` reads them back.

    A card with a decision, `unsure`, `unknown` or several labels, or of letterboxed pictures, is of a later format: an
    earlier version refuses it, instead of answering otherwise. The usual stem and fit are left out, as they were before
    there were others.
    """
    values = asdict(card)
    if card.architecture is not None and card.architecture.stem == DEFAULT_STEM:
        del values["architecture"]["stem"]
    rules = ("decision", "unsure", "label_decision", "unknown")
    for name in rules:
        if values[name] is None:
            del values[name]
    if card.fit == "crop":
        del values["fit"]
    if not card.refit:
        del values["refit"]
    is_as_before = values.keys().isdisjoint(rules) and card.fit == "crop"
    return {FORMAT: FORMAT_BEFORE if is_as_before else CARD_FORMAT, **values}


def card_from_dict(values: Mapping[str, Any], *, name: str) -> ModelCard:
    """The card in the values of a JSON object; `name` says in errors where they came from.

    Raises:
        RunError: a value is missing, of another type, out of its range or contradicts another.
    """
    check_format(values.get(FORMAT, 1), name=name, known_format=CARD_FORMAT)
    card = from_fields(ModelCard, values, name=name)
    reason = _contradiction(card)
    if reason:
        raise damaged(name, reason)
    return _with_blocks(card)


def _with_blocks(card: ModelCard) -> ModelCard:
    """The card of a network of blocks with the text of these among its options; old cards have no options that were
    defaults, and a default may have changed since."""
    if card.model not in OF_MODELS or "blocks" in card.model_options:
        return card
    blocks = BLOCKS_OF_OLD_CARDS.get(card.model) if card.architecture is None else card.architecture.blocks
    return card if blocks is None else replace(card, model_options={**card.model_options, "blocks": blocks})


def answer_rule(card: ModelCard) -> str:
    """How a model answers, in words; empty where always with the likeliest class."""
    rules = [] if card.unknown is None else [card.unknown.describe()]
    if card.decision is not None:
        rules.append(card.decision.describe(card.class_names))
    elif card.label_decision is not None:
        rules.append(card.label_decision.describe(card.class_names))
    elif card.unsure is not None:
        rules.append(card.unsure.describe())
    return "; else ".join(rules)


def _contradiction(card: ModelCard) -> str:
    """What cannot be true of a card; an empty text where all can."""
    channels, *sides = card.image_shape
    numbers = (card.num_params, card.num_train, card.num_val, card.num_test)
    checks = {
        f"image_shape is {card.image_shape}": channels in (1, 3) and all(1 <= side <= MAX_SIDE for side in sides),
        f"mean and std have {len(card.mean)} and {len(card.std)} values for {channels} channels": (
            len(card.mean) == len(card.std) == channels
        ),
        "a value of std is not above 0": all(value > 0 for value in card.std),
        f"there are {len(card.class_names)} class names": len(card.class_names) >= 2,
        "a class name is there twice": len(set(card.class_names)) == len(card.class_names),
        "a number of images or parameters is below 0": min(numbers) >= 0,
        "a number of images or parameters is out of range": max(numbers) < MAX_COUNT,
        "refit is true, but num_val is 0": card.num_val > 0 or not card.refit,
    }
    reason = next((reason for reason, holds in checks.items() if not holds), "")
    if not reason and card.decision is not None:
        reason = contradiction_of(card.decision, num_classes=len(card.class_names))
    if not reason and card.unsure is not None:
        reason = contradiction_of_unsure(card.unsure)
    if not reason and card.label_decision is not None:
        reason = contradiction_of_labels(card.label_decision, num_classes=len(card.class_names))
    if not reason and card.unknown is not None:
        reason = contradiction_of_unknown(
            card.unknown, num_classes=len(card.class_names), num_features=_num_features(card)
        )
    rules = [rule for rule in (card.decision, card.unsure, card.label_decision) if rule is not None]
    has_two = len(rules) > 1 or (card.label_decision is not None and card.unknown is not None)
    return reason or ("it has two rules of how it answers" if has_two else "")


def _num_features(card: ModelCard) -> int | None:
    """The number of last maps of a network of blocks; None of another, and where its text names no blocks."""
    if card.architecture is None:
        return None
    try:
        return parse_blocks(card.architecture.blocks)[-1].channels
    except ModelError:
        return None
