"""Synthetic label noise: transition matrices between classes, and labels drawn by them."""

from __future__ import annotations

import dataclasses

import numpy as np

from famus_tf import errors

KINDS = ("none", "symmetric", "asymmetric", "flip", "flip2", "hierarchical", "pairflip", "file")
SUPERCLASSES = ("true", "consecutive")


@dataclasses.dataclass(frozen=True)
class Classes:
    """What the noise needs to know of a data set's classes.

    Attributes:
        count: K.
        asymmetric: for each class the class that asymmetric noise flips it to, itself where none; None where the
            literature has no such map.
        superclasses: for each class the number of its superclass; None where there are none.
    """

    count: int
    asymmetric: tuple[int, ...] | None = None
    superclasses: tuple[int, ...] | None = None


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
    labels = _checked(labels, rate, num_classes)
    # Both draws are made for every example, so a change of the rate moves labels between kept and flipped only.
    flipped = rng.random(labels.shape) < rate
    if includes_true_label:
        drawn = rng.integers(num_classes, size=labels.shape, dtype=np.int32)
    else:
        drawn = (labels + rng.integers(1, num_classes, size=labels.shape, dtype=np.int32)) % num_classes
    return np.where(flipped, drawn, labels).astype(np.int32)


def transition_matrix(
    kind: str,
    rate: float,
    classes: Classes,
    superclasses: str,
    rng: np.random.Generator | np.random.RandomState,
) -> np.ndarray:
    """C with C[i, j] the probability that an example of class i is labelled j.

    *   `asymmetric`: flips a class with probability r to the class that it resembles (Patrini et al., 2017). CIFAR-10:
        truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog. With superclasses: to the next class of the
        same superclass.
    *   `flip`, `flip2`: flips a class to one (two) other classes, drawn once for each class, with probability r (r / 2
        each); Shu et al. (2019).
    *   `hierarchical`: spreads r evenly over the other classes of the same superclass; Shu et al. (2019).
    *   `pairflip`: flips a class with probability r to the next class; Han et al. (2018).

    Args:
        kind: one of those names.
        rate: r in [0, 1].
        classes: the data set's classes.
        superclasses: "true", or "consecutive": blocks of five class ids, which the literature's code takes for
            CIFAR-100's superclasses although none of them is one.
        rng: draws the classes of `flip` and `flip2`.

    Returns:
        float64 [K, K], rows of sum 1.

    Raises:
        errors.InputError: the rate is outside [0, 1], there are fewer than two classes, or the classes lack the map or
            the superclasses that this noise needs.
    """
    count = classes.count
    _checked(np.zeros(0, np.int32), rate, count)
    identity = np.eye(count)
    if kind in ("flip", "flip2"):
        return _flip_matrix(rate, count, 1 if kind == "flip" else 2, rng)
    if kind == "pairflip":
        return (1 - rate) * identity + rate * np.roll(identity, 1, axis=1)
    groups = _groups(classes, superclasses)
    if kind == "asymmetric":
        mistakes = classes.asymmetric if groups is None else _next_in_group(groups)
        if mistakes is None:
            raise errors.InputError(
                "option `noise`=asymmetric: this data set has no customary map of mistakes and no superclasses; "
                "expected cifar10, cifar100 or fashion_mnist, or another option `noise`"
            )
        return (1 - rate) * identity + rate * identity[list(mistakes)]
    if kind != "hierarchical":
        raise errors.InputError(f"there is no label noise {kind!r}, expected one of {', '.join(KINDS)}")
    if groups is None:
        raise errors.InputError("option `noise`=hierarchical: this data set has no superclasses; expected cifar100")
    same = (groups[:, np.newaxis] == groups[np.newaxis, :]) & ~identity.astype(bool)
    return (1 - rate) * identity + rate * same / same.sum(1, keepdims=True)


def draw(labels: np.ndarray, matrix: np.ndarray, rng: np.random.Generator | np.random.RandomState) -> np.ndarray:
    """Draws each label anew, independently of the others.

    Args:
        labels: true class ids [N].
        matrix: C [K, K] of `transition_matrix`.
        rng: one uniform number is drawn for each label, in order, and inverted through the row's cumulative sum: what
            `numpy.random.choice(K, p=C[label])` does one by one.

    Returns:
        The noisy class ids [N], int32.
    """
    labels = _checked(labels, 0.0, len(matrix))
    cumulative = matrix.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]
    uniform = rng.random(len(labels))
    drawn = np.empty(len(labels), np.int32)
    for c in range(len(matrix)):  # class by class: [N, K] numbers would be much for many classes
        members = np.flatnonzero(labels == c)
        drawn[members] = np.searchsorted(cumulative[c], uniform[members], side="right")
    return drawn


def _checked(labels: np.ndarray, rate: float, num_classes: int) -> np.ndarray:
    """The labels as int32, or an InputError where they or the rate make no sense."""
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
    return labels


def _flip_matrix(rate: float, count: int, targets: int, rng: np.random.Generator | np.random.RandomState) -> np.ndarray:
    if count <= targets:
        raise errors.InputError(
            f"option `noise`=flip{'2' * (targets == 2)} with {count} classes: expected {targets + 1} or more"
        )
    matrix = (1 - rate) * np.eye(count)
    for c in range(count):
        others = np.delete(np.arange(count), c)
        # One draw without a size and one with it are different numbers of a RandomState.
        chosen = rng.choice(others) if targets == 1 else rng.choice(others, targets, replace=False)
        matrix[c, chosen] = rate / targets
    return matrix


def _groups(classes: Classes, superclasses: str) -> np.ndarray | None:
    """The superclass of each class, [K], or None."""
    if classes.superclasses is None:
        return None
    return np.asarray(classes.superclasses) if superclasses == "true" else np.arange(classes.count) // 5


def _next_in_group(groups: np.ndarray) -> list[int]:
    """For each class the next one of the same group, the first after the last."""
    following = np.empty(len(groups), np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        following[members] = np.roll(members, -1)
    return following.tolist()
