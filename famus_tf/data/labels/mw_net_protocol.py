"""The clean set and the noisy labels of Meta-Weight-Net's published code, label by label.

Shu et al., "Meta-Weight-Net" (2019). One thing is not copied: its script draws the clean set with seed 1 and the
training set with the seed of the run, so that with another seed nearly all clean images are trained on with noisy
labels as well. Here one seed draws both. With seed 1 the result is the published one.
"""

from __future__ import annotations

import numpy as np

from famus_tf.data.labels import noise as noise_lib

KINDS = ("none", "symmetric", "flip", "flip2", "hierarchical")
# Its functions that make the flip matrices set NumPy's global seed to this, whatever the run's.
_FLIP_SEED = 1


def split_and_corrupt(
    labels: np.ndarray, classes: noise_lib.Classes, *, meta_per_class: int, kind: str, rate: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Takes the clean set out of the training set and makes labels of the rest wrong.

    Args:
        labels: true class ids [N] of the whole training set, in its own order.
        classes: the data set's classes.
        meta_per_class: clean images of each class.
        kind: one of `KINDS`; symmetric noise draws from all classes, the true one included.
        rate: r in [0, 1].
        seed: of NumPy's global generator.

    Returns:
        Positions of the clean set; positions of the training set; its noisy labels, int32. All in the code's order:
        class by class.

    Raises:
        errors.InputError: see `noise.transition_matrix`.
    """
    rng = np.random.RandomState(seed)
    meta, train = [], []
    for c in range(classes.count):
        members = np.flatnonzero(labels == c)
        rng.shuffle(members)
        meta.append(members[:meta_per_class])
        train.append(members[meta_per_class:])
    meta, train = np.concatenate(meta), np.concatenate(train)
    true = labels[train].astype(np.int32)
    if kind == "none":
        return meta, train, true
    if kind == "symmetric":
        count = classes.count
        matrix = rate * np.full((count, count), 1 / count) + (1 - rate) * np.eye(count)
    else:
        rng = np.random.RandomState(_FLIP_SEED) if kind.startswith("flip") else rng
        matrix = noise_lib.transition_matrix(kind, rate, classes, "true", rng)
    return meta, train, noise_lib.draw(true, matrix, rng)
