"""Class counts of long-tailed training sets."""

from __future__ import annotations

import numpy as np

from famus_tf import errors

SHAPES = ("exponential", "step")
HEADS = ("after_meta", "whole")


def class_counts(largest: int, num_classes: int, imbalance: float, shape: str = "exponential") -> np.ndarray:
    """How many examples each class keeps, class 0 the most.

    exponential: n_i = int(n_max mu^i), mu = imbalance^(-1 / (K - 1)), of Cui et al., "Class-Balanced Loss" (2019); in
    FaMUS and Shu et al., "Meta-Weight-Net" (2019), with n_max counted after the meta set is taken out. step: the second
    half of the classes has n_max / imbalance, of Cao et al., "LDAM" (2019).

    Args:
        largest: n_max, the number of examples of class 0.
        num_classes: K.
        imbalance: n_max over the smallest count, at least 1.
        shape: one of `SHAPES`.

    Returns:
        int64 [K].

    Raises:
        errors.InputError: the imbalance is below 1, the shape is unknown, or a class would be left empty.
    """
    if not imbalance >= 1:
        raise errors.InputError(f"the imbalance is {imbalance}, expected 1 or more: largest class over smallest")
    if shape == "exponential":
        exponents = np.arange(num_classes) / max(num_classes - 1, 1)
    elif shape == "step":
        exponents = (np.arange(num_classes) >= num_classes // 2).astype(np.float64)
    else:
        raise errors.InputError(f"there is no imbalance {shape!r}, expected one of {', '.join(SHAPES)}")
    counts = np.array([int(largest * (1 / imbalance) ** exponent) for exponent in exponents], np.int64)
    if counts.min() < 1:
        raise errors.InputError(
            f"an imbalance of {imbalance:g} leaves class {int((counts < 1).argmax())} without an example, as the "
            f"largest class has {largest}; expected an imbalance of at most {largest}"
        )
    return counts


def keep(labels: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws `counts[c]` of the examples of each class c, or all where there are fewer.

    Args:
        labels: class ids [N].
        counts: [K].
        rng: the source of randomness.

    Returns:
        Positions in `labels`, int64, rising.
    """
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:count] for c, count in enumerate(counts)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
