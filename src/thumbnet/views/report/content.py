"""What a report shows, as plain values; `thumbnet.runs.reports.run` collects them from a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, UInt8
from torch import Tensor

from thumbnet.evaluation.analysis import Analysis
from thumbnet.evaluation.robustness import Robustness
from thumbnet.training.history import History
from thumbnet.views.summary import Summary


@dataclass(frozen=True)
class Headline:
    """A headline metric: its label, its value, and a note on its error or its measurement."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class FoldRow:
    """A line of the table of folds: its heading, how many images it is of, its figures as texts, the time of its
    training, and the reports of its runs by their names."""

    heading: str
    images: str
    figures: Sequence[str]
    training: str = ""
    reports: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class FoldsContent:
    """What a report on several folds shows besides: `figures` are the headings of `rows`, one a fold, and of `summary`,
    which is over all folds; `hint` says what the latter are; `histories` are those of the folds; `thresholds` says how
    their models answer, where each has a threshold; `has_groups` whether images belong together."""

    figures: Sequence[str]
    rows: Sequence[FoldRow]
    summary: Sequence[FoldRow]
    hint: str
    histories: Sequence[History]
    thresholds: str = ""
    has_groups: bool = False


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows.

    `facts` say what was trained, on what and how long; `images` uint8 [N,C,H,W] and `paths` are those of the
    analysed split; `gallery` are the gallery's images among them, and `tiles` these in the size to show;
    `saliency`, from 0 to 1, is of the first M tiles, and `saliency_note` says how it was made; `no_temperature`
    says why none was fitted, where that is so; `command` trains the same again. With `folds`, all this is of images
    each predicted by the model of its fold, `history` is that of the first fold, and `robustness_note` says how the
    robustness was pooled.
    """

    title: str
    lead: str
    headlines: Sequence[Headline]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    history: History
    analysis: Analysis
    images: UInt8[Tensor, "n c h w"]
    paths: Sequence[str] | None
    gallery: Sequence[int]
    tiles: UInt8[Tensor, "g c h2 w2"]
    saliency: Float[Tensor, "m h2 w2"]
    saliency_note: str
    no_temperature: str
    robustness: Robustness | None
    summary: Summary
    graph_svg: str
    command: str
    config_toml: str
    folds: FoldsContent | None = None
    robustness_note: str = ""
