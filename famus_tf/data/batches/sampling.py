"""Which examples make the batch of which step: a pure function of the seed and the step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from famus_tf import errors
from famus_tf.data import streams
from famus_tf.data.labels import balance


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How an epoch's examples are drawn.

    Attributes:
        batches_per_epoch: batches in an epoch; 0: as many as the examples fill.
        balanced: whether an epoch has equally many examples of each class, as far as each class has them, drawn anew
            in each epoch, as in DivideMix's epochs of 1,000 batches of Clothing1M (Li et al., 2020).
    """

    batches_per_epoch: int = 0
    balanced: bool = False


NATURAL = Sampling()


def steps_per_epoch(num_examples: int, batch_size: int, sampling: Sampling = NATURAL) -> int:
    """The number of full batches in an epoch; the remainder is left out, and differs from epoch to epoch.

    Args:
        num_examples: how many examples there are.
        batch_size: how many make a batch.
        sampling: see there.

    Returns:
        At least 1.

    Raises:
        errors.InputError: the batch size is not positive, or an epoch asks for more examples than there are.
    """
    if batch_size < 1:
        raise errors.InputError(f"the batch size is {batch_size}, expected 1 or more")
    if batch_size > num_examples:
        raise errors.InputError(
            f"the batch size is {batch_size}, expected at most the {num_examples} examples there are"
        )
    if sampling.batches_per_epoch * batch_size > num_examples:
        raise errors.InputError(
            f"an epoch of {sampling.batches_per_epoch} batches of {batch_size}, expected at most the {num_examples} "
            f"examples there are, which fill {num_examples // batch_size}"
        )
    return sampling.batches_per_epoch or num_examples // batch_size


def epoch_order(
    labels: np.ndarray, batch_size: int, seed: int, stream: str, epoch: int, sampling: Sampling = NATURAL
) -> np.ndarray:
    """The positions of the examples of one epoch in their order, int64 [k], pure in all arguments.

    Args:
        labels: int [N].
        batch_size: how many examples make a batch.
        seed: the seed of the run.
        stream: what the batches are for; another stream has another order.
        epoch: counted from 0.
        sampling: see there.

    Returns:
        No position twice; k is N, or where `sampling` fixes the number of batches, as many as these hold.
    """
    rng = streams.generator(seed, stream, "order", epoch)
    size = sampling.batches_per_epoch * batch_size or len(labels)
    if not sampling.balanced:
        return rng.permutation(len(labels))[:size]
    return rng.permutation(balance.subset(labels, size, rng))


def batch_positions(
    labels: np.ndarray,
    batch_size: int,
    steps: range,
    seed: int,
    stream: str,
    sampling: Sampling = NATURAL,
    bad: np.ndarray | None = None,
    subset: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each of the steps the positions of its examples, int64 [n], and a seed for their augmentation, int64 [2].

    Args:
        labels: int [N].
        batch_size: n.
        steps: the global steps, rising by one.
        seed: the seed of the run.
        stream: what the batches are for.
        sampling: see there.
        bad: positions of examples in whose place others stand; see `stand_ins`.
        subset: positions to draw from, int [k]; None: all N.

    Raises:
        errors.InputError: what `steps_per_epoch` and `stand_ins` say.
    """
    drawn_from = labels if subset is None else labels[subset]
    per_epoch = steps_per_epoch(len(drawn_from), batch_size, sampling)
    instead = None if bad is None or not len(bad) else stand_ins(labels, bad)
    order = None
    for step in steps:
        epoch, batch = divmod(step, per_epoch)
        if order is None or batch == 0:
            order = epoch_order(drawn_from, batch_size, seed, stream, epoch, sampling)
            order = order if subset is None else subset[order]
            order = order if instead is None else instead[order]
        augment_seed = streams.sequence(seed, stream, "augment", step).generate_state(2)
        yield order[batch * batch_size : (batch + 1) * batch_size], augment_seed.astype(np.int64)


def stand_ins(labels: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """For each position the one that is read: itself, or in place of a bad one the next good one of its class.

    The next one in the order of the positions, the first after the last; so that what stands in does not depend on how
    many of the bad ones are known yet, as long as it is good itself. Where a class has no good one, the next of any.

    Args:
        labels: int [N].
        bad: positions.

    Returns:
        int64 [N].

    Raises:
        errors.InputError: there is no good one at all.
    """
    instead = np.arange(len(labels))
    is_bad = np.zeros(len(labels), bool)
    is_bad[bad] = True
    if is_bad.all():
        raise errors.InputError(f"none of the {len(labels)} examples can be read, expected some")
    for c in np.unique(labels[bad]):
        replaced = np.flatnonzero(is_bad & (labels == c))
        good = np.flatnonzero(~is_bad & (labels == c))
        if not len(good):
            good = np.flatnonzero(~is_bad)
        instead[replaced] = good[np.searchsorted(good, replaced) % len(good)]
    return instead
