"""The numbers of the rule by which minutes are planned, in one place. docs/decisions/0032-minutes.md says where each
comes from; those that were not measured yet are called so there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """A recipe that a plan may choose: `cost` is the time that it trains an image of 32 pixels for, over `sprint`'s.

    It is chosen from `min_epochs` epochs, `min_steps` steps of BATCH images and `min_images` training images on;
    `grows`: its images may begin small. Its network, and weights that it begins with, take images of `min_side` to
    `max_side` pixels a side, of which None is no limit; `model` is that network's name, if it is not the recipe's, and
    `stem` its first convolution, if it is not the one that the images' size gives.
    """

    recipe: str
    cost: float
    min_epochs: int = 0
    min_steps: int = 0
    min_images: int = 0
    grows: bool = True
    min_side: int = 1
    max_side: int | None = None
    model: str = ""
    stem: str = ""

    @property
    def network(self) -> str:
        """The name of the network that it trains."""
        return self.model or self.recipe

    def takes(self, side: int) -> bool:
        """Whether its network takes images of this side in pixels."""
        return side >= self.min_side and (self.max_side is None or side <= self.max_side)


LADDER = (  # from the one that learns soonest to the one that gets furthest
    Rung("sprint", 1.0),
    Rung("sprint-long", 3.8, min_epochs=12, min_steps=1500),
    Rung("thumb-200k", 6.5, min_epochs=100, min_images=10_000, grows=False),
)
GIVEN = (  # taken only where their model is given: at equal time, one of the ladder gets further
    Rung("thumb-20k", 2.0, grows=False),
    Rung("thumb-50k", 3.0, grows=False),
    Rung("thumb-100k", 4.3, grows=False),
)
OTHER_MODELS = "quick"  # the recipe whose optimizer trains a model that no recipe is of

SIZES = (32, 48, 64, 96, 128, 160, 224)  # pixels; smaller pictures keep their own size
LARGEST_SIZE = ((20.0, 96), (60.0, 128), (240.0, 160), (float("inf"), 224))  # below so many minutes, so many pixels
ENLARGED_AT_MOST = 1.15  # times the side of the median picture that fills the images (`shown_side`)
MIN_EPOCHS_OF_A_SIZE = 25  # of the cheapest recipe: fewer, and smaller images are better
MIN_EPOCHS_OF_FINER_MAPS = 25  # of a recipe on maps of twice the side: fewer, and the usual ones are better
PIXELS_SHARE = 0.014  # of the training time of an image of 32 pixels: it grows with the pixels, the rest with the maps
MEMORY_SHARE = 0.5  # of what data may take, for the pictures

SCALES, SCALE_STARTS = (0.5, 0.75, 1.0), (0.0, 0.4, 0.8)
GROWTH_COST = 0.55  # of a training on growing images, over one on full ones
MIN_GROWING_SIDE = 24  # pixels
MIN_GROWING_EPOCHS = 3
FULL_FROM = 30  # epochs of full images: from there on none begin small, where this would cost detail
REDUCED_FROM = 1.25  # times the images' side: pictures that are larger lose their detail

LARGE_BATCH, LARGE_BATCH_FROM = 512, 20_000  # images a step of `sprint`, from so many training images on
BATCH, MIN_BATCH = 128, 32
MIN_STEPS_PER_EPOCH = 8
RATES_BY_BATCH, RATE_POWER = ("lr",), 0.5  # of a recipe's rates these go with so high a power of the batch's size
MAX_EPOCHS, MAX_STEPS_OF_FEW = 300, 1000  # the longer of the two is the most that a plan makes
REFIT_ROOM = 1.25  # times what a second training, on validation images too, takes: a plan has one where this is left
REFIT_MARGIN = 1.1  # times the same: the first training leaves it

UNEQUAL_FROM = 3.0  # times the rarest class's training images in the commonest one: classes then weigh the same

INIT_TRIAL_SHARE = 0.05  # of the steps, for each of the two short trainings that init = "auto" is chosen by
PROBE_SHARE = 0.05  # of the time, at most, for the short training that augmentation = "auto" is chosen by
ROBUSTNESS_SHARE = 0.1  # of the minutes: where accuracy under corruptions would take more, the report goes without it
CORRUPTION_S = 0.1e-3  # to corrupt an image of 32 pixels, at the reference machine's speed

ENOUGH_EPOCHS = 0.7  # of a recipe's min_epochs, once its speed was measured; below, the next cheaper recipe is taken
SCORING_SHARE = 0.05  # of the training's time, for scores and checkpoints between epochs
MIN_SCORINGS = 5
CHECKPOINT_S = 0.03

REFERENCE_S, MEASURED_S = 1.0, 1.5  # spent on measuring the first recipe of the ladder, and the chosen one
UNDISTURBED_SHARE = 0.8  # of the time that its threads had processors: below, it is measured with fewer, too
FEWER_THREADS_GAIN = 1.2  # times as fast as more, fewer are taken
SETUP_S = 1.0  # from the plan to the first step
EVALUATION_SHARE = 0.5  # of an image's training time, for scoring it, until that was measured
REFERENCE_IMAGE_S = 0.33e-3  # of `sprint` at 32 pixels on two AVX2 cores, which REPORT_S was measured on
REFERENCE_THREADS = 2  # on these
REPORT_S, REPORT_IMAGE_S = 1.2, 0.2e-3  # pictures and report, and for each test image more
IMPORTS_S = 0.8  # for the packages that results are computed and drawn with
LEAVING_S = 0.5  # the process ends
NUM_EXPORT_IMAGES, NUM_SALIENT_EVALUATIONS = 1000, 440  # scored again for the export's ranges, and for saliency
MARGIN_SHARE, MIN_MARGIN_S = 0.01, 0.5  # of the minutes, kept free beside what is reckoned
TOLERANCE_SHARE, MIN_TOLERANCE_S = 0.01, 1.0  # by which the forecast end may be off before the pace is changed
