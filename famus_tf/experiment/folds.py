"""What a plain network says of labels that it was not trained on: each part of the data by a network of the others."""

import dataclasses
import pathlib

import numpy as np

from famus_tf import errors
from famus_tf.config.baselines import BaselinesConfig
from famus_tf.data import streams
from famus_tf.devices import cluster as clusters
from famus_tf.evaluation import per_example
from famus_tf.experiment import build_data, build_run, checks, progress_lines
from famus_tf.files import whole_files
from famus_tf.training import stopping

_FOLDER = "folds"
_MOST_NUMBERS = 50_000_000  # of the probabilities, 200 MB
# A method that trusts all labels alike, whatever the run's own is.
_PLAIN = {
    **{field.name: field.default for field in dataclasses.fields(BaselinesConfig)},
    **{"method": "cross_entropy", "algorithm": "single", "meta_set": "clean", "probe_share": 0.0, "init_from": ""},
}


def scan(config, dataset, strategy, workdir, count):
    """Trains `count` networks, each without one part of the data, and asks each about the part that it has not seen.

    They are trained as the run is, but by cross-entropy. Each has a folder with checkpoints, from which the same
    command goes on; what they say is kept beside them and not asked for again: `said.npz`, and for other programs
    `probabilities.npy`, float32 [N, c], unless it would be large.

    Args:
      config: `config.Config`.
      dataset: `data.dataset.Dataset`.
      strategy: a `tf.distribute.Strategy`.
      workdir: the run directory.
      count: k, 2 or more.

    Returns:
      `per_example.Said` of all N training images.

    Raises:
      InputError: a class has fewer than two images, of which none would be left to train on.
    """
    folder = pathlib.Path(workdir, _FOLDER, f"of_{count}")
    parts = split(dataset.train_labels, dataset.num_classes, count, config.run.seed)
    length = np.array([config.optimization.epochs, config.optimization.train_steps])
    kept = _kept(folder / "said.npz", parts, length)
    if kept is not None:
        return kept
    plain = config.with_values(_PLAIN)
    found = None
    for fold in range(count):
        positions = np.flatnonzero(parts == fold)
        said, rows = _of_fold(plain, dataset, strategy, folder / str(fold), positions, f"part {fold + 1} of {count}")
        if found is None:
            found = per_example.Said(*(np.zeros(len(parts), values.dtype) for values in said))
            probabilities = None if rows is None else np.zeros((len(parts), dataset.num_classes), np.float32)
        if probabilities is not None:
            probabilities[positions] = rows[: len(positions)]
        for place, values in zip(found, said, strict=True):
            place[positions] = values[: len(positions)]
    if clusters.is_chief(strategy):
        with whole_files.written(folder / "said.npz") as place:
            of_whom = {"index": dataset.train_index, "given": dataset.train_labels}
            np.savez(place, parts=parts, length=length, **of_whom, **found._asdict())
        if probabilities is not None:
            with whole_files.written(folder / "probabilities.npy") as place:
                np.save(place, probabilities)
    return found


def split(labels, num_classes, count, seed):
    """Draws the part 0 to k - 1 of each example, int [N], of each class as equally many as can be.

    Args:
      labels: the given labels, int [N].
      num_classes: c.
      count: k, 2 or more.
      seed: of the run.

    Raises:
      InputError: a class has one image alone.
    """
    sizes = np.bincount(labels, minlength=num_classes)
    if (sizes == 1).any():
        raise errors.InputError(
            f"option `report_folds`={count}: class {int((sizes == 1).argmax())} has one training image, expected two "
            "or more, as one part is left out of training"
        )
    rng = streams.generator(seed, "folds")
    parts = np.zeros(len(labels), np.int64)
    first = 0
    for label in range(num_classes):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts[members] = (first + np.arange(len(members))) % count
        first += len(members)  # so that the parts are alike in size, too
    return parts


def check(config, dataset, replicas):
    """Raises InputError where the parts cannot be trained without, which is told before the run is trained.

    Args:
      config: `config.Config`.
      dataset: `data.dataset.Dataset`.
      replicas: number of devices in use.
    """
    parts = split(dataset.train_labels, dataset.num_classes, config.report.report_folds, config.run.seed)
    for fold in range(config.report.report_folds):
        _fitting(config.with_values(_PLAIN), _restricted(dataset, np.flatnonzero(parts != fold)), replicas)


def _fitting(config, dataset, replicas):
    """The configuration for a part of the data, whose epochs may have fewer batches."""
    fitted, _ = checks.with_batch_sizes(config, dataset, replicas)
    if fitted.optimization.batches_per_epoch * fitted.optimization.batch_size > len(dataset.train_labels):
        fitted = fitted.with_values({"batches_per_epoch": 0})
    return fitted


def _kept(path, parts, length):
    """What networks that were trained as long have said before of the same parts; None where nothing was."""
    if not path.exists():
        return None
    with errors.reading(path, "what the networks of the parts have said"), np.load(path) as arrays:
        if not (np.array_equal(arrays["parts"], parts) and np.array_equal(arrays["length"], length)):
            return None
        return per_example.Said(*(arrays[name] for name in per_example.Said._fields))


def _of_fold(config, dataset, strategy, workdir, positions, title):
    rest = np.setdiff1d(np.arange(len(dataset.train_labels)), positions)
    others = _restricted(dataset, rest)
    config = _fitting(config, others, strategy.num_replicas_in_sync)
    with whole_files.explained(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    run = build_run.assemble(config, others, strategy, workdir)
    run.checkpoints.restore()
    if not run.is_done:
        chief = clusters.is_chief(strategy)
        if chief:
            print(f"{title}: {len(rest):,} images to train on, {len(positions):,} to be asked about", flush=True)
        lines = progress_lines.ProgressLines(run.supervised.epochs, build_run.describe_network(run))
        build_run.training_loop(config.run, run).run([lines] if chief else [])
    run.best_weights.restore(run.history.epochs)
    network = run.network
    scanner = per_example.make_scanner(strategy, lambda images: network(images, training=False))
    bad = build_data.find_bad_images(config.data, dataset, strategy, workdir)
    whole = build_data.make_feed(
        config.optimization, dataset, strategy, config.run.seed, config.run.eval_batch_size, bad
    )
    stop = stopping.Stop(strategy)
    said = scanner(stop.during(whole.scan(positions)))
    if len(dataset.train_labels) * dataset.num_classes > _MOST_NUMBERS:
        return said, None
    predictor = per_example.make_predictor(strategy, lambda images: network(images, training=False))
    return said, predictor(stop.during(whole.scan(positions)))


def _restricted(dataset, positions):
    """The dataset with some of its training images, of which none counts as a probe."""
    true = dataset.train_true_labels
    files = dict(dataset.files)
    if "training" in files:
        files["training"] = files["training"][positions]
    return dataclasses.replace(
        dataset,
        train_images=dataset.train_images[positions],
        train_labels=dataset.train_labels[positions],
        train_true_labels=None if true is None else true[positions],
        train_index=dataset.train_index[positions],
        files=files,
        num_probes=0,
    )
