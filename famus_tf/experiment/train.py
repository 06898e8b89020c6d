"""`--mode=train`: trains, or goes on where the run directory stops; writes results, pictures and a SavedModel."""

import json
import pathlib

from famus_tf import errors
from famus_tf.config.method import METHODS
from famus_tf.data import probes
from famus_tf.data.batches import bad_images
from famus_tf.devices import cluster as clusters
from famus_tf.devices import sharing
from famus_tf.devices import strategy as strategies
from famus_tf.evaluation import portable
from famus_tf.experiment import automatic, build_data, build_run, checks, data_of_run, folds, notes, progress_lines
from famus_tf.experiment import export as exports
from famus_tf.experiment import report as reports
from famus_tf.files import whole_files
from famus_tf.reports import gates, hints, pictures, same_images
from famus_tf.reports import results as run_results
from famus_tf.runs import directory as run_directory
from famus_tf.training import checkpoint_files, interruption


def train(config):
    """Trains, or goes on where the run directory stops.

    Of several workers, all train, and the chief alone writes and prints.
    """
    workdir = pathlib.Path(config.run.workdir)
    portable.check_packages(config.report.export_formats)
    strategy = strategies.make_strategy(config.run.strategy, config.run.worker_timeout)
    interruption.renew()
    chief = clusters.is_chief(strategy)
    checks.check_replicas(config.run, config.method, config.optimization, strategy)
    with run_directory.held(workdir) if chief else notes.kept_quiet():
        _train(config, strategy, workdir)


def _train(config, strategy, workdir):
    chief = clusters.is_chief(strategy)
    dataset = build_data.make_dataset(config.data, config.run.seed)
    config, chosen = automatic.with_choices(config, dataset, automatic.find_device(strategy))
    config = checks.with_dtype_policy(config, dataset)
    data = data_of_run.fingerprint_of(dataset)
    dataset = probes.with_probes(dataset, config.probe_share, config.run.seed)
    # The run directory keeps the flags as they were given: they are compared with those of the next command.
    fitted, lowered = checks.with_batch_sizes(config, dataset, strategy.num_replicas_in_sync)
    if chief:
        run_directory.check_new_or_same(workdir, config)
        if checkpoint_files.all_in(workdir / "checkpoints"):
            data_of_run.check(workdir, data, test_is_drawn=dataset.test_is_drawn)
        elif (workdir / "results.json").exists():
            raise errors.InputError(
                f"{workdir}: holds the results of a run whose checkpoints are gone; expected them back, or another "
                "--workdir"
            )
        cautions = dataset.cautions() if METHODS[config.method.method].needs_meta_set else []
        notes.say(filter(None, [dataset.describe(), *cautions, chosen, *lowered]))
    if config.report.label_report and config.report.report_folds:
        folds.check(fitted, dataset, strategy.num_replicas_in_sync)
    run = build_run.assemble(fitted, dataset, strategy, workdir)
    if chief:
        notes.say(filter(None, [checks.stages_that_never_come(config, run.supervised.epochs)]))
    resumed = run.checkpoints.restore()
    checks.check_longer(config, run)
    sharing.check_workers_agree(strategy, config.flag_lines(), json.dumps(data.summary), run.history.step)
    if chief:
        run_directory.begin(workdir, config, data, resumed=resumed)
        said = same_images.write_conflicts(workdir, dataset.conflicts)
        print(said, end="\n" if said else "", flush=True)
    if not resumed and config.method.layer_cost == "measured":
        build_run.measure_costs(run)  # kept in the checkpoints: a resumed run has the same
    unfinished = not run.is_done
    if chief and resumed and unfinished:
        print(f"{workdir}: goes on after {_position(run)}", flush=True)
    build_run.time_stages(config.run, run, workdir)
    if unfinished:
        callbacks = build_run.make_callbacks(config, run, workdir) if chief else []
        if chief:
            callbacks.append(
                progress_lines.ProgressLines(
                    run.supervised.epochs, build_run.describe_network(run), lambda: _splits_of(run)
                )
            )
            named = [(member.progress, member.name) for member in run.members]
            callbacks.append(hints.Hints(named, notes.say, trusted=config.co_divide.meta_set != "pseudo_clean"))
        build_run.training_loop(config.run, run).run(callbacks)
        build_run.time_stages(config.run, run, workdir)
    _finish(config, fitted, run, data, workdir)


def _finish(config, fitted, run, data, workdir):
    """Writes what a trained run leaves: the export and results first, as the rest may fail or take long."""
    strategy, dataset = run.strategy, run.dataset
    chief = clusters.is_chief(strategy)
    run.best_weights.restore(run.history.epochs)
    network, sentence = exports.network_to_export(config.co_divide.export_network, run)
    with sharing.place_to_write(strategy, workdir / "export") as place:
        exports.write(place, network, config, run, data.summary)
    sharing.values_of_workers(strategy, 0)  # from here on all have written which images they have skipped
    failure = None
    if chief:
        _write_results(config, run, workdir)
        print(sentence, end="")
        failure = _write_formats(config, network, dataset, workdir)
    if config.report.label_report:
        found = reports.make(fitted, run, network, workdir)
        if chief:
            print(reports.write(workdir, run, found), flush=True)
    if failure:
        raise failure


def _write_formats(config, network, dataset, workdir):
    """Writes the network in further formats; the error of one, which is to be raised when the rest is written."""
    try:
        for line in exports.write_further(workdir / "export", network, config.report.export_formats, dataset):
            print(line, flush=True)
    except errors.InputError as error:
        return error
    return None


def _splits_of(run):
    """The quality of the splits that the last epoch was trained with."""
    return run.history.epochs[-1].get("split", ()) if run.history.epochs else ()


def _position(run):
    """Step and epoch that a run has come to, in words."""
    total = run.supervised.total_steps_of_all
    of = f" of {total:,}" if total else ""
    return f"step {run.history.step:,}{of}, in epoch {len(run.history.epochs) + 1} of {run.supervised.epochs}"


def _write_results(config, run, workdir):
    names = {"method": config.method.method, "selector": config.method.selector, "seed": config.run.seed}
    dataset = run.dataset
    summary = run_results.results(run.history.together, dataset, **names)
    each = [run_results.results(progress, dataset, **names) for progress in run.history.of_networks]
    if each:
        summary["networks"] = each
    summary["skipped_images"] = len(bad_images.all_listed(workdir))
    whole_files.write_json(workdir / "results.json", summary)
    print(run_results.describe(summary, workdir), flush=True)
    _draw(run, summary, workdir)


def _draw(run, summary, workdir):
    """The pictures, last: where one cannot be drawn, nothing else is missing."""
    path = workdir / "curves.png"
    with pictures.optional(path):
        pictures.draw(path, summary, run.history.together, run.dataset, run.supervised.clean_probability())
    path = workdir / "class_accuracy.png"
    with pictures.optional(path):
        pictures.draw_classes(path, summary, run.dataset)
    for member in run.members:
        path = workdir / f"gates{member.suffix}.png"
        with pictures.optional(path):
            gates.draw_selection(path, member.progress.history, gates.layer_names(member.method))
    run.supervised.draw(run, workdir)
