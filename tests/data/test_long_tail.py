"""Class counts of long-tailed sets against the published tables."""

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.labels import long_tail

# (K, n_max, imbalance): (total, smallest): Cui et al. and LDAM count from 5000 / 500, Meta-Weight-Net from 4990 / 490.
_TABLE = {
    (10, 5000, 10): (20431, 500),
    (10, 5000, 20): (17023, 250),
    (10, 5000, 50): (13996, 100),
    (10, 5000, 100): (12406, 50),
    (10, 5000, 200): (11203, 25),
    (10, 4990, 10): (20391, 499),
    (10, 4990, 20): (16989, 249),
    (10, 4990, 50): (13967, 99),
    (10, 4990, 100): (12380, 49),
    (10, 4990, 200): (11177, 24),
    (100, 500, 10): (19573, 50),
    (100, 500, 20): (15907, 25),
    (100, 500, 50): (12608, 10),
    (100, 500, 100): (10847, 5),
    (100, 500, 200): (9502, 2),
    (100, 490, 10): (19183, 49),
    (100, 490, 20): (15594, 24),
    (100, 490, 50): (12354, 9),
    (100, 490, 100): (10626, 4),
    (100, 490, 200): (9304, 2),
}


@pytest.mark.parametrize("setting", _TABLE)
def test_published_counts(setting):
    count, largest, imbalance = setting
    counts = long_tail.class_counts(largest, count, imbalance)
    assert (counts.sum(), counts.min()) == _TABLE[setting]
    assert counts[0] == largest and np.all(np.diff(counts) <= 0)


def test_step():
    np.testing.assert_array_equal(long_tail.class_counts(500, 5, 100, "step"), [500, 500, 5, 5, 5])


def test_one_is_balanced():
    np.testing.assert_array_equal(long_tail.class_counts(500, 4, 1), [500] * 4)


def test_kept_examples():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [50, 50, 3]))
    kept = long_tail.keep(labels, np.array([40, 10, 5]), np.random.default_rng(1))
    np.testing.assert_array_equal(np.bincount(labels[kept]), [40, 10, 3])
    assert np.all(np.diff(kept) > 0) and kept.dtype == np.int64
    other = long_tail.keep(labels, np.array([40, 10, 5]), np.random.default_rng(2))
    assert not np.array_equal(kept, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((500, 10, 0.5), "imbalance is 0.5, expected 1 or more"),
        ((500, 10, float("nan")), "imbalance is nan"),
        ((500, 10, 10, "bumpy"), "no imbalance 'bumpy'"),
        ((50, 10, 200), "leaves class 7 without an example, as the largest class has 50"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(errors.InputError, match=message):
        long_tail.class_counts(*arguments)
