"""`--mode=train`: trains, or goes on where the run directory stops; writes results, pictures and a SavedModel."""

import contextlib
import pathlib

from famus_tf.data.batches import bad_images
from famus_tf.devices import cluster as clusters
from famus_tf.devices import sharing
from famus_tf.devices import strategy as strategies
from famus_tf.evaluation import saved_model
from famus_tf.experiment import build_data, build_run, checks
from famus_tf.experiment import export as exports
from famus_tf.files import whole_files
from famus_tf.reports import gates, pictures, same_images
from famus_tf.reports import results as run_results
from famus_tf.runs import directory as run_directory
from famus_tf.training import interruption


def train(config):
    """Trains, or goes on where the run directory stops.

    Of several workers, all train, and the chief alone writes and prints.
    """
    workdir = pathlib.Path(config.run.workdir)
    strategy = strategies.make_strategy(config.run.strategy, config.run.worker_timeout)
    interruption.renew()
    chief = clusters.is_chief(strategy)
    checks.check_replicas(config.run, config.method, config.optimization, strategy)
    with run_directory.held(workdir) if chief else contextlib.nullcontext():
        _train(config, strategy, workdir)


def _train(config, strategy, workdir):
    chief = clusters.is_chief(strategy)
    dataset = build_data.make_dataset(config.data, config.run.seed)
    config = checks.with_dtype_policy(config, dataset)
    if chief:
        run_directory.check_new_or_same(workdir, config)
        print(dataset.describe(), flush=True)
    run = build_run.assemble(config, dataset, strategy, workdir)
    resumed = run.checkpoints.restore()
    sharing.check_workers_agree(strategy, config.flag_lines(), run.history.step)
    if chief:
        run_directory.begin(workdir, config)
        said = same_images.write_conflicts(workdir, dataset.conflicts)
        print(said, end="\n" if said else "", flush=True)
    if not resumed and config.method.layer_cost == "measured":
        build_run.measure_costs(run)  # kept in the checkpoints: a resumed run has the same
    unfinished = not run.is_done
    if chief and resumed and unfinished:
        print(f"{workdir}: goes on after {_position(run)}", flush=True)
    build_run.time_stages(config.run, run, workdir)
    if unfinished:
        callbacks = build_run.make_callbacks(config.run, run, workdir) if chief else []
        build_run.training_loop(config.run, run).run(callbacks, verbose=None if chief else 0)
        build_run.time_stages(config.run, run, workdir)
    run.best_weights.restore(run.history.epochs)
    network, sentence = exports.network_to_export(config.co_divide.export_network, run)
    with sharing.place_to_write(strategy, workdir / "export") as place:
        saved_model.export(network, place, dataset.image_shape, dataset.class_names)
    sharing.values_of_workers(strategy, 0)  # from here on all have written which images they have skipped
    if chief:
        _write_results(config, run, workdir)
        print(sentence, end="")


def _position(run):
    """Step and epoch that a run has come to, in words."""
    total = run.supervised.total_steps_of_all
    of = f" of {total:,}" if total else ""
    return f"step {run.history.step:,}{of}, in epoch {len(run.history.epochs) + 1} of {run.supervised.epochs}"


def _write_results(config, run, workdir):
    names = {"method": config.method.method, "selector": config.method.selector, "seed": config.run.seed}
    dataset, together = run.dataset, run.history.together
    summary = run_results.results(together, dataset, **names)
    each = [run_results.results(progress, dataset, **names) for progress in run.history.of_networks]
    if each:
        summary["networks"] = each
    summary["skipped_images"] = len(bad_images.all_listed(workdir))
    pictures.draw(workdir / "curves.png", summary, together, dataset)
    pictures.draw_classes(workdir / "class_accuracy.png", summary, dataset)
    for member in run.members:
        picture = workdir / f"gates{member.suffix}.png"
        gates.draw_selection(picture, member.progress.history, gates.layer_names(member.method))
    run.supervised.draw(run, workdir)
    whole_files.write_json(workdir / "results.json", summary)
    print(run_results.describe(summary, workdir))
