"""Meta-Weight-Net's labels bit by bit, against its way of drawing them: NumPy's global generator, one by one."""

import numpy as np
import pytest

from famus_tf.data.labels import mw_net_protocol, noise
from famus_tf.data.sets import cifar

# The maps that its code makes for CIFAR-10, whatever the seed.
_FLIP = {0: 6, 1: 9, 2: 6, 3: 0, 4: 0, 5: 1, 6: 8, 7: 6, 8: 2, 9: 4}
_FLIP2 = {
    **{0: [3, 9], 1: [4, 8], 2: [1, 8], 3: [4, 8], 4: [2, 5]},
    **{5: [4, 7], 6: [2, 9], 7: [5, 8], 8: [5, 6], 9: [4, 5]},
}


def _classes(count):
    return noise.Classes(10, tuple(range(10))) if count == 10 else noise.Classes(100, None, cifar.CIFAR100_SUPERCLASSES)


def _one_by_one(labels, count, per_class, kind, rate, seed):
    """A loop over examples, with the global generator that the order of calls goes by."""
    np.random.seed(seed)
    meta, train = [], []
    for c in range(count):
        members = [i for i, label in enumerate(labels) if label == c]
        np.random.shuffle(members)
        meta += members[:per_class]
        train += members[per_class:]
    rows = np.arange(count)
    if kind == "symmetric":
        matrix = rate * np.full((count, count), 1 / count) + (1 - rate) * np.eye(count)
    elif kind == "hierarchical":
        matrix = np.eye(count) * (1 - rate)
        for c in range(count):
            siblings = [d for d in rows if cifar.CIFAR100_SUPERCLASSES[d] == cifar.CIFAR100_SUPERCLASSES[c] and d != c]
            matrix[c, siblings] += rate / len(siblings)
    else:
        np.random.seed(1)
        matrix = np.eye(count) * (1 - rate)
        for c in range(count):
            if kind == "flip":
                matrix[c][np.random.choice(rows[rows != c])] = rate
            else:
                matrix[c][np.random.choice(rows[rows != c], 2, replace=False)] = rate / 2
    noisy = [np.random.choice(count, p=matrix[labels[i]]) for i in train]
    return meta, train, noisy


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("seed", [1, 5])
@pytest.mark.parametrize(
    ("kind", "count"),
    [*((kind, count) for kind in ("symmetric", "flip", "flip2") for count in (10, 100)), ("hierarchical", 100)],
)
def test_labels_bit_by_bit(kind, count, seed, rate):
    labels = np.random.default_rng(3).permutation(np.arange(4000) % count).astype(np.int32)
    state = np.random.get_state()
    try:
        expected = _one_by_one(labels, count, 6, kind, rate, seed)
    finally:
        np.random.set_state(state)
    found = mw_net_protocol.split_and_corrupt(
        labels, _classes(count), meta_per_class=6, kind=kind, rate=rate, seed=seed
    )
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert found[2].dtype == np.int32


@pytest.mark.parametrize(("kind", "targets"), [("flip", _FLIP), ("flip2", _FLIP2)])
def test_published_flip_maps(kind, targets):
    labels = np.arange(20_000) % 10
    _, train, noisy = mw_net_protocol.split_and_corrupt(
        labels, _classes(10), meta_per_class=100, kind=kind, rate=0.5, seed=8
    )
    for c in range(10):
        seen = set(noisy[labels[train] == c].tolist()) - {c}
        assert seen == set(np.atleast_1d(targets[c]).tolist())
