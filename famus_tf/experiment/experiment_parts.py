"""The parts of a run, each built from the configuration: the other half of the composition root.

Only this module and `experiment` take a configuration apart.
"""

import dataclasses
import functools
import pathlib
import sys

import keras
import numpy as np

from famus_tf import errors, losses, networks
from famus_tf.data import bundle as bundles
from famus_tf.data.batches import bad_images, feed, sampling
from famus_tf.data.copies import in_memory, resized_copy
from famus_tf.data.sets import by_name as sources
from famus_tf.devices import distribution
from famus_tf.losses import semi_supervised, softmax
from famus_tf.meta import learners, selectors
from famus_tf.methods import famus
from famus_tf.profiling import dtype_policy
from famus_tf.runs import directory as run_directory
from famus_tf.training import learning_rates

_WORTH_A_BAR = 5000


def make_bundle(config):
    """The training, meta and test images and labels of a configuration (`data.bundle.Bundle`)."""
    data = config.data
    source, said = resized_copy.take_up(load_source(config), data.data_dir, data.prepared_dir)
    if said:
        print(said, flush=True)
    if config.run.mode != "inspect":  # which tells of all files that cannot be read, not of the first
        source = in_memory.load(source, skip_bad=data.on_bad_image == "skip", progress=progress_bar)
    bundle = bundles.make_bundle(source, data, config.run.seed)
    if data.augment == "auto":
        return bundle
    padding = 0 if data.augment == "none" else max(1, bundle.image_shape[0] // 8)
    return dataclasses.replace(bundle, crop_padding=padding, flip=data.augment == "crop_flip")


def load_source(config):
    """The data set as it comes (`data.bundle.Source`)."""
    return sources.load_source(config.data)


def progress_bar(what, count):
    """The `update` of a bar on a terminal, where there is enough to wait for."""
    if count < _WORTH_A_BAR or not sys.stdout.isatty():
        return None
    print(f"{what} images:", flush=True)
    return keras.utils.Progbar(count, unit_name="image").update


def make_trainer(config, bundle, total_steps, metrics=(), number=0):
    """Network, meta-learner, selector and optimizers of a configuration; call it in the strategy's scope.

    Args:
      config: `config.Config`.
      bundle: `data.bundle.Bundle`.
      total_steps: length of the run, for the cosine schedule.
      metrics: Keras metrics of (labels, logits).
      number: of Algorithm 2's networks which one; each has a seed of its own.

    Returns:
      A compiled `famus.FaMUS`.
    """
    method, optimization, seed = config.method, config.optimization, seed_of(config, number)
    keras.utils.set_random_seed(seed)
    network = _make_network(config, bundle, config.run.dtype_policy)
    trainer = famus.FaMUS(
        network,
        meta_learner=_make_learner(config, bundle, seed),
        selector=make_selector(method, seed),
        lambda_r=method.lambda_r,
        lambda_g=method.lambda_g,
        lambda_cost=method.lambda_cost,
        weight_decay=optimization.weight_decay,
        schedule=method.schedule,
        meta_every=method.meta_every,
        meta_from=method.meta_from_epoch * plain_steps_per_epoch(config, bundle),
        validation_loss=make_validation_loss(config),
    )
    meta_optimizers = {
        "adam": keras.optimizers.Adam,
        "sgd": functools.partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
    }
    trainer.compile(
        optimizer=keras.optimizers.SGD(
            rate_of_epoch(config)(0)
            if config.co_divide.mixes
            else learning_rate(optimization, total_steps, steps_per_epoch(config, bundle)),
            momentum=optimization.momentum,
            nesterov=optimization.nesterov,
        ),
        meta_optimizer=meta_optimizers[optimization.meta_optimizer](optimization.meta_learning_rate),
        sampler_optimizer=keras.optimizers.SGD(optimization.sampler_learning_rate, momentum=0.9),
        metrics=list(metrics),
    )
    return trainer


def seed_of(config, number):
    """The seed of one of several networks: of its weights, its meta-learner, its sampler and its batches."""
    return (config.run.seed + 1_000_003 * number) % 2**31


def _make_network(config, bundle, policy):
    head = "cosine" if config.loss.loss == "ldam" else "linear"
    shapes_and_statistics = bundle.image_shape, bundle.num_classes, bundle.mean, bundle.std
    return networks.build(config.run.network, *shapes_and_statistics, policy, head, config.run.pretrained)


def with_dtype_policy(config, bundle=None):
    """`config` with `auto` replaced: by what the run was begun with, else by what is faster on the bundle's images."""
    run = config.run
    if run.dtype_policy != "auto":
        return config
    policy = run_directory.dtype_policy_of(pathlib.Path(run.workdir, "flags.cfg"))
    if policy is None and bundle is not None and run.network in networks.BUILDERS:
        build = functools.partial(_make_network, config, bundle)
        # Drawn, not read: a file may be broken, and the time is the same.
        labels = bundle.train_labels[: dtype_policy.BATCH_SIZE]
        images = np.random.default_rng(0).integers(0, 256, (len(labels), *bundle.image_shape), np.uint8)
        policy = dtype_policy.choose(build, images, labels)
    return dataclasses.replace(config, run=dataclasses.replace(run, dtype_policy=policy or "float32"))


def _make_learner(config, bundle, seed):
    method, optimization, loss = config.method, config.optimization, make_loss(config, bundle)
    builders = {
        "cross_entropy": lambda: learners.CrossEntropy(loss),
        "mw_net": lambda: learners.MWNet(
            normalize=method.normalize_weights,
            weight_decay=optimization.meta_weight_decay,
            seed=seed,
            loss=loss,
        ),
        "l2r": lambda: learners.L2R(loss),
        "mlc": lambda: learners.MLC(bundle.num_classes, optimization.virtual_learning_rate or None),
    }
    return builders[method.method]()


def make_loss(config, bundle):
    """The training loss, by the sizes of the classes as their labels are given; None for the cross-entropy."""
    flags, mixing = config.loss, config.co_divide
    if mixing.mixes:
        return losses.SemiSupervised(mixing.prior_penalty, mixing.confidence_penalty)
    counts = np.bincount(bundle.train_labels, minlength=bundle.num_classes)
    focal = losses.Focal if flags.focal_form == "softmax" else losses.SigmoidFocal
    builders = {
        "cross_entropy": lambda: losses.CrossEntropy() if flags.drw_epoch else None,
        "focal": lambda: focal(flags.focal_gamma),
        "class_balanced_focal": lambda: focal(flags.focal_gamma),
        "ldam": lambda: losses.LDAM(counts, flags.ldam_margin),
    }
    loss = builders[flags.loss]()
    if not flags.drw_epoch and flags.loss != "class_balanced_focal":
        return loss
    weights = losses.effective_number_weights(counts, flags.class_balanced_beta)
    return losses.ClassWeighted(loss, weights, flags.drw_epoch * steps_per_epoch(config, bundle))


def make_validation_loss(config):
    """L_c; of Algorithm 2 with the penalty on the mean prediction."""
    penalty = config.co_divide.prior_penalty
    return semi_supervised.validation_loss(penalty) if config.co_divide.mixes else softmax.mean_cross_entropy


def make_selector(method, seed):
    """Which layers carry the meta gradient, one of `meta.selectors`; `method` is a `config.MethodConfig`."""
    block = int(method.block) if method.block.removeprefix("-").isdecimal() else method.block
    builders = {
        "all": selectors.AllLayers,
        "sampler": lambda: selectors.GradientSampler(method.expected_layers, seed=seed),
        "random": lambda: selectors.RandomLayers(method.expected_layers, seed=seed),
        "block": lambda: selectors.FixedBlock(block),
    }
    return builders[method.selector]()


def learning_rate(optimization, total_steps, steps_per_epoch):
    """alpha by the number of steps done, a number or a schedule; `optimization` is a `config.OptimizationConfig`."""
    course = _course(optimization, total_steps, steps_per_epoch)
    warmup = optimization.warmup_epochs * steps_per_epoch
    return learning_rates.WarmUp(course, warmup) if warmup else course


def rate_of_epoch(config):
    """Function of an epoch, counted from 0, -> alpha in it: where epochs differ in their number of steps.

    The course is taken in the middle of the epoch, the warm-up as (epoch + 1) / warmup_epochs, as LDAM's code has it.
    """
    course = _course(config.optimization, config.optimization.epochs, 1)
    warmup = max(config.optimization.warmup_epochs, 1)

    def rate(epoch):
        alpha = float(course(epoch + 0.5)) if callable(course) else course
        return alpha * min((epoch + 1) / warmup, 1.0)

    return rate


def _course(optimization, total_steps, steps_per_epoch):
    alpha = optimization.base_learning_rate
    if optimization.lr_schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(alpha, total_steps)
    if optimization.lr_schedule == "step" and optimization.lr_boundaries:
        unit = steps_per_epoch if optimization.epochs else 1
        boundaries = [round(boundary * unit) for boundary in optimization.lr_boundaries]
        return learning_rates.StepDecay(alpha, boundaries, optimization.lr_decay)
    return alpha


def find_bad_images(config, bundle, strategy):
    """Those that are known or missing, kept in the run directory; each worker has a list of what it has met with."""
    path = bad_images.list_file(pathlib.Path(config.run.workdir), distribution.position(strategy))
    return bad_images.BadImages(bundle, skip=config.data.on_bad_image == "skip", list_file=path)


def make_feed(config, bundle, strategy, bad=None, number=0):
    """All batches of one of the networks (`feed.Feed`); `bad` where image files that cannot be read are known."""
    optimization = config.optimization
    return feed.Feed(
        bundle,
        strategy,
        bad or bad_images.BadImages(bundle, skip=False),
        batch_size=optimization.batch_size,
        meta_batch_size=optimization.meta_batch_size,
        eval_batch_size=config.run.eval_batch_size,
        seed=seed_of(config, number),
        drawn=_sampling(config),
    )


def _sampling(config):
    optimization = config.optimization
    return sampling.Sampling(optimization.batches_per_epoch, optimization.sampling == "balanced")


def steps_per_epoch(config, bundle):
    """Training steps in an epoch."""
    return sampling.steps_per_epoch(len(bundle.train_labels), config.optimization.batch_size, _sampling(config))


def plain_steps_per_epoch(config, bundle):
    """The same before `meta_from_epoch`: in Algorithm 2's warm-up batches are twice as large."""
    if not config.co_divide.mixes:
        return steps_per_epoch(config, bundle)
    optimization = config.optimization
    count = optimization.batches_per_epoch * optimization.batch_size or len(bundle.train_labels)
    return max(count // (2 * optimization.batch_size), 1)


def check_replicas(config, strategy):
    """Refuses, as an InputError, what does not go with the devices in use."""
    replicas = strategy.num_replicas_in_sync
    if distribution.num_workers(strategy) > 1:  # each would measure something else
        for name, found, wanted in (
            ("dtype_policy", config.run.dtype_policy, "auto"),
            ("layer_cost", config.method.layer_cost, "measured"),
        ):
            if found == wanted:
                raise errors.InputError(f"--{name}={found} with --strategy=multi_worker: expected another value")
    if config.run.jit_compile and replicas > 1:
        raise errors.InputError(f"--jit_compile on {replicas} devices: expected one; give --strategy=one_device")
    for name in ("batch_size", "meta_batch_size"):
        size = getattr(config.optimization, name)
        if size % replicas:
            raise errors.InputError(f"--{name}={size}: expected a multiple of the {replicas} devices in use")
