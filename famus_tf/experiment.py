"""The composition root: builds strategy, data, network, optimizers and trainer from a configuration, and runs them."""

import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from famus_tf import (
    diagnostics,
    distribution,
    dtype_policy,
    errors,
    evaluation,
    export,
    famus,
    inspection,
    networks,
    run_directory,
    stage_times,
    summaries,
    training,
)
from famus_tf.data import bad_images, image_files, options, pipeline, sources
from famus_tf.data import bundle as bundles
from famus_tf.meta import learners, segment_times, selectors


def run(config):
    """Does what `config.run.mode` says.

    Args:
      config: `config.Config`.

    Raises:
      InputError: the data, the run directory or the devices are not what the configuration needs.
    """
    with distribution.lost_workers_explained(config.run.strategy):
        modes = {"train": train, "evaluate": evaluate, "export": export_checkpoint, "inspect": inspect}
        modes[config.run.mode](config)


def train(config):
    """Trains, or goes on where the run directory stops; writes results, a picture and a SavedModel.

    Of several workers, all train, and the chief alone writes and prints.
    """
    workdir = pathlib.Path(config.run.workdir)
    strategy = distribution.make_strategy(config.run.strategy)
    chief = distribution.is_chief(strategy)
    _check_replicas(config, strategy)
    _check_log_meta_gradient(config)
    bundle = make_bundle(config)
    config = _with_dtype_policy(config, bundle)
    if chief:
        run_directory.open_for(workdir, config)
        print(bundle.describe(), flush=True)
    run_parts = _assemble(config, bundle, strategy, workdir)
    progress, schedule = run_parts.progress, run_parts.schedule
    resumed = run_parts.checkpoints.restore()
    distribution.check_workers_agree(strategy, config.flag_lines(), progress.step)
    if not resumed and config.method.layer_cost == "measured":
        _measure_costs(config, bundle, run_parts.trainer)  # kept in the checkpoints: a resumed run has the same
    if chief and resumed and progress.step < schedule.total_steps:
        print(f"{workdir}: goes on after step {progress.step:,} of {schedule.total_steps:,}", flush=True)
    _time_stages(config, bundle, run_parts, workdir)
    if progress.step < schedule.total_steps:
        labels = bundle.train_labels, bundle.train_true_labels
        board = summaries.TensorBoard(workdir / "tensorboard", progress, *labels, config.run.summary_every)
        callbacks = [board, diagnostics.Diagnostics(board, progress)]
        sizes = {"train": config.optimization.batch_size, "meta": config.optimization.meta_batch_size}
        with bad_images.named(bundle, sizes, config.run.seed, lambda: progress.step):
            _training_loop(config, bundle, run_parts).run(callbacks if chief else [], verbose=None if chief else 0)
        _time_stages(config, bundle, run_parts, workdir)
    with distribution.place_to_write(strategy, workdir / "export") as place:
        export.export(run_parts.trainer.network, place, bundle.image_shape, bundle.class_names)
    if chief:
        _write_results(config, bundle, run_parts, workdir)


def _write_results(config, bundle, parts, workdir):
    progress, names = parts.progress, {"method": config.method.method, "selector": config.method.selector}
    summary = summaries.results(progress, bundle, **names, seed=config.run.seed)
    summaries.draw(workdir / "curves.png", summary, progress, bundle)
    diagnostics.draw_selection(workdir / "gates.png", progress.history, diagnostics.layer_names(parts.trainer))
    summaries.write_json(workdir / "results.json", summary)
    print(summaries.describe(summary, workdir))


def evaluate(config):
    """Evaluates the run directory's SavedModel on the test set and prints the accuracy."""
    workdir = pathlib.Path(config.run.workdir)
    config = _with_dtype_policy(config)
    run_directory.check_same_flags(workdir, config, must_exist=False)
    predict = evaluation.load_exported(workdir / "export")
    bundle = make_bundle(config)
    strategy = tf.distribute.get_strategy()
    try:
        logs = evaluation.make_evaluator(strategy, predict)(_test_batches(config, bundle, strategy))
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise errors.InputError(
            f"{workdir / 'export'}: does not take images of {bundle.name}, {bundle.image_shape}"
        ) from error
    print(
        f"{workdir / 'export'} on {bundle.name}: test accuracy {logs['accuracy']:.4f}, top-5 {logs['top5']:.4f}, "
        f"cross-entropy {logs['loss']:.4f}, {logs['examples']:,} images"
    )


def export_checkpoint(config):
    """Exports the network of the run directory's newest checkpoint as a SavedModel."""
    workdir = pathlib.Path(config.run.workdir)
    config = _with_dtype_policy(config)
    run_directory.check_same_flags(workdir, config, must_exist=True)
    bundle = make_bundle(config)
    # The checkpoint of any number of workers and devices is read by one.
    run_parts = _assemble(config, bundle, distribution.make_strategy("one_device"), workdir)
    if not run_parts.checkpoints.restore():
        raise errors.InputError(f"{workdir / 'checkpoints'}: no checkpoint to export; --mode=train makes one")
    export.export(run_parts.trainer.network, workdir / "export", bundle.image_shape, bundle.class_names)
    print(f"{workdir / 'export'}: SavedModel of step {run_parts.progress.step:,}")


def inspect(config):
    """Prints what the data are and writes a picture of examples; nothing is trained."""
    bundle = make_bundle(config)
    print(inspection.describe(bundle), flush=True)
    files = inspection.scan_files(bundle)
    if files:
        print(inspection.describe_files(files))
    print(f"examples with their labels: {inspection.write(config.run.workdir, bundle, config.run.seed, files)}")


def find_gpus():
    """Names of this machine's GPUs; the first call makes TensorFlow look for its drivers."""
    return [device.name for device in tf.config.list_physical_devices("GPU")]


def make_bundle(config):
    """The training, meta and test images and labels of a configuration (`data.bundle.Bundle`)."""
    data = config.data
    bundle = bundles.make_bundle(
        sources.load_source(data.dataset, data.data_dir, _of_the_same_names(options.Options, data)),
        meta_per_class=data.meta_per_class,
        plan=_of_the_same_names(bundles.LabelPlan, data),
        train_limit=data.train_limit,
        seed=config.run.seed,
    )
    if data.augment == "auto":
        return bundle
    padding = 0 if data.augment == "none" else max(1, bundle.image_shape[0] // 8)
    return dataclasses.replace(bundle, crop_padding=padding, flip=data.augment == "crop_flip")


def _of_the_same_names(kind, flags):
    """A dataclass from those flags that are called as its fields are."""
    return kind(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(kind)})


def make_trainer(config, bundle, total_steps, metrics=()):
    """Network, meta-learner, selector and optimizers of a configuration; call it in the strategy's scope.

    Args:
      config: `config.Config`.
      bundle: `data.bundle.Bundle`.
      total_steps: length of the run, for the cosine schedule.
      metrics: Keras metrics of (labels, logits).

    Returns:
      A compiled `famus.FaMUS`.
    """
    method, optimization, seed = config.method, config.optimization, config.run.seed
    keras.utils.set_random_seed(seed)
    network = _make_network(config.run.network, bundle, config.run.dtype_policy)
    trainer = famus.FaMUS(
        network,
        meta_learner=_make_learner(config, bundle.num_classes),
        selector=_make_selector(method, seed),
        lambda_r=method.lambda_r,
        lambda_g=method.lambda_g,
        lambda_cost=method.lambda_cost,
        weight_decay=optimization.weight_decay,
        schedule=method.schedule,
        meta_every=method.meta_every,
    )
    meta_optimizers = {
        "adam": keras.optimizers.Adam,
        "sgd": functools.partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
    }
    trainer.compile(
        optimizer=keras.optimizers.SGD(
            _learning_rate(optimization, total_steps, _steps_per_epoch(config, bundle)),
            momentum=optimization.momentum,
            nesterov=optimization.nesterov,
        ),
        meta_optimizer=meta_optimizers[optimization.meta_optimizer](optimization.meta_learning_rate),
        sampler_optimizer=keras.optimizers.SGD(optimization.sampler_learning_rate, momentum=0.9),
        metrics=list(metrics),
    )
    return trainer


def _make_network(name, bundle, policy):
    return networks.build(name, bundle.image_shape, bundle.num_classes, bundle.mean, bundle.std, policy)


def _with_dtype_policy(config, bundle=None):
    """`config` with `auto` replaced: by what the run was begun with, else by what is faster on the bundle's images."""
    run = config.run
    if run.dtype_policy != "auto":
        return config
    policy = dtype_policy.of_run(pathlib.Path(run.workdir, "flags.cfg"))
    if policy is None and bundle is not None and run.network in networks.BUILDERS:
        build = functools.partial(_make_network, run.network, bundle)
        first = np.arange(min(len(bundle.train_labels), dtype_policy.BATCH_SIZE))
        policy = dtype_policy.choose(build, image_files.as_array(bundle.train_images, first), bundle.train_labels)
    return dataclasses.replace(config, run=dataclasses.replace(run, dtype_policy=policy or "float32"))


def _make_learner(config, num_classes):
    method, optimization = config.method, config.optimization
    builders = {
        "cross_entropy": learners.CrossEntropy,
        "mw_net": lambda: learners.MWNet(
            normalize=method.normalize_weights, weight_decay=optimization.meta_weight_decay, seed=config.run.seed
        ),
        "l2r": learners.L2R,
        "mlc": lambda: learners.MLC(num_classes, optimization.virtual_learning_rate or None),
    }
    return builders[method.method]()


def _make_selector(method, seed):
    block = int(method.block) if method.block.lstrip("-").isdecimal() else method.block
    builders = {
        "all": selectors.AllLayers,
        "sampler": lambda: selectors.GradientSampler(method.expected_layers, seed=seed),
        "random": lambda: selectors.RandomLayers(method.expected_layers, seed=seed),
        "block": lambda: selectors.FixedBlock(block),
    }
    return builders[method.selector]()


def _learning_rate(optimization, total_steps, steps_per_epoch):
    alpha = optimization.base_learning_rate
    if optimization.lr_schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(alpha, total_steps)
    if optimization.lr_schedule == "step" and optimization.lr_boundaries:
        unit = steps_per_epoch if optimization.epochs else 1
        boundaries = [round(boundary * unit) for boundary in optimization.lr_boundaries]
        values = [alpha * optimization.lr_decay**power for power in range(len(boundaries) + 1)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
    return alpha


@dataclasses.dataclass(frozen=True)
class _Schedule:
    steps_per_epoch: int
    total_steps: int


@dataclasses.dataclass(frozen=True)
class _RunParts:
    strategy: tf.distribute.Strategy
    trainer: famus.FaMUS
    progress: training.Progress
    checkpoints: training.Checkpoints
    schedule: _Schedule


def _assemble(config, bundle, strategy, workdir):
    per_epoch = _steps_per_epoch(config, bundle)
    total_steps = config.optimization.train_steps or config.optimization.epochs * per_epoch
    with strategy.scope():
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        trainer = make_trainer(config, bundle, total_steps, metrics)
        trainer.record_meta_gradient = config.run.log_meta_gradient
        progress = training.Progress(len(bundle.train_labels), len(trainer.gated_layers))
        checkpoints = training.Checkpoints(trainer, progress, workdir / "checkpoints", metrics, strategy)
    return _RunParts(strategy, trainer, progress, checkpoints, _Schedule(per_epoch, total_steps))


def _time_stages(config, bundle, parts, workdir):
    """Where it is asked for, once when the run starts and once at its end, when the sampler has settled."""
    step, timed = parts.progress.step, {entry["step"] for entry in parts.progress.stage_times}
    due = not timed or (step == parts.schedule.total_steps and step not in timed)
    if not (due and config.run.log_stage_times and parts.trainer.meta_learner.has_meta_step):
        return
    first = (
        next(distribution.batches(parts.strategy, batches(config, bundle, stream, 0, 1)))
        for stream in ("train", "meta")
    )
    seconds = stage_times.measure(parts.trainer, tuple(first), strategy=parts.strategy)
    parts.progress.stage_times.append({"step": step, "seconds": seconds})
    if distribution.is_chief(parts.strategy):
        diagnostics.write_stage_times(workdir / "tensorboard", step, seconds)


def _measure_costs(config, bundle, trainer):
    images = next(iter(batches(config, bundle, "train", 0, 1)))[0]
    shares = segment_times.measure(trainer.segments, images)
    trainer.layer_costs.assign(segment_times.costs_from_top(trainer.gated_layers, shares))
    print("measured shares of the segments: " + ", ".join(f"{share:.3f}" for share in shares), flush=True)


def _steps_per_epoch(config, bundle):
    return pipeline.steps_per_epoch(len(bundle.train_labels), config.optimization.batch_size)


def batches(config, bundle, stream, first_step, last_step):
    """Global batches of the steps `first_step` <= t < `last_step`.

    Args:
      config: `config.Config`.
      bundle: `data.bundle.Bundle`.
      stream: "train" or "meta".
      first_step, last_step: int.

    Returns:
      `tf.data.Dataset` of `(images, labels, index)`.
    """
    training_side = stream == "train"
    return pipeline.batches(
        bundle.train_images if training_side else bundle.meta_images,
        bundle.train_labels if training_side else bundle.meta_labels,
        batch_size=config.optimization.batch_size if training_side else config.optimization.meta_batch_size,
        first_step=first_step,
        last_step=last_step,
        seed=config.run.seed,
        stream=stream,
        crop_padding=bundle.crop_padding,
        flip=bundle.flip,
        padding_mode=bundle.padding_mode,
    )


def _training_loop(config, bundle, parts):
    test_batches = _test_batches(config, bundle, parts.strategy)
    network = parts.trainer.network
    evaluator = evaluation.make_evaluator(parts.strategy, lambda images: network(images, training=False))
    total = parts.schedule.total_steps

    def evaluate_now():
        logs = evaluator(test_batches)
        return {f"test_{name}": logs[name] for name in ("accuracy", "top5", "loss")}

    return training.TrainingLoop(
        strategy=parts.strategy,
        trainer=parts.trainer,
        training_batches=lambda first_step: batches(config, bundle, "train", first_step, total),
        meta_batches=lambda first_step: batches(config, bundle, "meta", first_step, total),
        steps_per_epoch=parts.schedule.steps_per_epoch,
        total_steps=total,
        progress=parts.progress,
        checkpoints=parts.checkpoints,
        checkpoint_every=config.run.checkpoint_every,
        evaluate=evaluate_now,
        jit_compile=config.run.jit_compile,
    )


def _test_batches(config, bundle, strategy):
    size = min(config.run.eval_batch_size, len(bundle.test_labels))
    size += -size % strategy.num_replicas_in_sync
    return pipeline.evaluation_batches(bundle.test_images, bundle.test_labels, batch_size=size)


def _check_replicas(config, strategy):
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


def _check_log_meta_gradient(config):
    if config.run.log_meta_gradient and config.method.method == "l2r":
        raise errors.InputError(
            "--log_meta_gradient with --method=l2r, whose theta belongs to the batch of one step: expected false"
        )
