"""What `MemoryWeightNet.remember` writes down of a batch."""

import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.meta import batches, example_scores

COUNT = 20
PROBES = {"rule": "probes", "num_probes": 5, "num_classes": 3}


@pytest.mark.parametrize("as_distributions", [False, True])
def test_examples_are_remembered_in_the_groups_of_their_labels_probes_apart(as_distributions):
    learner = famus_tf.MemoryWeightNet(COUNT, **PROBES)
    learner.create_variables()
    labels = tf.constant([2, 0, 1, 2])
    labels = tf.one_hot(labels, 3) * 0.8 + 0.05 if as_distributions else labels
    index = tf.constant([COUNT - 6, 3, COUNT - 5, COUNT - 1], tf.int64)
    learner.remember(index, labels, tf.zeros([4, 3]), None)
    np.testing.assert_array_equal(learner.memory.group_of(index), [2, 0, 3 + 1, 3 + 2])


@pytest.mark.parametrize("kind", [tf.uint8, tf.int16, tf.int32, tf.uint64])
def test_positions_of_any_whole_type(kind):
    learner = famus_tf.MemoryWeightNet(COUNT, **PROBES)
    learner.create_variables()
    index = tf.cast(tf.constant([3, COUNT - 1]), kind)
    learner.remember(index, tf.constant([1, 2]), tf.zeros([2, 3]), None)
    assert learner.parameters(batches.Batch(None, None, index))[1].shape == (2, 2)
    np.testing.assert_array_equal(learner.memory.means()[1].numpy().nonzero(), [[3, COUNT - 1], [1, 1]])


def test_logits_that_are_no_numbers_are_no_visit():
    learner = famus_tf.MemoryWeightNet(COUNT, ("agreement", "probability"))
    learner.create_variables()
    logits = tf.constant([[np.nan, 0.0, 0.0], [0.0, 1.0, 0.0]])
    learner.remember(tf.constant([0, 1]), tf.constant([0, 1]), logits, None)
    np.testing.assert_array_equal(learner.memory.means()[1].numpy()[:2], [[0, 0], [1, 1]])


def test_loss_and_score_are_those_of_the_step_where_class_weights_hold_later():
    loss = famus_tf.losses.ClassWeighted(famus_tf.losses.CrossEntropy(), [10.0, 1.0, 1.0], first_step=5)
    learner = famus_tf.MemoryWeightNet(
        COUNT, ("loss", "probability"), num_classes=3, loss=loss, emphasis=famus_tf.MWNet()
    )
    learner.create_variables()
    assert learner.emphasis.training_loss is loss
    labels, logits = tf.constant([0, 1]), tf.zeros([2, 3])
    for first, step in ((0, 4), (2, 5)):
        learner.remember(tf.constant([first, first + 1]), labels, logits, None, tf.constant(step, tf.int64))
    found = learner.memory.means()[0].numpy()[:4, 0]
    np.testing.assert_allclose(found[:2], np.log(3), rtol=1e-5)
    np.testing.assert_allclose(found[2:], loss(labels, logits, tf.constant(5, tf.int64)), rtol=1e-5)
    assert found[2] > 2 * found[3]


def test_scores_are_standardised_over_unequal_shares(two_replicas):
    """As of a last batch that does not divide."""
    scores = tf.constant(np.random.default_rng(0).standard_normal(7), tf.float32)

    @tf.function
    def step(parts):
        return two_replicas.run(example_scores.standardised, args=(parts,))

    shares = two_replicas.experimental_distribute_values_from_function(
        lambda context: (scores[:4], scores[4:])[context.replica_id_in_sync_group]
    )
    found = np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(step(shares))])
    np.testing.assert_allclose(found, (scores - np.mean(scores)) / np.std(scores), rtol=1e-5)


def test_equal_scores_say_nothing():
    for value, count in ((0.1, 7), (0.3, 6)):
        scores = example_scores.standardised(tf.fill([count], value))
        np.testing.assert_array_equal(scores, np.zeros(count))
