"""One step of a training on this process's part of a batch; the gradient is that of the whole batch.

Everything random of the data is drawn for the whole batch, from the same streams in each process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from thumbnet.augment import OwnAugmentation, Part
from thumbnet.kernels.sync_norm import norms_of
from thumbnet.training.loop import Loop
from thumbnet.training.mixup import Mixed, Targets, sample_lam
from thumbnet.training.ranks import Ranks
from thumbnet.training.step import backward, images_and_targets, loss_on


class RankStep:
    """The steps of an epoch, in the place of `train_step`; mixup draws from `mixing`, the same in each process."""

    def __init__(self, loop: Loop, ranks: Ranks, mixing: torch.Generator) -> None:
        self.loop, self.ranks, self.mixing = loop, ranks, mixing
        # A function of the user's own may look at the whole batch, and draws for it.
        self._takes_all = any(isinstance(each, OwnAugmentation) for each in loop.train.augmentations)
        self._sizes: deque[int] = deque()  # of the batches that are read, but not trained on yet

    def parts_of(self, batches: Iterator[Int64[Tensor, " b"]]) -> Iterator[Int64[Tensor, " m"]]:
        """Of each batch the images that this process makes, in the order in which it is then called with them."""
        for chosen in batches:
            self._sizes.append(len(chosen))
            yield chosen[self._made_of(len(chosen))]

    def _needed_of(self, num_images: int) -> Int64[Tensor, " m"]:
        """The positions in a batch of the images to train on, and with mixup of those that they are mixed with."""
        own = self.ranks.share_of(num_images).positions
        return torch.cat([own, num_images - 1 - own]) if self.loop.objective.mixup else own

    def _made_of(self, num_images: int) -> Int64[Tensor, " m"]:
        return torch.arange(num_images) if self._takes_all else self._needed_of(num_images)

    def __call__(
        self,
        loop: Loop,
        chosen: Int64[Tensor, " m"],
        pixels: UInt8[Tensor, "m c h w"],
        epoch: int,
        sides: tuple[int, int],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, int, Float[Tensor, "k 3"] | None]:
        """One step on a batch, of which these are the images that this process makes: as `Tally.add` takes it, over the
        whole batch."""
        num_images = self._sizes.popleft()
        share = self.ranks.share_of(num_images)
        mixed = self._batch(chosen, pixels, num_images, epoch, sides, generator)
        loss, logits, by_class = loss_on(loop, mixed)
        loss = loss * share.loss_factor
        backward(loop, loss)
        counts = mixed.num_correct(logits.detach()).float()[None]
        if by_class is not None:
            counts = torch.cat([counts, by_class.flatten()])
        numbers = self._added_up(loss.detach()[None], counts * share.count_factor)
        loop.optimizer.step()
        by_class = None if by_class is None else numbers[2:].view_as(by_class)
        return numbers[0], numbers[1].round(), num_images, by_class

    def _batch(
        self,
        chosen: Int64[Tensor, " m"],
        pixels: UInt8[Tensor, "m c h w"],
        num_images: int,
        epoch: int,
        sides: tuple[int, int],
        generator: torch.Generator,
    ) -> Mixed:
        """This process's part of a batch of `num_images`, mixed."""
        alpha, part = self.loop.objective.mixup, Part(self._made_of(num_images), num_images)
        images, targets = images_and_targets(self.loop.train, chosen, pixels, epoch, sides, generator, part=part)
        if self._takes_all:
            images, targets = _selected(images, targets, self._needed_of(num_images))
        if not alpha:
            return Mixed(images, targets, targets, 1.0)
        num_own = len(images) // 2
        lam = sample_lam(alpha, self.mixing)
        blended = torch.lerp(images[num_own:], images[:num_own], lam)
        return Mixed(blended, targets.between(0, num_own), targets.between(num_own, None), lam)

    @torch.no_grad()
    def _added_up(self, *numbers: Tensor) -> Tensor:
        """These numbers added up over the processes; the gradients are, too, and without synchronised norms the running
        statistics become their mean."""
        loop = self.loop
        gradients = [each.grad for each in loop.model.parameters() if each.grad is not None]
        running = [] if loop.syncs_norms else _running_statistics(loop)
        parts = [*gradients, *(each / self.ranks.size for each in running), *numbers]
        flat = torch.cat([each.reshape(-1) for each in parts])
        self.ranks.add_up(flat)
        changed = [*gradients, *running]
        pieces = flat.split([each.numel() for each in changed] + [sum(each.numel() for each in numbers)])
        for tensor, piece in zip(changed, pieces[:-1], strict=True):
            tensor.copy_(piece.view_as(tensor))
        return flat[-pieces[-1].numel() :].clone()


def _selected(images: Tensor, targets: Targets, positions: Int64[Tensor, " m"]) -> tuple[Tensor, Targets]:
    places = positions.to(images.device)
    logits = targets.teacher_logits
    return images[places], Targets(targets.labels[places], None if logits is None else logits[places])


def _running_statistics(loop: Loop) -> list[Tensor]:
    norms = [norm for norm in norms_of(loop.model) if norm.training]
    return [each for norm in norms for each in (norm.running_mean, norm.running_var) if each is not None]
