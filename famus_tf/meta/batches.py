"""The form of the batches that `fit` and the training loop hand to a step."""

import tensorflow as tf

from famus_tf import errors


def unpack(data, with_meta):
    """Takes a step's data apart.

    Args:
      data: `((images, labels[, index]), (meta_images, meta_labels[, index]))`, or one such side alone.
      with_meta: whether the meta side is needed.

    Returns:
      Two triples (images, labels, index), the second None unless `with_meta`; where no index was given it is -1.

    Raises:
      InputError: the meta side is needed and absent.
    """
    paired = isinstance(data, (tuple, list)) and len(data) == 2 and isinstance(data[0], (tuple, list))
    if with_meta and not paired:
        raise errors.InputError(
            "expected batches ((images, labels), (meta_images, meta_labels)); this meta-learner needs both sides"
        )
    training, meta = data if paired else (data, None)
    return _triple(training), _triple(meta) if with_meta else None


def _triple(batch):
    images, labels, *rest = batch
    return images, labels, rest[0] if rest else tf.fill([tf.shape(images)[0]], tf.constant(-1, tf.int64))
