"""The composition root: builds strategy, data, network, optimizers and trainer from a configuration, and runs them."""

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

from famus_tf import (
    diagnostics,
    distribution,
    errors,
    evaluation,
    experiment_parts,
    export,
    famus,
    feed,
    inspection,
    run_directory,
    selection,
    stage_times,
    summaries,
    training,
)
from famus_tf.data import bad_images, resized_copy
from famus_tf.data import bundle as bundles
from famus_tf.meta import segment_times


def run(config):
    """Does what `config.run.mode` says.

    Args:
      config: `config.Config`.

    Raises:
      InputError: the data, the run directory or the devices are not what the configuration needs.
    """
    with distribution.lost_workers_explained(config.run.strategy):
        modes = {"train": train, "evaluate": evaluate, "export": export_checkpoint, "inspect": inspect}
        modes["prepare"] = prepare
        modes[config.run.mode](config)


def train(config):
    """Trains, or goes on where the run directory stops; writes results, a picture and a SavedModel.

    Of several workers, all train, and the chief alone writes and prints.
    """
    workdir = pathlib.Path(config.run.workdir)
    strategy = distribution.make_strategy(config.run.strategy)
    chief = distribution.is_chief(strategy)
    experiment_parts.check_replicas(config, strategy)
    experiment_parts.check_log_meta_gradient(config)
    bundle = experiment_parts.make_bundle(config)
    config = experiment_parts.with_dtype_policy(config, bundle)
    if chief:
        run_directory.open_for(workdir, config)
        print(bundle.describe(), flush=True)
    run_parts = _assemble(config, bundle, strategy, workdir)
    progress, total_steps = run_parts.progress, run_parts.total_steps
    resumed = run_parts.checkpoints.restore()
    distribution.check_workers_agree(strategy, config.flag_lines(), progress.step)
    if not resumed and config.method.layer_cost == "measured":
        _measure_costs(run_parts)  # kept in the checkpoints: a resumed run has the same
    if chief and resumed and progress.step < total_steps:
        print(f"{workdir}: goes on after step {progress.step:,} of {total_steps:,}", flush=True)
    _time_stages(config, run_parts, workdir)
    if progress.step < total_steps:
        labels = bundle.train_labels, bundle.train_true_labels
        sets = run_parts.feed.evaluated
        board = summaries.TensorBoard(workdir / "tensorboard", progress, *labels, config.run.summary_every, sets)
        callbacks = [board, diagnostics.Diagnostics(board, progress)]
        _training_loop(config, run_parts).run(callbacks if chief else [], verbose=None if chief else 0)
        _time_stages(config, run_parts, workdir)
    run_parts.best_weights.restore(progress.history)
    with distribution.place_to_write(strategy, workdir / "export") as place:
        export.export(run_parts.trainer.network, place, bundle.image_shape, bundle.class_names)
    distribution.values_of_workers(strategy, 0)  # from here on all have written which images they have skipped
    if chief:
        _write_results(config, bundle, run_parts, workdir)


def _write_results(config, bundle, parts, workdir):
    progress, names = parts.progress, {"method": config.method.method, "selector": config.method.selector}
    summary = summaries.results(progress, bundle, **names, seed=config.run.seed)
    summary["skipped_images"] = len(bad_images.all_listed(workdir))
    summaries.draw(workdir / "curves.png", summary, progress, bundle)
    summaries.draw_classes(workdir / "class_accuracy.png", summary, bundle)
    diagnostics.draw_selection(workdir / "gates.png", progress.history, diagnostics.layer_names(parts.trainer))
    summaries.write_json(workdir / "results.json", summary)
    print(summaries.describe(summary, workdir))


def evaluate(config):
    """Evaluates the run directory's SavedModel on the test set and prints the accuracy."""
    workdir = pathlib.Path(config.run.workdir)
    config = experiment_parts.with_dtype_policy(config)
    run_directory.check_same_flags(workdir, config, must_exist=False)
    predict = evaluation.load_exported(workdir / "export")
    bundle = experiment_parts.make_bundle(config)
    strategy = tf.distribute.get_strategy()
    batches = experiment_parts.make_feed(
        config, bundle, strategy, experiment_parts.find_bad_images(config, bundle, strategy)
    )
    evaluator = evaluation.make_evaluator(strategy, predict)
    try:
        found = {name: evaluator(batches.evaluation(name)) for name in batches.evaluated}
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise errors.InputError(
            f"{workdir / 'export'}: does not take images of {bundle.name}, {bundle.image_shape}"
        ) from error
    for name, logs in found.items():
        print(
            f"{workdir / 'export'} on {bundle.name}: {name} accuracy {logs['accuracy']:.4f}, top-5 {logs['top5']:.4f}, "
            f"cross-entropy {logs['loss']:.4f}, {logs['examples']:,} images"
        )


def export_checkpoint(config):
    """Exports the network of the run directory's newest checkpoint as a SavedModel."""
    workdir = pathlib.Path(config.run.workdir)
    config = experiment_parts.with_dtype_policy(config)
    run_directory.check_same_flags(workdir, config, must_exist=True)
    bundle = experiment_parts.make_bundle(config)
    # The checkpoint of any number of workers and devices is read by one.
    run_parts = _assemble(config, bundle, distribution.make_strategy("one_device"), workdir)
    if not run_parts.checkpoints.restore():
        raise errors.InputError(f"{workdir / 'checkpoints'}: no checkpoint to export; --mode=train makes one")
    run_parts.best_weights.restore(run_parts.progress.history)
    export.export(run_parts.trainer.network, workdir / "export", bundle.image_shape, bundle.class_names)
    best = selection.best_epoch(run_parts.progress.history)
    step = run_parts.progress.step if best is None else best["step"]
    print(f"{workdir / 'export'}: SavedModel of step {step:,}")


def inspect(config):
    """Prints what the data are and writes a picture of examples; nothing is trained."""
    bundle = experiment_parts.make_bundle(config)
    print(inspection.describe(bundle), flush=True)
    files = inspection.scan_files(bundle)
    if files:
        print(inspection.describe_files(files))
    print(f"examples with their labels: {inspection.write(config.run.workdir, bundle, config.run.seed, files)}")


def prepare(config):
    """Writes a copy of the data set's images, scaled down, which training reads by itself."""
    source, data = experiment_parts.load_source(config), config.data
    report = resized_copy.make(
        source,
        data.data_dir,
        data.prepared_dir,
        skip_bad=data.on_bad_image == "skip",
        progress=experiment_parts.progress_bar,
    )
    place = data.prepared_dir or resized_copy.default_folder(data.data_dir, source.train_images.transform.resize)
    print(
        f"{place}: {report.scaled:,} images scaled, {report.copied:,} that are not larger copied, {report.there:,} "
        f"were there; {report.outside:,} lie outside of {data.data_dir} and stay as they are, {len(report.broken):,} "
        "cannot be read and are left out"
    )


def find_gpus():
    """Names of this machine's GPUs; the first call makes TensorFlow look for its drivers."""
    return [device.name for device in tf.config.list_physical_devices("GPU")]


@dataclasses.dataclass(frozen=True)
class _RunParts:
    strategy: tf.distribute.Strategy
    trainer: famus.FaMUS
    progress: training.Progress
    checkpoints: training.Checkpoints
    best_weights: selection.BestWeights
    bundle: bundles.Bundle
    bad: bad_images.BadImages
    feed: feed.Feed
    total_steps: int


def _assemble(config, bundle, strategy, workdir):
    optimization = config.optimization
    total_steps = optimization.train_steps or optimization.epochs * experiment_parts.steps_per_epoch(config, bundle)
    bad = experiment_parts.find_bad_images(config, bundle, strategy)
    with strategy.scope():
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        trainer = experiment_parts.make_trainer(config, bundle, total_steps, metrics)
        trainer.record_meta_gradient = config.run.log_meta_gradient
        progress = training.Progress(len(bundle.train_labels), len(trainer.gated_layers))
        checkpoints = training.Checkpoints(trainer, progress, workdir / "checkpoints", metrics, strategy)
    best = selection.BestWeights(trainer.network, workdir / "best.weights.h5", strategy)
    batches = experiment_parts.make_feed(config, bundle, strategy, bad)
    if trainer.meta_learner.has_meta_step:
        batches.meta(0, 0)  # tells now, not after epochs without a meta step, that there are too few of them
    return _RunParts(strategy, trainer, progress, checkpoints, best, bundle, bad, batches, total_steps)


def _time_stages(config, parts, workdir):
    """Where it is asked for, once when the run starts and once at its end, when the sampler has settled."""
    step, timed = parts.progress.step, {entry["step"] for entry in parts.progress.stage_times}
    due = not timed or (step == parts.total_steps and step not in timed)
    if not (due and config.run.log_stage_times and parts.trainer.meta_learner.has_meta_step):
        return
    first = next(parts.feed.training(0, 1)), next(parts.feed.meta(0, 1))
    seconds = stage_times.measure(parts.trainer, first, strategy=parts.strategy)
    parts.progress.stage_times.append({"step": step, "seconds": seconds})
    if distribution.is_chief(parts.strategy):
        diagnostics.write_stage_times(workdir / "tensorboard", step, seconds)


def _measure_costs(parts):
    images = next(parts.feed.training(0, 1))[0]
    shares = segment_times.measure(parts.trainer.segments, images)
    parts.trainer.layer_costs.assign(segment_times.costs_from_top(parts.trainer.gated_layers, shares))
    print("measured shares of the segments: " + ", ".join(f"{share:.3f}" for share in shares), flush=True)


def _training_loop(config, parts):
    network, batches, total = parts.trainer.network, parts.feed, parts.total_steps
    evaluator = evaluation.make_evaluator(parts.strategy, lambda images: network(images, training=False))

    counts = np.bincount(parts.bundle.train_labels, minlength=parts.bundle.num_classes)

    def evaluate_now():
        found = {}
        for name in batches.evaluated:
            logs = evaluator(batches.evaluation(name))
            found |= {f"{name}_{key}": logs[key] for key in ("accuracy", "top5", "loss")}
            if name == "test":
                by_size = evaluation.by_class_size(logs["class_accuracy"], counts)
                found |= {f"test_{key}": value for key, value in by_size.items()}
                found["test_class_accuracy"] = logs["class_accuracy"]
        return found

    return training.TrainingLoop(
        strategy=parts.strategy,
        trainer=parts.trainer,
        training_batches=lambda first_step: batches.training(first_step, total),
        meta_batches=lambda first_step: batches.meta(first_step, total),
        steps_per_epoch=batches.steps_per_epoch,
        total_steps=total,
        progress=parts.progress,
        checkpoints=parts.checkpoints,
        checkpoint_every=config.run.checkpoint_every,
        evaluate=evaluate_now,
        best_weights=parts.best_weights,
        jit_compile=config.run.jit_compile,
    )
