"""What a stream of batches is, apart from the images it is made of and the steps that are asked for."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from famus_tf import errors
from famus_tf.data.batches import sampling as samplings
from famus_tf.data.images import strong_augment


class Share(NamedTuple):
    """One of several equal parts of each batch, as a worker takes it.

    Attributes:
        number: which part, counted from 0.
        count: how many parts a batch has.
    """

    number: int = 0
    count: int = 1

    def rows(self, size: int) -> slice:
        """The rows of a batch of that size that are this part.

        Raises:
            errors.InputError: the parts would not be equal.
        """
        if size % self.count or not 0 <= self.number < self.count:
            raise errors.InputError(f"part {self.number} of {self.count} of a batch of {size}, expected equal parts")
        return slice(size // self.count * self.number, size // self.count * (self.number + 1))


WHOLE = Share()


@dataclasses.dataclass(frozen=True, eq=False)
class BatchSpec:
    """A stream of training batches; with the same images it is a pure function of this and of the step.

    Attributes:
        stream: what the batches are for, such as "train"; another stream has another order.
        size: n, the global batch size.
        seed: the seed of the run.
        sampling: how an epoch's examples are drawn.
        subset: positions that the examples are drawn from, int [k]; None: all.
        views: how often each image comes, cropped and mirrored in different ways; of several, images are
            [n, views, H, W, C].
        crop_padding, flip, padding_mode: see `augment.crop_and_flip`; files are cropped by their own transform.
        strong: what comes upon the images after that, upon each view; None: nothing.
    """

    stream: str
    size: int
    seed: int
    sampling: samplings.Sampling = samplings.NATURAL
    subset: np.ndarray | None = None
    views: int = 1
    crop_padding: int = 0
    flip: bool = False
    padding_mode: str = "zero"
    strong: strong_augment.Policy | None = None

    def check(self, num_examples: int) -> None:
        """Raises an InputError, which names the stream, where batches ask for more than `num_examples` examples."""
        available = num_examples if self.subset is None else len(self.subset)
        try:
            samplings.steps_per_epoch(available, self.size, self.sampling)
        except errors.InputError as error:
            raise errors.InputError(f"{self.stream}: {error}") from error
