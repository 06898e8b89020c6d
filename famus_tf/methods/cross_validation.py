"""The sets of iterative cross-validation (Chen et al., ICML 2019): what is selected, removed, or still a candidate."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax

CANDIDATE, SELECTED, REMOVED = 0, 1, 2
HALVES = (3, 4)  # of the candidates, in a round
_RAMP = 10  # epochs


def halves(sets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Splits the candidates at random into two halves; sets: int [N]."""
    candidates = rng.permutation(np.flatnonzero(sets == CANDIDATE))
    result = sets.copy()
    for half, part in zip(HALVES, np.array_split(candidates, 2), strict=True):
        result[part] = half
    return result


def select(
    sets: np.ndarray, logits: list[np.ndarray], labels: np.ndarray, noise: float, first: bool, symmetric: bool
) -> tuple[np.ndarray, float]:
    """Ends a round: of each half those are selected that the network of the other half predicts as they are labelled.

    Args:
      sets: int [N], with both halves.
      logits: what the networks of the first and the second half say, each float [N, c]; rows with NaN do not count.
      labels: given labels, int [N].
      noise: eps, of earlier rounds.
      first: whether this is the first round, which estimates eps.
      symmetric: whether the noise is.

    Returns:
      The sets without halves, and eps.
    """
    result = sets.copy()
    parts = [np.flatnonzero(sets == half) for half in HALVES]
    said = [of_all[part] for part, of_all in zip(parts, reversed(logits), strict=True)]
    known = [np.isfinite(rows).all(axis=1) for rows in said]
    agreed = [(rows.argmax(axis=1) == labels[part]) & has for part, rows, has in zip(parts, said, known, strict=True)]
    if first:
        share = sum(agrees.sum() for agrees in agreed) / max(sum(map(len, parts)), 1)
        noise = noise_rate(share, logits[0].shape[1])
    for part, rows, has, agrees in zip(parts, said, known, agreed, strict=True):
        result[part] = np.where(agrees, SELECTED, CANDIDATE)
        if not symmetric:
            continue
        losses = softmax.cross_entropy(tf.constant(labels[part]), tf.constant(rows)).numpy()
        losses = np.where(agrees | ~has, -np.inf, losses)
        removed = min(int(min(2.0, noise / max(1 - noise, 1e-6)) * agrees.sum()), int(np.isfinite(losses).sum()))
        result[part[np.argsort(-losses, kind="stable")[:removed]]] = REMOVED
    return result, noise


def noise_rate(agreement: float, num_classes: int) -> float:
    """eps with (1 - eps)^2 + eps^2 / (c - 1) nearest to the agreement, by steps of 0.001 (Eq. 4), eps <= (c - 1) / c.

    Args:
      agreement: share of examples that are predicted as they are labelled.
      num_classes: c.
    """
    grid = np.arange(0, (num_classes - 1) / num_classes, 1e-3)
    return float(grid[np.abs((1 - grid) ** 2 + grid**2 / (num_classes - 1) - agreement).argmin()])


def left_out(noise: tf.Tensor, epoch: tf.Tensor, num_classes: int, symmetric: bool) -> tf.Tensor:
    """eps_S min(1, e / 10), the share of a batch of the selection that co-teaching leaves out, float64 scalar.

    eps_S = eps^2 / (eps^2 + kappa (1 - eps)^2), the share of wrong labels in the selection; kappa is c - 1 for
    symmetric noise, else 1.

    Args:
      noise: eps, float scalar.
      epoch: e, of co-teaching, whole scalar.
      num_classes: c.
      symmetric: whether the noise is.
    """
    noise = tf.cast(noise, tf.float64)
    kappa = num_classes - 1 if symmetric else 1
    left = noise**2 / (noise**2 + kappa * (1.0 - noise) ** 2)
    return left * tf.clip_by_value(tf.cast(epoch, tf.float64) / _RAMP, 0.0, 1.0)


def trust(sets: np.ndarray) -> np.ndarray | None:
    """1 for what is selected, 0 for what is removed, else 1/2, float32 [N]; None where nothing is either."""
    values = np.select([sets == SELECTED, sets == REMOVED], [1.0, 0.0], 0.5)
    return values.astype(np.float32) if (values != 0.5).any() else None
