"""`--mode=evaluate`: how good an exported network, a Keras file or a run's newest checkpoint is on a data set."""

import os
import pathlib
import re
import zlib

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.evaluation import measures, per_example, saved_model
from famus_tf.experiment import automatic, build_data, checks, data_of_run
from famus_tf.experiment import export as exports
from famus_tf.files import whole_files
from famus_tf.reports import evaluation_pictures, pictures
from famus_tf.runs import directory as run_directory

_CHECKPOINT = "checkpoint"
_FOLDER = "evaluation"


def evaluate(config):
    """Evaluates a network on all sets of the data but the meta set; prints and writes its figures, and two pictures."""
    workdir = pathlib.Path(config.run.workdir)
    wanted = config.report.model
    if wanted == _CHECKPOINT:
        with exports.restored(config, "evaluate") as found:
            name = str(workdir / "checkpoints")
            _evaluate(config, found.run.dataset, workdir, name, _in_inference(found.network), _CHECKPOINT)
        return
    model = pathlib.Path(wanted) if wanted else workdir / "export"
    config = checks.with_dtype_policy(automatic.with_choices(config)[0])
    if not wanted:
        run_directory.check_same_flags(workdir, config, must_exist=False)
    predict = _load(model)
    dataset = build_data.make_dataset(config.data, config.run.seed)
    dataset = data_of_run.with_class_ids_of(model, dataset)
    beside = f"{model.stem}_{zlib.crc32(os.fsencode(model.absolute())):08x}" if wanted else ""
    _evaluate(config, dataset, workdir, str(model), predict, beside, known_to=None if wanted else workdir)


def _load(model):
    """Function uint8 images -> logits."""
    if model.suffix != ".keras":
        return saved_model.load_exported(model)
    with errors.reading(model, "a Keras file with a network, images to logits"):
        network = keras.saving.load_model(str(model), compile=False)
    return _in_inference(network)


def _in_inference(network):
    return lambda images: network(images, training=False)


def _evaluate(config, dataset, workdir, name, predict, beside, known_to=None):
    """`beside`: what the files of a network that is not the run's export are named by."""
    strategy = tf.distribute.get_strategy()
    bad = build_data.find_bad_images(config.data, dataset, strategy, workdir)
    fitted, _ = checks.with_batch_sizes(config, dataset, replicas=1)
    batches = build_data.make_feed(
        fitted.optimization, dataset, strategy, config.run.seed, config.run.eval_batch_size, bad
    )
    if known_to is not None:
        for line in data_of_run.differences_to_tell(known_to, data_of_run.fingerprint_of(dataset), batches.evaluated):
            print(line, flush=True)
    scanner = per_example.make_scanner(strategy, predict)
    try:
        found = {part: scanner(batches.evaluation(part)) for part in batches.evaluated}
    except errors.InputError:  # of an image, say
        raise
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise errors.InputError(f"{name}: does not take images of {dataset.name}, {dataset.image_shape}") from error
    folder = workdir / _FOLDER
    for part, said in found.items():
        labels = dataset.held_out[part].labels
        said = per_example.Said(*(values[: len(labels)] for values in said))
        lost = int(((said.predicted >= 0) & np.isnan(said.loss)).sum())
        if lost:
            raise errors.InputError(
                f"{name}: gives no numbers for {lost:,} of {len(labels):,} {part} images (NaN); expected a network "
                "whose training has not diverged"
            )
        if said.predicted.max() >= dataset.num_classes:
            raise errors.InputError(f"{name}: has more classes than the {dataset.num_classes} of {dataset.name}")
        figures = measures.of(said, labels, dataset.class_names)
        top5 = f"top-5 {figures['top5']:.4f}, " if dataset.num_classes > 5 else ""
        print(
            f"{name} on {dataset.name}: {part} accuracy {figures['accuracy']:.4f}, {top5}"
            f"cross-entropy {figures['cross_entropy']:.4f}, {figures['examples']:,} images"
        )
        print(
            f"  balanced accuracy {figures['balanced_accuracy']:.4f}, macro F1 {figures['macro_f1']:.4f}, expected "
            f"calibration error {figures['expected_calibration_error']:.4f}"
        )
        about = {"model": name, "dataset": dataset.name, "data_dir": config.data.data_dir, "set": part}
        _write(folder, "_".join(filter(None, (dataset.name, part, beside))), about | figures)


def _write(folder, name, figures):
    name = re.sub(r"[^\w.-]", "_", name)
    with whole_files.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    whole_files.write_json(folder / f"{name}.json", figures)
    title = f"{figures['dataset']}, {figures['set']}: accuracy {figures['accuracy']:.1%}"
    for kind, draw in (
        ("confusion", evaluation_pictures.draw_confusion),
        ("calibration", evaluation_pictures.draw_calibration),
    ):
        path = folder / f"{name}_{kind}.png"
        with pictures.optional(path):
            draw(path, figures, title)
    print(f"  {folder / name}.json, and pictures beside it")
