"""Decoupling (Malach and Shalev-Shwartz, NeurIPS 2017): two networks learn where they disagree.

  w_i = 1 where argmax f_1(x_i) != argmax f_2(x_i), else 0; 1 for all in the first epochs
  each network takes a step on sum_i w_i l_i / max(n / 10, sum_i w_i)

The floor keeps steps small once the networks agree. Its code trains with class-balanced weights on a data set of
faces; here the sampling is what the flags say. Networks that begin alike never disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.methods import base, one_network, two_networks

_FLOOR = 0.1


@keras.saving.register_keras_serializable("famus_tf")
class Decoupling(two_networks.TwoNetworks):
    """Two networks trained on the examples about which they disagree.

    Args:
      networks: as in `two_networks.TwoNetworks`.
      first_step: steps in which all examples count.
    """

    def __init__(self, networks: Sequence[keras.Model], first_step: int = 0, **kwargs: Any) -> None:
        super().__init__(networks, **kwargs)
        self.first_step = int(first_step)

    def objective(
        self, labels: tf.Tensor, first: tf.Tensor, second: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The sum of both networks' losses over what they disagree about."""
        del rate
        apart = tf.argmax(first, axis=-1) != tf.argmax(second, axis=-1)
        losses = softmax.cross_entropy(labels, first) + softmax.cross_entropy(labels, second)
        early = self.step_number() < self.first_step
        counts = tf.cast(apart | early, losses.dtype)
        total = tf.cast(tf.size(counts) * replicas.count(), losses.dtype)
        among = tf.maximum(_FLOOR * total, replicas.all_reduce_sum(tf.reduce_sum(counts)))
        weights = counts * total / among
        return two_networks.mean_of_kept(losses, weights), weights

    def kept_share(self, weights: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """The share about which the networks disagree."""
        del rate
        return replicas.all_reduce_mean(tf.reduce_mean(tf.cast(weights > 0, tf.float32)))


def build(setting: base.Setting) -> Decoupling:
    """Decoupling from flags (`base.Setting`)."""
    networks = [setting.make_network(number) for number in range(2)]
    first_step = setting.baselines.decoupling_epochs * setting.steps_per_epoch
    method = Decoupling(networks, first_step, weight_decay=setting.optimization.weight_decay)
    return one_network.compiled(method, setting)
