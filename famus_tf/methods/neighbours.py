"""What the nearest neighbours of an example in feature space say: the label that they vote for, and the dimension."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Similarities held at a time, in numbers.
_MOST = 2**26


def votes(features: np.ndarray, labels: np.ndarray, num_classes: int, count: int) -> np.ndarray:
    """Votes for each class of the nearest examples by cosine, itself among them, float32 [N, c].

    Args:
      features: float [N, d]; rows with NaN have no votes and cast none.
      labels: int [N].
      num_classes: c.
      count: k; all where there are fewer.

    Source: Feng et al., "SSR" (BMVC 2022), section 3.2.
    """
    known = np.isfinite(features).all(axis=1)
    result = np.zeros((len(features), num_classes), np.float32)
    rows = tf.constant(features[known], tf.float32)
    if not len(rows):
        return result
    rows /= tf.maximum(tf.norm(rows, axis=1, keepdims=True), 1e-12)
    one_hot = np.eye(num_classes, dtype=np.float32)[labels[known]]
    chunk = max(1, _MOST // max(len(rows), count * num_classes))
    found = []
    for start in range(0, len(rows), chunk):
        similarity = tf.matmul(rows[start : start + chunk], rows, transpose_b=True)
        nearest = tf.math.top_k(similarity, min(count, len(rows)), sorted=False).indices.numpy()
        found.append(one_hot[nearest].sum(axis=1))
    result[known] = np.concatenate(found)
    return result


def clean_by_votes(counts: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """Examples whose own label has at least `threshold` of the votes of the class with the most, bool [N].

    Votes count by the inverse of the classes' sizes (SSR, Eq. 2).

    Args:
      counts: of `votes`.
      labels: int [N].
      threshold: in [0, 1].
    """
    sizes = np.maximum(np.bincount(labels, minlength=counts.shape[1]), 1)
    weighed = counts / sizes
    own = weighed[np.arange(len(labels)), labels]
    most = weighed.max(axis=1)
    return (own >= threshold * most) & (most > 0)


def intrinsic_dimension(features: np.ndarray, count: int) -> np.ndarray:
    """-1 / mean_j log(d_j / d_k), d_j the distance of the j-th neighbour among these points, float64 [n].

    NaN where all neighbours are as far away, as among equal points. The estimator of Ma et al., "Dimensionality-Driven
    Learning with Noisy Labels" (ICML 2018), Eq. 4.

    Args:
      features: float [n, d].
      count: k, below n.
    """
    points = features.astype(np.float64)
    squares = (points**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, np.newaxis] + squares - 2 * points @ points.T, 0))
    np.fill_diagonal(distances, np.inf)
    nearest = np.sort(distances, axis=1)[:, :count]
    ratios = np.maximum(nearest, 1e-12) / np.maximum(nearest[:, -1:], 1e-12)
    mean = np.log(ratios).mean(axis=1)
    return np.where(mean < -1e-6, -1.0 / np.minimum(mean, -1e-6), np.nan)
