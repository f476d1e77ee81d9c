"""Whether two runs were scored on the same test images."""

from __future__ import annotations

from thumbnet.data.statistics import images_at_once
from thumbnet.data.streamed import chunks_of
from thumbnet.errors import RunError
from thumbnet.evaluation.comparison import Stored
from thumbnet.runs.own_data import DataPlace, load_own_dataset
from thumbnet.runs.run import Run


def check_same_test(
    baseline: Run,
    baseline_stored: Stored,
    run: Run,
    stored: Stored,
    *,
    name: str,
    place: DataPlace,
) -> str:
    """RunError where the run was scored on other test images than the baseline; else a note, where there is one."""
    if run.card.class_names != baseline.card.class_names:
        raise _other_test(run, baseline, "the classes differ")
    if len(stored) != len(baseline_stored):
        raise _other_test(run, baseline, f"there are {len(stored)} instead of {len(baseline_stored)}")
    if run.card.has_several_labels != baseline.card.has_several_labels:
        raise _other_test(run, baseline, "an image may have several labels in one of them")
    num_other = int((stored.labels != baseline_stored.labels).reshape(len(stored), -1).any(dim=1).sum())
    if num_other:
        raise _other_test(run, baseline, f"{num_other} of {len(stored)} labels differ")
    if stored.paths is not None and baseline_stored.paths is not None and stored.paths != baseline_stored.paths:
        raise _other_test(run, baseline, "the paths of the images differ")
    if run.card.data_checksum == baseline.card.data_checksum:
        return ""
    images = load_own_dataset(run, place).test.images
    baseline_images = load_own_dataset(baseline, place).test.images
    if images.shape != baseline_images.shape:
        if stored.paths is None or run.card.data != baseline.card.data:
            raise _other_test(run, baseline, "their size differs")
        return f"{name} saw the same test images at another size than the baseline."
    chunks = zip(*(chunks_of(each, images_at_once(each)) for each in (images, baseline_images)), strict=True)
    num_other = sum(int((mine != theirs).flatten(1).any(dim=1).sum()) for mine, theirs in chunks)
    if num_other:
        raise _other_test(run, baseline, f"{num_other} of {len(images)} differ, although the labels are the same")
    return f"{name} had other training or validation images than the baseline; the test images are the same."


def _other_test(run: Run, baseline: Run, difference: str) -> RunError:
    return RunError(
        f"{run.path} and {baseline.path} were not scored on the same test images: {difference}",
        hint="compare runs on the same data, with the same split_seed and groups where it has no test split of its own",
    )
