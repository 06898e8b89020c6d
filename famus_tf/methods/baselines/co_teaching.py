"""Co-teaching (Han et al., NeurIPS 2018): each network learns from the examples that the other's losses trust.

  for each batch of n:
    l^k = losses of network k                                    (k = 1, 2)
    A_k = the int((1 - F) n) examples with the smallest l^k
    network 1 takes a step on the mean of l^1 over A_2, network 2 on that of l^2 over A_1

F rises to tau, the share of wrong labels, in the first T_k epochs. Both losses are taken before either network moves.

With tau = 0 these are two trainings on cross-entropy. Differences from the published code: it divides the mean over A_k
by its size once more, which Adam undoes and SGD does not; it begins with F(1), here with F(0). Its optimizers are two
Adams whose beta1 falls to 0.1 when the rate does, here one SGD over both networks. It has neither augmentation nor
normalisation nor weight decay; here they are what the flags say. Its exponent c of the ramp is 1. At least one example
is kept.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.methods import base, two_networks


@keras.saving.register_keras_serializable("famus_tf")
class CoTeaching(two_networks.TwoNetworks):
    """Two networks that choose each other's examples; see `two_networks.TwoNetworks` for the arguments.

    >>> import keras, tensorflow as tf
    >>> networks = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]) for _ in range(2)]
    >>> method = CoTeaching(networks, two_networks.ForgetRate(0.25, ramp_epochs=1, steps_per_epoch=1))
    >>> method.compile(keras.optimizers.SGD(0.1))
    >>> weights = method.step((tf.random.normal([4, 4]), tf.constant([0, 1, 0, 1])))["example_weight"]
    >>> float(tf.reduce_sum(weights))  # three of four are kept by each, and share the weight of all
    4.0
    """

    def objective(
        self, labels: tf.Tensor, first: tf.Tensor, second: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The sum of both networks' mean losses over what the other one chose; the weight is the mean of the two."""
        return exchanged(labels, first, second, rate)


def exchanged(labels: tf.Tensor, first: tf.Tensor, second: tf.Tensor, rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What `CoTeaching.objective` returns, of its arguments."""
    losses = [softmax.cross_entropy(labels, logits) for logits in (first, second)]
    chosen_by_first, chosen_by_second = (two_networks.small_loss_weights(each, rate) for each in losses)
    loss = two_networks.mean_of_kept(losses[0], chosen_by_second)
    loss += two_networks.mean_of_kept(losses[1], chosen_by_first)
    return loss, (chosen_by_first + chosen_by_second) / 2


def build(setting: base.Setting) -> CoTeaching:
    """Co-teaching from flags (`base.Setting`)."""
    flags = setting.baselines
    rate = two_networks.ForgetRate(setting.forget_rate, flags.forget_epochs, setting.steps_per_epoch)
    networks = [setting.make_network(number) for number in range(2)]
    method = CoTeaching(networks, rate, setting.optimization.weight_decay)
    method.compile(optimizer=setting.optimizer, metrics=setting.metrics)
    return method
