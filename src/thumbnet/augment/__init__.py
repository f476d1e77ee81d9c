"""DATA AUGMENTER: random changes to a batch of images, by whole-batch tensor operations on the images' device.

An augmentation is a value with its parameters. Its random draw (on the CPU, from a generator that the caller gives) is
separate from its pixel operation, so both can be tested; images are uint8 [N,C,H,W] before and after. Parametrisation
and distributions are those of Albumentations 2.0.8, which tests/test_augment_parity.py compares with; colours and
sharpness go by Pillow's, which tests/test_augment.py compares with. A batch of 128 images of 3x32x32 takes 0.7 ms with
`crop-flip` and 1.5 ms with `albumentations` by PyTorch (median of 500 on an idle AMD EPYC, two threads, torch 2.13.0,
2026-11-23); a training takes our kernels where it can.
"""

from __future__ import annotations

from thumbnet.augment.augmentation import Apply, Augmentation, Draws, Part, apply_itself, augment, draws_for
from thumbnet.augment.color import ColorJitter, Sharpen, colour_sums
from thumbnet.augment.compression import Jpeg
from thumbnet.augment.dropout import CoarseDropout
from thumbnet.augment.field import Blur, Lighting, Noise
from thumbnet.augment.geometry import HorizontalFlip, RandomCrop, ShiftScaleRotate, source_rows
from thumbnet.augment.own import OwnAugmentation
from thumbnet.augment.policies import Policy, create_policy, policy_flips, register_policy
from thumbnet.augment.turns import QuarterTurn, VerticalFlip
from thumbnet.specs.policies import POLICIES

__all__ = [
    "POLICIES",
    "Apply",
    "Augmentation",
    "Blur",
    "CoarseDropout",
    "ColorJitter",
    "Draws",
    "HorizontalFlip",
    "Jpeg",
    "Lighting",
    "Noise",
    "OwnAugmentation",
    "Part",
    "Policy",
    "QuarterTurn",
    "RandomCrop",
    "Sharpen",
    "ShiftScaleRotate",
    "VerticalFlip",
    "apply_itself",
    "augment",
    "colour_sums",
    "create_policy",
    "draws_for",
    "policy_flips",
    "register_policy",
    "source_rows",
]
