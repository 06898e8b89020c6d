"""`--mode=export`: the network of a run directory's newest checkpoint as a SavedModel."""

import contextlib
import functools
import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np

from famus_tf import errors
from famus_tf.config.config import Config
from famus_tf.data import probes
from famus_tf.data.images import image_files, in_graph
from famus_tf.devices import strategy as strategies
from famus_tf.evaluation import portable, saved_model
from famus_tf.experiment import automatic, build_data, build_run, checks, data_of_run
from famus_tf.runs import directory as run_directory
from famus_tf.runs import provenance
from famus_tf.training import best_epoch

_ASKED = 100  # images about which every format is asked


def export(config):
    """Exports the network of the run directory's newest checkpoint as a SavedModel."""
    workdir = pathlib.Path(config.run.workdir)
    portable.check_packages(config.report.export_formats)
    with restored(config, "export") as found:
        epochs = found.run.history.epochs
        write(workdir / "export", found.network, config, found.run, found.summary)
        best = best_epoch.best_epoch(epochs)
        step = found.run.history.step if best is None else best["step"]
        print(f"{workdir / 'export'}: SavedModel of step {step:,}\n{found.sentence}", end="")
        for line in write_further(workdir / "export", found.network, config.report.export_formats, found.run.dataset):
            print(line, flush=True)


def write(path, network, config, run, summary):
    """Writes the SavedModel of a run's network.

    Args:
      path: folder to write.
      network: the one that is exported.
      config: `config.Config`.
      run: `build_run.Run`.
      summary: dict that JSON can hold, what it was trained on.
    """
    dataset = run.dataset
    transform = _transform_of(dataset)
    best = _epoch_of(run, network)
    metadata = {
        "dataset": dataset.name,
        "preprocessing": {"shorter_side": transform.resize, "mode": transform.mode, "bits": transform.bits},
        "epoch": best.get("epoch"),
        "step": best.get("step", run.history.step),
        "accuracy": {name: value for name, value in best.items() if name.endswith("_accuracy") and np.isscalar(value)},
        "flags": list(config.flag_lines()),
        "versions": provenance.versions(),
    }
    saved_model.export(
        network,
        path,
        dataset.image_shape,
        dataset.class_names,
        summary,
        decode=functools.partial(in_graph.load, transform=transform),
        metadata=metadata,
    )


def _epoch_of(run, network):
    """The figures of the epoch whose weights are exported; none within an epoch, nor of one that has not ended."""
    epochs = run.history.epochs
    of_each = [progress.history for progress in run.history.of_networks]
    own = dict(zip(map(id, run.networks), of_each, strict=False)).get(id(network), epochs)
    best = best_epoch.best_epoch(epochs)
    if best is not None:
        return own[epochs.index(best)]
    return own[-1] if own and epochs[-1]["step"] == run.history.step else {}


def write_further(path, network, formats, dataset):
    """Writes the network in further formats beside the SavedModel, and asks each about images.

    Args:
      path: folder of the SavedModel.
      network: the one that is exported.
      formats: of `evaluation.portable.FILES`.
      dataset: `data.dataset.Dataset`, whose first test images are asked about, or training images without those.

    Yields:
      A line for each file: how far it says the same.

    Raises:
      InputError: a file cannot be written, or does not say the same.
    """
    if not formats:
        return
    portable.write(network, path, formats, dataset.image_shape)
    images = dataset.test_images if len(dataset.test_images) else dataset.train_images
    found = image_files.readable(images, np.arange(min(_ASKED, len(images))))
    asked = np.stack([image for image in found if image is not None])
    said = keras.ops.softmax(portable.in_float32(network)(asked, training=False)).numpy()
    for name in formats:
        file = path / portable.FILES[name]
        yield f"{file}: {portable.agreement(file, asked, said)}"


def _transform_of(dataset):
    """From a file to what the network sees, as evaluation has it; where images come from no files, scaled and cut."""
    if dataset.reading is not None:
        return dataset.reading
    height, width, channels = dataset.image_shape
    return image_files.Transform(min(height, width), height, width=width, channels=channels)


class Restored(NamedTuple):
    """A run at its newest checkpoint.

    Attributes:
      config: `config.Config`, with what the data and the checkpoint leave open filled in.
      run: `build_run.Run` with the weights that are exported.
      network: the one that is exported.
      sentence: a line that says which one, where there are two; else empty.
      summary: dict that JSON can hold, what it was trained on.
    """

    config: Config
    run: build_run.Run
    network: keras.Model
    sentence: str
    summary: dict[str, Any]


@contextlib.contextmanager
def restored(config, purpose):
    """A run at its newest checkpoint, with the weights that are exported.

    Args:
      config: `config.Config`.
      purpose: what the checkpoint is wanted for, a verb.

    Yields:
      `Restored`; the run directory is held meanwhile.

    Raises:
      InputError: there is no run, or of other flags or data, or no checkpoint.
    """
    workdir = pathlib.Path(config.run.workdir)
    config = checks.with_dtype_policy(automatic.with_choices(config)[0])
    run_directory.check_same_flags(workdir, config, must_exist=True)
    with run_directory.held(workdir):
        dataset = build_data.make_dataset(config.data, config.run.seed)
        data = data_of_run.fingerprint_of(dataset)
        # The normalisation of the images is that of the training set.
        data_of_run.check(workdir, data, sets=("training",))
        dataset = probes.with_probes(dataset, config.probe_share, config.run.seed)
        # The checkpoint of any number of workers and devices is read by one.
        fitted, _ = checks.with_batch_sizes(config, dataset, replicas=1)
        run = build_run.assemble(fitted, dataset, strategies.make_strategy("one_device"), workdir)
        if not run.checkpoints.restore():
            raise errors.InputError(f"{workdir / 'checkpoints'}: no checkpoint to {purpose}; --mode=train makes one")
        run.best_weights.restore(run.history.epochs)
        yield Restored(fitted, run, *network_to_export(config.co_divide.export_network, run), data.summary)


def network_to_export(which, run):
    """The network that is exported, and a line that says which one where there are two.

    Args:
      which: "pair" (all networks, their mean logits), or "better" (the one that is better on the validation set, or on
        the test set where there is none).
      run: `build_run.Run`.

    Raises:
      InputError: the better one is asked for before the first epoch has ended.
    """
    if run.network in run.networks:
        return run.network, ""
    if which == "pair":
        return run.network, "exported: the mean of both networks' logits\n"
    if not run.history.epochs:
        raise errors.InputError(
            "--export_network=better before the end of the first epoch: expected a checkpoint after it, as before it "
            "nothing says which network is better"
        )
    best = best_epoch.best_epoch(run.history.epochs)
    name = "test_accuracy" if best is None else "validation_accuracy"
    epoch = -1 if best is None else run.history.epochs.index(best)
    accuracies = [progress.history[epoch][name] for progress in run.history.of_networks]
    better = int(np.argmax(accuracies))
    sentence = f"exported: network {better + 1}, with the better {name.replace('_', ' ')} of {accuracies[better]:.2%}"
    if best is None:
        sentence += "; there is no validation set to choose it by"
    return run.networks[better], sentence + "\n"
