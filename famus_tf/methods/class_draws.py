"""Examples drawn by their classes: where classes differ in size, the batches of a long tail's stages."""

from __future__ import annotations

import numpy as np


def reversed_positions(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of examples drawn with class probabilities ~ n_max / n_k, then evenly in the class, int64 [count].

    Source: Zhou et al., "BBN" (CVPR 2020), section 4.2.

    Args:
      labels: int [N].
      count: how many.
      rng: what draws them.
    """
    return _drawn(labels, count, rng, lambda sizes: 1.0 / sizes)


def balanced_positions(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The same with all classes that there are alike.

    Source: Kang et al., "Decoupling Representation and Classifier" (ICLR 2020), section 3.1.
    """
    return _drawn(labels, count, rng, np.ones_like)


def _drawn(labels, count, rng, share_of):
    sizes = np.bincount(labels)
    present = np.flatnonzero(sizes)
    shares = share_of(sizes[present].astype(float))
    classes = rng.choice(present, count, p=shares / shares.sum())
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(sizes) - sizes
    return order[starts[classes] + rng.integers(0, sizes[classes])]
