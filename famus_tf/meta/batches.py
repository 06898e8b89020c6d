"""The form of the batches that `fit` and the training loop hand to a step."""

from typing import Any, NamedTuple

import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax


class Batch(NamedTuple):
    """One side of a step's data.

    Attributes:
      images: [n, height, width, channels].
      labels: int32 or int64 [n], distributions [n, c], or `losses.dividemix.MixedLabels`.
      index: whole [n], positions of the examples; -1 where nobody knows.
    """

    images: tf.Tensor
    labels: Any
    index: tf.Tensor


def unpack(data, with_meta, needs_index=False):
    """Takes a step's data apart.

    Args:
      data: `((images, labels[, index]), (meta_images, meta_labels[, index]))`, or one such side alone.
      with_meta: whether the meta side is needed.
      needs_index: whether the training side's index is needed.

    Returns:
      Two `Batch`es, the second None unless `with_meta`.

    Raises:
      InputError: the meta side or the index is needed and absent, a side has other parts than these, or the labels are
        of a type that class ids cannot have.
    """
    if isinstance(data, tuple) and len(data) == 3 and data[1] is None and data[2] is None:
        data = data[0]  # as Keras's train_on_batch hands on what it is given without labels
    paired = is_pair(data)
    if with_meta and not paired:
        raise errors.InputError(
            "expected batches ((images, labels), (meta_images, meta_labels)); this meta-learner needs both sides"
        )
    training, meta = data if paired else (data, None)
    if needs_index and isinstance(training, tuple | list) and (len(training) == 2 or training[2] is None):
        raise errors.InputError(
            "batches (images, labels) with a meta-learner that remembers each example: expected (images, labels, "
            "index), the examples' positions in the training set"
        )
    return _batch(training), _batch(meta) if with_meta else None


def is_pair(data):
    """Whether a step's data has two sides, each `(images, labels[, index])`."""
    return isinstance(data, (tuple, list)) and len(data) == 2 and isinstance(data[0], (tuple, list))


def _batch(batch):
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        parts = f"of {len(batch)} parts" if isinstance(batch, tuple | list | dict) else "that is one tensor"
        raise errors.InputError(f"a batch {parts}: expected (images, labels) or (images, labels, index)")
    images, labels, *rest = batch
    if tf.is_tensor(labels) or not isinstance(labels, tuple):  # mixed labels are several tensors
        labels = softmax.as_labels(labels)
    if not rest or rest[0] is None:
        return Batch(images, labels, tf.fill([tf.shape(images)[0]], tf.constant(-1, tf.int64)))
    index = tf.convert_to_tensor(rest[0])
    if not index.dtype.is_integer or index.shape.rank != 1:
        raise errors.InputError(
            f"the third part of a batch is {index.dtype.name} of shape {index.shape}: expected the examples' index, "
            "whole numbers [n]; a method weighs its examples itself, sample weights are not taken"
        )
    return Batch(images, labels, index)
