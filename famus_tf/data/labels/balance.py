"""Draws with equally many examples of each class."""

from __future__ import annotations

import numpy as np


def draw(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of `per_class` examples of each class, int64, rising.

    Args:
        labels: int [N]; each class from 0 to the largest has so many at least.
        per_class: how many of each class.
        rng: source of randomness.
    """
    members = (np.flatnonzero(labels == c) for c in range(labels.max(initial=-1) + 1))
    chosen = [rng.choice(positions, per_class, replace=False) for positions in members]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen])).astype(np.int64)


def subset(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of `size` examples, as equally many of each class as possible, int64, rising.

    A class with less than an equal share gives all it has, which raises the share of the others.

    Args:
        labels: int [N].
        size: from 0 to N.
        rng: source of randomness.
    """
    classes, counts = np.unique(labels, return_counts=True)
    shares = np.zeros_like(counts)
    unsettled = np.ones(len(classes), bool)
    while True:
        remaining = size - shares[~unsettled].sum()
        share = remaining // max(unsettled.sum(), 1)
        small = unsettled & (counts <= share)
        if not small.any():
            break
        shares[small] = counts[small]
        unsettled &= ~small
    shares[unsettled] = share
    extra = rng.permutation(np.flatnonzero(unsettled))[: size - shares.sum()]
    shares[extra] += 1
    chosen = [rng.choice(np.flatnonzero(labels == c), n, replace=False) for c, n in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen])).astype(np.int64)
