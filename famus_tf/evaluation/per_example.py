"""What a network says of each example of a labelled set."""

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from famus_tf.devices import cluster as clusters
from famus_tf.devices import sharing
from famus_tf.losses import given_label, softmax


class Said(NamedTuple):
    """Of each example in the batches' order, [N]; NaN, and -1, for what does not count.

    Attributes:
      loss: cross-entropy of its label, float32.
      probability: of its label, float32.
      margin: the label's logit less the largest other one, float32.
      predicted: class id, int64.
      predicted_probability: of that class, float32.
      rank: how many classes have a larger logit than the label, int64.
    """

    loss: np.ndarray
    probability: np.ndarray
    margin: np.ndarray
    predicted: np.ndarray
    predicted_probability: np.ndarray
    rank: np.ndarray


def make_scanner(strategy, predict):
    """Compiles a pass over a labelled set that tells what the network says of each example.

    Args:
      strategy: a `tf.distribute.Strategy`; each batch is split over its replicas.
      predict: function uint8 images [n, h, w, ch] -> logits [n, c], without side effects.

    Returns:
      A function of batches `(images, labels, weight)`, all of one size (weight 0 marks what does not count), that
      returns `Said`, the same on all workers.
    """

    @tf.function(autograph=False)
    def scan(images, labels, weight):
        def rows(images, labels, weight):
            records = _rows(tf.cast(predict(images), tf.float32), labels, weight)
            return sharing.complete_records(strategy, records, rows=Said._fields, shares=())

        return strategy.run(rows, args=(images, labels, weight))

    def run(batches):
        kept = 1 if clusters.num_workers(strategy) > 1 else None  # each has all of them
        scanned = [scan(*batch) for batch in batches]

        def joined(name):
            local = strategy.experimental_local_results
            parts = itertools.chain.from_iterable(local(one[name])[:kept] for one in scanned)
            return np.concatenate([part.numpy() for part in parts])

        return Said(*map(joined, Said._fields))

    return run


def make_predictor(strategy, predict):
    """Compiles a pass over images that gives the probabilities of all classes, float32 [N, c], as `make_rows`."""
    return make_rows(strategy, lambda images: tf.nn.softmax(tf.cast(predict(images), tf.float32)))


def make_rows(strategy, predict):
    """Compiles a pass over images that gives a row of numbers for each.

    Args:
      strategy, predict: as in `make_scanner`; logits may be any rows [n, d].

    Returns:
      A function of batches as in `make_scanner` -> float32 [N, d] in their order, the same on all workers; NaN in rows
      of what does not count.
    """

    @tf.function(autograph=False)
    def predicted(images, labels, weight):
        del labels

        def rows(images, weight):
            found = tf.cast(predict(images), tf.float32)
            records = {"rows": tf.where(weight[:, tf.newaxis] > 0, found, np.nan)}
            return sharing.complete_records(strategy, records, rows=("rows",), shares=())

        return strategy.run(rows, args=(images, weight))["rows"]

    def run(batches):
        kept = 1 if clusters.num_workers(strategy) > 1 else None
        local = strategy.experimental_local_results
        return np.concatenate([part.numpy() for batch in batches for part in local(predicted(*batch))[:kept]])

    return run


def _rows(logits, labels, weight):
    counts = weight > 0
    predicted = tf.argmax(logits, axis=-1)
    found = {"loss": softmax.cross_entropy(labels, logits), **given_label.rows(labels, logits)}
    found["predicted_probability"] = tf.reduce_max(tf.nn.softmax(logits), axis=-1)
    rows = {name: tf.where(counts, values, np.nan) for name, values in found.items()}
    of_label = tf.gather(logits, labels, batch_dims=1)
    rank = tf.reduce_sum(tf.cast(logits > of_label[:, tf.newaxis], tf.int64), axis=-1)
    whole = {"predicted": predicted, "rank": rank}
    return rows | {name: tf.where(counts, values, -1) for name, values in whole.items()}
