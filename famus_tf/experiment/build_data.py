"""The data of a run, each part built from its own group of flags."""

import dataclasses
import pathlib
import sys

import keras

from famus_tf import errors
from famus_tf.config.data import OWN_IMAGES
from famus_tf.data import dataset as datasets
from famus_tf.data import duplicates
from famus_tf.data.batches import bad_images, feed, sampling
from famus_tf.data.copies import in_memory, resized_copy
from famus_tf.data.images import image_files, strong_augment
from famus_tf.data.labels import coverage
from famus_tf.data.sets import by_name
from famus_tf.devices import cluster as clusters
from famus_tf.experiment import notes

_WORTH_A_BAR = 5000


def make_dataset(data, seed, decode=True):
    """The training, meta and test images and labels (`data.dataset.Dataset`).

    Args:
      data: `config.data.DataConfig`.
      seed: the seed of the run.
      decode: whether small image files are decoded now; without it the first that is broken stops nothing.

    Raises:
      InputError: the data are not there, or not as the flags say.
    """
    source = by_name.load_source(data)
    if data.dataset in OWN_IMAGES:  # published data sets stay as they are published
        source = duplicates.marked(source, train_on_held_out=data.train_on_held_out, progress=progress_bar)
    source, said = resized_copy.take_up(source, data.data_dir, data.prepared_dir)
    notes.say(filter(None, (*source.notes, said)))
    if decode:
        source = in_memory.load(source, skip_bad=data.on_bad_image == "skip", progress=progress_bar)
    dataset = datasets.make_dataset(source, data, seed)
    notes.say(dataset.notes[len(source.notes) :])
    labels = {name: examples.labels for name, examples in dataset.held_out.items()}
    notes.say(coverage.sentences(dataset.class_names, {"training": dataset.train_labels, **labels}))
    return _with_padding(_with_augmentation(_with_strong(dataset, data), data.augment), data)


def _with_strong(dataset, data):
    if data.strong_augment == "none":
        return dataset
    strong = strong_augment.Policy(data.strong_augment, data.randaugment_count, data.randaugment_magnitude)
    return dataclasses.replace(dataset, strong=strong)


def _with_augmentation(dataset, augment):
    if augment == "auto":
        return dataset
    crops = augment != "none"
    files = {
        name: images.with_augmentation(crops)
        for name in ("train_images", "meta_images")
        if isinstance(images := getattr(dataset, name), image_files.ImageFiles)
    }
    padding = max(1, min(dataset.image_shape[:2]) // 8) if crops else 0
    return dataclasses.replace(dataset, crop_padding=padding, flip=augment == "crop_flip", **files)


def _with_padding(dataset, data):
    """The padding before the crop, where it is given."""
    padding, mode = data.crop_padding, data.crop_padding_mode
    if padding == -1 and mode == "auto":
        return dataset
    images = dataset.train_images
    from_files = isinstance(images, image_files.ImageFiles)
    if from_files and images.transform.random_resized:
        raise errors.InputError(
            f"options `crop_padding`={padding}, `crop_padding_mode`={mode}: boxes of random size are cut out of the "
            f"images of {dataset.name}; expected neither"
        )
    if from_files and mode == "reflect":
        raise errors.InputError(
            f"option `crop_padding_mode`=reflect: images of {dataset.name} are decoded for each batch; expected zero"
        )
    short = min(dataset.image_shape[:2])
    if padding >= short:
        raise errors.InputError(f"option `crop_padding`={padding}: expected fewer than the {short} pixels of an image")
    if from_files:
        files = {name: getattr(dataset, name) for name in ("train_images", "meta_images")}
        return dataclasses.replace(
            dataset,
            **{
                name: images.with_padding(padding) if isinstance(images, image_files.ImageFiles) else images
                for name, images in files.items()
            },
        )
    return dataclasses.replace(
        dataset,
        crop_padding=dataset.crop_padding if padding == -1 else padding,
        padding_mode=dataset.padding_mode if mode == "auto" else mode,
    )


def progress_bar(what, count):
    """The `update` of a bar on a terminal, where there is enough to wait for."""
    if count < _WORTH_A_BAR or not sys.stdout.isatty():
        return None
    print(f"{what} images:", flush=True)
    return keras.utils.Progbar(count, unit_name="image").update


def find_bad_images(data, dataset, strategy, workdir):
    """Those that are known or missing, kept in the run directory; each worker has a list of what it has met with."""
    path = bad_images.list_file(pathlib.Path(workdir), clusters.position(strategy))
    return bad_images.BadImages(dataset, skip=data.on_bad_image == "skip", list_file=path)


def make_feed(optimization, dataset, strategy, seed, eval_batch_size, bad=None):
    """All batches of one method.

    Args:
      optimization: `config.optimization.OptimizationConfig`.
      dataset: `data.dataset.Dataset`.
      strategy: a `tf.distribute.Strategy`.
      seed: of the batches.
      eval_batch_size: images per batch in evaluation.
      bad: `bad_images.BadImages`, where image files that cannot be read are known.

    Returns:
      `feed.Feed`.
    """
    return feed.Feed(
        dataset,
        strategy,
        bad or bad_images.BadImages(dataset, skip=False),
        batch_size=optimization.batch_size,
        meta_batch_size=optimization.meta_batch_size,
        eval_batch_size=eval_batch_size,
        seed=seed,
        drawn=_sampling(optimization),
    )


def steps_per_epoch(optimization, dataset):
    """Training steps in an epoch."""
    return sampling.steps_per_epoch(len(dataset.train_labels), optimization.batch_size, _sampling(optimization))


def _sampling(optimization):
    return sampling.Sampling(optimization.batches_per_epoch, optimization.sampling == "balanced")
