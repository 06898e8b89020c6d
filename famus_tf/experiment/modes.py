"""The composition root: builds strategy, data, network, optimizers and trainer from a configuration, and runs them."""

import contextlib
import pathlib

import tensorflow as tf

from famus_tf import errors
from famus_tf.data.batches import bad_images
from famus_tf.data.copies import resized_copy
from famus_tf.devices import distribution
from famus_tf.evaluation import accuracy as evaluation
from famus_tf.evaluation import saved_model
from famus_tf.experiment import experiment_parts, experiment_run
from famus_tf.files import whole_files
from famus_tf.reports import diagnostics, division_board, inspection, summaries
from famus_tf.runs import directory as run_directory
from famus_tf.training import best_epoch as selection
from famus_tf.training import interruption


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
    strategy = distribution.make_strategy(config.run.strategy, config.run.worker_timeout)
    interruption.renew()
    chief = distribution.is_chief(strategy)
    experiment_parts.check_replicas(config, strategy)
    with run_directory.held(workdir) if chief else contextlib.nullcontext():
        _train(config, strategy, workdir)


def _train(config, strategy, workdir):
    chief = distribution.is_chief(strategy)
    bundle = experiment_parts.make_bundle(config)
    config = experiment_parts.with_dtype_policy(config, bundle)
    if chief:
        run_directory.check_new_or_same(workdir, config)
        print(bundle.describe(), flush=True)
    parts = experiment_run.assemble(config, bundle, strategy, workdir)
    resumed = parts.checkpoints.restore()
    distribution.check_workers_agree(strategy, config.flag_lines(), parts.step)
    if chief:
        run_directory.begin(workdir, config)
    if not resumed and config.method.layer_cost == "measured":
        experiment_run.measure_costs(parts)  # kept in the checkpoints: a resumed run has the same
    left = len(parts.history) < parts.epochs
    if chief and resumed and left:
        of = f" of {parts.total_steps:,}" if parts.total_steps and len(parts.trainers) == 1 else ""
        epoch = f"in epoch {len(parts.history) + 1} of {parts.epochs}"
        print(f"{workdir}: goes on after step {parts.step:,}{of}, {epoch}", flush=True)
    experiment_run.time_stages(config, parts, workdir)
    if left:
        callbacks = experiment_run.make_callbacks(config, parts, workdir) if chief else []
        experiment_run.training_loop(config, parts).run(callbacks, verbose=None if chief else 0)
        experiment_run.time_stages(config, parts, workdir)
    parts.best_weights.restore(parts.history)
    network, said = experiment_run.network_to_export(config, parts)
    with distribution.place_to_write(strategy, workdir / "export") as place:
        saved_model.export(network, place, bundle.image_shape, bundle.class_names)
    distribution.values_of_workers(strategy, 0)  # from here on all have written which images they have skipped
    if chief:
        _write_results(config, bundle, parts, workdir)
        print(said, end="")


def _write_results(config, bundle, parts, workdir):
    names = {"method": config.method.method, "selector": config.method.selector, "seed": config.run.seed}
    together = parts.together
    summary = summaries.results(together, bundle, **names)
    if len(parts.progress) > 1:
        summary["networks"] = [summaries.results(progress, bundle, **names) for progress in parts.progress]
    summary["skipped_images"] = len(bad_images.all_listed(workdir))
    summaries.draw(workdir / "curves.png", summary, together, bundle)
    summaries.draw_classes(workdir / "class_accuracy.png", summary, bundle)
    for number, (trainer, progress) in enumerate(zip(parts.trainers, parts.progress, strict=True), start=1):
        name = "gates.png" if len(parts.trainers) == 1 else f"gates_{number}.png"
        diagnostics.draw_selection(workdir / name, progress.history, diagnostics.layer_names(trainer))
    if parts.divisions is not None:
        division_board.draw(workdir, parts.divisions, bundle.is_clean, parts.history)
    whole_files.write_json(workdir / "results.json", summary)
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
    with run_directory.held(workdir):
        _export(config, workdir)


def _export(config, workdir):
    bundle = experiment_parts.make_bundle(config)
    # The checkpoint of any number of workers and devices is read by one.
    parts = experiment_run.assemble(config, bundle, distribution.make_strategy("one_device"), workdir)
    if not parts.checkpoints.restore():
        raise errors.InputError(f"{workdir / 'checkpoints'}: no checkpoint to export; --mode=train makes one")
    parts.best_weights.restore(parts.history)
    network, said = experiment_run.network_to_export(config, parts)
    saved_model.export(network, workdir / "export", bundle.image_shape, bundle.class_names)
    best = selection.best_epoch(parts.history)
    step = parts.step if best is None else best["step"]
    print(f"{workdir / 'export'}: SavedModel of step {step:,}\n{said}", end="")


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
