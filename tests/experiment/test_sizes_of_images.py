"""Whole commands on images of other shapes than squares, and training on image files that are not cut at random."""

import csv
import itertools
import json
import os
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf import errors, main
from famus_tf.config.data import DataConfig
from famus_tf.data.batches import batch_spec, pipeline
from famus_tf.data.images import image_files
from famus_tf.experiment import build_data
from tests import small_networks


def _write(folder, part, count, height, width):
    """Two classes, dark and light, whose images are told apart at their ends alone."""
    rng = np.random.default_rng(len(part))  # the same image in two sets is not trained on
    for label, name in enumerate("ab"):
        (folder / part / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = rng.integers(100, 150, (height, width, 3))
            picture[: height // 4] = rng.integers(0, 60, 3) + 180 * label
            PIL.Image.fromarray(picture.astype(np.uint8)).save(folder / part / name / f"{number}.png")


def _run(folder, shape, *flags):
    network = small_networks.save_convolutions(folder / "a.keras", input_shape=shape, num_classes=2)
    command = ["main.py", "--dataset=folder", f"--data_dir={folder / 'data'}", f"--network={network}"]
    command += [f"--workdir={folder / 'run'}", "--method=cross_entropy", "--meta_per_class=0", "--epochs=6"]
    return main.main([*command, "--batch_size=8", "--base_learning_rate=0.05", *flags])


def test_rectangles_are_trained_evaluated_and_exported(tmp_path, capsys):
    for part in ("train", "test"):
        _write(tmp_path / "data", part, 20, 24, 12)
    assert _run(tmp_path, (24, 12, 3)) == 0
    said = capsys.readouterr().out
    assert "images are read as 24x12 (height x width), the size of all 40 images looked at" in said
    assert "40 training images of 24x12x3" in said
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test_accuracy"]["last"] > 0.9
    assert _run(tmp_path, (24, 12, 3), "--mode=evaluate") == 0


@pytest.mark.parametrize("mode", ["squash", "pad"])
def test_a_mode_that_cuts_nothing_off(mode, tmp_path, capsys):
    """What tells the classes apart is cut off by a crop."""
    for part in ("train", "test"):
        _write(tmp_path / "data", part, 20, 48, 20)
    flags = "--image_size=20", f"--resize_mode={mode}"
    assert _run(tmp_path, (20, 20, 3), *flags) == 0
    assert f"(--resize_mode={mode})" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test_accuracy"]["last"] > 0.9


@pytest.mark.parametrize("flags", [{}, {"image_size": 20, "resize": 24}], ids=["in memory", "streamed"])
def test_no_augmentation(flags, tmp_path):
    for part in ("train", "test"):
        _write(tmp_path, part, 8, 28, 34)
    data = DataConfig(dataset="folder", data_dir=str(tmp_path), meta_per_class=2, augment="none", **flags)
    made = build_data.make_dataset(data, seed=0)
    for images, labels in ((made.train_images, made.train_labels), (made.meta_images, made.meta_labels)):
        spec = batch_spec.BatchSpec("train", 4, seed=0, crop_padding=made.crop_padding, flip=made.flip)
        for batch, _, index in itertools.islice(pipeline.training_batches(images, labels, spec, 0, 5), 5):
            np.testing.assert_array_equal(batch, image_files.as_array(images, index.numpy()))


@pytest.mark.parametrize("mode", ["crop", "pad", "squash"])
def test_an_export_reads_small_images_as_the_run_did(mode, tmp_path):
    """Also those of 16 bits of which few are used, and of another shape than most."""
    rng = np.random.default_rng(0)
    for part, name in itertools.product(("train", "test"), "ab"):
        (tmp_path / "data" / part / name).mkdir(parents=True)
        for number in range(12):
            shape = (16, 16) if number else (30, 20)
            pixels = rng.integers(0, 4096, shape).astype(np.uint16)  # 12 bits
            PIL.Image.fromarray(pixels).save(tmp_path / "data" / part / name / f"{number}.png")
    flags = f"--resize_mode={mode}", "--epochs=1"
    assert _run(tmp_path, (16, 16, 1), *flags) == 0
    made = build_data.make_dataset(
        DataConfig(dataset="folder", data_dir=str(tmp_path / "data"), resize_mode=mode, meta_per_class=0), seed=0
    )
    paths = [os.fsdecode(path) for path in made.files["test"]]
    signature = tf.saved_model.load(str(tmp_path / "run" / "export")).signatures
    by_bytes = signature["encoded_images"](encoded=tf.constant([pathlib.Path(path).read_bytes() for path in paths]))
    by_pixels = signature["serving_default"](images=tf.constant(made.test_images))
    np.testing.assert_array_equal(by_bytes["logits"], by_pixels["logits"])
    output = tmp_path / "out.csv"
    command = ["main.py", "--mode=predict", f"--workdir={tmp_path / 'run'}", f"--images={tmp_path / 'data' / 'test'}"]
    assert main.main([*command, f"--output={output}"]) == 0
    with open(output, newline="") as file:
        said = {row["path"]: float(row["probability"]) for row in csv.DictReader(file)}
    expected = np.max(by_pixels["probabilities"], axis=1)
    np.testing.assert_allclose([said[path] for path in paths], expected, rtol=1e-5)


def _data_of(folder, **flags):
    return build_data.make_dataset(
        DataConfig(dataset="folder", data_dir=str(folder), meta_per_class=2, **flags), seed=0
    )


def test_the_padding_of_the_crop(tmp_path):
    """Of decoded images and of files that are read for each batch."""
    for part in ("train", "test"):
        _write(tmp_path, part, 8, 28, 28)
    assert (_data_of(tmp_path).crop_padding, _data_of(tmp_path).padding_mode) == (3, "zero")
    made = _data_of(tmp_path, crop_padding=5, crop_padding_mode="reflect")
    assert (made.crop_padding, made.padding_mode) == (5, "reflect")
    assert _data_of(tmp_path, crop_padding=0, augment="crop_flip").crop_padding == 0
    made = _data_of(tmp_path, crop_padding=5, image_size=20, resize=24)
    assert made.train_images.transform.padding == made.meta_images.transform.padding == 5
    with pytest.raises(errors.InputError, match="`crop_padding`=28: expected fewer than the 28 pixels"):
        _data_of(tmp_path, crop_padding=28)
    with pytest.raises(errors.InputError, match="`crop_padding_mode`=reflect: images of folder are decoded for each"):
        _data_of(tmp_path, crop_padding_mode="reflect", image_size=20, resize=24)


@pytest.mark.parametrize("flag", ["--crop_padding=2", "--crop_padding_mode=zero"])
def test_padding_without_a_crop_is_refused(flag, tmp_path, capsys):
    assert _run(tmp_path, (20, 20, 3), "--augment=none", flag) == 2
    assert f"{flag} with --augment=none: expected crop, crop_flip or auto" in capsys.readouterr().err
