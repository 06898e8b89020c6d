"""The methods of a run: networks, optimizers and what trains them, from the flags."""

from famus_tf import methods
from famus_tf.experiment import build_optimizers, supervision
from famus_tf.methods import base


def make_method(
    supervised,
    make_network,
    method,
    optimization,
    baselines,
    *,
    forget_rate=0.0,
    record_meta_gradient=False,
    metrics=(),
    number=0,
):
    """One method of a run; call it in the strategy's scope.

    Args:
      supervised: one of the classes of `supervision`.
      make_network: function of a seed and of whether the classifier begins by itself, `own_head` -> a network.
      method, optimization, baselines: the groups of flags of these names.
      forget_rate: tau of Co-teaching and JoCoR.
      record_meta_gradient: whether steps return the meta gradient.
      metrics: Keras metrics of (labels, logits).
      number: of several methods trained alternately, which.

    Returns:
      A compiled `methods.base.Method`.
    """
    seed = supervised.seeds[number]
    setting = base.Setting(
        make_network=lambda which: make_network(supervision.seed_of(seed, which), own_head=bool(number or which)),
        class_sizes=supervised.class_sizes,
        num_probes=supervised.dataset.num_probes,
        seed=seed,
        steps_per_epoch=supervised.steps_per_epoch,
        total_steps=supervised.total_steps,
        meta_from=method.meta_from_epoch * supervised.plain_steps_per_epoch,
        loss=supervised.make_loss(),
        validation_loss=supervised.validation_loss,
        optimizer=build_optimizers.base(optimization, supervised.learning_rate),
        meta_optimizer=build_optimizers.meta(optimization),
        sampler_optimizer=build_optimizers.sampler(optimization),
        metrics=list(metrics),
        record_meta_gradient=record_meta_gradient,
        method=method,
        optimization=optimization,
        baselines=baselines,
        forget_rate=forget_rate,
        class_balanced_beta=supervised.loss.class_balanced_beta,
    )
    return methods.BY_NAME[method.method](setting)
