"""MixMatch with one network, on examples whose labels are believed and on others (Berthelot et al., NeurIPS 2019)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from famus_tf.losses import dividemix
from famus_tf.methods import mixmatch


def views_of(images: tf.Tensor) -> list[tf.Tensor]:
    """[n, v, H, W, C] -> v times [n, H, W, C]; [n, H, W, C] -> that alone."""
    return tf.unstack(images, axis=1) if images.shape.rank == 5 else [images]


def mean_probabilities(predict: Callable[[tf.Tensor], tf.Tensor], views: list[tf.Tensor]) -> tf.Tensor:
    """Mean over the views of softmax(predict(view)), float32 [n, c]; one pass over all of them, no gradient."""
    rows = tf.nn.softmax(tf.cast(predict(tf.concat(views, axis=0)), tf.float32))
    return tf.stop_gradient(tf.add_n(tf.split(rows, len(views))) / len(views))


def mixed_batch(
    labelled: tuple[list[tf.Tensor], tf.Tensor],
    unlabelled: tuple[list[tf.Tensor], tf.Tensor],
    alpha: float,
    weight: tf.Tensor,
    seeds: tf.Tensor,
) -> tuple[tf.Tensor, dividemix.MixedLabels]:
    """All views of both kinds mixed with each other.

    Args:
      labelled, unlabelled: two views [n, H, W, C] and their targets [n, c], of each kind as many.
      alpha: of `mixmatch.mix_coefficient`; 0 mixes nothing.
      weight: of the unlabelled rows, scalar.
      seeds: int [2, 2].

    Returns:
      Images [4n, H, W, C] and their `dividemix.MixedLabels`.
    """
    images = tf.concat([*labelled[0], *unlabelled[0]], axis=0)
    targets = tf.concat([labelled[1]] * 2 + [unlabelled[1]] * 2, axis=0)
    if alpha:
        images, targets = mixmatch.mix_up(
            images, targets, mixmatch.mix_coefficient(alpha, seeds[0]), seeds[1], blocks=4
        )
    rows = tf.shape(targets)[0]
    labels = dividemix.MixedLabels(targets, tf.range(rows) < rows // 2, tf.cast(weight, tf.float32))
    return tf.nest.map_structure(tf.stop_gradient, (images, labels))
