"""JoCoR (Wei et al., CVPR 2020): two networks, one loss that also asks them to agree, small losses chosen together.

  j = (1 - c) (l^1 + l^2) + c (KL(p^1 || p^2) + KL(p^2 || p^1))        for each example
  step of both networks on the mean of j over the int((1 - F) n) examples with the smallest j

p^k are the softmax probabilities; the gradient goes through both sides of both divergences. F as in Co-teaching. With
c = 0 and tau = 0 these are two trainings on cross-entropy. Differences from the published code: as for Co-teaching, but
for the mean. c is 0.1 by default, as in the code; its README has 0.9 for most of CIFAR-10, with Adam, whose steps do
not shrink with 1 - c as those of SGD do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.methods import base, two_networks


@keras.saving.register_keras_serializable("famus_tf")
class JoCoR(two_networks.TwoNetworks):
    """Two networks with one joint loss.

    Args:
      networks, forget_rate, weight_decay: as in `two_networks.TwoNetworks`.
      joint_weight: c, in [0, 1].
    """

    def __init__(
        self,
        networks: Sequence[keras.Model],
        forget_rate: Callable[[tf.Tensor], tf.Tensor] | None = None,
        weight_decay: float = 0.0,
        joint_weight: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(networks, forget_rate, weight_decay, **kwargs)
        self.joint_weight = joint_weight

    def objective(
        self, labels: tf.Tensor, first: tf.Tensor, second: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean of j over the chosen examples."""
        joint = joint_losses(labels, first, second, self.joint_weight)
        weights = two_networks.small_loss_weights(joint, rate)
        return two_networks.mean_of_kept(joint, weights), weights


def joint_losses(labels: tf.Tensor, first: tf.Tensor, second: tf.Tensor, joint_weight: float) -> tf.Tensor:
    """j of each example, float [n].

    Args:
      labels: class ids [n] or distributions [n, c].
      first, second: logits [n, c].
      joint_weight: c of the equation.
    """
    supervised = softmax.cross_entropy(labels, first) + softmax.cross_entropy(labels, second)
    log_p, log_q = (tf.nn.log_softmax(softmax.at_least_float32(logits)) for logits in (first, second))
    # KL(p||q) + KL(q||p) = sum (p - q)(log p - log q)
    divergence = tf.reduce_sum((tf.exp(log_p) - tf.exp(log_q)) * (log_p - log_q), axis=-1)
    return (1.0 - joint_weight) * supervised + joint_weight * divergence


def build(setting: base.Setting) -> JoCoR:
    """JoCoR from flags (`base.Setting`)."""
    flags = setting.baselines
    rate = two_networks.ForgetRate(setting.forget_rate, flags.forget_epochs, setting.steps_per_epoch)
    networks = [setting.make_network(number) for number in range(2)]
    method = JoCoR(networks, rate, setting.optimization.weight_decay, flags.joint_weight)
    method.compile(optimizer=setting.optimizer, metrics=setting.metrics)
    return method
