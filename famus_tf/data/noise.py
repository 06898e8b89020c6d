"""Synthetic label noise."""

from __future__ import annotations

import numpy as np

from famus_tf import errors


def symmetric(
    labels: np.ndarray, rate: float, num_classes: int, includes_true_label: bool, rng: np.random.Generator
) -> np.ndarray:
    """Flips each label, independently of the others, to a class drawn uniformly.

    Two conventions share the name, and the same rate r means different shares of wrong labels among K classes:

    *   `includes_true_label=True`: C = r / K + (1 - r) I; a share r (K - 1) / K is wrong. The `unif` noise of Shu et
        al., "Meta-Weight-Net" (2019), and of FaMUS, Tables 1, 3 and 4.
    *   `includes_true_label=False`: C is 1 - r on the diagonal and r / (K - 1) off it; a share r is wrong. Patrini et
        al., "Making Deep Neural Networks Robust to Label Noise" (2017), and Han et al., "Co-teaching" (2018).

    Args:
        labels: true class ids [N], any integer dtype, each in [0, num_classes).
        rate: r in [0, 1].
        num_classes: K, at least 2.
        includes_true_label: the convention.
        rng: the source of randomness.

    Returns:
        The noisy class ids [N], int32, a new array.

    Raises:
        errors.InputError: the rate is outside [0, 1], there are fewer than two classes, or a label is no class id.
    """
    if not 0.0 <= rate <= 1.0:
        raise errors.InputError(f"the noise rate is {rate}, expected a number from 0 to 1")
    if num_classes < 2:
        raise errors.InputError(f"label noise was asked for with {num_classes} classes, expected at least 2")
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise errors.InputError(
            f"the labels have shape {labels.shape} and dtype {labels.dtype}, expected a vector of whole numbers"
        )
    labels = labels.astype(np.int32)
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise errors.InputError(
            f"the labels range from {labels.min()} to {labels.max()}, expected class ids from 0 to {num_classes - 1}"
        )
    # Both draws are made for every example, so a change of the rate moves labels between kept and flipped only.
    flipped = rng.random(labels.shape) < rate
    if includes_true_label:
        drawn = rng.integers(num_classes, size=labels.shape, dtype=np.int32)
    else:
        drawn = (labels + rng.integers(1, num_classes, size=labels.shape, dtype=np.int32)) % num_classes
    return np.where(flipped, drawn, labels).astype(np.int32)
