"""A .tflite file checked before it is put in place: in LiteRT against the original, and in the interpreter for
microcontrollers against LiteRT."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.errors import ExportError
from thumbnet.export.request import LEAST_AGREEMENT, Agreement, CheckImages, ExportRequest, compare
from thumbnet.export.tflite.enlarged import repeated, smooth
from thumbnet.export.tflite.interpreters import BUG, STEP, has_micro, read_maps, run_litert, run_micro
from thumbnet.models.decision import moved_by
from thumbnet.models.export_data import AFTER
from thumbnet.models.program import Program
from thumbnet.models.program_numpy import run_program

MOST_IN_MICRO = 4  # pictures: one takes up to a tenth of a second
MOST_ENLARGED = 100  # pictures
MOST_IN_SEARCH = 20  # pictures that tell which layers cost most
NUM_NAMED = 3
LEAST_ENLARGED = 0.7  # of sample pictures, enlarged smoothly, that must keep their class
LEAST = 1e-4  # what a probability of 0 counts as: below half a step of the file's


def check_accuracy(content: bytes, request: ExportRequest) -> tuple[Agreement, ...]:
    """The file's agreement with the original, on held-out images if there are any, and on the test images or samples.

    Raises:
        ExportError: the accuracy on held-out images falls by more than `max_drop`; or where there are none, the
            samples' classes are others.
    """
    checks = []
    if request.held_out is not None:
        held_out = _compare(content, request.held_out)
        if held_out.costs_more_than(request.max_drop):
            allowed = held_out.allowed_drop(request.max_drop)
            raise ExportError(
                f"int8 loses {held_out.drop:.2%} of accuracy on {held_out.description}, more than the "
                f"{allowed:.2%} allowed; most of it arises in {_costliest(content, request)}",
                hint="allow more with --max-drop, or export to onnx, which loses nothing",
            )
        checks.append(held_out)
    test = _compare(content, request.test)
    if request.held_out is None and test.agreement < LEAST_AGREEMENT:
        raise ExportError(
            f"int8 gives the original's class to {test.agreement:.0%} of {test.description}, fewer than "
            f"{LEAST_AGREEMENT:.0%}",
            hint="export to onnx, which loses nothing, or give the data with --data or --data-dir",
        )
    return (*checks, test)


def check_micro(content: bytes, images: CheckImages) -> dict[str, str | int]:
    """What the interpreter for microcontrollers says of a file, for people: that LiteRT's reference kernels give the
    same (its softmax rounds otherwise now and then), and how much memory it needs; or that it is not installed.

    Raises:
        ExportError: a probability differs by more than a step.
    """
    if not has_micro():
        return {"microcontrollers": "not run: tflite-micro is not installed (it has builds for Linux on x86-64 only)"}
    some = channels_last(images.images[:MOST_IN_MICRO])
    micro = run_micro(content, some)
    difference = np.abs(micro.probabilities - run_litert(content, some, by_reference=True)).max()
    if difference > STEP:
        raise ExportError(
            "the interpreter for microcontrollers gives other probabilities than LiteRT's reference kernels", hint=BUG
        )
    return {
        "microcontrollers": f"tflite-micro {version('tflite-micro')} gives what LiteRT's reference kernels give, for "
        f"{len(some)} pictures",
        "arena_bytes": micro.arena_bytes,
    }


def check_camera(content: bytes, plain: bytes, images: CheckImages, sides: tuple[int, int]) -> dict[str, str | int]:
    """What a file that shrinks pictures gives for enlarged ones, for people, against the file without shrinking.

    Raises:
        ExportError: pictures whose pixels were repeated give other probabilities; or where no whole number of
            pixels fits, too many enlarged ones get other classes.
    """
    pictures = channels_last(images.images[:MOST_ENLARGED])
    expected = run_litert(plain, pictures)
    exact = repeated(pictures, sides)
    if exact is not None and not np.array_equal(run_litert(content, exact), expected):
        raise ExportError("the file gives other probabilities for enlarged pictures", hint=BUG)
    same = run_litert(content, smooth(pictures, sides)).argmax(axis=1) == expected.argmax(axis=1)
    if exact is None and same.mean() < LEAST_ENLARGED:
        raise ExportError(
            f"only {same.sum()} of {len(same)} pictures, enlarged to {sides[1]}x{sides[0]} pixels, get the class of "
            "the pictures themselves",
            hint="export without --for, and shrink pictures before they are given to the model",
        )
    return {
        "enlarged_pictures": f"{same.sum()} of {len(same)}, enlarged to {sides[1]}x{sides[0]} pixels, get the class of "
        "the pictures themselves"
    }


def channels_last(images: UInt8[np.ndarray, "n c h w"]) -> UInt8[np.ndarray, "n h w c"]:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def as_logits(probabilities: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Logits whose softmax the probabilities are, nearly: those of 0 count as less than half a step."""
    logits: Float[np.ndarray, "n k"] = np.log(np.maximum(probabilities, LEAST))
    return logits


def _compare(content: bytes, images: CheckImages) -> Agreement:
    return compare(_moved(images), as_logits(run_litert(content, channels_last(images.images))))


def _moved(images: CheckImages) -> CheckImages:
    """With the original's logits moved as the file's are, so that the likelier class is the answer."""
    if images.decision is None:
        return images
    logits = (images.logits + moved_by(images.decision)).astype(np.float32)
    return replace(images, logits=logits, decision=None)


def _costliest(content: bytes, request: ExportRequest) -> str:
    """The names of the blocks in which a file's maps depart most from the original's."""
    program, images = request.shippable.program, request.held_out
    assert program is not None
    assert images is not None
    costs = layer_costs(content, program, images.images[:MOST_IN_SEARCH])
    names = sorted(costs, key=lambda name: -costs[name])[:NUM_NAMED]
    return ", ".join(f"{name} (error {costs[name]:.1%} of its signal)" for name in names)


def layer_costs(content: bytes, program: Program, images: UInt8[np.ndarray, "n c h w"]) -> dict[str, float]:
    """By block, the error that arises in it: of its output's, relative to the output, what its input has not yet."""
    maps = [read_maps(content, picture) for picture in channels_last(images)]
    costs, before = {}, 0.0
    for index, block in enumerate(program.blocks):
        expected = run_program(_up_to(program, index), images).maps
        found = np.concatenate([one[f"{block.name}{AFTER}"] for one in maps])
        error = float(np.sqrt(((found - expected) ** 2).mean() / max(float((expected**2).mean()), 1e-12)))
        costs[block.name] = float(np.sqrt(max(error**2 - before**2, 0.0)))
        before = error
    return costs


def _up_to(program: Program, index: int) -> Program:
    """The program that ends after one of its blocks, with a head that gives nothing."""
    head = np.zeros((1, program.blocks[index].out_shape[0]), np.float32)
    return replace(program, blocks=program.blocks[: index + 1], head=head)
