"""Accuracy on a labelled set, the same for a network in training and for an exported SavedModel."""

import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import objectives


def make_evaluator(strategy, predict):
    """Compiles a pass over a labelled set once, for use after every epoch.

    Args:
      strategy: a `tf.distribute.Strategy`; each batch is split over its replicas, and the result is over all of
        them, whichever worker asks (all must).
      predict: function uint8 images [n, h, w, ch] -> logits [n, c], without side effects.

    Returns:
      A function of batches `(images, labels, weight)` that `strategy.run` takes apart, all of one size (weight 0 marks
      what does not count), that returns a dict of floats: `accuracy`, `top5` (fractions), `loss` (mean cross-entropy)
      and `examples`.
    """

    @tf.function(autograph=False)
    def count(images, labels, weight):
        totals = strategy.run(lambda *batch: _count(predict, *batch), args=(images, labels, weight))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, totals, axis=None)

    def evaluate(batches):
        totals = sum(count(*batch).numpy() for batch in batches)
        examples = float(totals[3])
        return {
            "accuracy": float(totals[0]) / examples,
            "top5": float(totals[1]) / examples,
            "loss": float(totals[2]) / examples,
            "examples": int(examples),
        }

    return evaluate


def _count(predict, images, labels, weight):
    """Sums over one batch: right, right among the first five, cross-entropy, examples; float32 [4]."""
    logits = tf.cast(predict(images), tf.float32)
    top5 = tf.math.in_top_k(labels, logits, k=min(5, logits.shape[-1]))
    right = tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels)
    losses = objectives.cross_entropy(labels, logits)
    rows = tf.stack([tf.cast(right, tf.float32), tf.cast(top5, tf.float32), losses, tf.ones_like(losses)])
    return tf.reduce_sum(rows * weight, axis=-1)


def load_exported(path):
    """Loads an exported SavedModel.

    Args:
      path: the folder that `export.export` wrote.

    Returns:
      Function uint8 images [n, h, w, ch] -> logits [n, c].

    Raises:
      InputError: the folder holds no SavedModel, or one that was not made by `export.export`.
    """
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise errors.InputError(
            f"{path}: no SavedModel to evaluate; --mode=train or --mode=export makes one"
        ) from error
    signature = getattr(loaded, "signatures", {}).get("serving_default")
    if signature is None or "logits" not in signature.structured_outputs:
        raise errors.InputError(f"{path}: expected a SavedModel with a signature 'serving_default' that gives 'logits'")

    def predict(images):
        return signature(images=images)["logits"]

    predict.model = loaded  # the signature holds the variables only weakly
    return predict
