"""How often each true class is given each label: the matrix T of the corrections of the loss, and what it does."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax

# Probabilities below it count as it: their logarithm stays finite.
_TINY = 1e-12
_WORST_CONDITION = 1e6
_MOST_PASSED = 0.3


def from_anchors(probabilities: np.ndarray, percentile: float, labels: np.ndarray | None = None) -> np.ndarray:
    """T by the most certain example of each class (Patrini et al., CVPR 2017, Eq. 12), as its code picks it.

    For class i the example at a percentile of p_i takes the place of the largest, which may be an outlier; row i is
    what is said of it. 100 is the paper. No more than 3 of 10 of the examples that are labelled i are passed over, or a
    small class would have its row from another class's example.

    Args:
      probabilities: what a network trained on the given labels says, float [N, c]; rows with NaN do not count.
      percentile: in (0, 100].
      labels: the given labels, int [N]; None: classes of one size.

    Returns:
      float64 [c, c], T_ij = P(given j | true i), rows sum to 1.
    """
    readable = np.isfinite(probabilities).all(axis=1)
    known = probabilities[readable].astype(np.float64)
    count = known.shape[1]
    sizes = np.full(count, len(known) / count) if labels is None else np.bincount(labels[readable], minlength=count)
    order = np.sort(known, axis=0)[::-1]
    rows = []
    for i in range(count):
        passed = int(min(len(known) * (1 - percentile / 100), _MOST_PASSED * sizes[i]) + 1e-9)
        rows.append(known[np.flatnonzero(known[:, i] == order[min(passed, len(known) - 1), i])[0]])
    return _normalised(np.stack(rows))


def from_trusted(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """T by trusted examples: row i is the mean of what is said of those of class i (Hendrycks et al., 2018, Eq. 2).

    Args:
      probabilities: what a network trained on the given labels says of them, float [M, c].
      labels: their true classes, int [M]. A class without any keeps its label.

    Returns:
      float64 [c, c], rows sum to 1.
    """
    count = probabilities.shape[1]
    known = np.isfinite(probabilities).all(axis=1)
    rows = np.eye(count)
    for i in range(count):
        of_class = probabilities[known & (labels == i)]
        if len(of_class):
            rows[i] = of_class.mean(axis=0, dtype=np.float64)
    return _normalised(rows)


def checked(transition: np.ndarray, num_classes: int, name: str) -> np.ndarray:
    """T as somebody gives it, float64 [c, c].

    Args:
      transition: any array.
      num_classes: c.
      name: where it comes from, for the error.

    Raises:
      InputError: it is not [c, c], an entry is negative or no number, or a row does not sum to 1.
    """
    if transition.shape != (num_classes, num_classes):
        shape = " x ".join(map(str, transition.shape)) or "no"
        raise errors.InputError(f"{name}: {shape} numbers; expected {num_classes} rows of {num_classes}")
    rows = transition.astype(np.float64)
    wrong = ~(np.isfinite(rows) & (rows >= 0)).all(axis=1) | (np.abs(rows.sum(axis=1) - 1) > 1e-3)
    if wrong.any():
        row = int(wrong.argmax())
        raise errors.InputError(f"{name}, row {row + 1}: {rows[row].tolist()}; expected probabilities that sum to 1")
    return _normalised(rows)


def read(path: str, num_classes: int) -> np.ndarray:
    """T from a file, float64 [c, c]: `.npy`, `.json` (a list of rows), or text with a row of numbers to a line.

    Raises:
      InputError: it cannot be read, or holds no such matrix.
    """
    option = f"option `transition_file`={path}"
    place = pathlib.Path(path)
    try:
        if place.suffix == ".npy":
            found = np.load(place, allow_pickle=False)
        elif place.suffix == ".json":
            found = np.asarray(json.loads(place.read_text()), np.float64)
        else:
            lines = place.read_text().splitlines() or [""]
            found = np.array([[float(number) for number in line.replace(",", " ").split()] for line in lines])
        found = found.astype(np.float64)
    except OSError as error:
        raise errors.InputError(
            f"{option}: {error.strerror or error}; expected a file of {num_classes} rows"
        ) from error
    except (ValueError, TypeError) as error:
        what = " ".join(str(error).split())[:200]
        raise errors.InputError(f"{option}: {what}; expected {num_classes} rows of {num_classes} numbers") from error
    return checked(found, num_classes, option)


def inverse(transition: np.ndarray) -> np.ndarray:
    """T^-1, float64 [c, c]; InputError where there is none, or none that numbers can hold."""
    if np.linalg.cond(transition) > _WORST_CONDITION:
        raise errors.InputError(
            "the matrix of label noise has no inverse, as two classes are given alike labels; expected option "
            "`correction`=forward, which needs none"
        )
    return np.linalg.inv(transition)


def forward_losses(labels: tf.Tensor, logits: tf.Tensor, transition: tf.Tensor) -> tf.Tensor:
    """-log (p T)_y (Patrini et al., Theorem 2), float [n]; labels [n] or [n, c], logits [n, c], T [c, c]."""
    logits = softmax.at_least_float32(logits)
    p = tf.matmul(tf.nn.softmax(logits), tf.cast(transition, logits.dtype))
    y = softmax.as_distributions(labels, logits)
    return -tf.reduce_sum(y * tf.math.log(tf.maximum(p, _TINY)), axis=-1)


def backward_losses(labels: tf.Tensor, logits: tf.Tensor, inverse: tf.Tensor) -> tf.Tensor:
    """-sum_j (y T^-1)_j log p_j (Patrini et al., Theorem 1), float [n], negative for some; inverse: T^-1 [c, c]."""
    logits = softmax.at_least_float32(logits)
    y = tf.matmul(softmax.as_distributions(labels, logits), tf.cast(inverse, logits.dtype))
    return -tf.reduce_sum(y * tf.nn.log_softmax(logits), axis=-1)


def _normalised(rows):
    return rows / rows.sum(axis=1, keepdims=True)
