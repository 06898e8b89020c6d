"""Accuracy on a labelled set, the same for a network in training and for an exported SavedModel."""

import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax

# Training images of a class: more than MANY is many-shot, fewer than FEW is few-shot (Liu et al., "Large-Scale
# Long-Tailed Recognition in an Open World", CVPR 2019).
MANY = 100
FEW = 20


def make_evaluator(strategy, predict):
    """Compiles a pass over a labelled set once, for use after every epoch.

    Args:
      strategy: a `tf.distribute.Strategy`; each batch is split over its replicas, and the result is over all of
        them, whichever worker asks (all must).
      predict: function uint8 images [n, h, w, ch] -> logits [n, c], or a list of such, without side effects.

    Returns:
      A function of batches `(images, labels, weight)` that `strategy.run` takes apart, all of one size (weight 0 marks
      what does not count), that returns a dict of floats: `accuracy`, `top5` (fractions), `loss` (mean cross-entropy)
      and `examples`; and `class_accuracy`, a list with the accuracy on each class's examples, None where it has none.
      Of a list of logits it is a list of such dicts.
    """

    @tf.function(autograph=False)
    def count(images, labels, weight):
        totals = strategy.run(lambda *batch: _count(predict, *batch), args=(images, labels, weight))
        return tf.nest.map_structure(lambda part: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None), totals)

    def evaluate(batches):
        counted = [tf.nest.map_structure(_as_float64, count(*batch)) for batch in batches]
        return tf.nest.map_structure(lambda *parts: _describe(sum(parts)), *counted)

    return evaluate


def _as_float64(tensor):
    return tensor.numpy().astype(np.float64)


def _describe(totals):
    """What `_count` has summed, [c, 4], in words."""
    right, top5, loss, examples = totals.sum(axis=0)
    return {
        "accuracy": right / examples,
        "top5": top5 / examples,
        "loss": loss / examples,
        "examples": int(examples),
        "class_accuracy": [float(row[0] / row[3]) if row[3] else None for row in totals],
    }


def _count(predict, images, labels, weight):
    """Sums over one batch by class: right, right among the first five, cross-entropy, examples; float32 [c, 4]."""
    return tf.nest.map_structure(lambda logits: _count_one(logits, labels, weight), predict(images))


def _count_one(logits, labels, weight):
    logits = tf.cast(logits, tf.float32)
    top5 = tf.math.in_top_k(labels, logits, k=min(5, logits.shape[-1]))
    right = tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels)
    losses = softmax.cross_entropy(labels, logits)
    rows = tf.stack([tf.cast(right, tf.float32), tf.cast(top5, tf.float32), losses, tf.ones_like(losses)])
    one_hot = tf.one_hot(labels, logits.shape[-1])  # [n, c]
    # A product of zero and an infinite loss of what does not count would not be zero.
    return tf.matmul(one_hot, tf.where(weight > 0, rows, 0.0), transpose_a=True, transpose_b=True)


def by_class_size(class_accuracy, counts):
    """What an evaluation says of large and of small classes.

    Args:
      class_accuracy: list [c], None for a class without test images.
      counts: training images of each class, int [c].

    Returns:
      Dict: `class_mean`, the mean over the classes; `many`, `medium` and `few`, those over classes of more than 100, of
      20 to 100 and of fewer than 20 training images; without groups that have no class.
    """
    known = np.array([accuracy is not None for accuracy in class_accuracy])
    values = np.array([accuracy or 0.0 for accuracy in class_accuracy])
    groups = {
        "class_mean": known,
        "many": known & (counts > MANY),
        "medium": known & (counts >= FEW) & (counts <= MANY),
        "few": known & (counts < FEW),
    }
    return {name: float(values[members].mean()) for name, members in groups.items() if members.any()}
