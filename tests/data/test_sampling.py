"""Which examples make which batch: epochs of a fixed length, balanced epochs, and what stands in for bad images."""

import itertools

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.batches import sampling
from famus_tf.data.labels import balance

_LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), (60, 25, 12, 3))).astype(np.int32)


def test_steps_per_epoch():
    assert sampling.steps_per_epoch(23, 4) == 5
    assert sampling.steps_per_epoch(24, 4) == 6
    assert sampling.steps_per_epoch(4, 4) == 1
    assert sampling.steps_per_epoch(24, 4, sampling.Sampling(6)) == 6
    assert sampling.steps_per_epoch(24, 4, sampling.Sampling(2, balanced=True)) == 2
    with pytest.raises(errors.InputError, match="batch size is 5, expected at most the 4"):
        sampling.steps_per_epoch(4, 5)
    with pytest.raises(errors.InputError, match="batch size is 0"):
        sampling.steps_per_epoch(4, 0)
    with pytest.raises(errors.InputError, match=r"an epoch of 7 batches of 4, expected at most the 24 .* fill 6"):
        sampling.steps_per_epoch(24, 4, sampling.Sampling(7))


def test_a_short_epoch_is_the_beginning_of_a_whole_one():
    whole = sampling.epoch_order(_LABELS, 5, 0, "train", 2)
    np.testing.assert_array_equal(np.sort(whole), np.arange(100))
    short = sampling.epoch_order(_LABELS, 5, 0, "train", 2, sampling.Sampling(3))
    np.testing.assert_array_equal(short, whole[:15])


@pytest.mark.parametrize("batches", [2, 4, 12])
def test_balanced_epochs(batches):
    """As many of each class as it has and the others leave room for; which classes have one more is drawn."""
    drawn = sampling.Sampling(batches, balanced=True)
    orders = [sampling.epoch_order(_LABELS, 5, 0, "train", epoch, drawn) for epoch in range(40)]
    for order in orders:
        assert len(order) == 5 * batches == len(set(order))
        found = np.bincount(_LABELS[order], minlength=4)
        size = 5 * batches
        # Pouring: one at a time to a class with the fewest so far that has one left.
        expected, left = np.zeros(4, int), np.array([60, 25, 12, 3])
        for _ in range(size):
            expected[min((c for c in range(4) if expected[c] < left[c]), key=lambda c: (expected[c], c))] += 1
        np.testing.assert_array_equal(np.sort(found), np.sort(expected))
    assert len({tuple(order) for order in orders}) == 40
    assert len(set(np.concatenate(orders))) > 80  # over the epochs everything has its turn
    assert all((np.diff(order) < 0).any() for order in orders)


def test_batches_go_on_from_any_step():
    drawn = sampling.Sampling(4, balanced=True)
    whole = list(sampling.batch_positions(_LABELS, 5, range(0, 11), 7, "train", drawn))
    for first in range(11):
        again = list(sampling.batch_positions(_LABELS, 5, range(first, 11), 7, "train", drawn))
        for found, expected in zip(again, whole[first:], strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("drawn", [sampling.NATURAL, sampling.Sampling(3, balanced=True)])
def test_batches_of_some_of_the_examples(drawn):
    """They are those of the examples alone, each once in an epoch, and go on from any step."""
    among = np.random.default_rng(1).permutation(100)[:37]
    whole = list(sampling.batch_positions(_LABELS, 5, range(0, 15), 7, "labelled", drawn, subset=among))
    alone = sampling.batch_positions(_LABELS[among], 5, range(0, 15), 7, "labelled", drawn)
    for found, expected in zip(whole, alone, strict=True):
        np.testing.assert_array_equal(found[0], among[expected[0]])
        np.testing.assert_array_equal(found[1], expected[1])
    per_epoch = 3 if drawn.balanced else 7
    epochs = [np.concatenate([p for p, _ in whole[start : start + per_epoch]]) for start in (0, per_epoch)]
    for epoch in epochs:
        assert len(set(epoch)) == 5 * per_epoch and set(epoch) <= set(among)
    assert list(epochs[0]) != list(epochs[1])
    for first in range(16):
        again = list(sampling.batch_positions(_LABELS, 5, range(first, 15), 7, "labelled", drawn, subset=among))
        for found, expected in zip(again, whole[first:], strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
    with pytest.raises(errors.InputError, match="batch size is 38, expected at most the 37"):
        list(sampling.batch_positions(_LABELS, 38, range(1), 7, "labelled", subset=among))


def test_the_next_good_one_of_the_class_stands_in():
    labels = np.array([0, 1, 0, 1, 0, 2, 0])
    np.testing.assert_array_equal(sampling.stand_ins(labels, np.array([2, 3])), [0, 1, 4, 1, 4, 5, 6])
    np.testing.assert_array_equal(sampling.stand_ins(labels, np.array([4, 6])), [0, 1, 2, 3, 0, 5, 0])
    # A class without a good one takes the next of any.
    np.testing.assert_array_equal(sampling.stand_ins(labels, np.array([5])), [0, 1, 2, 3, 4, 6, 6])
    with pytest.raises(errors.InputError, match="none of the 7 examples can be read"):
        sampling.stand_ins(labels, np.arange(7))


def test_what_stands_in_does_not_depend_on_the_order_of_discovery():
    """Where only some of the bad are known, a stand-in that is good is the final one; one that is bad is found next."""
    bad = np.array([3, 4, 5, 50, 51, 97])
    final = sampling.stand_ins(_LABELS, bad)
    for count in range(len(bad)):
        for known in itertools.combinations(bad, count):
            early = sampling.stand_ins(_LABELS, np.array(known, int)) if known else np.arange(100)
            good = ~np.isin(early, bad)
            np.testing.assert_array_equal(early[good], final[good])


def test_bad_positions_are_replaced_in_their_batches():
    bad = np.array([1, 30])
    plain = [positions for positions, _ in sampling.batch_positions(_LABELS, 10, range(10), 0, "train")]
    mended = [positions for positions, _ in sampling.batch_positions(_LABELS, 10, range(10), 0, "train", bad=bad)]
    instead = sampling.stand_ins(_LABELS, bad)
    np.testing.assert_array_equal(np.concatenate(mended), instead[np.concatenate(plain)])
    assert not set(bad) & set(np.concatenate(mended))


def test_subset_of_everything_and_of_nothing():
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(balance.subset(_LABELS, 100, rng), np.arange(100))
    assert balance.subset(_LABELS, 0, rng).tolist() == []
    assert balance.draw(_LABELS, 0, rng).tolist() == []
