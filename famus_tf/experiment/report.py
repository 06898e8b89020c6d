"""`--mode=report`: the list of labels not to be trusted, of a run directory's newest checkpoint."""

import functools
import os
import pathlib

import numpy as np

from famus_tf.data.images import image_files
from famus_tf.evaluation import per_example, suspicion
from famus_tf.experiment import data_of_run, folds
from famus_tf.experiment import export as exports
from famus_tf.reports import label_page, label_report
from famus_tf.training import stopping


def report(config):
    """Writes `labels.csv` and `labels.html` into the run directory, and says in a few lines what they hold."""
    workdir = pathlib.Path(config.run.workdir)
    with exports.restored(config, "report") as restored:
        found = make(restored.config, restored.run, restored.network, workdir)
        print(write(workdir, restored.run, found), flush=True)


def make(config, run, network, workdir):
    """What is known of each training label.

    Args:
      config: `config.Config`, with nothing left open.
      run: `build_run.Run`, trained or restored.
      network: the one to ask, images -> logits.
      workdir: `pathlib.Path` of the run directory.

    Returns:
      `reports.label_report.LabelReport`, the same on all workers, all of which must call it.
    """
    dataset = run.dataset
    labels = dataset.train_labels
    scanner = per_example.make_scanner(run.strategy, lambda images: network(images, training=False))
    batches = run.members[0].feed.scan(None)
    said = per_example.Said(*(part[: len(labels)] for part in scanner(stopping.Stop(run.strategy).during(batches))))
    count = config.report.report_folds
    outside = folds.scan(config, dataset, run.strategy, workdir, count) if count else None
    clean = run.supervised.clean_probability()
    examples = run.history.together.examples
    paths = data_of_run.paths_of(dataset, "training", dataset.train_images)
    return label_report.LabelReport(
        class_names=dataset.class_names,
        index=dataset.train_index,
        paths=None if paths is None else [os.fsdecode(path) for path in paths],
        is_trusted=np.arange(len(labels)) >= len(labels) - dataset.num_probes,
        given=labels,
        predicted=said.predicted,
        given_probability=said.probability,
        predicted_probability=said.predicted_probability,
        loss=said.loss,
        margin=said.margin,
        weight=examples.weight,
        clean_probability=clean,
        area_under_margin=examples.area_under_margin,
        running_probability=examples.probability,
        running_score=examples.score,
        true=dataset.train_true_labels,
        out_of_fold=None if outside is None else outside.probability,
        suspicion=_suspicion(config, run, clean, said.margin) if outside is None else _doubt(outside.probability),
    )


def _suspicion(config, run, clean, margin):
    """By what the run has learnt and seen of the labels; `margin`: by the exported network, float [N]."""
    if clean is not None:
        return _doubt(clean)
    examples, dataset = run.history.together.examples, run.dataset
    trust = [found for found in (method.trust() for method in run.methods) if found is not None]
    if trust:
        learned = 1 - np.mean(trust, axis=0, dtype=np.float64)
    else:
        repeating = config.method.selector == "agreement"
        learned = suspicion.of_history(examples, dataset.train_labels, dataset.num_classes, with_score=repeating)
    signs = [-examples.area_under_margin]
    if suspicion.is_told_by(examples.weight):
        signs.append(-margin)
    return suspicion.together(learned, signs)


def _doubt(probability):
    """1 - the probability that a label is right; 0.5 where nothing is known."""
    return np.where(np.isnan(probability), 0.5, 1 - probability)


def write(workdir, run, found):
    """Writes both files.

    Args:
      workdir: `pathlib.Path` of the run directory.
      run: `build_run.Run`.
      found: `LabelReport`.

    Returns:
      Lines that say what was written and what it shows.
    """
    label_report.write_csv(workdir / "labels.csv", found)
    title = f"Labels of {run.dataset.name} ({workdir.name})"
    label_page.write(
        workdir / "labels.html", found, functools.partial(image_files.readable, run.dataset.train_images), title
    )
    return label_report.describe(found, workdir)
