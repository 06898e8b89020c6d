"""Co-teaching (Han et al., NeurIPS 2018): each network learns from the examples that the other's losses trust.

  for each batch of n:
    l^k = losses of network k                                    (k = 1, 2)
    A_k = the int((1 - F) n) examples with the smallest l^k
    network 1 takes a step on the mean of l^1 over A_2, network 2 on that of l^2 over A_1

F rises to tau, the share of wrong labels, in the first T_k epochs. Both losses are taken before either network moves.

With tau = 0 these are two trainings on cross-entropy. Differences from the published code: it divides the mean over A_k
by its size once more, which Adam undoes and SGD does not; it begins with F(1), here with F(0); its optimizer is Adam.
"""

from famus_tf.losses import softmax
from famus_tf.methods import two_networks


class CoTeaching(two_networks.TwoNetworks):
    """Two networks that choose each other's examples; see `two_networks.TwoNetworks` for the arguments."""

    def objective(self, labels, first, second, rate):
        """The sum of both networks' mean losses over what the other one chose; the weight is the mean of the two."""
        losses = [softmax.cross_entropy(labels, logits) for logits in (first, second)]
        chosen_by_first, chosen_by_second = (two_networks.small_loss_weights(each, rate) for each in losses)
        loss = two_networks.mean_of_kept(losses[0], chosen_by_second)
        loss += two_networks.mean_of_kept(losses[1], chosen_by_first)
        return loss, (chosen_by_first + chosen_by_second) / 2


def build(setting):
    """Co-teaching from flags (`base.Setting`)."""
    flags = setting.baselines
    rate = two_networks.ForgetRate(flags.forget_rate, flags.forget_epochs, setting.steps_per_epoch)
    networks = [setting.make_network(number) for number in range(2)]
    method = CoTeaching(networks, rate, setting.optimization.weight_decay)
    method.compile(optimizer=setting.optimizer, metrics=setting.metrics)
    return method
