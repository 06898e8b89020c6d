"""The methods of a run: networks, optimizers and what trains them, from the flags."""

import functools

import keras
import numpy as np

from famus_tf import methods, networks
from famus_tf.experiment import build_optimizers, supervision
from famus_tf.methods import base
from famus_tf.profiling import dtype_policy


def make_method(config, supervised, metrics=(), number=0):
    """One method of a run; call it in the strategy's scope.

    Args:
      config: `config.Config`.
      supervised: one of the classes of `supervision`.
      metrics: Keras metrics of (labels, logits).
      number: of several methods in turns, which.

    Returns:
      A compiled `methods.base.Method`.
    """
    seed, dataset = supervised.seeds[number], supervised.dataset
    setting = base.Setting(
        make_network=lambda which: _seeded_network(config, dataset, supervision.seed_of(seed, which)),
        num_classes=dataset.num_classes,
        seed=seed,
        steps_per_epoch=supervised.steps_per_epoch,
        meta_from=config.method.meta_from_epoch * supervised.plain_steps_per_epoch,
        loss=supervised.make_loss(),
        validation_loss=supervised.validation_loss,
        optimizer=build_optimizers.base(config.optimization, supervised.learning_rate),
        meta_optimizer=build_optimizers.meta(config.optimization),
        sampler_optimizer=build_optimizers.sampler(config.optimization),
        metrics=list(metrics),
        record_meta_gradient=config.run.log_meta_gradient,
        method=config.method,
        optimization=config.optimization,
        baselines=config.baselines,
        forget_rate=config.forget_rate,
    )
    return methods.BY_NAME[config.method.method](setting)


def choose_dtype_policy(config, dataset):
    """The policy that is faster on images of that size; float32 for a network from a file, which has its own."""
    if config.run.network not in networks.BUILDERS:
        return "float32"
    # Drawn, not read: a file may be broken, and the time is the same.
    labels = dataset.train_labels[: dtype_policy.BATCH_SIZE]
    images = np.random.default_rng(0).integers(0, 256, (len(labels), *dataset.image_shape), np.uint8)
    return dtype_policy.choose(functools.partial(_make_network, config, dataset), images, labels)


def _seeded_network(config, dataset, seed):
    keras.utils.set_random_seed(seed)
    return _make_network(config, dataset, config.run.dtype_policy)


def _make_network(config, dataset, policy):
    head = "cosine" if config.loss.loss == "ldam" else "linear"
    shapes_and_statistics = dataset.image_shape, dataset.num_classes, dataset.mean, dataset.std
    return networks.build(config.run.network, *shapes_and_statistics, policy, head, config.run.pretrained)
