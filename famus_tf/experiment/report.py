"""`--mode=report`: the list of labels not to be trusted, of a run directory's newest checkpoint."""

import dataclasses
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
    is_probe = np.arange(len(labels)) >= len(labels) - dataset.num_probes
    found = label_report.LabelReport(
        class_names=dataset.class_names,
        index=dataset.train_index,
        paths=None if paths is None else [os.fsdecode(path) for path in paths],
        is_trusted=is_probe & dataset.meta_is_checked,
        is_meta=is_probe & (not dataset.meta_is_checked),
        by=_by(clean, count),
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
        suspicion=_suspicion(config, run, clean, said) if outside is None else _doubt(outside.probability),
    )
    if dataset.meta_is_checked or not len(dataset.meta_labels):
        return found
    batches = run.members[0].feed.evaluation("meta")
    of_meta = scanner(stopping.Stop(run.strategy).during(batches))
    return _with_meta(found, dataset, per_example.Said(*(part[: len(dataset.meta_labels)] for part in of_meta)))


def _with_meta(found, dataset, said):
    """The report with the trusted set that was taken out of the training images; `said` of it by the network.

    It was not trained on them. Each has the suspicion of the training example whose margin is the next larger one.
    """
    count = len(dataset.meta_labels)
    nothing = np.full(count, np.nan, np.float32)
    paths = data_of_run.paths_of(dataset, "meta", dataset.meta_images)
    margins, values = np.sort(found.margin[~np.isnan(found.margin)]), np.sort(found.suspicion)[::-1]
    places = np.searchsorted(margins, np.where(np.isnan(said.margin), np.median(margins), said.margin))
    more = {
        "index": dataset.meta_index,
        "is_trusted": np.zeros(count, bool),
        "is_meta": np.ones(count, bool),
        "given": dataset.meta_labels,
        "predicted": said.predicted,
        "given_probability": said.probability,
        "predicted_probability": said.predicted_probability,
        "loss": said.loss,
        "margin": said.margin,
        **dict.fromkeys(("weight", "area_under_margin", "running_probability", "running_score"), nothing),
        "suspicion": values[np.minimum(places, len(values) - 1)],
    }
    joined = {name: np.concatenate([getattr(found, name), values]) for name, values in more.items()}
    if found.out_of_fold is not None:
        joined["out_of_fold"] = np.concatenate([found.out_of_fold, nothing])
    if found.true is not None:
        joined["true"] = np.concatenate([found.true, dataset.meta_labels])
    if found.paths is not None and paths is not None:
        joined["paths"] = [*found.paths, *map(os.fsdecode, paths)]
    return dataclasses.replace(found, **joined)


def _suspicion(config, run, clean, said):
    """By what the run has learnt and seen of the labels; `said` of them by the exported network.

    Where its steps have seen mixed images alone, the network is all that can be asked.
    """
    if clean is not None:
        return _doubt(clean)
    examples, dataset = run.history.together.examples, run.dataset
    trust = [found for found in (method.trust() for method in run.methods) if found is not None]
    unseen = np.isnan(examples.probability).all()
    if trust:
        learned = 1 - np.mean(trust, axis=0, dtype=np.float64)
    elif unseen:
        learned = _doubt(said.probability)
    else:
        repeating = config.method.selector == "agreement"
        learned = suspicion.of_history(examples, dataset.train_labels, dataset.num_classes, with_score=repeating)
    signs = [-examples.area_under_margin]
    if unseen or suspicion.is_told_by(examples.weight):
        signs.append(-said.margin)
    return suspicion.together(learned, signs)


def _by(clean, folds):
    if folds:
        return f"{folds} plain networks that were not trained on them"
    return "what the run has learnt of them" if clean is None else "Algorithm 2's clean probability"


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
    names = dict.fromkeys((run.dataset.name, workdir.absolute().name))
    title = f"Labels of {', '.join(names)}"
    label_page.write(workdir / "labels.html", found, functools.partial(_images, run.dataset), title)
    return f"{label_report.describe(found, workdir)}\n  look at them there; --mode=clean does what you decide"


def _images(dataset, positions):
    """Those of a report at these positions: the trusted set is behind the training images."""
    of_training = len(dataset.train_labels)
    found = dict(
        zip(
            [*positions[positions < of_training], *positions[positions >= of_training]],
            [
                *image_files.readable(dataset.train_images, positions[positions < of_training]),
                *image_files.readable(dataset.meta_images, positions[positions >= of_training] - of_training),
            ],
            strict=True,
        )
    )
    return [found[position] for position in positions]
