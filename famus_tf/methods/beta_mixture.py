"""Two beta distributions over the losses of the training set, of right and of wrong labels.

Source: Arazo et al., "Unsupervised Label Noise Modeling and Loss Correction" (ICML 2019), section 3.1, and its code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

POINTS = 100  # of the table
_EDGE = 1e-3
_APART = 1e-2
_FEWEST = 20
_TINY = 1e-4


class BetaMixture(NamedTuple):
    """A fit; component 1 has the larger mean: the wrong labels.

    Attributes:
      low, high: the losses that became 0 and 1.
      alphas, betas, weights: of the components, float64 [2].
      table: P(wrong label | loss) at `POINTS` scaled losses from 0 to 1, float64, never falling.
    """

    low: float
    high: float
    alphas: np.ndarray
    betas: np.ndarray
    weights: np.ndarray
    table: np.ndarray


def fit(losses: np.ndarray, iterations: int = 10) -> BetaMixture | None:
    """Fits by expectation and maximisation by moments.

    Losses beyond their 5th and 95th percentile are left out, the others scaled to [0, 1] and kept 0.001 from both ends.

    Args:
      losses: float [N]; NaN and infinite ones do not count.
      iterations: of the fit; with ten, as published, it has often not settled.

    Returns:
      `BetaMixture`; None where it would say nothing: fewer than 20 losses, none that differ, or two components alike.
    """
    finite = losses[np.isfinite(losses)].astype(np.float64)
    if len(finite) < _FEWEST:
        return None
    low, high = np.percentile(finite, [5, 95])
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        return None
    inside = finite[(finite >= low) & (finite <= high)]
    scaled = np.clip((inside - low) / (high - low), _EDGE, 1 - _EDGE)
    alphas, betas, weights = np.array([1.0, 2.0]), np.array([2.0, 1.0]), np.array([0.5, 0.5])
    for _ in range(iterations):
        shares = _posterior(scaled, alphas, betas, weights)
        total = np.maximum(shares.sum(axis=1), 1e-12)
        mean = shares @ scaled / total
        variance = np.maximum((shares * (scaled - mean[:, np.newaxis]) ** 2).sum(axis=1) / total, 1e-8)
        alphas = np.maximum(mean * (mean * (1 - mean) / variance - 1), 1e-2)
        betas = np.maximum(alphas * (1 - mean) / mean, 1e-2)
        weights = total / len(scaled)
    order = np.argsort(alphas / (alphas + betas), kind="stable")
    alphas, betas, weights = alphas[order], betas[order], weights[order]
    means = alphas / (alphas + betas)
    if not np.isfinite(means).all() or means[1] - means[0] < _APART:
        return None
    points = np.clip(np.linspace(0, 1, POINTS), _EDGE, 1 - _EDGE)
    table = np.clip(_posterior(points, alphas, betas, weights)[1], _TINY, 1 - _TINY)
    table[table.argmax() :] = table.max()
    return BetaMixture(float(low), float(high), alphas, betas, weights, np.maximum.accumulate(table))


def _posterior(scaled, alphas, betas, weights):
    density = weights[:, np.newaxis] * stats.beta.pdf(scaled, alphas[:, np.newaxis], betas[:, np.newaxis])
    return density / np.maximum(density.sum(axis=0), 1e-300)
