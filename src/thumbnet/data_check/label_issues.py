"""Labels that are probably wrong, by confident learning, from probabilities of models that have not seen the images.

Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (2021,
arXiv:1911.00068). As there: the images that are confidently of a class, by a threshold of its own, are counted by the
given label (the confident joint): how often which label is given in place of which; and images are
ranked by self-confidence, the probability of the given label.

Unlike there, the threshold of a class is not the mean confidence of its images but a high one, that only a share of
those predicted so reach (CONFIDENT_SHARE). A network that was trained for a minute makes honest mistakes above the
mean: on CIFAR-10 with 5 % of the labels replaced, almost half of those off the joint's diagonal were labelled right.

List length: expected precision and recall are computed for every length under class-dependent noise (a wrong label
depends on the class, not on the image), and the best F1 wins. Under that noise the probabilities of every *other* class
of every image show how many wrong labels lie below any self-confidence.

Not every label that a confident model contradicts is wrong: after a very short training the surest predictions have
mistakes, too. Such mistakes become more from the surest images to less sure ones, while wrong labels are as frequent
among all. So the confident images are parted in the surer half and the others; what the others have more of
contradicted labels, beyond chance, is taken for the models' mistakes, under the assumption that these begin at 0 and
grow in a straight line. The rest are wrong labels. From their share and the out-of-fold accuracy follows how often the
models are right. Where that is too seldom (MIN_ACCURACY), the same straight line through all images bounds the mistakes
among the confident ones, too: CONFIDENT_SHARE times those among all. Models that agree with the labels less often than
"always the commonest class" would, know too little for that: what they contradict is no sign of wrong labels, and they
are taken to be right as often as they agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

MIN_ACCURACY = (
    0.8  # of models that can judge labels: 0.86 was enough on CIFAR-10; at 0.7 on digits all finds were wrong
)
CONFIDENT_SHARE = 0.2  # 0.1 to 0.3 gave lists of the same length, within 3 %, on CIFAR-10


@dataclass(frozen=True)
class LabelIssues:
    """The suspects, the most suspect first, and how they were found.

    `indices` are of images, `suggested` their most probable class, `scores` 1 less the probability of their label;
    `thresholds` by class and `confident_joint`, given label by row and confident class by column, are described above.
    `num_errors` is how many labels are estimated to be wrong, whether listed or not; `precision` and `recall` are those
    expected of the list. `models_accuracy` is how often the models are estimated to be right, by the true labels;
    `models_are_weak` says whether that is too seldom to judge labels by: `precision` is then an upper limit.
    """

    indices: Int64[np.ndarray, " m"]
    suggested: Int64[np.ndarray, " m"]
    scores: Float[np.ndarray, " m"]
    thresholds: Float[np.ndarray, " k"]
    confident_joint: Int64[np.ndarray, "k k"]
    num_errors: float
    precision: float
    recall: float
    models_accuracy: float

    @property
    def models_are_weak(self) -> bool:
        return self.models_accuracy < MIN_ACCURACY


def find_label_issues(
    probabilities: Float[np.ndarray, "n k"], labels: Int64[np.ndarray, " n"], *, max_labels: int | None = None
) -> LabelIssues:
    """The images whose label is probably wrong.

    Args:
        probabilities: of each class, by models that were not trained on the image.
        labels: as given, right or wrong, from 0.
        max_labels: list so many, the most suspect ones, as far as the models contradict so many labels; None: as many
            as are probably wrong (see above).
    """
    num_images, num_classes = probabilities.shape
    assert np.isfinite(probabilities).all()
    assert ((labels >= 0) & (labels < num_classes)).all()
    everyone = np.arange(num_images)
    predicted = probabilities.argmax(axis=1)
    thresholds = _thresholds(probabilities, predicted)
    confidence = probabilities[everyone, predicted]
    is_confident = confidence >= thresholds[predicted]
    joint = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(joint, (labels[is_confident], predicted[is_confident]), 1)

    given_in_place_of = joint / np.maximum(joint.sum(axis=0), 1)  # the share of each label among those of a true class
    wrong = given_in_place_of.T[predicted]  # [n,k]: how probably each label is given to this image, and is wrong
    wrong[everyone, predicted] = 0.0
    surest = is_confident & (confidence >= _thresholds(probabilities, predicted, share=CONFIDENT_SHARE / 2)[predicted])
    noise, contradicted = _noise(predicted != labels, surest, is_confident & ~surest)
    wrong *= noise / max(contradicted, 1e-12)
    agreement = float((predicted == labels).mean())
    knows_less_than_sizes = agreement < float(np.bincount(labels, minlength=num_classes).max()) / num_images
    accuracy = agreement if knows_less_than_sizes else agreement / max(1 - noise, 1e-12)  # by the true labels
    num_errors = float(wrong.sum())

    self_confidence = probabilities[everyone, labels]
    suspects = np.flatnonzero(predicted != labels)
    ranked = suspects[np.argsort(self_confidence[suspects], kind="stable")]
    lengths = np.arange(len(ranked) + 1)
    expected = np.concatenate([[0.0], _mass_up_to(self_confidence[ranked], probabilities, wrong)])
    expected = np.minimum(expected, lengths)  # of a list, no more than all are wrong
    f1 = 2 * expected / np.maximum(lengths + num_errors, 1e-12)
    length = int(f1.argmax()) if max_labels is None else min(max_labels, len(ranked))
    indices = ranked[:length]
    return LabelIssues(
        indices=indices,
        suggested=predicted[indices],
        scores=1.0 - self_confidence[indices],
        thresholds=thresholds,
        confident_joint=joint,
        num_errors=num_errors,
        precision=float(expected[length] / max(length, 1)),
        recall=float(expected[length] / max(num_errors, 1e-12)),
        models_accuracy=min(1.0, accuracy),
    )


def _noise(
    is_contradicted: Bool[np.ndarray, " n"], surest: Bool[np.ndarray, " n"], less_sure: Bool[np.ndarray, " n"]
) -> tuple[float, float]:
    """The share of wrong labels, and that of contradicted ones among the confident images; the rest are mistakes."""
    contradicted = float(is_contradicted[surest | less_sure].mean())
    if not less_sure.any():
        return contradicted, contradicted
    chance = np.sqrt(contradicted * (1 - contradicted) * (1 / surest.sum() + 1 / less_sure.sum()))
    mistakes = is_contradicted[less_sure].mean() - is_contradicted[surest].mean() - chance
    noise = max(0.0, contradicted - max(0.0, float(mistakes)))
    everywhere = float(is_contradicted.mean())
    if 1 - everywhere < MIN_ACCURACY * (1 - noise):
        bounded = (contradicted - CONFIDENT_SHARE * everywhere) / (1 - CONFIDENT_SHARE)
        noise = min(noise, max(0.0, bounded))
    return noise, contradicted


def _thresholds(
    probabilities: Float[np.ndarray, "n k"], predicted: Int64[np.ndarray, " n"], *, share: float = CONFIDENT_SHARE
) -> Float[np.ndarray, " k"]:
    """For each class, the probability that this share of the images predicted so reach; 1 where there are none."""
    thresholds = np.ones(probabilities.shape[1])
    for label in range(probabilities.shape[1]):
        confidences = probabilities[predicted == label, label]
        if len(confidences):
            thresholds[label] = np.quantile(confidences, 1 - share, method="lower")
    return thresholds


def _mass_up_to(
    limits: Float[np.ndarray, " m"], probabilities: Float[np.ndarray, "n k"], weights: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " m"]:
    """For each limit, the sum of the weights whose probability is at most so high."""
    counted: Bool[np.ndarray, "n k"] = weights > 0
    values, masses = probabilities[counted], weights[counted]
    order = np.argsort(values, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(masses[order])])
    return sums[np.searchsorted(values[order], limits, side="right")]
