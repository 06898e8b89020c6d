"""What `fit` and `evaluate` are given: arrays or batches, looked through before they are trained on."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax

# How a batch whose labels are no classes ends: by the check below, and by TensorFlow's own on a CPU.
_NOT_FINITE = "images hold NaN or infinity"
_CHECKED = re.compile(r"labels are no classes.*?\[(-?\d+)\] \[(-?\d+)\] \[(\d+)\]", re.DOTALL)
_OF_TENSORFLOW = re.compile(r"Received a label value of (-?\d+) which is outside the valid range of \[0, (\d+)\)")
_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Images and labels that `fit` was given as arrays.

    Attributes:
        images: [N, ...].
        labels: class ids int [N], or distributions [N, c].
    """

    images: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)


def arrays(images: Any, labels: Any, num_classes: int, name: str) -> Arrays:
    """Images and labels as arrays, checked.

    Args:
      images, labels: NumPy arrays, tensors, or what NumPy makes an array of.
      num_classes: c, the number of the network's logits.
      name: what they are, for the error.

    Raises:
      InputError: they differ in number, an image holds NaN or infinity, or a label is no class.
    """
    images, labels = (part if tf.is_tensor(part) else np.asarray(part) for part in (images, labels))
    if len(images) != len(labels) or not len(labels):
        raise errors.InputError(
            f"{name}: {len(images):,} images and {len(labels):,} labels; expected as many of both, and one at least"
        )
    for start in range(0, len(images), _CHUNK):
        chunk = np.asarray(images[start : start + _CHUNK])
        if chunk.dtype.kind == "f" and not np.isfinite(chunk.sum()):
            finite = np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
            if not finite.all():
                raise errors.InputError(
                    f"{name}: image {start + int(finite.argmin()):,} holds NaN or infinity; expected finite numbers"
                )
    return Arrays(images, _labels(np.asarray(labels), num_classes, name))


def _labels(labels, num_classes, name):
    expected = f"expected class ids 0 to {num_classes - 1}, one of the network's {num_classes} outputs each"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "biuf":
        raise errors.InputError(f"{name}: labels of type {labels.dtype}; {expected}, or distributions")
    if labels.ndim == 1:
        whole = np.isfinite(labels) & (labels == np.floor(labels)) if labels.dtype.kind == "f" else labels == labels
        right = whole & (labels >= 0) & (labels < num_classes)
        if not right.all():
            wrong = int(right.argmin())
            raise errors.InputError(f"{name}: label {wrong:,} is {labels[wrong]}; {expected}")
        return labels.astype(np.int64)
    if labels.ndim != 2 or labels.shape[1] != num_classes:
        raise errors.InputError(
            f"{name}: labels of shape {labels.shape}; {expected}, or distributions (N, {num_classes})"
        )
    sums = labels.sum(axis=1, dtype=np.float64)
    right = (np.abs(sums - 1) < 1e-2) & (labels >= 0).all(axis=1)
    if not right.all():
        wrong = int(right.argmin())
        raise errors.InputError(
            f"{name}: label {wrong:,} sums to {sums[wrong]:g}; expected distributions, which sum to 1"
        )
    return labels


def pairs(
    training: Any, meta: Any, *, batch_size: int | None, meta_batch_size: int | None, shuffle: bool, num_classes: int
) -> tf.data.Dataset:
    """Whole batches of a training and of a meta set, `((images, labels, index), (images, labels, index))`.

    Args:
      training, meta: `Arrays`; or a `tf.data.Dataset` of batches, as it is. The meta set begins again where it ends.
      batch_size: n; 32 unless given, or all there are.
      meta_batch_size: m; n unless given, or all there are.
      shuffle: whether arrays are shuffled, anew in each epoch.
      num_classes: c.
    """
    size = batch_size or 32
    if isinstance(training, Arrays):
        size = min(size, len(training))
        training = _batches(training, size, shuffle, repeat=False)
    if isinstance(meta, Arrays):
        meta = _batches(meta, meta_batch_size or min(size, len(meta)), shuffle, repeat=True)
    else:
        meta = meta.repeat()
    return checked(tf.data.Dataset.zip(training, meta), num_classes)


def _batches(known, size, shuffle, repeat):
    images, labels = tf.constant(known.images), tf.constant(known.labels)
    order = tf.data.Dataset.range(len(known))
    order = order.shuffle(len(known)) if shuffle else order
    order = order.repeat() if repeat else order

    @tf.autograph.experimental.do_not_convert
    def assemble(index):
        return tf.gather(images, index), tf.gather(labels, index), index

    batches = order.batch(size, drop_remainder=True)
    return batches.map(assemble, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def checked(batches: Any, num_classes: int) -> Any:
    """The same batches, which are looked through while they are made: on the CPU, ahead of the step.

    Args:
      batches: a `tf.data.Dataset`; anything else is returned as it is.
      num_classes: c.
    """
    if not isinstance(batches, tf.data.Dataset):
        return batches

    @tf.autograph.experimental.do_not_convert
    def check(*sides):
        paired = len(sides) == 2 and isinstance(sides[0], tuple | list)
        sides_of_batch = [side for side in (sides if paired else [sides]) if len(side) > 1]
        checks = [_assert_classes(side[1], num_classes) for side in sides_of_batch]
        checks += [_assert_finite(side[0]) for side in sides_of_batch]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.nest.map_structure(tf.identity, sides)

    if not isinstance(batches.element_spec, tuple):
        return batches
    return batches.map(check, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _assert_classes(labels, num_classes):
    """An assertion of whole class ids; None where the labels are something else, of which tracing a step will tell."""
    if not tf.is_tensor(labels) or not labels.dtype.is_integer:
        return None
    if labels.shape.rank != 1 and not (labels.shape.rank == 2 and labels.shape[1] == 1):
        return None
    lowest, highest = tf.reduce_min(labels), tf.reduce_max(labels)
    right = tf.logical_and(tf.cast(lowest, tf.int64) >= 0, tf.cast(highest, tf.int64) < num_classes)
    return tf.debugging.Assert(right, ["labels are no classes", lowest, highest, num_classes])


def _assert_finite(images):
    if not tf.is_tensor(images) or not images.dtype.is_floating:
        return None
    return tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(images)), [_NOT_FINITE])


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Around what runs steps: what `checked` finds becomes one sentence, in place of a page of the graph."""
    try:
        yield
        return
    except tf.errors.InvalidArgumentError as error:
        if _NOT_FINITE in str(error):
            raise errors.InputError("a batch has images that hold NaN or infinity; expected finite numbers") from None
        found = _CHECKED.search(str(error)) or _OF_TENSORFLOW.search(str(error))
        if found is None:
            raise
        *labels, count = map(int, found.groups())
        number = labels[0] if labels[0] < 0 else labels[-1]
    raise errors.InputError(
        f"a batch has label {number}; expected class ids 0 to {count - 1}, one of the network's {count} outputs each"
    )


class StopAtNaN(keras.callbacks.Callback):
    """Ends `fit` after an epoch that left a loss or a weight that is no number, where no other callback has.

    Weights are looked at too: ReLU makes 0 of NaN, and the loss would stay a number.

    Raises:
      InputError: a mean loss of the epoch, or a weight, is NaN or infinite.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the epoch's mean losses and at the trained variables."""
        if self.model.stop_training:
            return
        values = {name: float((logs or {}).get(name, 0.0)) for name in ("loss", "meta_loss")}
        found = [f"{name} is {value}" for name, value in values.items() if not np.isfinite(value)]
        if not found:
            variables = self.model.trained_variables
            found = [f"{v.path} holds NaN or infinity" for v in variables if not _is_finite(v.value)]
        if found:
            raise errors.InputError(
                f"epoch {epoch + 1}: {found[0]}; expected a learning rate at which training does not diverge, finite "
                "images, and labels that are classes"
            )


class StopAtStrangers(keras.callbacks.Callback):
    """Ends `fit` after an epoch in which a learner that remembers has met none of its examples.

    Raises:
      InputError: no batch had an index that the learner has a row for.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks for any visit."""
        learner = getattr(self.model, "meta_learner", None)
        if learner is not None and learner.remembers and learner.memory.is_empty():
            raise errors.InputError(
                f"epoch {epoch + 1}: no batch had an example of index 0 to {learner.num_examples - 1}, which is all "
                f"that {type(learner).__name__} remembers; expected batches (images, labels, index)"
            )


def _is_finite(values):
    return bool(tf.reduce_all(tf.math.is_finite(values)))


def validation(given: Any, num_classes: int) -> Any:
    """`validation_data` of `fit`, checked: `(images, labels[, weights])` as arrays, or batches."""
    if not isinstance(given, tuple | list):
        return checked(given, num_classes)
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(tuple(given))
    return (*evaluated(images, labels, num_classes), as_weights(weights))


def evaluated(x: Any, y: Any, num_classes: int) -> tuple[Any, Any]:
    """x and y of `evaluate`, checked: images and labels as arrays, or batches and None."""
    if y is None:
        return checked(x, num_classes), None
    known = arrays(x, y, num_classes, "data to evaluate")
    return known.images, known.labels


def as_weights(weights: Any) -> Any:
    """Sample weights of `evaluate` as floats: whole numbers in a batch's third part are an index."""
    return None if weights is None else np.asarray(weights, np.float32)


def evaluated_part(data: Any) -> tuple[Any, Any, Any]:
    """A batch of `evaluate`, `(images, labels[, weight])`, as images, labels and weight; an index is no weight.

    Raises:
      InputError: there are no labels, or class ids of a type that they cannot have.
    """
    images, labels, weight = keras.utils.unpack_x_y_sample_weight(data)
    if labels is None:
        raise errors.InputError(
            "a batch to evaluate without labels: expected (images, labels) or (images, labels, weight)"
        )
    if weight is not None and tf.convert_to_tensor(weight).dtype.is_integer:
        weight = None
    return images, softmax.as_labels(labels), weight
